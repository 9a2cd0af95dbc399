/**
 * Drives the translation of the machine it runs on, as an agent's parts would; told line by line, each a JSON array of
 * a verb and its arguments, each answered by one line.
 *
 *     ["open", RULES, POLICY]                texts of `--snat`; by the default policy, or "as it was"
 *     ["choose", IP, UNITS, LEFT_MS, FULL]   units for new flows, the time left, keys of full destinations
 *     ["sockets", IP, UNITS]                 units for sockets, for ten minutes
 *     ["policy", POLICY]
 *     ["not let on", RULES]                  a second agent, which never opens, has a policy of an earlier run
 *     ["flows"]
 *     ["end", IP, UNITS]
 *     ["counts"]
 *     ["forget"]                             as an agent that translates for nobody; says whether there was something
 *     ["restore"]                            says whether something was gone
 */
import { createInterface } from "node:readline";
import { DEFAULT_POOL_POLICY, type PoolPolicy } from "../../src/core/pool-policy.ts";
import type { PortBlock } from "../../src/core/port-block.ts";
import { termFrom } from "../../src/core/lease-term.ts";
import { Guard } from "../../src/agent/machine/guard.ts";
import { defaultRouteDevices, waysOut } from "../../src/agent/machine/machine-addresses.ts";
import {
  NftTranslation,
  type NftTranslationOptions,
  removeTranslation,
} from "../../src/agent/translation/nft-translation.ts";
import { sendersOfRules } from "../../src/agent/translation/senders.ts";
import { senderDevices } from "../../src/agent/translation/translation-facts.ts";
import { readSnatRules } from "../../src/agent/translation/snat-rule.ts";
import { readClock } from "../../src/process/clock.ts";

const guard = await Guard.open(readClock);
let translation: NftTranslation | null = null;
let kernelOptions: NftTranslationOptions | null = null;
console.log("ready");

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...rest] = JSON.parse(line) as [string, ...unknown[]];
  const answer = await run(verb, rest).catch((fault: { code?: string; message: string }) => [
    "error",
    fault.code,
    fault.message,
  ]);
  console.log(JSON.stringify(answer ?? "ok"));
}

function blocksOf(units: readonly number[]): PortBlock[] {
  return units.map((unit) => ({ base: unit * 64, order: 6 }));
}

async function run(verb: string, args: readonly unknown[]): Promise<unknown> {
  if (verb === "open") {
    const rules = readSnatRules(args[0] as string[], "eu");
    const devices = async (): Promise<string[]> => [
      ...new Set([...(await defaultRouteDevices(4)), ...(await defaultRouteDevices(6))]),
    ];
    const ranges = { allowed: ["198.51.100.0/24", "2001:db8::/32"], denied: [] };
    const ofSenders = async (): Promise<string[]> => senderDevices(sendersOfRules(rules), await waysOut());
    kernelOptions = { rules, ranges, guard, clock: readClock, devices, senderDevices: ofSenders };
    translation = new NftTranslation(kernelOptions);
    await translation.open();
    // With "as it was" the kernel keeps the policy of an earlier life.
    return args[1] === "as it was" ? undefined : translation.takePolicy(DEFAULT_POOL_POLICY);
  }
  if (verb === "forget") return removeTranslation();
  const kernel = translation!;
  if (verb === "not let on") {
    const second = new NftTranslation({ ...kernelOptions!, rules: readSnatRules(args[0] as string[], "eu") });
    await second.takePolicy(DEFAULT_POOL_POLICY);
    return second.close();
  }
  switch (verb) {
    case "sockets": {
      const [ip, units] = args as [string, number[]];
      return guard.allow(ip, blocksOf(units), termFrom(readClock(), 600_000));
    }
    case "choose": {
      const [ip, units, leftMs, full] = args as [string, number[], number, string[]];
      const term = termFrom(readClock(), leftMs);
      await guard.allow(ip, blocksOf(units), term);
      await kernel.track(ip, units);
      return kernel.choose(ip, { units: units.map((unit) => ({ unit, weight: 1 })), term, full });
    }
    case "policy":
      return kernel.takePolicy(args[0] as PoolPolicy);
    case "flows":
      return Object.fromEntries(await kernel.flows());
    case "end":
      return kernel.endEntries(args[0] as string, new Set(args[1] as number[]));
    case "restore":
      return kernel.restore();
    case "counts":
      return Object.fromEntries(await kernel.counts());
    default:
      throw new Error(`unknown verb ${verb}`);
  }
}

/**
 * Drives the guard of the machine it runs on, as the agent's lease keeper would; told line by
 * line, each line answered by one. Blocks are written `BASE/ORDER,BASE/ORDER`, none as `-`.
 *
 *     allow IP LEASE_MS BLOCKS                the lease begins now
 *     lend IP LEASE_MS BLOCKS                 as allow, but says when the lease ends, in Unix milliseconds
 *     renew IP LEASE_MS BLOCKS EVERY_MS TIMES renews it so often, then says ok
 *     keep IP BLOCKS                          without an end, as static slots
 *     translate IP UNITS                      units of 64 ports, written UNIT,UNIT
 *     found IP                                whether it was guarded before, and its translated units then
 *     counts
 *     restore                                 says whether the guard was gone
 *     open                                    a second guard, which must be refused
 *     close
 *     remove
 */
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { Guard } from "../../src/agent/machine/guard.ts";
import { type ClockReading, ENDLESS_TERM, termFrom } from "../../src/core/lease-term.ts";
import type { PortBlock } from "../../src/core/port-block.ts";

const guard = await Guard.open(readClock);
console.log("ready");

for await (const line of createInterface({ input: process.stdin })) {
  // Not awaited: renewing goes on while other things are asked.
  const [verb, ...rest] = line.split(" ");
  run(verb!, rest).then(
    (answer) => console.log(answer),
    (fault: { code?: string; message: string }) => console.log(`error ${fault.code} ${fault.message}`),
  );
}

async function run(verb: string, [ip, leaseMs, blocks, everyMs, times]: readonly string[]): Promise<string> {
  switch (verb) {
    case "allow":
      await guard.allow(ip!, parseBlocks(blocks!), termFrom(readClock(), Number(leaseMs)));
      return guard.fragmentFault === null ? "ok" : `without fragments: ${guard.fragmentFault.message}`;
    case "lend": {
      const sentAt = readClock();
      await guard.allow(ip!, parseBlocks(blocks!), termFrom(sentAt, Number(leaseMs)));
      return String(sentAt.wallMs + Number(leaseMs));
    }
    case "keep":
      await guard.allow(ip!, parseBlocks(leaseMs!), ENDLESS_TERM);
      return "ok";
    case "renew":
      for (let at = 0; at < Number(times); at += 1) {
        await guard.allow(ip!, parseBlocks(blocks!), termFrom(readClock(), Number(leaseMs)));
        await pause(Number(everyMs));
      }
      return "ok";
    case "translate":
      await guard.translate(ip!, leaseMs === "-" ? [] : leaseMs!.split(",").map(Number));
      return "ok";
    case "found":
      return `${guard.knows(ip!)} ${guard.translatedUnits(ip!).join(",")}`;
    case "counts":
      return JSON.stringify(await guard.counts());
    case "restore":
      return `ok ${await guard.restore()}`;
    case "open":
      await Guard.open(readClock);
      return "ok";
    case "close":
      await guard.close();
      return "ok";
    case "remove":
      await guard.remove();
      return "ok";
    default:
      throw new Error(`unknown verb ${verb}`);
  }
}

function parseBlocks(text: string): PortBlock[] {
  if (text === "-") return [];
  return text.split(",").map((block) => {
    const [base, order] = block.split("/").map(Number);
    return { base: base!, order: order! };
  });
}

function readClock(): ClockReading {
  return { monotonicMs: performance.now(), wallMs: Date.now() };
}

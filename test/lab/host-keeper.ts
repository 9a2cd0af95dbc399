/**
 * Drives the host set-up of the machine it runs on, line by line, each answered by one.
 *
 *     node host-keeper.ts FILE
 *     add IP
 *     undo
 *     examine IP...
 *     translation             what its kernel translates, and what keeps it from that
 *     availability            whether a guard could be, as a user who is not root
 */
import { createInterface } from "node:readline";
import { examineTranslation } from "../../src/agent/doctor/host-translation.ts";
import { guardAvailability } from "../../src/agent/machine/guard.ts";
import { examineHost } from "../../src/agent/machine/host-findings.ts";
import { HostSetup } from "../../src/agent/machine/host-setup.ts";

const NOBODY = 65_534;

const setup = await HostSetup.open(process.argv[2]!);
console.log("ready");

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...ips] = line.split(" ");
  try {
    console.log(await run(verb!, ips));
  } catch (fault) {
    console.log(`error ${(fault as Error).message}`);
  }
}

async function run(verb: string, ips: readonly string[]): Promise<string> {
  switch (verb) {
    case "add":
      for (const ip of ips) await setup.add(ip);
      return "ok";
    case "undo":
      await setup.undo();
      return "ok";
    case "examine":
      return JSON.stringify(await examineHost(ips));
    case "translation":
      return JSON.stringify(await examineTranslation());
    case "availability":
      process.setuid!(NOBODY);
      return JSON.stringify(await guardAvailability());
    default:
      throw new Error(`unknown verb ${verb}`);
  }
}

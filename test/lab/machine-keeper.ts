/**
 * Prepares addresses on the machine it runs on, as an agent does at its start; an IP a line, each
 * answered by one.
 *
 *     node machine-keeper.ts STATE_DIRECTORY
 */
import { createInterface } from "node:readline";
import { pino } from "pino";
import { Machine } from "../../src/agent/machine/guarded-machine.ts";

const machine = await Machine.open("require", process.argv[2]!, pino({ level: "silent" }));
console.log("ready");

for await (const ip of createInterface({ input: process.stdin })) {
  try {
    await machine.prepare(ip);
    console.log("ok");
  } catch (fault) {
    console.log(`error ${(fault as Error).message}`);
  }
}

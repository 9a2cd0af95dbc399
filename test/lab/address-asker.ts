/** Asks the kernel of a machine which addresses are its own: `own ADDRESS…` on standard input. */
import { createInterface } from "node:readline";
import { OwnAddresses } from "../../src/agent/egress/own-addresses.ts";

let nowMs = 0;
const own = new OwnAddresses({ now: () => nowMs });

process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...words] = line.split(" ");
  if (command === "pass") nowMs += Number(words[0]);
  const answers = command === "own" ? await Promise.all(words.map(async (ip) => own.isOwn(ip))) : [];
  process.stdout.write(`${JSON.stringify(answers)}\n`);
}
own.close();

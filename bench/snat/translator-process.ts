/**
 * The translation of an agent on the host of the bench: the real guard, ruleset and part, told by standard input
 * what they are given. Each line is answered by `ok`.
 *
 *     use UNIT,UNIT,...   these units are given, and no others
 *     look                looks once at the kernel's flows, and draws the conclusions
 */
import { createInterface } from "node:readline";
import { Guard } from "../../src/agent/machine/guard.ts";
import { NftTranslation } from "../../src/agent/translation/nft-translation.ts";
import { readSnatRules } from "../../src/agent/translation/snat-rule.ts";
import { TranslatedPart } from "../../src/agent/translation/translated-part.ts";
import { termFrom } from "../../src/core/lease-term.ts";
import { UNIT_PORT_COUNT } from "../../src/core/port-block.ts";
import { readClock } from "../../src/process/clock.ts";
import { SENDERS, SHARED } from "./translations.ts";

const LEASE_MS = 3_600_000;
const UNIT_ORDER = Math.log2(UNIT_PORT_COUNT);

const guard = await Guard.open(readClock);
const kernel = new NftTranslation({
  rules: readSnatRules([`source=${SENDERS}, name=bench`], "default"),
  // What is documentation elsewhere is the Internet here.
  ranges: { allowed: ["198.51.100.0/24"], denied: [] },
  guard,
  clock: readClock,
  devices: async () => ["out0"],
  senderDevices: async () => [],
});
await kernel.open();
const part = new TranslatedPart({
  ip: SHARED,
  kernel,
  send: () => {},
  onFault: (fault) => console.error(fault),
});
let number = 0;
console.log("ready");

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, units] = line.split(" ");
  if (verb === "use") await use(units!.split(",").map(Number));
  else await look();
  console.log("ok");
}
process.exit(0);

async function use(units: readonly number[]): Promise<void> {
  const term = termFrom(readClock(), LEASE_MS);
  const blocks = units.map((unit) => ({ base: unit * UNIT_PORT_COUNT, order: UNIT_ORDER }));
  await guard.allow(SHARED, blocks, term);
  number += 1;
  part.command({
    number,
    term,
    units: units.map((unit) => ({ grant: unit + 1, unit, isDraining: false })),
    unitLimit: null,
    lent: [],
    requests: [],
    borrowed: [],
    answers: [],
    isGrowing: true,
    isHostUsable: true,
  });
  await part.settled();
  await look();
  if (await guard.restore()) console.error("the guard was gone");
}

async function look(): Promise<void> {
  const mark = part.listingMark;
  const flows = await kernel.flows();
  part.flowsListed(flows.get(SHARED) ?? [], mark);
  await part.settled();
}

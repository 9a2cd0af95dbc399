/**
 * `npm run sim`: runs seeds and says what came of them.
 *
 *     npm run sim -- --seed 17 --events 5000      one seed, with all that was counted
 *     npm run sim -- --seeds 2000 --events 2000   that many fresh seeds, on all cores
 */
import { parseArgs } from "node:util";
import { Run } from "./run.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    events: { type: "string", default: "2000" },
    trace: { type: "boolean" },
  },
});
const events = Number(values.events);
const first = values.seed === undefined ? 1 : Number(values.seed);
const seedCount = Number(values.seeds ?? "1");
let total = 0;
const began = performance.now();
for (let seed = first; seed < first + seedCount; seed += 1) {
  const report = await new Run(seed, values.trace ? { trace: console.log } : {}).run(events);
  total += report.eventCount;
  if (report.violation !== null) console.log(seed, report.violation.stack);
  if (seedCount === 1) console.log(report.hash, report.eventCount, report.lastedMs, report.counts);
}
console.log(`${Math.round((total / (performance.now() - began)) * 1000)} events/s, ${total} events`);

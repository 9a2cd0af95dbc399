/**
 * `npm run model`: the searches of the model, and what each came to. `npm run model -- --trails`
 * tells for each known fault the steps that lead to it.
 */
import { SKIPPED_EXIT_CODE } from "../lab/availability.ts";
import { BEYOND, EVERYTHING, MISTAKES, OTHERS, STEERING } from "./searches.ts";
import { modelAvailability, search, type Verdict } from "./spin.ts";

const availability = modelAvailability();
if (!availability.ok) {
  console.error(`The model was skipped: ${availability.reason}.`);
  process.exitCode = SKIPPED_EXIT_CODE;
} else if (process.argv.includes("--trails")) {
  for (const { name, switches } of [...MISTAKES, ...BEYOND]) {
    const { trail } = await search(switches, { isShortest: true });
    console.log([`${name}:`, ...trail.map((step) => `    ${step}`), ""].join("\n"));
  }
} else {
  await report();
}

async function report(): Promise<void> {
  let isGood = true;
  for (const { name, switches, minStateCount } of [EVERYTHING, ...OTHERS, STEERING]) {
    const verdict = await search(switches);
    const holds = verdict.errorCount === 0 && verdict.isExhaustive && verdict.stateCount >= minStateCount;
    tell(holds ? "holds" : "DOES NOT HOLD", name, verdict);
    isGood &&= holds;
  }
  for (const { name, switches } of [...MISTAKES, ...BEYOND]) {
    const verdict = await search(switches);
    const isFound = verdict.errorCount > 0;
    tell(isFound ? "found" : "NOT FOUND", name, verdict);
    isGood &&= isFound;
  }
  process.exitCode = isGood ? 0 : 1;
}

function tell(outcome: string, name: string, { stateCount, seconds, memoryMb }: Verdict): void {
  const figures = `${stateCount.toLocaleString("en")} states, ${seconds.toFixed(1)} s, ${memoryMb.toFixed(0)} MB`;
  console.log(`${outcome.padEnd(14)}${name.padEnd(68)}${figures}`);
}

/**
 * `npm run lab`: the tests in the laboratory; `npm run lab -- --shell`: the laboratory itself,
 * to look around in. Exits with 77, after saying why, where there can be none.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { labAvailability, SKIPPED_EXIT_CODE } from "./availability.ts";
import { removeLeftovers } from "./namespaces.ts";
import { lookAround } from "./shell.ts";

/** By then the processes of an interrupted run are dead, and what they left can be told from what lives. */
const DYING_MS = 500;
const availability = labAvailability();
const args = process.argv.slice(2);
if (!availability.ok) {
  console.error(`The laboratory was skipped: ${availability.reason}.`);
  process.exitCode = SKIPPED_EXIT_CODE;
} else if (args.includes("--shell")) {
  await lookAround();
} else {
  process.exitCode = await runTests(args);
}

async function runTests(patterns: readonly string[]): Promise<number> {
  const child = spawn("vitest", ["run", "--project", "lab", ...patterns], { stdio: "inherit" });
  let isInterrupted = false;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      isInterrupted = true;
      child.kill(signal);
    });
  }
  const [code] = (await once(child, "exit")) as [number | null];
  if (isInterrupted) {
    do await delay(DYING_MS);
    while (removeLeftovers().length > 0);
  }
  return code ?? 1;
}

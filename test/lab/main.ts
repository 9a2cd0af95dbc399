/**
 * `npm run lab`: the tests in the laboratory; `npm run lab -- --shell`: the laboratory itself,
 * to look around in. Exits with 77, after saying why, where there can be none.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { labAvailability, SKIPPED_EXIT_CODE } from "./availability.ts";
import { draw } from "./drawing.ts";
import { Lab } from "./lab.ts";
import { rolesOf } from "./plan.ts";

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

async function lookAround(): Promise<void> {
  const lab = await Lab.create();
  try {
    console.log(draw(lab.size));
    console.log("\nEnter a machine in another terminal:\n");
    for (const role of rolesOf(lab.size)) console.log(`  ip netns exec ${lab.namespaceOf(role)} bash`);
    console.log("\nIt stands until you press Enter.");
    const ends = ["SIGINT", "SIGTERM", "SIGHUP"].map((signal) => once(process, signal));
    await Promise.race([once(process.stdin, "data"), once(process.stdin, "end"), ...ends]);
  } finally {
    await lab.destroy();
    process.stdin.destroy();
  }
}

async function runTests(patterns: readonly string[]): Promise<number> {
  const child = spawn("vitest", ["run", "--project", "lab", ...patterns], { stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number | null];
  return code ?? 1;
}

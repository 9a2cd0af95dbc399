/** The timers of a real process. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemTimers } from "../../src/process/timers.ts";

test("[EL2] a wish is fulfilled once, one withdrawn before never, and withdrawing late does no harm", async () => {
  const calls: string[] = [];
  const cancel = systemTimers.after(1, () => calls.push("withdrawn"));
  cancel();
  const done = await new Promise<() => void>((resolve) => {
    const late = systemTimers.after(2, () => {
      calls.push("fulfilled");
      resolve(late);
    });
  });
  done();
  expect(calls).toEqual(["fulfilled"]);
});

test("[AG3] an idle wish lets a process end, another does not", () => {
  const module = join(import.meta.dirname, "../../src/process/timers.ts");
  const program = `
    import { systemTimers } from ${JSON.stringify(module)};
    systemTimers.after(3_600_000, () => {}, "idle");
    systemTimers.after(10, () => console.log("fulfilled"));
  `;
  const { stdout, status } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    timeout: 30_000,
  });
  expect([stdout, status]).toEqual(["fulfilled\n", 0]);
});

/** Readers that stop: what they do not take is kept nowhere, but for a little of each. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { StuckReport } from "../fuzz/stuck-run.ts";

const TUNNEL_COUNT = 2_000;
const MEMORY_CAP_BYTES = 400_000_000;
/** The kernel's own memory for so many is limited in a namespace, and nobody else has to do with less. */
const OWN_NETWORK = 'ip link set lo up; exec "$@"';
const AS_ROOT = process.getuid?.() === 0 ? [] : ["--map-root-user"];
const PROGRAM = join(import.meta.dirname, "../fuzz/stuck-run.ts");

test("[TN3] 2,000 tunnels whose reader has stopped take less than 400 MB, and nothing once they have ended", async () => {
  const command = ["sh", "-ec", OWN_NETWORK, "sh", process.execPath, PROGRAM, String(TUNNEL_COUNT)];
  const { stdout } = await promisify(execFile)("unshare", [...AS_ROOT, "--net", ...command]);
  const report = JSON.parse(stdout) as StuckReport;
  const { stoppedCount, peakBytes, before, after, warnings } = report;
  expect(stoppedCount).toBe(TUNNEL_COUNT);
  expect(peakBytes, stdout).toBeLessThan(MEMORY_CAP_BYTES);
  // Our own questions to it come and go.
  expect(after.sockets, stdout).toBeLessThan(before.sockets + 10);
  expect(after.abortSignals, stdout).toBe(0);
  expect(after.timers, stdout).toBeLessThan(30);
  expect(warnings).toEqual([]);
});

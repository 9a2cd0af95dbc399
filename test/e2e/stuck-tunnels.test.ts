/** Readers that stop: what they do not take is kept nowhere, but for a little of each. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { StuckReport } from "../fuzz/stuck-run.ts";

const TUNNEL_COUNT = 2_000;
const MEMORY_CAP_BYTES = 400_000_000;
/** Of which each keeps a window of its own, whose size is agreed on. */
const CARRIER_COUNT = 4_000;
const CARRIERS_CAP_BYTES = 600_000_000;
/** The kernel's own memory for so many is limited in a namespace, and nobody else has to do with less. */
const OWN_NETWORK = 'ip link set lo up; exec "$@"';
const AS_ROOT = process.getuid?.() === 0 ? [] : ["--map-root-user"];
const PROGRAM = join(import.meta.dirname, "../fuzz/stuck-run.ts");

test("[TN3] 2,000 tunnels whose reader has stopped take less than 400 MB, and nothing once they have ended", async () => {
  const report = await stuck("tunnels", TUNNEL_COUNT);
  expect([report.stoppedCount, report.endedCount]).toEqual([TUNNEL_COUNT, 0]);
  expect(report.peakBytes, JSON.stringify(report)).toBeLessThan(MEMORY_CAP_BYTES);
  expectNothingLeft(report);
});

test("[LI15] of 4,000 TCP connections in WebSockets that are stuck so many are ended that the others take less than 600 MB", async () => {
  const report = await stuck("carriers", CARRIER_COUNT);
  expect(report.endedCount).toBeGreaterThan(0);
  expect(report.endedCount).toBeLessThan(CARRIER_COUNT);
  expect(report.peakBytes, JSON.stringify(report)).toBeLessThan(CARRIERS_CAP_BYTES);
  expectNothingLeft(report);
});

async function stuck(kind: "tunnels" | "carriers", count: number): Promise<StuckReport> {
  const command = ["sh", "-ec", OWN_NETWORK, "sh", process.execPath, PROGRAM, String(count), kind];
  const { stdout } = await promisify(execFile)("unshare", [...AS_ROOT, "--net", ...command]);
  return JSON.parse(stdout) as StuckReport;
}

function expectNothingLeft(report: StuckReport): void {
  const { before, after, warnings } = report;
  const text = JSON.stringify(report);
  // Our own questions to it come and go.
  expect(after.sockets, text).toBeLessThan(before.sockets + 10);
  expect(after.abortSignals, text).toBe(0);
  expect(after.timers, text).toBeLessThan(30);
  expect(warnings).toEqual([]);
}

/** `ipshard plan` as a process, and what it says of options that do not fit. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readLoad } from "../../src/cli/planning/read-load.ts";
import type { Plan } from "../../src/plan/plan.ts";
import { testedProgram } from "../runner/tested-program.ts";

const PROGRAM = testedProgram("cli");
const RATE = { connectionsPerSecond: "1000" };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ipshard-plan-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function plan(...args: readonly string[]): Promise<Said> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [PROGRAM, "plan", ...args], (_fault, stdout, stderr) =>
      resolve({ code: child.exitCode!, stdout, stderr }),
    );
  });
}

test("[PN9] hosts and connections a second are enough for a plan", async () => {
  const { code, stdout, stderr } = await plan("--hosts", "31", "--connections-per-second", "1000");
  expect([code, stderr]).toEqual([0, ""]);
  for (const said of [
    "31 hosts",
    "recommended",
    "Ports of a host",
    "When it runs out",
    "The edge in a month",
  ])
    expect(stdout).toContain(said);
  expect(stdout).toMatch(/against one address per host +\d+ +\$/);
});

test("[PN9] machines get the same as JSON, with the load as it was understood; the picture goes into a file", async () => {
  const file = join(folder, "plan.svg");
  const { code, stdout } = await plan(
    ..."--sites fra:120,ams:80 --connections-per-second 5000 --lasting 30s".split(" "),
    ..."--busiest-share 0.4 --growth 0.05 --addresses 9 --json --svg".split(" "),
    file,
  );
  expect(code).toBe(0);
  const said = JSON.parse(stdout) as { load: unknown; plan: Plan };
  expect(said.load).toMatchObject({
    sites: [
      { site: "fra", hostCount: 120 },
      { site: "ams", hostCount: 80 },
    ],
    lastingMs: 30_000,
    busiestShare: 0.4,
  });
  expect(said.plan.connectionCount).toBeCloseTo(120_000);
  expect(said.plan.runningOut.addressCount).toBe(9);
  expect(said.plan.runningOut.months).toBeGreaterThan(0);
  expect(await readFile(file, "utf8")).toMatch(/^<svg[\s\S]*<\/svg>\n$/);
});

test("[PN9] a picture that cannot be written fails the command", async () => {
  const file = join(folder, "no-such-folder/plan.svg");
  const { code, stdout, stderr } = await plan("--hosts", "3", "--connections-per-second", "1", "--svg", file);
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/picture cannot be written.*--svg\. \[output-failed\]\n$/);
});

test.each([
  [{}, "--hosts 31, or for each site as --sites fra:20,ams:11"],
  [{ hosts: "0" }, "--hosts"],
  [{ hosts: "1.5" }, "a whole number"],
  [{ hosts: "many" }, "--hosts"],
  [{ sites: "fra" }, "--sites fra"],
  [{ sites: "fra:1,:2" }, "--sites"],
  [{ sites: "fra:1:2" }, "--sites"],
  [{ sites: "fra:1,fra:2" }, "each stand there once"],
  [{ hosts: "3", sites: "fra:1,ams:1" }, "the sites have 2 hosts"],
  [{ hosts: "3", connectionsPerSecond: "-1" }, "--connections-per-second"],
  [{ hosts: "3", connectionsPerSecond: "0" }, "--connections-per-second"],
  [{ hosts: "3", peakFactor: "0.5" }, "--peak-factor"],
  [{ hosts: "3", lasting: "30" }, "--lasting"],
  [{ hosts: "3", lasting: "31d" }, "--lasting"],
  [{ hosts: "3", busiestShare: "1.1" }, "--busiest-share"],
  [{ hosts: "3", busiestShare: "40%" }, "--busiest-share"],
  [{ hosts: "3", spread: "-1" }, "--spread"],
  [{ hosts: "3", waves: "x" }, "--waves"],
] as const)("[PN9] of %j it is said what is wrong", (words, named) => {
  let fault: unknown = null;
  try {
    readLoad({ ...RATE, ...words });
  } catch (thrown) {
    fault = thrown;
  }
  expect(fault).toMatchObject({ code: "option-invalid", message: expect.stringContaining(named) });
});

test("[PN9] what is not said is what is usual, and hosts beside sites must agree", () => {
  expect(readLoad({ ...RATE, hosts: "3", sites: "fra:1,ams:2" })).toEqual({
    sites: [
      { site: "fra", hostCount: 1 },
      { site: "ams", hostCount: 2 },
    ],
    connectionsPerSecond: 1_000,
    peakFactor: 2,
    lastingMs: 60_000,
    busiestShare: 1,
    spread: 0.6,
    wavesPerDay: 12,
  });
});

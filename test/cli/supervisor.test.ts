import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Child } from "../../src/cli/supervision/child.ts";
import { viewProcess } from "../../src/process/process-identity.ts";
import { RunRecords } from "../../src/cli/supervision/run-records.ts";
import { Supervisor } from "../../src/cli/supervision/supervisor.ts";
import { targetSpec, temporaryDirectory, until, untilStarted } from "./processes.ts";

const POLICY = { firstDelayMs: 1, maxQuickEnds: 3, steadyMs: 60_000 };

async function supervise() {
  const directory = await temporaryDirectory();
  const records = new RunRecords(directory);
  const reports: string[] = [];
  return {
    directory,
    records,
    reports,
    supervisor: new Supervisor(records, (line) => reports.push(line), POLICY),
  };
}

test("[CI7] a child that ends unasked is reported and runs again", async () => {
  const { directory, records, reports, supervisor } = await supervise();
  const spec = targetSpec(directory, "target", "obedient");
  await supervisor.start(spec);
  const first = supervisor.pidOf("target")!;
  process.kill(first, "SIGKILL");
  await until("it runs again", () => supervisor.pidOf("target") !== first);
  const second = supervisor.pidOf("target")!;
  expect(reports).toEqual([expect.stringMatching(/^target ended by SIGKILL; starting it again/)]);
  expect(records.list().map(({ pid }) => pid)).toEqual([second]);
  await supervisor.stop(["target"]);
  expect(viewProcess(second)).toBeNull();
  expect(records.list()).toEqual([]);
  expect(reports.length).toBe(1);
});

test("[CI7] a child that will not stay up is given up, with its last words", async () => {
  const { directory, reports, supervisor } = await supervise();
  await supervisor.start(targetSpec(directory, "target", "dying"));
  await expect(supervisor.failed).rejects.toMatchObject({
    code: "child-kept-dying",
    message: expect.stringMatching(/with code 3, 4 times.*last words/s),
  });
  expect(reports.length).toBe(POLICY.maxQuickEnds);
  await supervisor.stop(["target"]);
});

test("[CI7] a program that is not there is a fault of the start", async () => {
  const { directory, supervisor } = await supervise();
  const spec = { ...targetSpec(directory, "target", "obedient"), command: `${directory}/absent` };
  await expect(supervisor.start(spec)).rejects.toMatchObject({ code: "ENOENT" });
});

test("[CI8] a child that does not end when asked is ended when its grace is over", async () => {
  const { directory, supervisor } = await supervise();
  const spec = targetSpec(directory, "target", "stubborn", 50);
  await supervisor.start(spec);
  const pid = supervisor.pidOf("target")!;
  await untilStarted(spec, pid);
  await supervisor.stop(["target"]);
  expect(viewProcess(pid)).toBeNull();
  expect(readFileSync(spec.logFile, "utf8")).toContain("no");
});

test("[CI8] whoever loses patience need not wait for the grace", async () => {
  const { directory, supervisor } = await supervise();
  const spec = targetSpec(directory, "target", "stubborn", 3_600_000);
  await supervisor.start(spec);
  const pid = supervisor.pidOf("target")!;
  await untilStarted(spec, pid);
  const stopped = supervisor.stop(["target"]);
  supervisor.killAll();
  await stopped;
  expect(viewProcess(pid)).toBeNull();
});

test("[CI8] a child leads its own process group, out of the reach of a Ctrl-C", async () => {
  const { directory, records } = await supervise();
  const child = await Child.start(targetSpec(directory, "target", "obedient"), records);
  const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  expect(Number(fields[2])).toBe(child.pid);
  child.kill();
  expect(await child.ended).toEqual({ code: null, signal: "SIGKILL" });
});

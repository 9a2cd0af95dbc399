import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Child } from "../../src/cli/supervision/child.ts";
import { isAlive, ownIdentity, readPsLine, viewProcess } from "../../src/process/process-identity.ts";
import { RunRecords } from "../../src/cli/supervision/run-records.ts";
import { targetSpec, temporaryDirectory, until, untilStarted } from "./processes.ts";

/** Rewrites a record as if the owner had been another process. */
function disown(directory: string, name: string, changes: Record<string, unknown>): void {
  const file = join(directory, `${name}.json`);
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...changes }));
}

const GONE = { pid: process.pid, startedAt: "before this process" };

test("[CI6] a process is found by pid and start, and not once it has ended, zombie or not", async () => {
  const self = ownIdentity();
  expect(isAlive(self)).toBe(true);
  expect(isAlive({ ...self, startedAt: "another time" })).toBe(false);
  const child = spawn("sleep", ["60"]);
  const view = viewProcess(child.pid!)!;
  expect(view).toMatchObject({ pid: child.pid, parentPid: process.pid, commandLine: "sleep 60" });
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(isAlive(view)).toBe(false);
  // A parent that never waits: its dead child stays in the table, and is no process any more.
  const careless = spawn("sh", ["-c", "sleep 0 & echo $!; exec sleep 60"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [chunk] = (await once(careless.stdout, "data")) as [Buffer];
  const zombie = Number(chunk.toString());
  await until("the zombie is seen as gone", () => viewProcess(zombie) === null);
  careless.kill("SIGKILL");
});

test("[CI6] where there is no /proc, ps tells the same", () => {
  const line = "Ss       1 Mon Nov 23 06:15:01 2026     /usr/bin/node main.ts --state /tmp/a b\n";
  expect(readPsLine(7, line)).toEqual({
    pid: 7,
    parentPid: 1,
    startedAt: "Mon Nov 23 06:15:01 2026",
    commandLine: "/usr/bin/node main.ts --state /tmp/a b",
  });
  expect(readPsLine(7, line.replace("Ss", "Z+"))).toBeNull();
  expect(readPsLine(7, "")).toBeNull();
});

test("[CI6] what a killed launcher left behind is ended, the stubborn too", async () => {
  const directory = await temporaryDirectory();
  const records = new RunRecords(directory);
  const children: Child[] = [];
  for (const behaviour of ["polite", "stubborn"]) {
    const spec = targetSpec(directory, behaviour, behaviour);
    const child = await Child.start(spec, records);
    await untilStarted(spec, child.pid);
    disown(directory, behaviour, { owner: GONE });
    children.push(child);
  }
  expect((await records.takeOver(["polite", "stubborn", "never-was"])).toSorted()).toEqual([
    "polite",
    "stubborn",
  ]);
  const ends = await Promise.all(children.map((child) => child.ended));
  expect(ends).toEqual([
    { code: 0, signal: null },
    { code: null, signal: "SIGKILL" },
  ]);
  expect(records.list()).toEqual([]);
});

test("[CI6] a process that only has the pid, or another command line, is left alone", async () => {
  const directory = await temporaryDirectory();
  const records = new RunRecords(directory);
  const spec = targetSpec(directory, "target", "obedient");
  const child = await Child.start(spec, records);
  for (const changes of [{ startedAt: "an earlier boot" }, { mark: "another directory" }]) {
    records.add(spec.name, child.pid, spec.mark);
    disown(directory, spec.name, { owner: GONE, ...changes });
    expect(await records.takeOver([spec.name])).toEqual([]);
    expect(child.hasEnded).toBe(false);
  }
  child.kill();
  await child.ended;
});

test("[CI6] what a living launcher looks after is not taken over", async () => {
  const directory = await temporaryDirectory();
  const records = new RunRecords(directory);
  const spec = targetSpec(directory, "target", "obedient");
  const child = await Child.start(spec, records);
  await expect(records.takeOver(["target"])).rejects.toMatchObject({ code: "already-running" });
  expect(await records.takeOver(["another"])).toEqual([]);
  expect(child.hasEnded).toBe(false);
  child.kill();
  await child.ended;
});

test("[CI6] a launcher whose npm is gone is about to end, and is waited for", async () => {
  const directory = await temporaryDirectory();
  const records = new RunRecords(directory);
  const launcher = spawn("sleep", ["60"]);
  const target = spawn("sleep", ["61"]);
  records.add("target", target.pid!, "sleep 61");
  disown(directory, "target", { owner: viewProcess(launcher.pid!), ownerNeeds: [GONE] });
  const taken = records.takeOver(["target"]);
  launcher.kill("SIGKILL");
  expect(await taken).toEqual(["target"]);
  expect(viewProcess(target.pid!)).toBeNull();
});

test("[CI6] a record that cannot be read is no record", async () => {
  const directory = await temporaryDirectory();
  const records = new RunRecords(directory);
  writeFileSync(join(directory, "broken.json"), '{"pid":');
  writeFileSync(join(directory, "other.json"), '{"pid": -1}');
  expect(records.list()).toEqual([]);
  expect(await records.takeOver(["broken", "other"])).toEqual([]);
});

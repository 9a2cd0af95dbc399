/** A disk that is full, as a person meets it. `/dev/full` stands for one: it opens, and takes nothing. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test, vi } from "vitest";
import { watchDisk } from "../../src/cli/edge/disk-watch.ts";
import { Supervisor } from "../../src/cli/supervision/supervisor.ts";
import { viewProcess } from "../../src/process/process-identity.ts";
import { RunRecords } from "../../src/cli/supervision/run-records.ts";
import { targetSpec, temporaryDirectory, until } from "./processes.ts";
import { testedProgram } from "../runner/tested-program.ts";

const MAIN = testedProgram("cli");
const FULL = "/dev/full";
/** Starting several processes takes its time on a busy machine. */
vi.setConfig({ testTimeout: 60_000 });

async function ipshard(args: readonly string[], shell = ""): Promise<{ code: number; said: string }> {
  const script = `exec "$0" "$@" ${shell}`;
  const child = spawn("sh", ["-c", script, process.execPath, MAIN, ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, "close")]);
  return { code: code as number, said };
}

test.each([
  ["edge", "edge/worker.js"],
  ["start", "edge/worker.js"],
  ["edge", "edge/config.capnp"],
  ["start", "tokens/client.new"],
])("[CI12] `%s` on a full disk says so in a sentence: %s", async (verb, file) => {
  const state = await temporaryDirectory();
  await mkdir(join(state, file, ".."), { recursive: true });
  await symlink(FULL, join(state, file));
  const port = 30_000 + Math.floor(Math.random() * 5_000);
  const { code, said } = await ipshard([verb, "--state", state, "--port", String(port)]);
  expect(code).toBe(1);
  expect(said).toMatch(
    /^ipshard: The state directory cannot be used: the disk is full: make room \(ENOSPC.*\) \[state-unusable\]\n$/,
  );
});

test("[CI12] a token or a key set that cannot be written is a failure of the command", async () => {
  const state = await temporaryDirectory();
  for (const args of [["keys"], ["token", "--role", "client", "--name", "a"]]) {
    const { code, said } = await ipshard([...args, "--state", state], `> ${FULL}`);
    expect(code).toBe(1);
    expect(said).toMatch(/^ipshard: The result cannot be written: .*ENOSPC.* \[output-failed\]\n$/);
  }
});

test("[CI12] a disk that fills up under the edge is named, and that there is room again", async () => {
  const directory = await temporaryDirectory();
  const said: string[] = [];
  await symlink(FULL, join(directory, ".disk-probe"));
  // A look removes what it looked with, here what stands for the full disk.
  const ending = new AbortController();
  watchDisk(directory, (sentence) => said.push(sentence), ending.signal);
  await until("the disk has room again", () => said.length === 2);
  ending.abort();
  expect(said[0]).toMatch(/^The edge can store nothing in .*: the disk is full: make room \(.*\)\./);
  expect(said[1]).toMatch(/^The edge can store in .* again\.$/);
});

test("[CI12] a child that a full disk keeps from starting again starts when there is room", async () => {
  const directory = await temporaryDirectory();
  const records = join(directory, "run");
  const said: string[] = [];
  const supervisor = new Supervisor(new RunRecords(records), (line) => said.push(line));
  const spec = targetSpec(directory, "a", "polite");
  await supervisor.start(spec);
  const first = supervisor.pidOf("a")!;
  await symlink(FULL, join(records, `.a.${process.pid}`));
  process.kill(first, "SIGKILL");
  await until("it is said", () => said.some((line) => line.includes("cannot be started: the disk is full")));
  await rm(join(records, `.a.${process.pid}`));
  await until("it is back", () => supervisor.pidOf("a") !== first);
  expect(viewProcess(first)).toBeNull();
  await supervisor.stop(["a"]);
});

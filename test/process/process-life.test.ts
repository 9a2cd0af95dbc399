/** An agent as a process among others: who ends it, and a log that cannot be written. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, existsSync, openSync, readdirSync, readSync, writeSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LogOutput } from "../../src/process/log-output.ts";
import { findLaunchers } from "../../src/process/launched-by.ts";
import { viewProcess } from "../../src/process/process-identity.ts";
import { generateKey } from "../../src/wire/keys.ts";
import { signToken } from "../../src/wire/tokens.ts";
import { freePort, until } from "../e2e/cluster.ts";
import { personEnvironment } from "../runner/person-environment.ts";

const BIN = join(import.meta.dirname, "../../bin/ipshard.js");
const AGENT = join(import.meta.dirname, "../../src/agent/main.ts");
/** Starting several processes takes its time on a busy machine. */
vi.setConfig({ testTimeout: 60_000 });

const ENVIRONMENT = personEnvironment();
let directory: string;
let started: number[];
let port: number;
let opened: number[];

beforeEach(async () => {
  started = [];
  opened = [];
  port = await freePort();
  directory = await mkdtemp(join(tmpdir(), "ipshard-life-"));
  const identity = {
    role: "host",
    subject: "h1",
    pools: ["default"],
    expiresAtMs: Date.now() + 600_000,
  } as const;
  await writeFile(join(directory, "token"), await signToken(identity, await generateKey("issuer")));
});

afterEach(async () => {
  for (const descriptor of opened) {
    try {
      closeSync(descriptor);
    } catch {
      // The test has closed it.
    }
  }
  for (const pid of [...started, ...readdirSync("/proc").map(Number)]) {
    if (viewProcess(pid)?.commandLine.includes(directory) === true) process.kill(pid, "SIGKILL");
  }
  await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
});

/** An agent serves without its edge, and this one has none. */
function agentArgs(): string[] {
  return [
    "--edge=http://127.0.0.1:9",
    "--pool=default",
    `--listen=127.0.0.1:${port}`,
    `--token-file=${join(directory, "token")}`,
    `--state=${join(directory, "state")}`,
  ];
}

/** The agent's pid, once it answers. */
async function agentPid(): Promise<number> {
  await until("the agent answers", isAnswering);
  const pid = readdirSync("/proc").find((name) => {
    const words = viewProcess(Number(name))?.commandLine ?? "";
    return words.includes("src/agent/main.ts") && words.includes(directory);
  });
  started.push(Number(pid));
  return Number(pid);
}

function isAnswering(): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/health`).then(
    async (response) => (await response.text()) !== "",
    () => false,
  );
}

function spawned(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(command, args, {
    env: { ...ENVIRONMENT, ...env },
    stdio: ["ignore", "ignore", openSync(join(directory, "log"), "a")],
  });
  started.push(child.pid!);
  return child;
}

test.each(["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"] as const)(
  "[AG5] an agent that an older Node had to start ends with it: %s",
  async (signal) => {
    // As Node 20 is: it reads no TypeScript.
    const older = spawned(process.execPath, ["--no-strip-types", BIN, "agent", ...agentArgs()]);
    const agent = await agentPid();
    expect(agent).not.toBe(older.pid);
    const exited = once(older, "exit");
    older.kill(signal);
    expect(await exited).toEqual(signal === "SIGKILL" ? [null, signal] : [0, null]);
    await until("the agent has ended", () => viewProcess(agent) === null);
  },
);

test.each(["SIGKILL", "SIGTERM"] as const)(
  "[AG5] an agent ends with the npm that runs it, or the shell that npm put between: %s",
  async (signal) => {
    // A shell that waits stands for both: it passes nothing on.
    const script = `"$0" "$@"; exit`;
    const npm = spawned("sh", ["-c", script, process.execPath, BIN, "agent", ...agentArgs()], {
      npm_lifecycle_event: "npx",
    });
    const agent = await agentPid();
    expect(agent).not.toBe(npm.pid);
    npm.kill(signal);
    await until("the agent has ended", () => viewProcess(agent) === null);
    expect(await readFile(join(directory, "log"), "utf8")).toContain("what started this process has gone");
  },
);

/** Who has the orphans here may look like npm itself. */
const isReaperKnown = !/^\S*(npm|node|yarn|pnpm|bun)/.test(viewProcess(1)?.commandLine ?? "");

test("[AG5] an agent whose launcher was gone before it could look ends as well", async ({ skip }) => {
  skip(!isReaperKnown, "the first process here may be npm");
  for (const env of [{ npm_lifecycle_event: "npx" }, { IPSHARD_LAUNCHER: "2" }]) {
    const script = `"$0" "$@" & exit`;
    const shell = spawned("sh", ["-c", script, process.execPath, BIN, "agent", ...agentArgs()], env);
    await once(shell, "exit");
    const log = (): Promise<string> => readFile(join(directory, "log"), "utf8");
    await until("the agent has ended", async () => (await log()).includes("all leases given back"));
    expect(await log()).toContain("what started this process has gone");
    await rm(join(directory, "log"));
  }
});

test("[AG5] npm is recognised with and without a shell between, an older Node by its word", async () => {
  const launchersOf = (pid: number, env: NodeJS.ProcessEnv): number[] =>
    findLaunchers(pid, env).map((launcher) => launcher.pid);
  expect(launchersOf(process.pid, {})).toEqual([]);
  const env = { npm_lifecycle_event: "start" };
  expect(launchersOf(process.pid, env)).toEqual([process.pid]);
  const shell = spawn("sh", ["-c", "read never; exit"]);
  expect(launchersOf(shell.pid!, env)).toEqual([shell.pid, process.pid]);
  expect(launchersOf(process.pid, { IPSHARD_LAUNCHER: `${process.pid}` })).toEqual([process.pid]);
  expect(launchersOf(process.pid, { IPSHARD_LAUNCHER: "1" })).toEqual([]);
  expect(launchersOf(process.pid, { ...env, IPSHARD_LAUNCHER: `${process.pid}` })).toEqual([
    process.pid,
    process.ppid,
  ]);
  shell.kill("SIGKILL");
});

/** Ways for a log to be unwritable; each answers the descriptor for standard error. */
const BAD_OUTPUTS: Readonly<Record<string, () => number>> = {
  "a full disk": () => openSync("/dev/full", constants.O_WRONLY),
  "a descriptor that cannot be written": () => openSync("/dev/null", constants.O_RDONLY),
  "a pipe whose reader has gone": () => {
    const reader = openPipe(constants.O_RDWR);
    const writer = openPipe(constants.O_WRONLY);
    closeSync(reader);
    return writer;
  },
  "a pipe that nobody reads": () => {
    const pipe = openPipe(constants.O_RDWR | constants.O_NONBLOCK);
    const chunk = Buffer.alloc(4_096, "x");
    expect(() => {
      for (;;) writeSync(pipe, chunk);
    }).toThrow("EAGAIN");
    return openPipe(constants.O_WRONLY);
  },
};

/** The pipe of the test's directory. */
function openPipe(flags: number): number {
  const path = join(directory, "pipe");
  if (!existsSync(path)) execFileSync("mkfifo", [path]);
  const descriptor = openSync(path, flags);
  opened.push(descriptor);
  return descriptor;
}

test.each(Object.keys(BAD_OUTPUTS))(
  "[AG6] an agent serves, and ends in order, when its log goes to %s",
  async (kind) => {
    const output = BAD_OUTPUTS[kind]!();
    // An edge that refuses connections gives it something to say.
    const child = spawn(process.execPath, [AGENT, ...agentArgs()], {
      stdio: ["ignore", "ignore", output],
      env: ENVIRONMENT,
    });
    const exited = once(child, "exit");
    started.push(child.pid!);
    await until("the agent answers", isAnswering);
    await delay(1_500);
    expect(await isAnswering()).toBe(true);
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
  },
);

/** Some ten megabytes of lines. */
const LINES = Array.from({ length: 10_000 }, (_, at) => `${`${at}`.padEnd(1_000, ".")}\n`);

test("[AG6] what a slow reader does not take waits within bounds; what is lost is counted and said", async () => {
  const reader = openPipe(constants.O_RDWR | constants.O_NONBLOCK);
  const writer = openPipe(constants.O_WRONLY);
  const output = new LogOutput(writer, (count) => `lost ${count}\n`);
  for (const line of LINES) output.write(line);
  let taken = drain(reader);
  await until("all that waited has come", () => {
    taken += drain(reader);
    return taken.includes("lost ");
  });
  output.write("later\n");
  taken += drain(reader);
  const said = taken.split("\n").map((line) => `${line}\n`);
  // The first lines are there, whole and in order, and every other one is accounted for.
  const wholeCount = said.length - 3;
  expect(wholeCount).toBeGreaterThan(1_000);
  const notice = `lost ${LINES.length - wholeCount}\n`;
  expect(said).toEqual([...LINES.slice(0, wholeCount), notice, "later\n", "\n"]);
  output.end();
});

test("[AG6] a log whose reader has gone goes on with the next reader, and says what was lost", async () => {
  const first = openPipe(constants.O_RDWR | constants.O_NONBLOCK);
  const output = new LogOutput(openPipe(constants.O_WRONLY), (count) => `lost ${count}\n`);
  output.write("one\n");
  expect(drain(first)).toBe("one\n");
  closeSync(opened.splice(opened.indexOf(first), 1)[0]!);
  for (const line of ["two\n", "three\n"]) output.write(line);
  // Tried again and again meanwhile, and the second line with the first.
  await delay(1_000);
  const next = openPipe(constants.O_RDONLY | constants.O_NONBLOCK);
  await until("the loss is said without another line", () => drain(next) === "lost 2\n");
  output.write("four\n");
  output.end();
  expect(drain(next)).toBe("four\n");
});

test("[AG6] a process that ends waits a moment for a slow reader of its last words", async () => {
  const reader = openPipe(constants.O_RDWR | constants.O_NONBLOCK);
  const output = new LogOutput(openPipe(constants.O_WRONLY), (count) => `lost ${count}\n`);
  for (const line of LINES.slice(0, 500)) output.write(line);
  // More than the pipe holds, and nobody reads: it gives up soon.
  const beganMs = performance.now();
  output.end();
  expect(performance.now() - beganMs).toBeLessThan(5_000);
  expect(drain(reader).length).toBeGreaterThan(60_000);
});

/** What stands in the pipe now. */
function drain(reader: number): string {
  const buffer = Buffer.alloc(65_536);
  let text = "";
  for (;;) {
    try {
      const length = readSync(reader, buffer);
      if (length === 0) return text;
      text += buffer.toString("latin1", 0, length);
    } catch {
      return text;
    }
  }
}

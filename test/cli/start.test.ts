/** `ipshard start` as a person meets it: a process, a terminal's signals, commands to paste. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, expect, test } from "vitest";
import { viewProcess } from "../../src/process/process-identity.ts";
import { RunRecords } from "../../src/cli/supervision/run-records.ts";
import { StatePaths } from "../../src/cli/state-paths.ts";
import { freePorts, temporaryDirectory, until } from "./processes.ts";
import { personEnvironment } from "../runner/person-environment.ts";

const MAIN = join(import.meta.dirname, "../../src/cli/main.ts");
const BIN = join(import.meta.dirname, "../../bin/ipshard.js");
const READY = "Ctrl-C ends it all.";
const runFile = promisify(execFile);

const launched: ChildProcess[] = [];
afterEach(() => {
  for (const child of launched.splice(0)) child.kill("SIGKILL");
});

class Launch {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  said = "";

  constructor(command: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.child = spawn(command[0]!, command.slice(1), {
      env: { ...personEnvironment(), ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    launched.push(this.child);
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.said += text;
      });
    }
    this.exited = once(this.child, "close").then(([code]) => code as number | null);
  }

  async untilSaid(text: string): Promise<void> {
    await until(`it says ${JSON.stringify(text)}`, () => {
      if (!this.said.includes(text) && this.child.exitCode !== null) throw new Error(this.said);
      return this.said.includes(text);
    });
  }
}

function start(state: string, port: number): Launch {
  return new Launch([process.execPath, MAIN, "start", "--state", state, "--port", String(port)]);
}

/** The keepers that a launcher has put beside its children. */
function keepersOf(launcher: number): number[] {
  return readdirSync("/proc")
    .map((name) => viewProcess(Number(name)))
    .filter((view) => view?.parentPid === launcher && view.commandLine.includes("ipshard-keeper"))
    .map((view) => view!.pid);
}

function runningIn(state: string): number[] {
  const records = new RunRecords(new StatePaths(state).run).list();
  return records.map(({ pid }) => pid).filter((pid) => viewProcess(pid) !== null);
}

test(
  "[CI8] [DA4] two hosts share an address, the printed commands and the link work, and Ctrl-C ends all",
  { timeout: 60_000 },
  async () => {
    const state = await temporaryDirectory();
    const launch = start(state, await freePorts());
    await launch.untilSaid(READY);
    const commands = launch.said.split("\n").filter((line) => line.startsWith("   curl"));
    expect(commands.length).toBe(4);
    const answers: string[] = [];
    for (const command of commands) {
      const { stdout } = await runFile("sh", ["-c", command], { cwd: "/" });
      answers.push(stdout);
    }
    const [get, post, table, proxied] = answers as [string, string, string, string];
    expect(get).toMatch(/^HTTP\/1.1 200 OK/);
    expect(get).toMatch(/"address":"127.0.0.10".*"method":"GET","path":"\/hello"/);
    expect(post).toMatch(/"address":"127.0.0.10".*"method":"POST","path":"\/cart"/);
    expect(proxied).toMatch(/"address":"127.0.0.10".*"method":"GET","path":"\/proxied"/);
    for (const host of ["h1", "h2"]) expect(table).toContain(`"host":"${host}"`);

    const link = new URL(/^ {3}(http:\S+\/dashboard#sign-in=\S+)$/m.exec(launch.said)![1]!);
    const signedIn = await fetch(`${link.origin}/dashboard/session`, {
      method: "POST",
      headers: { "content-type": "application/json", origin: link.origin },
      body: JSON.stringify({ code: link.hash.replace("#sign-in=", "") }),
    });
    expect(await signedIn.json()).toMatchObject({ role: "admin", pools: ["*"] });

    const children = runningIn(state);
    expect(children.length).toBe(4);
    // A terminal's Ctrl-C and npm's copy of it.
    launch.child.kill("SIGINT");
    launch.child.kill("SIGINT");
    expect(await launch.exited).toBe(0);
    expect(children.filter((pid) => viewProcess(pid) !== null)).toEqual([]);
    expect(runningIn(state)).toEqual([]);
  },
);

test(
  "[CI6] after a kill -9 the next start ends what was left, and a third is refused",
  { timeout: 60_000 },
  async () => {
    const state = await temporaryDirectory();
    const port = await freePorts();
    const killed = start(state, port);
    await killed.untilSaid(READY);
    // Whoever ends everything of a user's takes the keepers first, perhaps.
    const keepers = keepersOf(killed.child.pid!);
    expect(keepers.length).toBe(3);
    for (const pid of keepers) process.kill(pid, "SIGKILL");
    killed.child.kill("SIGKILL");
    await killed.exited;
    const orphans = runningIn(state);
    expect(orphans.length).toBe(3);

    const next = start(state, port);
    await next.untilSaid(READY);
    expect(next.said).toMatch(
      /Ended what an earlier start left behind: (edge|h1|h2), (edge|h1|h2), (edge|h1|h2)\./,
    );
    expect(orphans.filter((pid) => viewProcess(pid) !== null)).toEqual([]);

    const refused = start(state, await freePorts());
    expect(await refused.exited).toBe(1);
    expect(refused.said).toMatch(
      new RegExp(`Already running here, as process ${next.child.pid}.*\\[already-running\\]`),
    );
    next.child.kill("SIGTERM");
    expect(await next.exited).toBe(0);
    expect(runningIn(state)).toEqual([]);
  },
);

test(
  "[CI11] what is started ends when the one that started it is killed, and the next start finds nothing",
  { timeout: 60_000 },
  async () => {
    const state = await temporaryDirectory();
    const port = await freePorts();
    const killed = start(state, port);
    await killed.untilSaid(READY);
    const [running, keepers] = [runningIn(state), keepersOf(killed.child.pid!)];
    expect([running.length, keepers.length]).toEqual([4, 3]);
    killed.child.kill("SIGKILL");
    await until("all of it has ended", () =>
      [...running, ...keepers].every((pid) => viewProcess(pid) === null),
    );

    const edge = new Launch([process.execPath, MAIN, "edge", "--state", state, "--port", String(port)]);
    await edge.untilSaid("edge: http");
    expect(edge.said).not.toContain("Ended what");
    const workerd = runningIn(state);
    expect(workerd.length).toBe(1);
    edge.child.kill("SIGKILL");
    await until("workerd has ended", () => viewProcess(workerd[0]!) === null);
  },
);

test(
  "[CI7] a host and an edge that are killed come back, and a host keeps its blocks",
  { timeout: 60_000 },
  async () => {
    const state = await temporaryDirectory();
    const launch = start(state, await freePorts());
    await launch.untilSaid(READY);
    const table = launch.said.split("\n").find((line) => line.includes("/v1/ips/"))!;
    const blocks = async (): Promise<string[]> => {
      const { stdout } = await runFile("sh", ["-c", table]);
      return [...stdout.matchAll(/"base":\d+,"order":\d+,"epoch":\d+,"host":"h1"/g)].map(String).toSorted();
    };
    const before = await blocks();
    expect(before.length).toBeGreaterThan(0);
    const records = new RunRecords(new StatePaths(state).run);
    for (const name of ["h1", "edge"]) {
      const killed = records.list().find((record) => record.name === name)!.pid;
      process.kill(killed, "SIGKILL");
      await launch.untilSaid(`${name} ended by SIGKILL`);
      await until(`${name} is back`, async () => {
        const back = records.list().find((record) => record.name === name);
        return back !== undefined && back.pid !== killed;
      });
    }
    const get = launch.said.split("\n").find((line) => line.includes("/hello"))!;
    await until("requests go through again", () =>
      runFile("sh", ["-c", get]).then(
        ({ stdout }) => stdout.startsWith("HTTP/1.1 200"),
        () => false,
      ),
    );
    expect(await blocks()).toEqual(before);
    launch.child.kill("SIGINT");
    expect(await launch.exited).toBe(0);
    expect(runningIn(state)).toEqual([]);
  },
);

test("[CI8] a start whose npm was killed ends by itself", { timeout: 60_000 }, async () => {
  const state = await temporaryDirectory();
  const port = await freePorts();
  // The shell stands for npm: it waits for the launcher and passes nothing on.
  const script = `"${process.execPath}" "${MAIN}" start --state "${state}" --port ${port}; exit`;
  const npm = new Launch(["sh", "-c", script], { npm_lifecycle_event: "start" });
  await npm.untilSaid(READY);
  const running = runningIn(state);
  expect(running.length).toBe(4);
  npm.child.kill("SIGKILL");
  await until("all of it has ended", () => running.every((pid) => viewProcess(pid) === null));
  expect(runningIn(state)).toEqual([]);
});

test(
  "[CI9] a port that is taken ends the start with its number and the way out",
  { timeout: 30_000 },
  async () => {
    const state = await temporaryDirectory();
    const port = await freePorts();
    const other = createServer().listen(port + 2, "127.0.0.1");
    await once(other, "listening");
    const launch = start(state, port);
    expect(await launch.exited).toBe(1);
    expect(launch.said).toContain(`Port ${port + 2} on 127.0.0.1 is taken`);
    expect(launch.said).toContain("the gateway of host h2");
    expect(launch.said).toContain("--port");
    expect(runningIn(state)).toEqual([]);
    other.close();
  },
);

test(
  "[CI1] a command that cannot do what it was asked says why, by name, and fails",
  { timeout: 30_000 },
  async () => {
    const state = await temporaryDirectory();
    for (const [args, said] of [
      [["token", "--role", "client", "--name", "a"], /no issuer key.*\[key-missing\]/],
      [["token", "--role", "king", "--name", "a"], /--role is "king"|key-missing/],
      [["start", "--port", "65531"], /from 1 to 65530/],
      [["edge", "--port", "x"], /from 1 to 65535/],
      [["fly"], /^ipshard: unknown command 'fly'\. See ipshard --help\. \[option-invalid\]\n$/],
    ] as const) {
      const stateArgs = args[0] === "fly" ? [] : ["--state", state];
      const launch = new Launch([process.execPath, BIN, ...args, ...stateArgs]);
      expect(await launch.exited).toBe(1);
      expect(launch.said).toMatch(said);
    }
  },
);

test("[CI1] a state directory that cannot be one is named", { timeout: 30_000 }, async () => {
  const file = join(await temporaryDirectory(), "file");
  await writeFile(file, "");
  const commands = [["keys"], ["start"], ["edge"], ["token", "--role", "client", "--name", "a"]];
  const unusable = commands.map((args) => [args, file] as const);
  for (const [args, state] of [...unusable, [["keys"], "/proc/1/state"] as const]) {
    const launch = new Launch([process.execPath, BIN, ...args, "--state", state]);
    expect(await launch.exited).toBe(1);
    expect(launch.said).toMatch(/^ipshard: The state directory cannot be used: .*\[state-unusable\]\n$/);
  }
});

test("[CI1] keys and tokens are printed alone, fit for a shell's $(…)", { timeout: 30_000 }, async () => {
  const state = await temporaryDirectory();
  const { stdout: keys } = await runFile(BIN, ["keys", "--state", state]);
  expect(JSON.parse(keys).keys).toHaveLength(1);
  const { stdout: token } = await runFile(BIN, [
    "token",
    "--role",
    "client",
    "--name",
    "a",
    "--state",
    state,
  ]);
  expect(token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
});

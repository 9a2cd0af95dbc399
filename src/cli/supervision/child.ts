/**
 * A process that this one has started and must end. It is the leader of its own process
 * group: a Ctrl-C at the terminal reaches only the launcher, which then ends its children in
 * the right order. What it says goes to a file, so it outlives the launcher's terminal.
 *
 * Beside each there is a keeper, a small shell that waits on a pipe from the launcher. When the
 * pipe ends without a word the launcher was killed, and the keeper ends the child in its place. [CI11]
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { makeDirectory } from "../../process/directories.ts";
import type { RunRecords } from "./run-records.ts";

/** Who sent what is in a log, so not everybody reads it; a group may, for whoever gathers logs. */
const LOG_MODE = 0o640;

/** What to start. */
export interface ChildSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** A part of the command line by which it is recognised later. */
  readonly mark: string;
  readonly logFile: string;
  /** From SIGTERM to SIGKILL. */
  readonly graceMs: number;
}

/** How a process ended. */
export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const LOG_TAIL_LINES = 12;
/** Asks the group to end, waits for it in steps of a tenth of a second, and then makes it end. */
const KEEPER = `read -r word && exit 0
kill -s TERM -- "-$1" || exit 0
while [ "$2" -gt 0 ] && kill -s 0 -- "-$1"; do sleep 0.1; set -- "$1" "$(($2 - 1))"; done
kill -s KILL -- "-$1"`;
const KEEPER_STEP_MS = 100;

export class Child {
  readonly spec: ChildSpec;
  readonly pid: number;
  readonly ended: Promise<ChildEnd>;
  readonly #process: ChildProcess;

  private constructor(spec: ChildSpec, child: ChildProcess, ended: Promise<ChildEnd>) {
    this.spec = spec;
    this.pid = child.pid!;
    this.ended = ended;
    this.#process = child;
  }

  /** Starts it and notes it in the records; rejects if the program cannot be run. */
  static async start(spec: ChildSpec, records: RunRecords): Promise<Child> {
    makeDirectory(dirname(spec.logFile));
    const log = openSync(spec.logFile, "a", LOG_MODE);
    const child = spawn(spec.command, spec.args, {
      detached: true,
      env: { ...withoutConfiguration(process.env), ...spec.env },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    const dismissKeeper = child.pid === undefined ? () => {} : startKeeper(child.pid, spec.graceMs);
    try {
      if (child.pid !== undefined) records.add(spec.name, child.pid, spec.mark);
    } catch (fault) {
      // A process that cannot be recorded must not run.
      child.kill("SIGKILL");
      child.once("exit", dismissKeeper);
      throw fault;
    }
    const ended = new Promise<ChildEnd>((resolve) => {
      child.once("exit", (code, signal) => {
        dismissKeeper();
        records.remove(spec.name);
        resolve({ code, signal });
      });
    });
    await new Promise((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    return new Child(spec, child, ended);
  }

  get hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** Asks it to end, makes it end after its grace, and resolves when it has. */
  async stop(): Promise<ChildEnd> {
    if (!this.hasEnded) this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.kill(), this.spec.graceMs);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }

  /** Ends it at once. */
  kill(): void {
    if (!this.hasEnded) this.#process.kill("SIGKILL");
  }
}

/** Starts the keeper of a process group; answers how to dismiss it, which leaves the group alone. */
function startKeeper(group: number, graceMs: number): () => void {
  const args = ["-c", KEEPER, "ipshard-keeper", String(group), String(Math.ceil(graceMs / KEEPER_STEP_MS))];
  const keeper = spawn("/bin/sh", args, { detached: true, stdio: ["pipe", "ignore", "ignore"] });
  // Without a keeper the child is looked after as long as this process lives.
  keeper.on("error", () => {});
  keeper.stdin.on("error", () => {});
  keeper.unref();
  return () => keeper.stdin.end("dismissed\n");
}

/** The last lines of a log, for a person who asks why. */
export function tailOf(logFile: string): string {
  try {
    return readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-LOG_TAIL_LINES).join("\n");
  } catch {
    return "";
  }
}

/** A child is told everything by its arguments; what configures programs on this machine is not meant for it. [CF2] */
function withoutConfiguration(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(environment).filter(
    ([name]) => !name.startsWith("IPSHARD_") || name === "IPSHARD_LAUNCHER",
  );
  return Object.fromEntries(kept);
}

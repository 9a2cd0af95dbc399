/**
 * Writes into BPF maps through one `bpftool` that stays: a map is written some 50 µs after the word, where a new
 * process needs ten milliseconds.
 *
 * `bpftool batch file -` carries out each line as it comes, says nothing when it succeeds and ends when it fails.
 * So what is to be done is followed by a question for help, which it answers at once on its error output.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { KernelFault } from "./kernel-commands.ts";
import { type MapElement, readMapDump } from "./map-dump.ts";

const QUESTION = "map help";
/** How the answer begins. */
const ANSWER = "Usage: ";
const LONGEST_WRITE_MS = 30_000;
const LONGEST_LISTING_BYTES = 2 ** 30;
/** A pipe takes this much at a time. */
const LINES_PER_WRITE = 256;

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (fault: KernelFault) => void;
}

/** One per router; what is to be written is written in order. */
export class BpftoolSession {
  readonly #argv: readonly string[];
  #child: ChildProcess | null = null;
  #said = "";
  #waiting: Waiting | null = null;
  #last: Promise<unknown> = Promise.resolve();

  /** `argv` is the command that is bpftool. */
  constructor(argv: readonly string[] = ["bpftool"]) {
    this.#argv = argv;
  }

  /** Carries lines out, each `map update …` or `map delete …`, one after the other; up to the first that fails. */
  write(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return Promise.resolve();
    const turn = this.#last.then(() => this.#ask(lines));
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** What `bpftool -j` with these words prints, read. */
  async list(words: readonly string[]): Promise<unknown> {
    return JSON.parse(await this.run(["-j", ...words]));
  }

  /** All elements of a map. */
  async dump(map: readonly string[]): Promise<MapElement[]> {
    return readMapDump(await this.#output(["map", "dump", ...map]));
  }

  /** Runs bpftool to its end. */
  async run(words: readonly string[]): Promise<string> {
    return (await this.#output(words)).toString();
  }

  #output(words: readonly string[]): Promise<Buffer> {
    const [command, ...args] = [...this.#argv, ...words] as [string, ...string[]];
    const options = {
      timeout: LONGEST_WRITE_MS,
      maxBuffer: LONGEST_LISTING_BYTES,
      encoding: "buffer",
    } as const;
    return new Promise((resolve, reject) => {
      execFile(command, args, options, (cause, stdout, stderr) => {
        if (cause === null) resolve(stdout);
        else reject(faultOf(cause, command, reasonIn(stderr.toString()) || reasonIn(stdout.toString())));
      });
    });
  }

  /** Ends bpftool; later lines start it again. */
  async close(): Promise<void> {
    await this.#last;
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.stdin?.end();
    child.kill();
    await ended;
  }

  #ask(lines: readonly string[]): Promise<void> {
    this.#child ??= this.#start();
    const child = this.#child;
    this.#said = "";
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting = null;
        this.#child?.kill();
        this.#child = null;
        reject(
          new KernelFault("command-silent", `bpftool has not answered for ${LONGEST_WRITE_MS / 1000} s`),
        );
      }, LONGEST_WRITE_MS);
      const settled = (then: () => void): void => {
        clearTimeout(timer);
        this.#waiting = null;
        then();
      };
      this.#waiting = {
        resolve: () => settled(resolve),
        reject: (fault) => settled(() => reject(fault)),
      };
      for (let at = 0; at < lines.length; at += LINES_PER_WRITE) {
        child.stdin?.write(`${lines.slice(at, at + LINES_PER_WRITE).join("\n")}\n`);
      }
      child.stdin?.write(`${QUESTION}\n`);
    });
  }

  #start(): ChildProcess {
    const [command, ...args] = this.#argv;
    const env = { PATH: process.env["PATH"], LC_ALL: "C" };
    const child = spawn(command!, [...args, "batch", "file", "-"], {
      stdio: ["pipe", "ignore", "pipe"],
      env,
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      if (this.#child !== child) return;
      this.#said += text;
      if (this.#said.includes(ANSWER)) this.#waiting?.resolve();
    });
    // Its exit reports it; an error of a late write adds nothing.
    child.stdin.on("error", () => {});
    child.once("error", (cause) => this.#ended(child, faultOf(cause, command!, "")));
    child.once("close", (code, signal) => {
      const why = reasonIn(this.#said) || `bpftool ended (${signal ?? code})`;
      this.#ended(child, new KernelFault("transaction-refused", why));
    });
    return child;
  }

  #ended(child: ChildProcess, fault: KernelFault): void {
    if (this.#child !== child) return;
    this.#child = null;
    this.#waiting?.reject(fault);
  }
}

/** What it complains of; libbpf's own report stands around it. */
function reasonIn(said: string): string {
  const told = /"error":\s*"((?:[^"\\]|\\.)*)"/.exec(said)?.[1] ?? /^Error: (.+)$/m.exec(said)?.[1];
  return told ?? said.trim().split("\n").at(-1) ?? "";
}

function faultOf(cause: { code?: unknown; message: string }, command: string, reason: string): KernelFault {
  if (cause.code === "ENOENT") {
    return new KernelFault("command-missing", `the program ${command} is not installed`, cause);
  }
  return new KernelFault("command-failed", reason === "" ? cause.message : `bpftool: ${reason}`, cause);
}

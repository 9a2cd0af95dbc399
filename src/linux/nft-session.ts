/**
 * Transactions through one `nft` that stays: the first word of a change is heard a
 * millisecond later, where a new process needs many, most of them in closing its netlink
 * socket, which waits for the kernel to have freed what was deleted.
 *
 * nft reads a line as one transaction and says nothing when it succeeds. So each line is
 * followed by one that cannot succeed, of a single word that was never used before: whatever
 * stands before the complaint about that word is about the transaction.
 *
 * nft reads its standard input byte by byte, so what is long goes through a file instead, to
 * an `nft` of its own.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KernelFault } from "./kernel-commands.ts";

/** A longer line takes a process of its own. */
const LONGEST_LINE_BYTES = 8192;
const LONGEST_TRANSACTION_MS = 10_000;
const LONGEST_LOAD_MS = 120_000;
const LONGEST_LISTING_BYTES = 2 ** 30;
/** nft is not made to run for years; from time to time a new process takes over. */
const TRANSACTIONS_PER_PROCESS = 10_000;

interface Waiting {
  readonly marker: string;
  readonly resolve: (complaints: string) => void;
  readonly reject: (fault: KernelFault) => void;
}

/** One per owner of tables; transactions are carried out one after the other. */
export class NftSession {
  readonly #argv: readonly string[];
  #child: ChildProcess | null = null;
  #said = "";
  #waiting: Waiting | null = null;
  #count = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** `argv` is the command that is nft, its own options left out. */
  constructor(argv: readonly string[] = ["nft"]) {
    this.#argv = argv;
  }

  /** Starts nft ahead of the first transaction. */
  prepare(): void {
    this.#child ??= this.#start();
  }

  /** Carries one transaction out, all of it or nothing: JSON, or statements with `;` between, in one line. */
  run(line: string): Promise<void> {
    const turn = this.#last.then(() =>
      Buffer.byteLength(line) > LONGEST_LINE_BYTES ? this.#runFromFile(line) : this.#runLine(line),
    );
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** What `nft -j` with these words prints; null if it says that there is no such thing. */
  async list(words: readonly string[]): Promise<string | null> {
    return this.#unlessMissing(["-j", ...words]);
  }

  /** Whether the kernel would accept these statements now; false if it says that there is no such thing. Changes nothing. */
  async isPossible(statements: string): Promise<boolean> {
    return (await this.#unlessMissing(["-c", statements])) !== null;
  }

  /** Ends nft; a later transaction starts it again. */
  async close(): Promise<void> {
    await this.#last;
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    child.ref();
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.stdin?.end();
    child.kill();
    await ended;
  }

  async #unlessMissing(words: readonly string[]): Promise<string | null> {
    try {
      return await this.#runOnce(words, LONGEST_LOAD_MS);
    } catch (fault) {
      if (fault instanceof KernelFault && fault.message.includes("No such file or directory")) return null;
      throw fault;
    }
  }

  async #runLine(line: string): Promise<void> {
    this.#count += 1;
    if (this.#count % TRANSACTIONS_PER_PROCESS === 0) this.#retire();
    this.#child ??= this.#start();
    const child = this.#child;
    const complaints = await this.#ask(child, line, `end_${this.#count}`);
    if (complaints !== "") throw new KernelFault("transaction-refused", complaints);
  }

  #ask(child: ChildProcess, line: string, marker: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting = null;
        this.#retire();
        reject(
          new KernelFault("command-silent", `nft has not answered for ${LONGEST_TRANSACTION_MS / 1000} s`),
        );
      }, LONGEST_TRANSACTION_MS);
      const settle =
        <Value>(then: (value: Value) => void) =>
        (value: Value): void => {
          clearTimeout(timer);
          this.#waiting = null;
          then(value);
        };
      this.#waiting = { marker, resolve: settle(resolve), reject: settle(reject) };
      child.stdin?.write(`${line}\n${marker}\n`);
    });
  }

  #start(): ChildProcess {
    const [command, ...args] = this.#argv;
    // Without a home there is no file in which nft could keep what it was told.
    const env = { PATH: process.env["PATH"], HOME: "/nonexistent", LC_ALL: "C" };
    const child = spawn(command!, [...args, "-j", "-i"], { stdio: ["pipe", "ignore", "pipe"], env });
    // It ends with this process, and keeps it from nothing: who waits for an answer has a timer.
    child.unref();
    for (const pipe of [child.stdin, child.stderr]) (pipe as Socket).unref();
    this.#said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      if (this.#child === child) this.#hear(text);
    });
    // The exit of the program reports it; an error of a late write adds nothing.
    child.stdin.on("error", () => {});
    child.once("error", (cause) => this.#ended(child, missingOr(cause, command!)));
    child.once("close", (code, signal) => {
      const why = `nft ended (${signal ?? code}) ${this.#said}`.trim();
      this.#ended(child, new KernelFault("command-failed", why));
    });
    return child;
  }

  #ended(child: ChildProcess, fault: KernelFault): void {
    if (this.#child !== child) return;
    this.#child = null;
    this.#waiting?.reject(fault);
  }

  #retire(): void {
    this.#child?.kill();
    this.#child = null;
  }

  /** Lines of nft's complaints: what is wrong, the line itself, and a caret under the place. */
  #hear(text: string): void {
    this.#said += text;
    const marker = this.#waiting?.marker;
    const at = marker === undefined ? -1 : this.#said.indexOf(`\n${marker}\n`);
    if (at < 0) return;
    const complaints = this.#said.slice(0, at).split("\n");
    this.#said = this.#said.slice(at + marker!.length + 2);
    // The last line is the complaint about the marker, the first may be its predecessor's caret.
    complaints.pop();
    this.#waiting?.resolve(complaints.filter((said) => said.trim() !== "" && !isCaret(said)).join("\n"));
  }

  async #runFromFile(line: string): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), "ipshard-nft-"));
    try {
      const file = join(directory, "transaction");
      await writeFile(file, `${line}\n`, { mode: 0o600 });
      await this.#runOnce(["-j", "-f", file], LONGEST_LOAD_MS);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  #runOnce(words: readonly string[], timeout: number): Promise<string> {
    const [command, ...args] = this.#argv;
    const options = { timeout, maxBuffer: LONGEST_LISTING_BYTES, env: { ...process.env, LC_ALL: "C" } };
    return new Promise((resolve, reject) => {
      execFile(command!, [...args, ...words], options, (cause, stdout, stderr) => {
        if (cause === null) resolve(stdout);
        else if (stderr.trim() !== "") reject(new KernelFault("transaction-refused", stderr.trim(), cause));
        else reject(missingOr(cause, command!));
      });
    });
  }
}

function isCaret(line: string): boolean {
  return /^[\s^~]*$/.test(line);
}

function missingOr(cause: { code?: unknown; message: string }, command: string): KernelFault {
  return cause.code === "ENOENT"
    ? new KernelFault("command-missing", `the program ${command} is not installed`, cause)
    : new KernelFault("command-failed", cause.message, cause);
}

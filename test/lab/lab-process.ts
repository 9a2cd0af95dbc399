/** A program that runs in the laboratory: what it says is kept, and it is ended by its own id. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { once } from "node:events";
import { inside } from "./namespaces.ts";

/** How a program is started. */
export interface SpawnOptions {
  /** A file for what it says on both of its outputs. */
  readonly log?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** One running program. */
export class LabProcess {
  readonly pid: number;
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  #said = "";
  #hasExited = false;
  #onNews: (() => void)[] = [];

  constructor(namespace: string, argv: readonly string[], options: SpawnOptions = {}) {
    const [command, args] = inside(namespace, argv);
    const env = { ...process.env, ...options.env };
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], env });
    assert(child.pid !== undefined, `${argv.join(" ")} could not be started`);
    this.pid = child.pid;
    this.#child = child;
    const file = options.log === undefined ? null : createWriteStream(options.log, { flags: "a" });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text: string) => {
        file?.write(text);
        this.#said += text;
        this.#tell();
      });
    }
    child.stdin.on("error", () => {});
    // "close" and not "exit": only then has everything been read that it said.
    this.exited = once(child, "close").then(([code]) => {
      file?.end();
      this.#hasExited = true;
      this.#tell();
      return code as number | null;
    });
  }

  /** Everything it has said so far. */
  get said(): string {
    return this.#said;
  }

  /** Writes a line to it. */
  write(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Waits until it has said this, from this position on; gives the position after it. */
  async waitFor(text: string, from = 0): Promise<number> {
    for (;;) {
      const at = this.#said.indexOf(text, from);
      if (at >= 0) return at + text.length;
      assert(!this.#hasExited, `it ended without saying ${JSON.stringify(text)}:\n${this.#said}`);
      await new Promise<void>((resolve) => this.#onNews.push(resolve));
    }
  }

  /** Asks a question, one line, and gives the first line of the answer. */
  async ask(line: string): Promise<string> {
    const from = this.#said.length;
    this.write(line);
    const end = await this.waitFor("\n", from);
    return this.#said.slice(from, end - 1);
  }

  /** Sends a signal; nothing if it has ended. */
  signal(signal: NodeJS.Signals): void {
    if (!this.#hasExited) this.#child.kill(signal);
  }

  /** Ends it, whatever state it is in. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.exited;
  }

  #tell(): void {
    const waiting = this.#onNews;
    this.#onNews = [];
    for (const resolve of waiting) resolve();
  }
}

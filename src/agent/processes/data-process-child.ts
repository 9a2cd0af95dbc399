/** One data process, as its agent has it: started, spoken with, and ended by its id if it does not answer. */
import { type ChildProcess, spawn } from "node:child_process";
import type { MessageChannel } from "./message-channel.ts";
import type { FromDataProcess, PartView, ToDataProcess } from "./data-messages.ts";

/** How it is told, and heard. */
export type DataChannel<Config> = MessageChannel<ToDataProcess<Config>, FromDataProcess>;

/** How many looks in a row it may leave unanswered: so many times the agent ran, and it did not. */
const MOST_UNANSWERED = 5;

/** From its start until it has ended. */
export class DataProcessChild<Config> {
  readonly number: number;
  readonly pid: number | undefined;
  channel: DataChannel<Config> | null = null;
  isReady = false;
  hasServed = false;
  /** Of the pool's policy, by which it decides; null for none. */
  policyVersion: number | null = null;
  /** When it was started, by the monotonic clock. */
  readonly startedAtMs: number;
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  #asked = 0;
  #unansweredCount = 0;

  constructor(number: number, command: readonly string[], startedAtMs: number) {
    this.number = number;
    this.startedAtMs = startedAtMs;
    const [program = "", ...args] = command;
    this.#child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"] });
    this.pid = this.#child.pid;
    this.ended = new Promise((resolve) => {
      this.#child.once("exit", () => resolve());
      // It could not be started at all.
      this.#child.once("error", () => resolve());
    });
  }

  /** Asks whether it is well. One that has not answered for long enough is to be ended. */
  look(view: PartView): "well" | "silent" {
    this.#unansweredCount += 1;
    if (this.#unansweredCount > MOST_UNANSWERED) return "silent";
    this.#asked += 1;
    this.channel?.send({ type: "ping", number: this.#asked, view }, "ping");
    return "well";
  }

  /** It is well. */
  answered(): void {
    this.#unansweredCount = 0;
  }

  /** Ends it at once; nothing that it has open outlives it. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

/** What an address that drains says in the log: how many connections remain, until none does. [AG9] */
import type { Logger } from "pino";
import type { CancelTimer, Timers } from "../../process/timers.ts";

/** What it takes to say it. */
export interface DrainLogOptions {
  /** Connections that there are now. */
  readonly flowCount: () => number;
  readonly log: Logger;
  readonly timers: Timers;
}

/** Whether anything has changed is looked at so often. */
const LOOK_MS = 10_000;
/** What is left is counted so long before it is cut. */
const BEFORE_END_MS = 50;

/** The drain of one address, from its beginning to its end; it may begin again. */
export class DrainLog {
  readonly #options: DrainLogOptions;
  #saidCount: number | null = null;
  #cancelLook: CancelTimer | null = null;
  #cancelEnd: CancelTimer | null = null;

  constructor(options: DrainLogOptions) {
    this.#options = options;
  }

  /** A drain begins, or gets a deadline that it had not (milliseconds from now; infinite for none). */
  begin(deadlineMs: number): void {
    const { timers } = this.#options;
    // The keeper heeds the earliest of several, which is the first but for none.
    const isOn = this.#saidCount !== null;
    if (isOn && (this.#cancelEnd !== null || !Number.isFinite(deadlineMs))) return;
    this.#stop();
    const limit = Number.isFinite(deadlineMs) ? `, for ${Math.ceil(deadlineMs / 1_000)} s at the most` : "";
    this.#say(limit);
    this.#lookLater();
    if (!Number.isFinite(deadlineMs)) return;
    this.#cancelEnd = timers.after(Math.max(0, deadlineMs - BEFORE_END_MS), () => this.#cut(), "idle");
  }

  /** It is over: everything has ended, or it was taken back. */
  end(isDrained: boolean): void {
    this.#stop();
    if (isDrained && this.#saidCount !== null) this.#options.log.info({ flows: 0 }, "drained");
    this.#saidCount = null;
  }

  #say(limit: string): void {
    const flows = this.#options.flowCount();
    this.#saidCount = flows;
    const remain = flows === 1 ? "1 connection remains" : `${flows} connections remain`;
    this.#options.log.info({ flows }, `draining: ${remain}${flows === 0 ? "" : limit}`);
  }

  #lookLater(): void {
    this.#cancelLook = this.#options.timers.after(
      LOOK_MS,
      () => {
        if (this.#options.flowCount() !== this.#saidCount) this.#say("");
        this.#lookLater();
      },
      "idle",
    );
  }

  #cut(): void {
    const flows = this.#options.flowCount();
    if (flows > 0)
      this.#options.log.warn({ flows }, `the drain's time is over: ${flows} connections are cut`);
  }

  #stop(): void {
    this.#cancelLook?.();
    this.#cancelEnd?.();
    this.#cancelLook = null;
    this.#cancelEnd = null;
  }
}

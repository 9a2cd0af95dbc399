/**
 * How an agent or a router lives as a process: one wish to end is orderly, a second one is at
 * once, and a fault that nobody foresaw ends it with a line that says so.
 */
import { destination, type Logger, pino } from "pino";
import { endFlowAtFault } from "./flow.ts";

/** A Ctrl-C may come from the terminal and from a launcher at once: that is one wish. */
const SAME_WISH_MS = 500;

/** What is to be said and done when the process is asked to end. */
export interface OrderlyEnd {
  readonly log: Logger;
  /** What begins now: `giving the leases back`. */
  readonly beginning: string;
  /** What is then so: `all leases given back`. */
  readonly done: string;
  readonly end: () => Promise<void>;
}

/**
 * The log of a process; `base` goes into every line. Synchronous, so that the last line is not lost.
 * What nobody caught ends the flow that it was thrown in, or else the process. [GW11]
 */
export function openLog(base: Readonly<Record<string, string>>): Logger {
  const log = pino({ base }, destination({ fd: 2, sync: true }));
  const judge = (fault: unknown): void => {
    if (!endFlowAtFault(fault)) fail(log, fault);
  };
  process.on("uncaughtException", judge);
  process.on("unhandledRejection", judge);
  return log;
}

/** Ends in order at SIGTERM, SIGINT, or when the process that started this one over a channel has gone. */
export function endOnWish({ log, beginning, done, end }: OrderlyEnd): void {
  let wishedAtMs: number | null = null;
  const endInOrder = async (): Promise<void> => {
    try {
      await end();
    } catch (fault) {
      fail(log, fault);
    }
    log.info(done);
    process.exit(0);
  };
  const wish = (why: string): void => {
    const nowMs = performance.now();
    if (wishedAtMs !== null) {
      if (nowMs - wishedAtMs < SAME_WISH_MS) return;
      log.warn(`${why} again: ending at once`);
      process.exit(1);
    }
    wishedAtMs = nowMs;
    log.info(`${why}: ${beginning}`);
    void endInOrder();
  };
  process.on("SIGTERM", () => wish("SIGTERM"));
  process.on("SIGINT", () => wish("SIGINT"));
  process.on("disconnect", () => wish("the parent process has gone"));
}

function fail(log: Logger, fault: unknown): never {
  log.fatal({ err: fault }, "ending because of a fault that nobody foresaw");
  process.exit(1);
}

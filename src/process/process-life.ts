/**
 * How an agent or a router lives as a process: one wish to end is orderly, a second one is at
 * once, and a fault that nobody foresaw ends it with a line that says so.
 */
import { type Logger, pino } from "pino";
import { endFlowAtFault } from "./flow.ts";
import { findLaunchers, watchLaunchers } from "./launched-by.ts";
import { LogOutput } from "./log-output.ts";

/** A Ctrl-C may come from the terminal and from a launcher at once: that is one wish. */
const SAME_WISH_MS = 500;
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
const STANDARD_ERROR = 2;
/** Looked up at once: one that is gone when we look would never be missed. */
const LAUNCHERS = findLaunchers();

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
 * The log of a process, on standard error; `base` goes into every line. [AG6]
 * What nobody caught ends the flow that it was thrown in, or else the process. [GW11]
 */
export function openLog(base: Readonly<Record<string, string>>): Logger {
  const output = new LogOutput(STANDARD_ERROR, (lostCount) => {
    const line = { level: pino.levels.values["warn"], time: Date.now(), ...base };
    return `${JSON.stringify({ ...line, msg: `log lines lost: ${lostCount}` })}
`;
  });
  const log = pino({ base }, output);
  process.on("exit", () => output.end());
  const judge = (fault: unknown): void => {
    if (!endFlowAtFault(fault)) fail(log, fault);
  };
  process.on("uncaughtException", judge);
  process.on("unhandledRejection", judge);
  // Node would write its warnings itself, and wait for whoever does not read them.
  process.removeAllListeners("warning");
  process.on("warning", (warning) => log.warn({ err: warning }, "a warning of Node's"));
  return log;
}

/**
 * Ends in order at SIGTERM, SIGINT or SIGHUP, or when what started this process has gone: the other
 * end of its channel, or a launcher. What is returned takes that back, and keeps the process no longer
 * for it. [AG3] [AG5]
 */
export function endOnWish({ log, beginning, done, end }: OrderlyEnd): () => void {
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
  const onSignal = (signal: NodeJS.Signals): void => wish(signal);
  const onDisconnect = (): void => wish("the parent process has gone");
  for (const signal of SIGNALS) process.on(signal, onSignal);
  process.on("disconnect", onDisconnect);
  // What comes after a signal that it passed on is the same wish.
  const unwatch = watchLaunchers(LAUNCHERS, () => {
    if (wishedAtMs === null) wish("what started this process has gone");
  });
  return () => {
    for (const signal of SIGNALS) process.off(signal, onSignal);
    process.off("disconnect", onDisconnect);
    unwatch();
  };
}

function fail(log: Logger, fault: unknown): never {
  log.fatal({ err: fault }, "ending because of a fault that nobody foresaw");
  process.exit(1);
}

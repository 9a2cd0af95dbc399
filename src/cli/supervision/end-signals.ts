/**
 * When to end: on the first SIGINT, SIGTERM or SIGHUP, or when the npm that started this is
 * gone. A Ctrl-C often arrives twice, from the terminal and from npm; what follows within a
 * second of the first is the same wish, what comes later means "at once". [CI8]
 */
import { watchLaunchers } from "../../process/launched-by.ts";
import type { ProcessIdentity } from "../../process/process-identity.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const SAME_WISH_MS = 1_000;

/** The wish to end, as it comes in. */
export interface Ending {
  /** Aborted at the first wish. */
  readonly asked: AbortSignal;
  /** Aborted by a later signal: end at once. */
  readonly urged: AbortSignal;
}

/** Listens for the wish to end, from now until the process is gone; `launchers` as of `findLaunchers`. */
export function listenForEnding(launchers: readonly ProcessIdentity[]): Ending {
  const asked = new AbortController();
  const urged = new AbortController();
  let firstAtMs = 0;
  const wish = (): void => {
    if (!asked.signal.aborted) {
      firstAtMs = performance.now();
      asked.abort();
    } else if (performance.now() - firstAtMs > SAME_WISH_MS) {
      urged.abort();
    }
  };
  for (const signal of SIGNALS) process.on(signal, wish);
  // A closed terminal or pipe must not leave children behind.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const unwatch = watchLaunchers(launchers, () => asked.abort());
  asked.signal.addEventListener("abort", unwatch);
  return { asked: asked.signal, urged: urged.signal };
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

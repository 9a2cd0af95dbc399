/**
 * Something that changes often and is drawn at most once in a frame: changes are applied at once, and
 * those who show it hear of all of them together.
 */
import { useEffect, useState } from "preact/hooks";

const waiting = new Set<() => void>();
let isAsked = false;

/** Runs this before the next frame is drawn; the same function once, however often it is asked for. */
export function beforeFrame(run: () => void): void {
  waiting.add(run);
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(() => {
    isAsked = false;
    const runs = [...waiting];
    waiting.clear();
    for (const each of runs) each();
  });
}

/** Counts its changes. */
export class Signal {
  version = 0;
  readonly #listeners = new Set<() => void>();
  readonly #tell = (): void => {
    for (const listener of this.#listeners) listener();
  };

  /** Says that something has changed. */
  touch(): void {
    this.version += 1;
    beforeFrame(this.#tell);
  }

  /** Returns what ends it. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}

/** Draws again when one of these has changed; the answer is other after each change. */
export function useSignals(...signals: readonly Signal[]): number {
  const [, redraw] = useState(0);
  useEffect(() => {
    const ends = signals.map((signal) => signal.listen(() => redraw((count) => count + 1)));
    return () => {
      for (const end of ends) end();
    };
  }, signals);
  return signals.reduce((sum, { version }) => sum + version, 0);
}

const SLOWLY_MS = 200;

/** The same for what is read and not watched: at once, and then five times a second at most. */
export function useSignalsSlowly(...signals: readonly Signal[]): number {
  const [, redraw] = useState(0);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let lastMs = 0;
    const draw = (): void => {
      timer = undefined;
      lastMs = performance.now();
      redraw((count) => count + 1);
    };
    const heard = (): void => {
      if (timer !== undefined) return;
      const leftMs = lastMs + SLOWLY_MS - performance.now();
      if (leftMs <= 0) draw();
      else timer = setTimeout(draw, leftMs);
    };
    const ends = signals.map((signal) => signal.listen(heard));
    return () => {
      clearTimeout(timer);
      for (const end of ends) end();
    };
  }, signals);
  return signals.reduce((sum, { version }) => sum + version, 0);
}

/** The time now, again and again. */
export function useNow(everyMs = 1000): number {
  const [nowMs, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return nowMs;
}

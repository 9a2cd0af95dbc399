/** What components follow: signals, and the time. */
import { useEffect, useState } from "preact/hooks";
import type { Signal } from "./signal.ts";

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

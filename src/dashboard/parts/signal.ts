/**
 * Something that changes often and is drawn at most once in a frame: changes are applied at once, and
 * those who show it hear of all of them together.
 */

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

/**
 * True time, and what will happen in it. Things due at the same moment happen in the order in
 * which they were asked for, so that a run depends on its seed alone.
 */

/** Something that will happen, unless it is called off. */
export interface Happening {
  readonly atMs: number;
  readonly order: number;
  what: (() => void) | null;
}

/** A priority queue, earliest first. */
export class Timeline {
  /** Milliseconds since the start of the run. */
  nowMs = 0;
  /** How many things have happened. */
  happenedCount = 0;
  readonly #heap: Happening[] = [];
  #order = 0;

  /** Lets something happen after this time. */
  after(delayMs: number, what: () => void): Happening {
    return this.at(this.nowMs + delayMs, what);
  }

  /**
   * Lets something happen at this time, or now if it is past. What must not overtake another is asked
   * for by this: two delays that end at one moment may differ by what was rounded.
   */
  at(atMs: number, what: () => void): Happening {
    this.#order += 1;
    const happening: Happening = { atMs: Math.max(this.nowMs, atMs), order: this.#order, what };
    this.#heap.push(happening);
    this.#rise(this.#heap.length - 1);
    return happening;
  }

  /** Lets the next thing happen; false when nothing is left. */
  step(): boolean {
    for (;;) {
      const next = this.#takeFirst();
      if (next === null) return false;
      const { what } = next;
      if (what === null) continue;
      next.what = null;
      this.nowMs = next.atMs;
      this.happenedCount += 1;
      what();
      return true;
    }
  }

  #takeFirst(): Happening | null {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    if (first === undefined || last === undefined) return null;
    if (first !== last) {
      this.#heap[0] = last;
      this.#sink();
    }
    return first;
  }

  #rise(from: number): void {
    const heap = this.#heap;
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(heap[at]!, heap[parent]!)) return;
      [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
      at = parent;
    }
  }

  #sink(): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && isBefore(heap[child]!, heap[least]!)) least = child;
      }
      if (least === at) return;
      [heap[at], heap[least]] = [heap[least]!, heap[at]!];
      at = least;
    }
  }
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

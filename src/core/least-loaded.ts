/** Finds the least loaded of many addresses while loads rise: a binary heap that is put right as it is read. */
import type { AssignedAddress } from "./assignment-sides.ts";

interface Entry {
  readonly address: AssignedAddress;
  /** When it was put here: lower than the address's by now, or the same. */
  load: number;
}

/** Addresses whose loads only rise from now on. */
export class LeastLoaded {
  readonly #heap: Entry[] = [];

  constructor(addresses: readonly AssignedAddress[]) {
    for (const address of addresses) this.#push({ address, load: address.load });
  }

  /** The least loaded address that fits; null if none does. */
  find(fits: (address: AssignedAddress) => boolean): AssignedAddress | null {
    const passedOver: Entry[] = [];
    let found: AssignedAddress | null = null;
    for (let top = this.#heap[0]; found === null && top !== undefined; top = this.#heap[0]) {
      if (top.load !== top.address.load) {
        top.load = top.address.load;
        this.#sink();
      } else if (fits(top.address)) {
        found = top.address;
      } else {
        passedOver.push(this.#pop());
      }
    }
    for (const entry of passedOver) this.#push(entry);
    return found;
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (heap[above]!.load <= entry.load) break;
      heap[at] = heap[above]!;
      at = above;
    }
    heap[at] = entry;
  }

  #pop(): Entry {
    const heap = this.#heap;
    const top = heap[0]!;
    const last = heap.pop()!;
    if (heap.length > 0) {
      heap[0] = last;
      this.#sink();
    }
    return top;
  }

  /** Moves the top down to its place. */
  #sink(): void {
    const heap = this.#heap;
    const entry = heap[0]!;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below + 1 < heap.length && heap[below + 1]!.load < heap[below]!.load) below += 1;
      if (below >= heap.length || heap[below]!.load >= entry.load) break;
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = entry;
  }
}

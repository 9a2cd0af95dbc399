/**
 * The destinations towards which ports of an address are held, and how many the busiest of them
 * uses: that is known at any time, since each change is one step. [BI6]
 */
import { PerDestinationPorts, type UsableUnits } from "./per-destination-ports.ts";

/** How many ports a destination uses. */
export interface DestinationUse {
  readonly destination: string;
  readonly count: number;
}

/** One per address. */
export class HeldDestinations {
  /** Ports in use towards the busiest destination. */
  busiestCount = 0;
  readonly #usable: UsableUnits;
  readonly #onRise: (count: number) => void;
  readonly #byKey = new Map<string, PerDestinationPorts>();
  /** Entry n counts the destinations that use n ports. */
  readonly #useCounts: number[] = [0];
  /** What was found to be the busiest last. */
  #busiest: PerDestinationPorts | null = null;

  /** `onRise` is told how many ports a destination uses whenever these become more. */
  constructor(usable: UsableUnits, onRise: (count: number) => void) {
    this.#usable = usable;
    this.#onRise = onRise;
  }

  /** A destination, known or not yet; what is held towards it makes it known. */
  of(key: string): PerDestinationPorts {
    return this.#byKey.get(key) ?? new PerDestinationPorts(key, this.#usable);
  }

  /** Holds a free port of a usable unit. */
  hold(destination: PerDestinationPorts, port: number): void {
    this.#know(destination);
    const before = destination.usedCount;
    destination.hold(port);
    this.#count(before, destination.usedCount);
  }

  /** Holds this very port for somebody else, whatever it was. */
  holdThis(destination: PerDestinationPorts, port: number): void {
    this.#know(destination);
    this.change(destination, () => destination.holdThis(port));
  }

  #know(destination: PerDestinationPorts): void {
    if (this.#byKey.get(destination.key) !== destination) {
      this.#byKey.set(destination.key, destination);
      this.#useCounts[0]! += 1;
    }
  }

  /** Changes what is held towards one. */
  change(destination: PerDestinationPorts, change: () => void): void {
    const before = destination.usedCount;
    change();
    this.#count(before, destination.usedCount);
  }

  /** To be called after the usable units have changed. */
  recount(): void {
    for (const destination of this.#byKey.values()) this.change(destination, () => destination.recount());
  }

  /** Forgets a destination towards which nothing is held and nothing rests. */
  forgetIdle(destination: PerDestinationPorts): void {
    if (destination.heldCount + destination.restingCount > 0) return;
    if (this.#byKey.get(destination.key) !== destination) return;
    this.#byKey.delete(destination.key);
    this.#useCounts[0]! -= 1;
  }

  /** Ports held towards all of them together. */
  get heldCount(): number {
    let held = 0;
    for (const destination of this.#byKey.values()) held += destination.heldCount;
    return held;
  }

  /** The destination that takes most ports, of equal ones the one it was before; null when none does. */
  busiest(): string | null {
    let busiest = this.#busiest;
    // Mostly it is still the same, and then the others need not be looked at.
    if (busiest !== null && busiest.heldCount > 0 && busiest.usedCount === this.busiestCount)
      return busiest.key;
    busiest = null;
    for (const destination of this.#byKey.values()) {
      if (destination.heldCount === 0) continue;
      if (busiest === null || destination.usedCount > busiest.usedCount) busiest = destination;
    }
    this.#busiest = busiest;
    return busiest?.key ?? null;
  }

  /** Those that use most, the busiest first; at most so many. */
  busiestFirst(maxCount: number): DestinationUse[] {
    const first: DestinationUse[] = [];
    for (const { key, usedCount } of this.#byKey.values()) {
      if (usedCount === 0) continue;
      if (first.length === maxCount && usedCount <= first.at(-1)!.count) continue;
      const at = first.findIndex(({ count }) => count < usedCount);
      first.splice(at === -1 ? first.length : at, 0, { destination: key, count: usedCount });
      if (first.length > maxCount) first.pop();
    }
    return first;
  }

  #count(before: number, after: number): void {
    if (before === after) return;
    const counts = this.#useCounts;
    while (counts.length <= after) counts.push(0);
    counts[before]! -= 1;
    counts[after]! += 1;
    if (after > this.busiestCount) {
      this.busiestCount = after;
    } else {
      while (this.busiestCount > 0 && counts[this.busiestCount] === 0) this.busiestCount -= 1;
    }
    if (after > before) this.#onRise(after);
  }
}

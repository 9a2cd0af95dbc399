/**
 * Which number each next hop has in the program's maps. A number keeps its hop for as long as any port goes there, also
 * from one life of the router to the next; one that is free again rests behind all others that are free.
 */
import { KernelCapacityFault } from "./kernel-capacity-fault.ts";
import { type Hop, MOST_HOPS, type WantedHop } from "./map-layout.ts";

/** From what the kernel has to what it is to have. */
export class HopNumbers {
  readonly #hops = new Map<number, Hop>();
  readonly #numbers = new Map<string, number>();
  readonly #free: number[] = [];
  readonly #touched = new Set<number>();
  /** Devices to which the kernel redirects. */
  #redirectable: ReadonlySet<string>;

  /** `present` is what the kernel has. */
  constructor(present: ReadonlyMap<number, Hop>, redirectable: ReadonlySet<string>) {
    this.#redirectable = redirectable;
    for (const [number, hop] of present) {
      this.#hops.set(number, hop);
      this.#numbers.set(keyOf(hop), number);
    }
    // 0 is nobody.
    for (let number = 1; number < MOST_HOPS; number += 1) if (!present.has(number)) this.#free.push(number);
  }

  /** All of them by their numbers. */
  get hops(): ReadonlyMap<number, Hop> {
    return this.#hops;
  }

  /** The number of a hop, from now on if it had none. */
  numberOf(wanted: WantedHop): number {
    const hop = this.#reached(wanted);
    const known = this.#numbers.get(keyOf(hop));
    if (known !== undefined) {
      if (!isSame(this.#hops.get(known)!, hop)) this.#put(known, hop);
      return known;
    }
    const number = this.#free.shift();
    if (number === undefined) throw new KernelCapacityFault(`XDP has place for ${MOST_HOPS - 1} next hops`);
    this.#numbers.set(keyOf(hop), number);
    this.#put(number, hop);
    return number;
  }

  /** From now on the kernel redirects to these devices, and to no others. */
  setRedirectable(redirectable: ReadonlySet<string>): void {
    this.#redirectable = redirectable;
    for (const [number, hop] of this.#hops) {
      const changed = this.#reached(hop);
      if (!isSame(hop, changed)) this.#put(number, changed);
    }
  }

  /** Forgets those to which nothing goes any more. */
  keepOnly(used: ReadonlySet<number>): void {
    for (const [number, hop] of this.#hops) {
      if (used.has(number)) continue;
      this.#hops.delete(number);
      this.#numbers.delete(keyOf(hop));
      this.#free.push(number);
      this.#touched.add(number);
    }
  }

  /** What must be written since the last call, null for a number that is free; it counts as written. */
  takeWrites(): ReadonlyMap<number, Hop | null> {
    const writes = new Map([...this.#touched].map((number) => [number, this.#hops.get(number) ?? null]));
    this.#touched.clear();
    return writes;
  }

  #reached(wanted: WantedHop): Hop {
    if (wanted.kind === "stack") return wanted;
    return { ...wanted, isRedirected: this.#redirectable.has(wanted.device) };
  }

  #put(number: number, hop: Hop): void {
    this.#hops.set(number, hop);
    this.#touched.add(number);
  }
}

function keyOf(hop: Hop): string {
  return hop.kind === "stack" ? `stack ${hop.mark}` : `${hop.device} ${hop.ip}`;
}

function isSame(one: Hop, other: Hop): boolean {
  if (one.kind === "stack" || other.kind === "stack") return one.kind === other.kind;
  return one.ifindex === other.ifindex && one.isRedirected === other.isRedirected;
}

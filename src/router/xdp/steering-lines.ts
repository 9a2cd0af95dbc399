/**
 * The pool's table as the program's lines, without I/O: which host has each 64 ports of each address, and what
 * must be written so that the kernel has it so. [RT1] [RT2]
 *
 * An address has one line. Where 2,048 ports are of one host the entry is its hop; else it names a fine line, which is
 * never changed in place: a new one is written first, and then the address's line, which points to it. So a packet
 * meets what was before or what is after. A fine line that is free again rests behind all others that are free.
 */
import type { PortBlock } from "../../core/port-block.ts";
import { KernelCapacityFault } from "./kernel-capacity-fault.ts";
import { fineEntry, fineNumberOf, type Line, LINE_ENTRIES } from "./map-layout.ts";

/** Ports of an element: the smallest block has as many. */
const UNIT_ORDER = 6;
const UNITS = LINE_ENTRIES * LINE_ENTRIES;

/** For each 64 ports of an address the number of a hop, 0 for nobody's. */
export type Units = Uint16Array;

/** What is to be written, fine lines first. */
export interface LineWrites {
  readonly fine: readonly { readonly number: number; readonly line: Line }[];
  /** By address; null takes the address away. */
  readonly addresses: ReadonlyMap<string, Line | null>;
}

/** An address that nobody has ports of. */
export function noUnits(): Units {
  return new Uint16Array(UNITS);
}

/** Gives a block to a hop. */
export function fill(units: Units, { base, order }: PortBlock, hop: number): void {
  units.fill(hop, base >> UNIT_ORDER, (base + 2 ** order) >> UNIT_ORDER);
}

/** What the kernel has, and what it is to have. */
export class SteeringLines {
  readonly #lines = new Map<string, Line>();
  readonly #fine = new Map<number, Line>();
  readonly #units = new Map<string, Units>();
  readonly #touched = new Set<string>();
  readonly #free: number[];

  /** `lines` and `fine` are what the kernel has; there is place for `capacity` fine lines. */
  constructor(
    lines: ReadonlyMap<string, Line>,
    fine: (number: number) => Line | undefined,
    capacity: number,
  ) {
    const used = new Set<number>();
    for (const [ip, line] of lines) {
      this.#lines.set(ip, line);
      this.#units.set(ip, unitsOf(line, fine));
      for (const number of fineNumbersOf(line)) {
        used.add(number);
        const there = fine(number);
        if (there !== undefined) this.#fine.set(number, there);
      }
    }
    this.#free = Array.from({ length: capacity }, (_, number) => number).filter(
      (number) => !used.has(number),
    );
  }

  /** The addresses that there are. */
  get ips(): readonly string[] {
    return [...this.#units.keys()];
  }

  /** To whom each 64 ports of an address go; undefined when it is none of ours. */
  unitsOf(ip: string): Units | undefined {
    return this.#units.get(ip);
  }

  /** The hops that any port goes to, by what is written. */
  hopsInUse(): Set<number> {
    const hops = new Set<number>();
    for (const line of this.#lines.values())
      for (const entry of line) if (fineNumberOf(entry) === null) hops.add(entry);
    for (const line of this.#fine.values()) for (const hop of line) hops.add(hop);
    hops.delete(0);
    return hops;
  }

  /** Makes all of an address so; says in how many of its units that takes something away, and gives something. */
  replace(ip: string, units: Units): { removed: number; added: number } {
    const before = this.#units.get(ip) ?? noUnits();
    const counts = { removed: 0, added: 0 };
    for (let at = 0; at < UNITS; at += 1) {
      const hop = units[at]!;
      if (before[at] === hop) continue;
      if (before[at] !== 0) counts.removed += 1;
      if (hop !== 0) counts.added += 1;
    }
    if (!this.#units.has(ip) || counts.removed + counts.added > 0) {
      this.#units.set(ip, units);
      this.#touched.add(ip);
    }
    return counts;
  }

  /** Gives a block of an address to a hop; 0 is nobody. An address that is not there stays away if nothing is given. */
  put(ip: string, block: PortBlock, hop: number): void {
    let units = this.#units.get(ip);
    if (units === undefined) {
      if (hop === 0) return;
      units = noUnits();
      this.#units.set(ip, units);
    }
    fill(units, block, hop);
    this.#touched.add(ip);
  }

  /** From now on packets for it are steered or dropped. */
  addIp(ip: string): void {
    if (this.#units.has(ip)) return;
    this.#units.set(ip, noUnits());
    this.#touched.add(ip);
  }

  /** From now on packets for it are none of ours. */
  removeIp(ip: string): void {
    this.#units.delete(ip);
    this.#touched.add(ip);
  }

  /** What must be written since the last call; it counts as written. Throws `KernelCapacityFault`. */
  takeWrites(): LineWrites {
    const fine: { number: number; line: Line }[] = [];
    const addresses = new Map<string, Line | null>();
    const released: number[] = [];
    for (const ip of this.#touched) {
      const before = this.#lines.get(ip);
      const units = this.#units.get(ip);
      if (units === undefined) {
        if (before === undefined) continue;
        released.push(...fineNumbersOf(before));
        this.#lines.delete(ip);
        addresses.set(ip, null);
        continue;
      }
      const line = new Uint32Array(LINE_ENTRIES);
      for (let coarse = 0; coarse < LINE_ENTRIES; coarse += 1) {
        const present = before === undefined ? null : fineNumberOf(before[coarse]!);
        line[coarse] = this.#entryOf(units, coarse, present, fine);
        if (present !== null && line[coarse] !== fineEntry(present)) released.push(present);
      }
      if (before !== undefined && isSame(before, line)) continue;
      this.#lines.set(ip, line);
      addresses.set(ip, line);
    }
    this.#touched.clear();
    for (const number of released) this.#fine.delete(number);
    this.#free.push(...released);
    return { fine, addresses };
  }

  #entryOf(
    units: Units,
    coarse: number,
    present: number | null,
    written: { number: number; line: Line }[],
  ): number {
    const one = uniform(units, coarse);
    if (one !== null) return one;
    const line = Uint32Array.from(partOf(units, coarse));
    if (present !== null && isSame(this.#fine.get(present), line)) return fineEntry(present);
    const number = this.#free.shift();
    if (number === undefined) throw new KernelCapacityFault("no place is left for a fine line");
    this.#fine.set(number, line);
    written.push({ number, line });
    return fineEntry(number);
  }
}

function unitsOf(line: Line, fine: (number: number) => Line | undefined): Units {
  const units = noUnits();
  for (const [coarse, entry] of line.entries()) {
    const number = fineNumberOf(entry);
    const at = coarse * LINE_ENTRIES;
    if (number === null) units.fill(entry, at, at + LINE_ENTRIES);
    else units.set(fine(number) ?? [], at);
  }
  return units;
}

function fineNumbersOf(line: Line): number[] {
  return [...line].flatMap((entry) => fineNumberOf(entry) ?? []);
}

function partOf(units: Units, coarse: number): Units {
  return units.subarray(coarse * LINE_ENTRIES, (coarse + 1) * LINE_ENTRIES);
}

/** The hop that has all of these ports; null when there are several. */
function uniform(units: Units, coarse: number): number | null {
  const part = partOf(units, coarse);
  const first = part[0]!;
  for (const hop of part) if (hop !== first) return null;
  return first;
}

function isSame(one: Line | undefined, other: Line): boolean {
  return one !== undefined && one.every((entry, at) => entry === other[at]);
}

/**
 * What a router knows and what it does next, without I/O. [ST1] [ST2] [ST3]
 *
 * There are two states: what the pool has said, and what the kernel has
 * applied. Changes may come faster than the kernel applies them, so what is told to the kernel
 * is always the difference between the two, however many changes that is; while it is being
 * carried out, further ones gather. Only when the kernel has applied it is a number
 * acknowledged, since with it hosts begin to send.
 */
import { blocksOverlap } from "../../core/port-block.ts";
import type { NextHop, SteeringChange, SteeringEntry, SteeringTable } from "../../core/steering.ts";
import type { PlacedEntry, SteeringDelta } from "../steering/steering-kernel.ts";

/** What the router is to do. At most one `repair` or `apply` is under way at a time. */
export type SteeringAction =
  /** Ask the pool for the whole table: a change is missing. */
  | { readonly type: "ask-table" }
  /** Bring the kernel to this table; tell `applied` or `failed`. */
  | { readonly type: "repair"; readonly table: SteeringTable }
  /** Apply this in the kernel; tell `applied` or `failed`. */
  | { readonly type: "apply"; readonly delta: SteeringDelta }
  /** Tell the pool up to which number the kernel has applied. [ST2] */
  | { readonly type: "acknowledge"; readonly sequence: number }
  /** Something came with an epoch from the past and was passed over. [ST3] */
  | { readonly type: "outdated"; readonly entry: SteeringEntry; readonly heldEpoch: number };

/** What the kernel still has at a place where the pool's table has changed; null: nothing. */
interface Pending {
  readonly entries: Map<string, PlacedEntry | null>;
  readonly ips: Map<string, boolean>;
}

/** One per router. */
export class SteeringState {
  #sequence: number | null = null;
  #ips = new Set<string>();
  /** By address, then by base: blocks of one address never overlap. */
  #entries = new Map<string, Map<number, SteeringEntry>>();
  #nextHops = new Map<string, NextHop>();
  #pending: Pending = noPending();
  #isUnderWay = false;
  /** The number that the kernel will have applied when the step under way ends; null: none that counts. */
  #coming: number | null = null;
  /** The kernel's content is not known, so the next step is a repair. */
  #mustRepair = true;
  #isTableAwaited = false;
  #appliedSequence: number | null = null;

  /** The number up to which the kernel has applied, for the pool to go on from; null: the whole table is needed. */
  get appliedSequence(): number | null {
    return this.#appliedSequence;
  }

  /** The table as the pool has told it so far; null before the first. */
  get table(): SteeringTable | null {
    if (this.#sequence === null) return null;
    const entries = [...this.#entries.values()].flatMap((blocks) => Array.from(blocks.values()));
    return { sequence: this.#sequence, ips: [...this.#ips], entries, nextHops: [...this.#nextHops.values()] };
  }

  /** A new connection to the pool: what was asked on the last one will not be answered. */
  connected(): void {
    this.#isTableAwaited = false;
  }

  /** The pool sends everything, with whatever number. */
  replaced(table: SteeringTable): SteeringAction[] {
    // What the kernel has from an earlier life may be newer than an old copy of the table: it is left alone
    // until the pool knows all. [OC4]
    this.#isTableAwaited = table.isPartial === true && this.#sequence === null;
    if (this.#isTableAwaited) return [];
    const former = this.#entries;
    const formerIps = this.#ips;
    const formerNextHops = this.#nextHops;
    this.#sequence = table.sequence;
    this.#ips = new Set(table.ips);
    this.#nextHops = new Map(table.nextHops.map((nextHop) => [nextHop.host, nextHop]));
    this.#entries = new Map();
    if (table.isPartial === true) {
      // An old copy of the pool does not know of all that is leased: what is here stays. [OC4]
      this.#ips = new Set([...formerIps, ...this.#ips]);
      this.#nextHops = new Map([...formerNextHops, ...this.#nextHops]);
      for (const blocks of former.values()) for (const held of blocks.values()) this.#set(held);
    }
    // The former numbers may be those of another life of the pool.
    this.#appliedSequence = null;
    this.#coming = null;
    // A newer entry that is held stays: an old copy of the table must not redirect packets.
    for (const entry of table.entries) {
      for (const held of overlapping(former.get(entry.ip), entry)) {
        if (held.epoch > entry.epoch) this.#set(held);
      }
    }
    const actions = table.entries.flatMap((entry) => this.#put(entry));
    this.#pending = noPending();
    this.#mustRepair = true;
    return [...actions, ...this.#proceed()];
  }

  /** The pool sends the next change. A repeated one does no harm, a later one shows a gap. [ST1] */
  changed(change: SteeringChange): SteeringAction[] {
    if (this.#isTableAwaited) return [];
    if (this.#sequence === null || change.sequence > this.#sequence + 1) {
      this.#isTableAwaited = true;
      return [{ type: "ask-table" }];
    }
    if (change.sequence <= this.#sequence) return this.#acknowledgement();
    this.#sequence = change.sequence;
    const actions = this.#take(change);
    return [...actions, ...this.#proceed()];
  }

  /** The step under way has ended well. */
  applied(): SteeringAction[] {
    this.#appliedSequence = this.#coming ?? this.#appliedSequence;
    this.#isUnderWay = false;
    this.#coming = null;
    return [...this.#acknowledgement(), ...this.#proceed()];
  }

  /** The step under way has failed, so what the kernel has is unknown; nothing is done until `retry`. */
  failed(): void {
    this.#coming = null;
    this.#mustRepair = true;
  }

  /** Time for another attempt after a failure. */
  retry(): SteeringAction[] {
    this.#isUnderWay = false;
    return this.#proceed();
  }

  /** The kernel has been found without what it had applied. [RT10] */
  doubted(): SteeringAction[] {
    this.#mustRepair = true;
    return this.#proceed();
  }

  #acknowledgement(): SteeringAction[] {
    const sequence = this.#appliedSequence;
    return sequence === null ? [] : [{ type: "acknowledge", sequence }];
  }

  #take(change: SteeringChange): SteeringAction[] {
    for (const nextHop of change.nextHops) this.#takeNextHop(nextHop);
    for (const { ip, base, epoch } of change.withdraw) {
      const held = this.#entries.get(ip)?.get(base);
      if (held !== undefined && held.epoch <= epoch) this.#delete(held);
    }
    for (const ip of change.removeIps) this.#removeIp(ip);
    for (const ip of change.addIps) this.#addIp(ip);
    return change.put.flatMap((entry) => this.#put(entry));
  }

  #put(entry: SteeringEntry): SteeringAction[] {
    const others = overlapping(this.#entries.get(entry.ip), entry);
    const newer = others.find(({ epoch }) => epoch > entry.epoch);
    if (newer !== undefined) return [{ type: "outdated", entry, heldEpoch: newer.epoch }];
    for (const other of others) this.#delete(other);
    this.#note(entry);
    this.#set(entry);
    return [];
  }

  #removeIp(ip: string): void {
    for (const entry of this.#entries.get(ip)?.values() ?? []) this.#delete(entry);
    if (!this.#pending.ips.has(ip)) this.#pending.ips.set(ip, this.#ips.has(ip));
    this.#ips.delete(ip);
  }

  #addIp(ip: string): void {
    if (!this.#pending.ips.has(ip)) this.#pending.ips.set(ip, this.#ips.has(ip));
    this.#ips.add(ip);
  }

  /** All entries of the host are in the kernel by its old way, so they have to be made anew. */
  #takeNextHop(nextHop: NextHop): void {
    const before = this.#nextHops.get(nextHop.host);
    if (before?.ipv4 === nextHop.ipv4 && before?.ipv6 === nextHop.ipv6) return;
    for (const blocks of this.#entries.values()) {
      for (const entry of blocks.values()) if (entry.host === nextHop.host) this.#note(entry);
    }
    this.#nextHops.set(nextHop.host, nextHop);
  }

  #delete(entry: SteeringEntry): void {
    this.#note(entry);
    this.#entries.get(entry.ip)?.delete(entry.base);
  }

  #set(entry: SteeringEntry): void {
    let blocks = this.#entries.get(entry.ip);
    if (blocks === undefined) {
      blocks = new Map();
      this.#entries.set(entry.ip, blocks);
    }
    blocks.set(entry.base, entry);
  }

  /** Remembers what the kernel has at a place, before the first change to it since the last step. */
  #note({ ip, base }: SteeringEntry): void {
    const { entries } = this.#pending;
    const key = `${ip} ${base}`;
    if (!entries.has(key)) entries.set(key, this.#placed(ip, base));
  }

  #placed(ip: string, base: number): PlacedEntry | null {
    const entry = this.#entries.get(ip)?.get(base);
    return entry === undefined ? null : { entry, nextHop: this.#nextHops.get(entry.host) ?? null };
  }

  /** The next step for the kernel, if there is anything to do and nothing under way. */
  #proceed(): SteeringAction[] {
    if (this.#sequence === null || this.#isUnderWay) return [];
    if (!this.#mustRepair && this.#appliedSequence === this.#sequence) return [];
    const step = this.#nextStep();
    this.#mustRepair = false;
    this.#pending = noPending();
    this.#isUnderWay = true;
    this.#coming = this.#sequence;
    return [step];
  }

  #nextStep(): SteeringAction {
    const table = this.#mustRepair ? this.table : null;
    return table === null ? { type: "apply", delta: this.#gathered() } : { type: "repair", table };
  }

  #gathered(): SteeringDelta {
    const removed: PlacedEntry[] = [];
    const added: PlacedEntry[] = [];
    for (const [key, before] of this.#pending.entries) {
      const [ip, base] = key.split(" ") as [string, string];
      const after = this.#placed(ip, Number(base));
      if (before !== null) removed.push(before);
      if (after !== null) added.push(after);
    }
    const moved = [...this.#pending.ips].filter(([ip, was]) => was !== this.#ips.has(ip));
    return {
      removed,
      added,
      removedIps: moved.flatMap(([ip, was]) => (was ? [ip] : [])),
      addedIps: moved.flatMap(([ip, was]) => (was ? [] : [ip])),
    };
  }
}

function noPending(): Pending {
  return { entries: new Map(), ips: new Map() };
}

/** At most 64 larger blocks precede one of the same address, so all of them may be asked. */
function overlapping(
  blocks: ReadonlyMap<number, SteeringEntry> | undefined,
  entry: SteeringEntry,
): SteeringEntry[] {
  return blocks === undefined ? [] : [...blocks.values()].filter((held) => blocksOverlap(held, entry));
}

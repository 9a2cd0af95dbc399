/**
 * The leases of this host on one address, and what each is used for.
 *
 * A lease enters as `active` (its ports are in use) or as the `spare` (held back), and leaves
 * through `draining` (no new flows, which may be taken back) and `leaving` (out of use, to be
 * released). The keeper tells the ports of each change; what ends a step is a report of the ports
 * that knows of it. [LK5] [LK6] [LK13]
 */
import type { Lease } from "../../core/lease-commands.ts";
import { blocksOverlap, portCountOf, unitsOf } from "../../core/port-block.ts";
import type { CommandedBlock, PortReport } from "../egress/port-messages.ts";
import { flowCountOf } from "./commanded-ports.ts";
import type { Holdings } from "./growth-policy.ts";

type Use = "active" | "spare" | "draining" | "leaving";

interface Held {
  readonly lease: Lease;
  readonly use: Use;
  /** Number of the command since which the ports know of this use; null while they do not. */
  toldIn: number | null;
}

/** What changed by a listing. */
export interface Reconciliation {
  /** Leases taken up that were not held before. */
  readonly adopted: readonly Lease[];
  /** Leases held before that the edge does not list: gone, and their flows reset. */
  readonly lost: readonly Lease[];
}

/** The table. */
export class LeaseHoldings {
  readonly #held = new Map<number, Held>();
  readonly #unitsInUse: ReadonlySet<number>;

  /** These units have flows from before, so a block of theirs is never the one that is held back. [SN11] */
  constructor(unitsInUse: readonly number[] = []) {
    this.#unitsInUse = new Set(unitsInUse);
  }

  /** Whether a block is kept back. */
  get hasSpare(): boolean {
    for (const { use } of this.#held.values()) if (use === "spare") return true;
    return false;
  }

  /** Whether nothing is held. */
  get isEmpty(): boolean {
    return this.#held.size === 0;
  }

  /** Whether a lease of this epoch is held. */
  has(epoch: number): boolean {
    return this.#held.has(epoch);
  }

  /** Whether a report lets some block take its next step now; a release only while one may be asked for. */
  isMovedBy(report: PortReport, mayRelease: boolean): boolean {
    if (mayRelease && this.leaving(report) !== null) return true;
    for (const held of this.#held.values()) if (held.use === "spare" || isDrained(held, report)) return true;
    return false;
  }

  /** What is held, for the growth policy, with what the ports report and the edge tells. */
  view(use: Pick<Holdings, "busiestCount" | "growthPerSecond" | "room">): Holdings {
    const active = this.#with("active");
    let heldPortCount = 0;
    for (const { lease } of this.#held.values()) heldPortCount += portCountOf(lease.order);
    return { active, spare: this.#with("spare")[0] ?? null, heldPortCount, ...use };
  }

  /** What it may send from, or could again; not what is to be given back. */
  held(): Lease[] {
    return Array.from(this.#held.values()).flatMap(({ lease, use }) => (use === "leaving" ? [] : [lease]));
  }

  /** What the ports should have. */
  blocks(): CommandedBlock[] {
    const blocks: CommandedBlock[] = [];
    for (const { lease, use } of this.#held.values()) {
      if (use === "active" || use === "draining") blocks.push({ lease, isDraining: use === "draining" });
    }
    return blocks;
  }

  /** The ports were told what they should have, in a command of this number. */
  noteTold(number: number): void {
    for (const held of this.#held.values()) held.toldIn ??= number;
  }

  /** Brings what is held in line with everything the edge lists. [LK3] */
  reconcile(listed: readonly Lease[], isWanted: (lease: Lease) => boolean): Reconciliation {
    const current = withoutOutdated(listed);
    const epochs = new Set(current.map(({ epoch }) => epoch));
    const lost: Lease[] = [];
    for (const { lease, use } of this.#held.values()) {
      if (epochs.has(lease.epoch)) continue;
      if (use !== "leaving") lost.push(lease);
      this.forget(lease.epoch);
    }
    const adopted = current.filter(({ epoch }) => !this.#held.has(epoch));
    for (const lease of adopted) this.#put(lease, "leaving");
    const wanted = adopted.filter(isWanted);
    const activeCount = this.#with("active").length;
    // The newest is held back: after a restart it is the one that was the spare before.
    const heldBack = !this.hasSpare && activeCount + wanted.length > 1 ? this.#heldBack(wanted) : undefined;
    for (const lease of wanted) this.#put(lease, lease === heldBack ? "spare" : "active");
    return { adopted: wanted, lost };
  }

  /** Puts the spare to use. */
  activateSpare(): void {
    for (const lease of this.#with("spare")) this.#put(lease, "active");
  }

  /** Takes no new flows on a lease; the spare, which has none, leaves at once. */
  drain(epoch: number): void {
    const held = this.#held.get(epoch);
    if (held?.use === "spare") this.#put(held.lease, "leaving");
    if (held?.use === "active") this.#put(held.lease, "draining");
  }

  /** Takes no new flows at all. */
  drainAll(): void {
    for (const epoch of this.#held.keys()) this.drain(epoch);
  }

  /** Takes new flows again on every block that is being drained. What has left by now is gone. [LK11] */
  resumeAll(): void {
    for (const lease of this.#with("draining")) this.#put(lease, "active");
  }

  /** Takes drained blocks out of use: those without flows, by a report that knows of their drain, or all. */
  retire(report: PortReport | null, areFlowsEnded: boolean): void {
    for (const held of this.#held.values()) {
      if (held.use !== "draining") continue;
      if (areFlowsEnded || (report !== null && isDrained(held, report))) this.#put(held.lease, "leaving");
    }
  }

  /** A lease that can be released now: the ports report that nothing more leaves from it. [MA3] */
  leaving(report: PortReport | null): Lease | null {
    if (report === null) return null;
    for (const [epoch, held] of this.#held) {
      if (held.use !== "leaving" || !isKnown(held, report) || report.lingering.includes(epoch)) continue;
      return held.lease;
    }
    return null;
  }

  /** Whether everything held is to be released. */
  isOnlyLeaving(): boolean {
    for (const { use } of this.#held.values()) if (use !== "leaving") return false;
    return true;
  }

  /** Drops a lease, with its flows. */
  forget(epoch: number): void {
    this.#held.delete(epoch);
  }

  /** Drops everything, with all flows. [LK2] */
  forgetAll(): void {
    this.#held.clear();
  }

  /** The newest that nothing uses. */
  #heldBack(wanted: readonly Lease[]): Lease | undefined {
    return wanted.findLast((lease) => ![...unitsOf(lease)].some((unit) => this.#unitsInUse.has(unit)));
  }

  #put(lease: Lease, use: Use): void {
    this.#held.set(lease.epoch, { lease, use, toldIn: null });
  }

  #with(use: Use): Lease[] {
    const leases: Lease[] = [];
    for (const held of this.#held.values()) if (held.use === use) leases.push(held.lease);
    return leases;
  }
}

function isDrained(held: Held, report: PortReport): boolean {
  return held.use === "draining" && isKnown(held, report) && flowCountOf(report, held.lease.epoch) === 0;
}

function isKnown({ toldIn }: Held, { number }: PortReport): boolean {
  return toldIn !== null && number >= toldIn;
}

/** The listed leases in the order of their epochs, without those that a newer one overlaps. [LK4] */
function withoutOutdated(listed: readonly Lease[]): Lease[] {
  const ascending = listed.toSorted((a, b) => a.epoch - b.epoch);
  return ascending.filter(
    (lease, at) => !ascending.slice(at + 1).some((newer) => blocksOverlap(lease, newer)),
  );
}

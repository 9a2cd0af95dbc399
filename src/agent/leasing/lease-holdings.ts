/**
 * The leases of this host on one address, and what each is used for.
 *
 * A lease enters as `active` (its ports are in the binder) or as the `spare` (held back), and
 * leaves through `draining` (no new flows, which may be taken back) and `leaving` (out of the
 * binder, to be released).
 * This table and the binder change together, here alone. [LK5] [LK6]
 */
import type { Lease } from "../../core/lease-commands.ts";
import { blocksOverlap, portCountOf } from "../../core/port-block.ts";
import type { KeeperPorts } from "../egress/keeper-ports.ts";
import type { Holdings } from "./growth-policy.ts";

type Use = "active" | "spare" | "draining" | "leaving";

interface Held {
  readonly lease: Lease;
  use: Use;
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
  readonly #ports: KeeperPorts;
  readonly #held = new Map<number, Held>();

  constructor(ports: KeeperPorts) {
    this.#ports = ports;
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

  /** What is held, for the growth policy. */
  view(): Holdings {
    const active = this.#with("active");
    let heldPortCount = 0;
    for (const { lease } of this.#held.values()) heldPortCount += portCountOf(lease.order);
    return {
      active,
      spare: this.#with("spare")[0] ?? null,
      heldPortCount,
      busiestCount: this.#ports.capacity().busiestCount,
    };
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
    for (const lease of adopted) this.#held.set(lease.epoch, { lease, use: "leaving" });
    const wanted = adopted.filter(isWanted);
    const activeCount = this.#with("active").length;
    // The newest is held back: after a restart it is the one that was the spare before.
    const heldBack = !this.hasSpare && activeCount + wanted.length > 1 ? wanted.at(-1) : undefined;
    for (const lease of wanted) {
      if (lease !== heldBack) this.#ports.addBlock(lease);
      this.#held.set(lease.epoch, { lease, use: lease === heldBack ? "spare" : "active" });
    }
    return { adopted: wanted, lost };
  }

  /** Puts the spare to use. */
  activateSpare(): void {
    for (const held of this.#held.values()) {
      if (held.use !== "spare") continue;
      held.use = "active";
      this.#ports.addBlock(held.lease);
    }
  }

  /** Takes no new flows on a lease; the spare, which has none, leaves at once. */
  drain(epoch: number): void {
    const held = this.#held.get(epoch);
    if (held?.use === "spare") held.use = "leaving";
    if (held?.use !== "active") return;
    held.use = "draining";
    this.#ports.drainBlock(epoch);
  }

  /** Takes no new flows at all. */
  drainAll(): void {
    for (const epoch of this.#held.keys()) this.drain(epoch);
  }

  /** Takes new flows again on every block that is being drained. What has left by now is gone. [LK11] */
  resumeAll(): void {
    for (const [epoch, held] of this.#held) {
      if (held.use !== "draining") continue;
      held.use = "active";
      this.#ports.resumeBlock(epoch);
    }
  }

  /** Takes drained blocks without flows, or all drained ones, out of the binder. */
  retire(areFlowsEnded: boolean): void {
    for (const [epoch, held] of this.#held) {
      if (held.use !== "draining") continue;
      if (!areFlowsEnded && this.#ports.flowCount(epoch) > 0) continue;
      held.use = "leaving";
      this.#ports.removeBlock(epoch);
    }
  }

  /** A lease that can be released now: nothing more leaves from it. [MA3] */
  leaving(): Lease | null {
    return this.#with("leaving").find(({ epoch }) => this.#ports.isSilent?.(epoch) ?? true) ?? null;
  }

  /** Whether everything held is to be released. */
  isOnlyLeaving(): boolean {
    for (const { use } of this.#held.values()) if (use !== "leaving") return false;
    return true;
  }

  /** Drops a lease at once, with its flows. */
  forget(epoch: number): void {
    if (this.#held.delete(epoch)) this.#ports.removeBlock(epoch);
  }

  /** Drops everything at once, with all flows. [LK2] */
  forgetAll(): void {
    this.#ports.setTerm(null);
    for (const epoch of this.#held.keys()) this.forget(epoch);
  }

  #with(use: Use): Lease[] {
    const leases: Lease[] = [];
    for (const held of this.#held.values()) if (held.use === use) leases.push(held.lease);
    return leases;
  }
}

/** The listed leases in the order of their epochs, without those that a newer one overlaps. [LK4] */
function withoutOutdated(listed: readonly Lease[]): Lease[] {
  const ascending = listed.toSorted((a, b) => a.epoch - b.epoch);
  return ascending.filter(
    (lease, at) => !ascending.slice(at + 1).some((newer) => blocksOverlap(lease, newer)),
  );
}

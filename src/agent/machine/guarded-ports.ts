/**
 * The binder's ports of one address, behind the kernel's guard: a block is used only once the
 * kernel lets it out, and is let out no longer than it is used. [MA2]
 *
 * The keeper sees what it would see of the binder itself. When the kernel cannot be told, a
 * new block stays unused and the next renewal tries again: nothing leaves unguarded.
 */
import type { Lease } from "../../core/lease-commands.ts";
import type { LeaseTerm } from "../../core/lease-term.ts";
import type { PortBlock } from "../../core/port-block.ts";
import type { KeeperPorts } from "../egress/keeper-ports.ts";

/** The part of the guard that is needed here. */
export interface Permitting {
  allow(ip: string, blocks: readonly PortBlock[], term: LeaseTerm | null): Promise<void>;
}

/** One address of a host whose guard works. */
export class GuardedPorts implements KeeperPorts {
  readonly #ip: string;
  readonly #ports: KeeperPorts;
  readonly #guard: Permitting;
  readonly #onFault: (fault: unknown) => void;
  /** What the keeper has added, by epoch. */
  readonly #leases = new Map<number, Lease>();
  /** Epochs that the binder does not have yet, for the kernel has not said yes. */
  readonly #waiting = new Set<number>();
  /** Epochs that were removed and that the kernel may still let out, with the number of the wish that says so. */
  readonly #lingering = new Map<number, number>();
  /** Wishes that the guard was told. */
  #wishCount = 0;
  /** Epochs that the binder has. */
  readonly #used = new Set<number>();
  onSilence: (() => void) | null = null;
  #term: LeaseTerm | null = null;

  constructor(ip: string, ports: KeeperPorts, guard: Permitting, onFault: (fault: unknown) => void) {
    this.#ip = ip;
    this.#ports = ports;
    this.#guard = guard;
    this.#onFault = onFault;
  }

  addBlock(lease: Lease): void {
    this.#leases.set(lease.epoch, lease);
    this.#lingering.delete(lease.epoch);
    this.#waiting.add(lease.epoch);
    void this.#tellGuard();
  }

  drainBlock(epoch: number): void {
    this.#waiting.delete(epoch);
    this.#ports.drainBlock(epoch);
  }

  resumeBlock(epoch: number): void {
    if (this.#used.has(epoch)) return this.#ports.resumeBlock(epoch);
    // The kernel had not said yes when the drain began: it is asked again.
    const lease = this.#leases.get(epoch);
    if (lease !== undefined) this.addBlock(lease);
  }

  removeBlock(epoch: number): void {
    this.#used.delete(epoch);
    this.#waiting.delete(epoch);
    // The resets must still get out, so the binder is first.
    this.#ports.removeBlock(epoch);
    if (!this.#leases.delete(epoch)) return;
    this.#lingering.set(epoch, this.#wishCount + 1);
    void this.#tellGuard();
  }

  /** Not before the kernel has confirmed it: another host may be given the block once it is released. [MA3] */
  isSilent(epoch: number): boolean {
    return !this.#lingering.has(epoch);
  }

  setTerm(term: LeaseTerm | null): void {
    this.#term = term;
    this.#ports.setTerm(term);
    void this.#tellGuard();
  }

  flowCount(epoch: number): number {
    return this.#ports.flowCount(epoch);
  }

  capacity(): { readonly portCount: number; readonly busiestCount: number } {
    return this.#ports.capacity();
  }

  get growthOutstanding(): boolean {
    return this.#ports.growthOutstanding;
  }

  set growthOutstanding(isOutstanding: boolean) {
    this.#ports.growthOutstanding = isOutstanding;
  }

  endGrowth(): void {
    this.#ports.endGrowth();
  }

  async #tellGuard(): Promise<void> {
    this.#wishCount += 1;
    const wish = this.#wishCount;
    const permitted = [...this.#leases.values()];
    const hasTerm = this.#term !== null;
    try {
      await this.#guard.allow(this.#ip, permitted, this.#term);
    } catch (fault) {
      this.#onFault(fault);
      return;
    }
    // A block that was taken up again and removed once more since is not what was confirmed.
    const silent = [...this.#lingering].filter(([, saidIn]) => saidIn <= wish);
    for (const [epoch] of silent) this.#lingering.delete(epoch);
    if (hasTerm) this.#use(permitted);
    if (silent.length > 0) this.onSilence?.();
  }

  #use(permitted: readonly Lease[]): void {
    for (const lease of permitted) {
      // It may have been drained or removed while the kernel was being told.
      if (!this.#waiting.delete(lease.epoch)) continue;
      this.#used.add(lease.epoch);
      this.#ports.addBlock(lease);
    }
  }
}

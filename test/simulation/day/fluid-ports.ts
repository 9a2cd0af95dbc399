/**
 * The ports of one address on one host, towards the busiest destination, as numbers: how many are
 * used, not which. Connections spread evenly over the blocks in use, and each ends by chance.
 */
import type { Lease } from "../../../src/core/lease-commands.ts";
import type { LeaseTerm } from "../../../src/core/lease-term.ts";
import { portCountOf } from "../../../src/core/port-block.ts";
import type { PortCommand, PortControl, PortReport } from "../../../src/agent/egress/port-messages.ts";
import type { Chance } from "../chance.ts";
import { binomial } from "./load.ts";

/** A port rests so long towards its destination after a connection, as in the agent. */
const HOLD_DOWN_SECONDS = 1.5;
/** While use is high the keeper hears of each further part of so many. */
const PRESSURE_PARTS = 32;

/** What the keeper commands, and the load uses. */
export class FluidPorts implements PortControl {
  onReport: ((report: PortReport) => void) | null = null;
  term: LeaseTerm | null = null;
  /** Ports that may be used now. */
  portCount = 0;
  /** Connections on them. */
  useCount = 0;
  isGrowing = false;
  pressureCount = Infinity;
  readonly blocks = new Map<number, { readonly lease: Lease; isDraining: boolean }>();
  /** Connections on blocks that take no new ones. */
  readonly #leaving = new Map<number, number>();
  #number = 0;
  /** Connections that ended in the last second and the one before. */
  #ended = { last: 0, before: 0 };
  /** Connections that were reset, since their block was taken away. */
  resetCount = 0;

  command(command: PortCommand): void {
    if (command.number > this.#number) this.#apply(command);
    this.report();
  }

  /** Ports in use or held down. */
  get busiestCount(): number {
    const { last, before } = this.#ended;
    return Math.min(this.portCount, Math.round(this.useCount + last + before * (HOLD_DOWN_SECONDS - 1)));
  }

  get freeCount(): number {
    return this.portCount - this.busiestCount;
  }

  /** Connections, with those on blocks that are being left. */
  get flowCount(): number {
    let count = this.useCount;
    for (const left of this.#leaving.values()) count += left;
    return count;
  }

  /** Lets a second pass; answers how many connections ended. */
  pass(endProbability: number, chance: Chance): number {
    const ended = binomial(this.useCount, endProbability, chance);
    this.useCount -= ended;
    this.#ended = { last: ended, before: this.#ended.last };
    let leftCount = 0;
    let isAnyEmpty = false;
    for (const [epoch, count] of this.#leaving) {
      const over = binomial(count, endProbability, chance);
      leftCount += over;
      this.#leaving.set(epoch, count - over);
      isAnyEmpty ||= count > 0 && over === count;
    }
    if (isAnyEmpty) this.report();
    return ended + leftCount;
  }

  /** Begins connections, and lets the keeper react as use rises; answers how many found a port. */
  take(count: number): number {
    let left = count;
    while (left > 0 && this.freeCount > 0) {
      const pressureAt = this.pressureCount;
      const roomBelow = pressureAt - this.busiestCount;
      const part = Math.max(1, Math.floor(this.portCount / PRESSURE_PARTS));
      const some = Math.min(left, this.freeCount, roomBelow > 0 ? roomBelow : part);
      this.useCount += some;
      left -= some;
      if (this.busiestCount >= pressureAt && this.isGrowing) this.report();
    }
    return count - left;
  }

  report(): void {
    const flows = Array.from(this.blocks.values(), ({ lease, isDraining }) => ({
      epoch: lease.epoch,
      count: isDraining ? (this.#leaving.get(lease.epoch) ?? 0) : this.#shareOf(lease),
    }));
    this.onReport?.({ number: this.#number, busiestCount: this.busiestCount, flows, lingering: [] });
  }

  #apply({ number, term, blocks, isGrowing, pressureCount }: PortCommand): void {
    this.#number = number;
    this.term = term;
    this.isGrowing = isGrowing;
    this.pressureCount = pressureCount;
    const commanded = new Map(blocks.map((block) => [block.lease.epoch, block]));
    for (const [epoch, block] of this.blocks) {
      const wanted = commanded.get(epoch);
      if (wanted === undefined) this.#remove(epoch, block);
      else if (wanted.isDraining && !block.isDraining) this.#drain(block);
      else if (!wanted.isDraining && block.isDraining) this.#resume(block);
    }
    for (const [epoch, { lease, isDraining }] of commanded) {
      if (this.blocks.has(epoch)) continue;
      this.blocks.set(epoch, { lease, isDraining });
      if (isDraining) this.#leaving.set(epoch, 0);
      else this.portCount += portCountOf(lease.order);
    }
  }

  #remove(epoch: number, block: { readonly lease: Lease; isDraining: boolean }): void {
    if (!block.isDraining) this.#drain(block);
    this.resetCount += this.#leaving.get(epoch) ?? 0;
    this.#leaving.delete(epoch);
    this.blocks.delete(epoch);
  }

  #drain(block: { readonly lease: Lease; isDraining: boolean }): void {
    const moved = this.#shareOf(block.lease);
    block.isDraining = true;
    this.useCount -= moved;
    this.portCount -= portCountOf(block.lease.order);
    this.#leaving.set(block.lease.epoch, moved);
  }

  #resume(block: { readonly lease: Lease; isDraining: boolean }): void {
    block.isDraining = false;
    this.portCount += portCountOf(block.lease.order);
    this.useCount += this.#leaving.get(block.lease.epoch) ?? 0;
    this.#leaving.delete(block.lease.epoch);
  }

  #shareOf({ order }: Lease): number {
    return this.portCount === 0 ? 0 : Math.round((this.useCount * portCountOf(order)) / this.portCount);
  }
}

/**
 * The ports of one address behind the kernel's guard: a block is used only once the kernel lets it
 * out, and is let out no longer than it is used. [MA2]
 *
 * The keeper sees what it would see of the ports themselves. When the kernel cannot be told, a
 * new block stays unused and the next renewal tries again: nothing leaves unguarded.
 */
import { isDeepStrictEqual } from "node:util";
import type { Lease } from "../../core/lease-commands.ts";
import { isEndless, type LeaseTerm } from "../../core/lease-term.ts";
import { blocksOverlap, type PortBlock } from "../../core/port-block.ts";
import type { PortCommand, PortControl, PortReport } from "../egress/port-messages.ts";

/** The part of the guard that is needed here. */
export interface Permitting {
  allow(ip: string, blocks: readonly PortBlock[], term: LeaseTerm | null): Promise<void>;
}

/** A block that the keeper has taken away. */
interface Removed {
  readonly lease: Lease;
  /** The term under which it was removed. */
  readonly term: LeaseTerm | null;
  /** Number of the command by which the ports lose it; 0 if they never had it. */
  readonly number: number;
  /** The first wish without it; null while its resets may still have to leave. */
  wish: number | null;
}

/** A keeper asks for a report about once a second. */
const ASKS_BETWEEN_TRIES = 5;

const NOTHING: PortCommand = { number: 0, term: null, blocks: [], isGrowing: false, pressureCount: 0 };

/** One address of a host whose guard works. */
export class GuardedPorts implements PortControl {
  onReport: ((report: PortReport) => void) | null = null;
  readonly #ip: string;
  readonly #ports: PortControl;
  readonly #guard: Permitting;
  readonly #onFault: (fault: unknown) => void;
  /** What the keeper wants. */
  #wanted = NOTHING;
  /** What the ports were told, which has only blocks that the kernel lets out. */
  #told = NOTHING;
  /** The keeper's newest command that the ports have followed, as far as the kernel lets them. */
  #number = 0;
  /** The first command to the ports that has all of the keeper's newest. */
  #toldNumber = 0;
  #report: PortReport | null = null;
  /** By epoch the first wish that has a block which the ports do not have yet. */
  readonly #awaited = new Map<number, number>();
  readonly #removed = new Map<number, Removed>();
  /** Wishes that the guard was told. */
  #wishCount = 0;
  /** Whether the newest of them failed: nothing is opened before the next one. */
  #hasFailed = false;
  /** How often the keeper has asked since then. */
  #asksSinceFailure = 0;
  #isCommanding = false;

  constructor(ip: string, ports: PortControl, guard: Permitting, onFault: (fault: unknown) => void) {
    this.#ip = ip;
    this.#ports = ports;
    this.#guard = guard;
    this.#onFault = onFault;
    ports.onReport = (report) => this.#heard(report);
  }

  command(command: PortCommand): void {
    if (command.number <= this.#wanted.number) {
      this.#tryAgain();
      return this.#ports.command(this.#told);
    }
    const before = this.#wanted;
    this.#wanted = command;
    const isToldGuard = this.#noteBlocks(before, command) || !isDeepStrictEqual(before.term, command.term);
    if (isToldGuard) this.#hasFailed = false;
    this.#isCommanding = true;
    // The resets must still get out, so the ports are first.
    this.#tellPorts();
    this.#isCommanding = false;
    if (isToldGuard) void this.#tellGuard();
  }

  /** A term that ends is renewed, and so the guard is told again; of one without an end it would never hear. */
  #tryAgain(): void {
    if (!this.#hasFailed || !isEndless(this.#wanted.term)) return;
    this.#asksSinceFailure += 1;
    if (this.#asksSinceFailure < ASKS_BETWEEN_TRIES) return;
    this.#hasFailed = false;
    void this.#tellGuard();
  }

  /** Whether other blocks are wanted than before. */
  #noteBlocks(before: PortCommand, { blocks }: PortCommand): boolean {
    const [old, wanted] = [leasesOf(before), leasesOf({ blocks })];
    const added = [...wanted.keys()].filter((epoch) => !old.has(epoch));
    const gone = [...old.values()].filter(({ epoch }) => !wanted.has(epoch));
    for (const epoch of added) {
      this.#removed.delete(epoch);
      this.#awaited.set(epoch, this.#wishCount + 1);
    }
    for (const lease of gone) {
      const number = this.#awaited.delete(lease.epoch) ? 0 : this.#told.number + 1;
      this.#removed.set(lease.epoch, { lease, term: before.term, number, wish: null });
    }
    return added.length + gone.length > 0;
  }

  #tellPorts(): void {
    const { term, blocks, isGrowing, pressureCount } = this.#wanted;
    const permitted = blocks.filter(({ lease }) => !this.#awaited.has(lease.epoch));
    const number = this.#told.number + 1;
    const isOpening = this.#isOpening();
    this.#told = { number, term, blocks: permitted, isGrowing: isGrowing || isOpening, pressureCount };
    if (this.#isCommanding) this.#toldNumber = this.#told.number;
    this.#ports.command(this.#told);
  }

  /** Whether a block for new flows waits for the kernel alone. [LK8] */
  #isOpening(): boolean {
    if (this.#hasFailed) return false;
    return this.#wanted.blocks.some(({ lease, isDraining }) => !isDraining && this.#awaited.has(lease.epoch));
  }

  #heard(report: PortReport): void {
    // One that was overtaken, or of ports that began anew and have not heard the newest command yet.
    if (report.number < this.#heardNumber) return;
    this.#report = report;
    if (report.number >= this.#toldNumber) this.#number = this.#wanted.number;
    if (!this.#isCommanding && this.#hasLetGo()) void this.#tellGuard();
    this.#tellKeeper();
  }

  /** Whether the ports have let go of a removed block that the kernel still has to shut. */
  #hasLetGo(): boolean {
    return [...this.#removed.values()].some(
      ({ wish, number }) => wish === null && number <= this.#heardNumber,
    );
  }

  get #heardNumber(): number {
    return this.#report?.number ?? 0;
  }

  #tellKeeper(): void {
    if (this.#report === null) return;
    // Not before the kernel has confirmed it: another host may be given the block once it is released. [MA3]
    const lingering = [...this.#report.lingering, ...this.#removed.keys()];
    this.onReport?.({ ...this.#report, number: this.#number, lingering });
  }

  async #tellGuard(): Promise<void> {
    this.#wishCount += 1;
    const wish = this.#wishCount;
    const { term } = this.#wanted;
    const wanted = [...leasesOf(this.#wanted).values()];
    const closing = this.#stillNeeded(wanted);
    for (const removed of this.#removed.values()) {
      if (!closing.includes(removed.lease)) removed.wish ??= wish;
    }
    try {
      await this.#guard.allow(this.#ip, [...wanted, ...closing], term);
    } catch (fault) {
      this.#onFault(fault);
      if (wish === this.#wishCount) this.#failed();
      return;
    }
    this.#permitted(wish, term !== null);
  }

  /** Nobody is to wait for what does not come. */
  #failed(): void {
    const wasOpening = this.#isOpening();
    this.#hasFailed = true;
    this.#asksSinceFailure = 0;
    if (wasOpening) this.#tellPorts();
  }

  /**
   * Removed blocks whose resets may still have to leave. Only under the term that they had: a newer
   * one is not theirs, and another host may hold them by now. [LAW1]
   */
  #stillNeeded(wanted: readonly Lease[]): Lease[] {
    const needed: Lease[] = [];
    for (const { lease, term, number, wish } of this.#removed.values()) {
      // What was to be shut once is never opened again for them.
      if (wish !== null || number <= this.#heardNumber) continue;
      if (!isDeepStrictEqual(term, this.#wanted.term)) continue;
      if (!wanted.some((other) => blocksOverlap(lease, other))) needed.push(lease);
    }
    return needed;
  }

  /** The kernel has done what a wish said. */
  #permitted(wish: number, hasTerm: boolean): void {
    // A block that was taken up again and removed once more since is not what was confirmed.
    const shut = [...this.#removed].filter(([, removed]) => removed.wish !== null && removed.wish <= wish);
    for (const [epoch] of shut) this.#removed.delete(epoch);
    const open = hasTerm ? [...this.#awaited].filter(([, from]) => from <= wish) : [];
    for (const [epoch] of open) this.#awaited.delete(epoch);
    if (open.length > 0) this.#tellPorts();
    else if (shut.length > 0) this.#tellKeeper();
  }
}

function leasesOf({ blocks }: Pick<PortCommand, "blocks">): Map<number, Lease> {
  return new Map(blocks.map(({ lease }) => [lease.epoch, lease]));
}

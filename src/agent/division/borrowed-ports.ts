/**
 * Single ports that other data processes of the host have lent to this one, each towards one
 * destination. A flow on one of them is reset when the loan is called off, as on a block that goes. [MP5]
 */
import { HeldPort, type LeasedBlock } from "../egress/held-port.ts";
import { PerDestinationPorts } from "../egress/per-destination-ports.ts";
import { UNIT_PORT_COUNT, unitOf } from "../../core/port-block.ts";
import type { BorrowedPort } from "./part-messages.ts";

interface Borrowed {
  readonly port: BorrowedPort;
  readonly block: LeasedBlock;
  held: HeldPort | null;
  /** When it is free again, or since when it is, by the monotonic clock. */
  freeAtMs: number;
  isReturned: boolean;
  /** When it was lent. */
  readonly lentAtMs: number;
}

const REFUSED_MS = 60_000;
/** Whoever asked for a port takes it within this time. */
const FRESH_MS = 20;
/** Nothing is ever chosen of it. */
const NO_UNITS = { list: [], has: new Uint8Array(0) };

/** One per address of a data process. */
export class BorrowedPorts {
  readonly #nowMs: () => number;
  readonly #holdDownMs: number;
  readonly #byLoan = new Map<number, Borrowed>();
  readonly #byDestination = new Map<string, Set<Borrowed>>();

  /** `nowMs` is of the monotonic clock. A port is free so long after its connection has ended. */
  constructor(nowMs: () => number, holdDownMs: number) {
    this.#nowMs = nowMs;
    this.#holdDownMs = holdDownMs;
  }

  /** These are lent now; what is not among them is gone, and its flow is reset. */
  set(ports: readonly BorrowedPort[]): void {
    const loans = new Set(ports.map(({ loan }) => loan));
    for (const borrowed of this.#byLoan.values()) {
      if (loans.has(borrowed.port.loan)) continue;
      this.#forget(borrowed);
      borrowed.block.isDraining = true;
      borrowed.held?.reset();
    }
    for (const port of ports) this.#put(port);
  }

  /** A free one towards a destination. */
  take(destination: string): HeldPort | null {
    for (const borrowed of this.#byDestination.get(destination) ?? []) {
      if (!this.#isFree(borrowed) || borrowed.block.isDraining) continue;
      const towards = new PerDestinationPorts(destination, NO_UNITS);
      borrowed.held = new HeldPort(borrowed.port.port, borrowed.block, towards, (held) => {
        if (borrowed.held !== held) return;
        borrowed.held = null;
        // As with a port of its own: the kernel has another use for it. [BI7]
        borrowed.freeAtMs = this.#nowMs() + (held.isRefused ? REFUSED_MS : this.#holdDownMs);
      });
      return borrowed.held;
    }
    return null;
  }

  /** Lets go of those that have been free for so long, towards one destination or any; whether there were any. */
  giveBack(restMs: number, destination: string | null = null): boolean {
    const all = destination === null ? this.#byLoan.values() : (this.#byDestination.get(destination) ?? []);
    const nowMs = this.#nowMs();
    let isAny = false;
    for (const borrowed of all) {
      if (!this.#isFree(borrowed) || nowMs - borrowed.freeAtMs < restMs) continue;
      borrowed.isReturned = true;
      isAny = true;
    }
    return isAny;
  }

  /** Loans with a flow. */
  get busy(): number[] {
    return this.#loansThat(({ held }) => held !== null);
  }

  /** Loans that were let go of, as long as they are listed. */
  get returned(): number[] {
    return this.#loansThat(({ isReturned }) => isReturned);
  }

  /** Whether there is one that was lent just now, and those who asked have not taken yet. */
  isFresh(destination: string): boolean {
    const nowMs = this.#nowMs();
    for (const borrowed of this.#byDestination.get(destination) ?? []) {
      if (this.#isFree(borrowed) && nowMs - borrowed.lentAtMs < FRESH_MS) return true;
    }
    return false;
  }

  /** All that there are. */
  get count(): number {
    return this.#byLoan.size;
  }

  /** Resets every flow. */
  resetAll(): void {
    for (const { held } of this.#byLoan.values()) held?.reset();
  }

  #loansThat(condition: (borrowed: Borrowed) => boolean): number[] {
    const loans: number[] = [];
    for (const borrowed of this.#byLoan.values()) if (condition(borrowed)) loans.push(borrowed.port.loan);
    return loans;
  }

  #isFree({ held, isReturned, freeAtMs }: Borrowed): boolean {
    return held === null && !isReturned && freeAtMs <= this.#nowMs();
  }

  #put(port: BorrowedPort): void {
    const known = this.#byLoan.get(port.loan);
    if (known !== undefined) {
      const wasDraining = known.block.isDraining;
      known.block.isDraining = port.isDraining;
      if (port.isDraining && !wasDraining) known.held?.onDrain?.();
      return;
    }
    const lease = { base: unitOf(port.port) * UNIT_PORT_COUNT, order: 6, epoch: port.loan };
    const nowMs = this.#nowMs();
    const block: LeasedBlock = { lease, isDraining: port.isDraining, held: new Set() };
    const borrowed: Borrowed = {
      port,
      block,
      held: null,
      freeAtMs: nowMs,
      isReturned: false,
      lentAtMs: nowMs,
    };
    this.#byLoan.set(port.loan, borrowed);
    const others = this.#byDestination.get(port.destination);
    if (others === undefined) this.#byDestination.set(port.destination, new Set([borrowed]));
    else others.add(borrowed);
  }

  #forget(borrowed: Borrowed): void {
    const { loan, destination } = borrowed.port;
    this.#byLoan.delete(loan);
    const others = this.#byDestination.get(destination)!;
    others.delete(borrowed);
    if (others.size === 0) this.#byDestination.delete(destination);
  }
}

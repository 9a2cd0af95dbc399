/**
 * The ports of one address in several data processes: to the keeper, or its guard, they are the
 * ports of one. It says which process may use what, and adds up what they report.
 *
 *     keeper → guard → divided ports → a part in each data process
 *
 * A state machine without I/O: messages and the ends of processes come in as calls. A command of the
 * keeper is in force when every process that lives has confirmed it; one that does not answer must
 * be ended by whoever looks after the processes, or it would hold the host up. [MP1] [MP2] [MP3]
 */
import { isDeepStrictEqual } from "node:util";
import type { Lease } from "../../core/lease-commands.ts";
import { remainingMs } from "../../core/lease-term.ts";
import { UNIT_PORT_COUNT } from "../../core/port-block.ts";
import { type Clock, readClock } from "../../process/clock.ts";
import type { PortCommand, PortControl } from "../egress/port-messages.ts";
import { allot } from "./allotment.ts";
import { usedTogether } from "./host-use.ts";
import { LoanBook } from "./loan-book.ts";
import type { PartCommand, PartReport } from "./part-messages.ts";
import { UnitGrants } from "./unit-grants.ts";

/** What it is given. */
export interface DividedPortsOptions {
  /** Sends a command to a process; the newest is enough. One that it has already asks for a report. */
  readonly send: (part: number, command: PartCommand) => void;
  readonly clock?: Clock;
  /** Higher than any number that an earlier life of this host's agent has used. */
  readonly firstNumber?: number;
}

/** A data process, as far as it is known. */
interface Part {
  readonly part: number;
  command: PartCommand;
  report: PartReport | null;
  /** The first command to it that has all of the keeper's newest. */
  needed: number;
  unitLimit: number | null;
  /** Whether it can lend and borrow single ports; who cannot needs a unit of its own. */
  readonly lends: boolean;
}

/** How a data process stands, for people. */
export interface PartView {
  readonly part: number;
  readonly unitCount: number;
  readonly flowCount: number;
}

const NOTHING: PortCommand = { number: 0, term: null, blocks: [], isGrowing: false, pressureCount: 0 };
/** What a process should have of what it uses towards its busiest destination, and beyond it. */
const HEADROOM = 1.25;
const AHEAD_PORTS = 8;
/** Use of a host's only unit at which it takes up another, and of two at which it gives back none. [LK7] */
const ONLY_UNIT_USE = 3 / 4;
/** A process that needs nothing gets more only if it lacks such a part of what would be even. */
const UNEVEN_SHARE = 1 / 4;

/** One per address. */
export class DividedPorts {
  /** Whoever controls it now. */
  #keeper: PortControl | null = null;
  /** What number its commands have beyond those of that keeper. */
  #numbersBefore = 0;
  readonly #options: DividedPortsOptions;
  readonly #clock: Clock;
  readonly #grants: UnitGrants;
  readonly #loans: LoanBook;
  readonly #parts = new Map<number, Part>();
  /** Units that a process had before this began, by unit: it gets them as soon as the host has them. */
  readonly #claims = new Map<number, number>();
  /** A unit that its process is to let go of when its flows have ended, for who has none. */
  #yielded: number | null = null;
  #wanted = NOTHING;
  /** The keeper's newest command that is in force. */
  #number = 0;
  #partCommandNumber: number;

  constructor(options: DividedPortsOptions) {
    const { clock = readClock, firstNumber = 0 } = options;
    this.#options = options;
    this.#clock = clock;
    this.#partCommandNumber = firstNumber;
    this.#grants = new UnitGrants(firstNumber);
    this.#loans = new LoanBook(this.#grants, () => [...this.#parts.keys()], firstNumber);
  }

  /** For one keeper, which counts its commands from 1; a later one replaces it. */
  control(): PortControl {
    const numbersBefore = this.#wanted.number;
    const control: PortControl = {
      onReport: null,
      command: (command) => {
        if (this.#keeper === control) this.#command({ ...command, number: numbersBefore + command.number });
      },
    };
    this.#keeper = control;
    this.#numbersBefore = numbersBefore;
    return control;
  }

  #command(command: PortCommand): void {
    if (command.number > this.#wanted.number) {
      this.#wanted = command;
      for (const grant of this.#grants.want(command.blocks)) grant.endsWith = this.#nextOf(grant.part);
      for (const loan of this.#loans.stale()) loan.endsWith = this.#nextOf(loan.borrower);
      this.#settle();
      for (const part of this.#parts.values()) part.needed = part.command.number;
    } else {
      for (const { part, command: newest } of this.#parts.values()) this.#options.send(part, newest);
    }
    this.#tellKeeper();
  }

  /** The newest command to a process, once more: it has begun anew with this address. */
  tellAgain(part: number): void {
    const known = this.#parts.get(part);
    if (known !== undefined) this.#options.send(part, known.command);
  }

  /**
   * A process has begun, and uses nothing yet. One that can neither lend nor borrow single ports may have units from
   * before, which nobody else may get.
   */
  addPart(part: number, claimed: readonly number[] | null = null): void {
    for (const unit of claimed ?? []) this.#claims.set(unit, part);
    const command: PartCommand = {
      number: 0,
      term: null,
      units: [],
      unitLimit: null,
      lent: [],
      requests: [],
      borrowed: [],
      answers: [],
      isGrowing: false,
      isHostUsable: false,
    };
    const lends = claimed === null;
    this.#parts.set(part, { part, command, report: null, needed: 0, unitLimit: null, lends });
    this.#settle();
  }

  /** A process has ended, and the kernel has closed all that was its own. */
  removePart(part: number): void {
    this.#parts.delete(part);
    this.#grants.ended(part);
    this.#loans.ended(part);
    this.#settle();
    this.#tellKeeper();
  }

  /** A process has reported. */
  report(from: number, report: PartReport): void {
    const part = this.#parts.get(from);
    // One that was overtaken says nothing that the newer one does not.
    if (part === undefined || report.sequence <= (part.report?.sequence ?? -1)) return;
    part.report = report;
    this.#grants.confirmed(from, report.number);
    this.#loans.confirmed(from, report.number);
    this.#grants.released(from, report.released);
    this.#loans.returned(from, report.returned);
    this.#loans.offered(from, report.offers);
    this.#loans.asked(from, report.asks);
    this.#settle();
    this.#tellKeeper();
  }

  /** Ports of the host usable now, and how many of them the busiest destination takes. */
  capacity(): { readonly portCount: number; readonly busiestCount: number } {
    const { term } = this.#wanted;
    const isUsable = this.#parts.size > 0 && term !== null && remainingMs(term, this.#clock()) > 0;
    const portCount = isUsable ? this.#grants.usableCount * UNIT_PORT_COUNT : 0;
    return { portCount, busiestCount: this.#busiest().count };
  }

  /** The destination that takes most ports; null when none does. */
  busiestDestination(): string | null {
    return this.#busiest().destination;
  }

  /** Ports held towards all destinations: in use, and held down. */
  heldCounts(): { readonly inUse: number; readonly heldDown: number } {
    let [inUse, heldDown] = [0, 0];
    for (const { report } of this.#parts.values()) {
      inUse += report?.inUse ?? 0;
      heldDown += report?.heldDown ?? 0;
    }
    return { inUse, heldDown };
  }

  /** Leases that are here, draining ones included. */
  leases(): Iterable<{ readonly lease: Lease; readonly isDraining: boolean }> {
    return this.#wanted.blocks;
  }

  /** Flows on a lease's block, in all processes. */
  flowCount(epoch: number): number {
    return this.#flows().get(epoch) ?? 0;
  }

  /** How each process stands. */
  views(): PartView[] {
    return Array.from(this.#parts.values(), ({ part, report }) => {
      const flows = report?.flows.reduce((sum, [, count]) => sum + count, 0) ?? 0;
      const unitCount = this.#grants.of(part).length;
      return { part, unitCount, flowCount: flows + (report?.busyLoans.length ?? 0) };
    });
  }

  /** Hands out what is free, takes back what is idle, and tells each process what has changed for it. */
  #settle(): void {
    this.#balance();
    for (const part of this.#parts.values()) this.#tell(part);
  }

  #balance(): void {
    this.#settleClaims();
    // A unit that takes no new flows is of no use to who lacks one.
    const parts = this.#inTurn().map((part) => {
      const units = this.#grants.of(part.part);
      const has = units.filter(({ unit }) => this.#grants.wanted(unit)?.isDraining === false).length;
      return { part, need: this.#needOf(part), has, drainingCount: units.length - has };
    });
    if (parts.length === 0) return;
    const shares = allot(
      this.#grants.usableCount,
      parts.map(({ need }) => need),
    );
    const shared = parts.map((each, at) => Object.assign(each, { share: shares[at]! }));
    const without = shared.find(({ part, has, share }) => !part.lends && has === 0 && share > 0);
    for (const unit of this.#grants.free()) {
      const mostLacking = shared.reduce((most, other) =>
        other.share - other.has > most.share - most.has ? other : most,
      );
      const next = unit === this.#yielded && without !== undefined ? without : mostLacking;
      this.#grants.give(unit, next.part.part);
      this.#loans.moved();
      next.has += 1;
    }
    this.#chooseYielded(without !== undefined && without.has === 0);
    let lacking = 0;
    for (const { share, has, need } of shared) {
      const isShort = has < Math.min(need, share) || share - has > Math.max(1, share * UNEVEN_SHARE);
      if (isShort) lacking += share - has;
    }
    for (const { part, share, has, drainingCount } of shared) {
      const spare = Math.max(0, Math.min(part.report?.idleCount ?? 0, has - share, lacking));
      lacking -= spare;
      part.unitLimit = spare > 0 ? has + drainingCount - spare : null;
    }
  }

  /**
   * Where there is too little for all: the only unit goes to one who lends of it, for they have clients that wait; then
   * everybody who cannot borrow has one, and then the others do.
   */
  #inTurn(): Part[] {
    const [first, ...lenders] = [...this.#parts.values()].filter(({ lends }) => lends);
    const alone = [...this.#parts.values()].filter(({ lends }) => !lends);
    return [...(first === undefined ? [] : [first]), ...alone, ...lenders];
  }

  /**
   * Idle units go from who has too many to who has too few, but in a small host none may ever be idle. So for who has
   * none, and can borrow none, a lender takes no new flows on one of its units: it borrows meanwhile. No flow is cut.
   */
  #chooseYielded(isWanted: boolean): void {
    const open = [...this.#parts.values()].flatMap(({ part, lends, report }) =>
      this.#grants.of(part).flatMap(({ unit, grant }) => {
        if (!lends || this.#grants.wanted(unit)?.isDraining !== false) return [];
        const flows = report?.flows.find(([its]) => its === grant);
        return [{ unit, count: flows?.[1] ?? 0 }];
      }),
    );
    if (isWanted && open.some(({ unit }) => unit === this.#yielded)) return;
    const least = open.toSorted((a, b) => a.count - b.count)[0];
    // The last that processes have stays theirs.
    this.#yielded = isWanted && open.length > 1 ? least!.unit : null;
  }

  #settleClaims(): void {
    for (const [unit, part] of this.#claims) {
      if (!this.#parts.has(part) || !this.#grants.isFree(unit)) continue;
      this.#grants.give(unit, part);
      this.#claims.delete(unit);
    }
  }

  /** Units that a process needs for what it uses, be the ports its own or borrowed. */
  #needOf(part: Part): number {
    // Who cannot borrow must have beforehand what comes next: as much again as it uses, like the host itself. [LK14]
    return unitsFor(this.#usedBy(part) * (part.lends ? HEADROOM : 2));
  }

  #usedBy({ part, report }: Part): number {
    const busiest = report?.busiest[0];
    const lent = this.#loans.lentBy(part).filter(({ destination }) => destination === busiest?.destination);
    return Math.max(0, (busiest?.count ?? 0) - lent.length) + (report?.busyLoans.length ?? 0);
  }

  #tell(part: Part): void {
    const { number, ...before } = part.command;
    const { term, isGrowing } = this.#wanted;
    const isDraining = (unit: number): boolean =>
      unit === this.#yielded || (this.#grants.wanted(unit)?.isDraining ?? true);
    const content = {
      term,
      units: this.#grants
        .of(part.part)
        .map(({ grant, unit }) => ({ grant, unit, isDraining: isDraining(unit) })),
      unitLimit: part.unitLimit,
      lent: this.#loans.lentBy(part.part),
      requests: this.#loans.requestsOf(part.part),
      borrowed: this.#loans.borrowedBy(part.part),
      answers: this.#loans.answersFor(part.part),
      isGrowing,
      isHostUsable: this.#grants.usableCount > 0,
    };
    if (isDeepStrictEqual(before, content)) return;
    this.#partCommandNumber = Math.max(this.#partCommandNumber, number) + 1;
    part.command = { number: this.#partCommandNumber, ...content };
    this.#options.send(part.part, part.command);
  }

  /** The next command to a process has at least this number: none before it has what changes now. */
  #nextOf(part: number): number {
    return (this.#parts.get(part)?.command.number ?? 0) + 1;
  }

  #tellKeeper(): void {
    const isInForce = [...this.#parts.values()].every(
      ({ report, needed }) => (report?.number ?? 0) >= needed,
    );
    if (isInForce) this.#number = this.#wanted.number;
    const flows = Array.from(this.#flows(), ([epoch, count]) => ({ epoch, count }));
    const number = Math.max(0, this.#number - this.#numbersBefore);
    const busiestCount = Math.max(this.#busiest().count, this.#leastCount(), this.#missingCount());
    this.#keeper?.onReport?.({ number, busiestCount, flows, lingering: [] });
  }

  /** So much counts as used, that the host gets and keeps a unit for each who cannot do without one of its own. */
  #leastCount(): number {
    const parts = [...this.#parts.values()];
    const aloneCount = parts.filter(({ lends }) => !lends).length;
    return aloneCount < parts.length ? aloneCount * UNIT_PORT_COUNT * ONLY_UNIT_USE : 0;
  }

  /** All that there is counts as used, while one who cannot borrow gets less of it than it needs. */
  #missingCount(): number {
    const parts = [...this.#parts.values()];
    const alone = parts.filter(({ lends }) => !lends);
    if (alone.length === 0) return 0;
    // The others help each other out: together they need what they use, be each without a unit of its own.
    const lenders = parts.filter(({ lends }) => lends);
    const used = lenders.reduce((sum, part) => sum + this.#usedBy(part), 0);
    const needed = alone.reduce((sum, part) => sum + this.#needOf(part), unitsFor(used * HEADROOM));
    return needed > this.#grants.usableCount ? this.#grants.usableCount * UNIT_PORT_COUNT : 0;
  }

  #flows(): Map<number, number> {
    const flows = new Map<number, number>();
    const add = (epoch: number | undefined, count: number): void => {
      if (epoch !== undefined) flows.set(epoch, (flows.get(epoch) ?? 0) + count);
    };
    for (const { report } of this.#parts.values()) {
      for (const [grant, count] of report?.flows ?? []) add(this.#grants.epochOf(grant), count);
      for (const loan of report?.busyLoans ?? []) add(this.#loans.epochOf(loan), 1);
    }
    return flows;
  }

  #busiest(): ReturnType<typeof usedTogether> {
    return usedTogether([...this.#parts.values()].map(({ report }) => report?.busiest ?? []));
  }
}

/** Units for so many ports, and a few ahead. */
function unitsFor(portCount: number): number {
  return Math.ceil((portCount + AHEAD_PORTS) / UNIT_PORT_COUNT);
}

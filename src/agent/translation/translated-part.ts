/**
 * The kernel's part of an address: units that no socket uses, in which it translates. To the division of the address
 * it is one more data process: it follows the same commands and makes the same reports. [SN3]
 *
 * A unit is tracked first and chosen second; on its way out it is first not chosen any more, then its entries end,
 * by themselves or by force, then it is not tracked any more, and only then it is given back. So there is no moment
 * at which a translated packet has the port of somebody else. What a step needs of the kernel is waited for, and
 * tried again when it fails: until then no report says that it is done. [SN6]
 */
import { isDeepStrictEqual } from "node:util";
import { type LeaseTerm, remainingMs } from "../../core/lease-term.ts";
import { UNIT_PORT_COUNT } from "../../core/port-block.ts";
import { type Clock, readClock } from "../../process/clock.ts";
import { type CancelTimer, systemTimers, type Timers } from "../../process/timers.ts";
import { type GivenUnit, MAX_BUSIEST, type PartCommand, type PartReport } from "../division/part-messages.ts";
import { FlowCounts, type TranslatedFlow } from "./translated-flow.ts";
import type { TranslationChoice, TranslationKernel } from "./translation-kernel.ts";
import { weigh } from "./unit-weights.ts";

/** What it is given. */
export interface TranslatedPartOptions {
  readonly ip: string;
  readonly kernel: TranslationKernel;
  readonly send: (report: PartReport) => void;
  /** Units in which an earlier life of this agent has translated: theirs go on until it is known whose they are. */
  readonly inherited?: readonly number[];
  readonly onFault: (fault: unknown) => void;
  readonly clock?: Clock;
  readonly timers?: Timers;
}

/** What the kernel may choose of an address, and what it uses. */
export interface TranslatedUse {
  readonly ip: string;
  readonly unitCount: number;
  readonly portCount: number;
  readonly flowCount: number;
  /** Of these ports those in use towards the destination that uses most. */
  readonly busiestCount: number;
  readonly busiestDestination: string | null;
}

const RETRY_MS = 1_000;
/** Longest time between looks at the term: the wall clock may jump where timers do not. */
const TERM_CHECK_MS = 500;
/** Listings that must agree before new flows are refused: more ports may just be on their way. */
const FULL_LISTINGS = 2;
/** Use of more than such a part of the ports is looked at often. */
const NOTABLE_PART = 8;
const NOTHING_CHOSEN: TranslationChoice = { units: [], term: null, full: [] };

/** One per address of a host that translates. */
export class TranslatedPart {
  readonly #options: TranslatedPartOptions;
  readonly #clock: Clock;
  readonly #timers: Timers;
  #command: PartCommand | null = null;
  /** Number of the newest command that is in force in the kernel. */
  #confirmed = 0;
  #sequence = 0;
  /** Tracked in the kernel, or perhaps: those of a call that failed are still in it. */
  #tracked: Set<number>;
  /** Whether the last call has said that just these are. */
  #isTrackingSure = true;
  /** As the kernel was told last; null when that is not known. */
  #chosen: TranslationChoice | null = null;
  /** The last that it has taken, for people. */
  #chosenLast = NOTHING_CHOSEN;
  /** Units that are let go of because others need them. */
  readonly #leaving = new Set<number>();
  readonly #released = new Set<number>();
  #counts = new FlowCounts([]);
  #hasListed = false;
  /** Rises when units are taken out of choice: only a listing that began later knows of their last flows. */
  #choiceCount = 0;
  #countsKnowOf = 0;
  /** By destination the listings in a row that found it full. */
  #fullFor = new Map<string, number>();
  /** Whether the term is over and all entries were ended for it. */
  #isEnded = false;
  #isInheriting: boolean;
  #running: Promise<void> | null = null;
  #isDirty = false;
  #cancelLook: CancelTimer | null = null;
  #isClosed = false;

  constructor(options: TranslatedPartOptions) {
    this.#options = options;
    this.#clock = options.clock ?? readClock;
    this.#timers = options.timers ?? systemTimers;
    this.#tracked = new Set(options.inherited);
    this.#isInheriting = this.#tracked.size > 0;
    // What they are used for nobody has listed yet.
    if (this.#isInheriting) this.#choiceCount = 1;
  }

  /** Puts a command in force; it is reported when the kernel has followed. One that is known is only reported on. */
  command(command: PartCommand): void {
    if (this.#isClosed) return;
    if (command.number <= (this.#command?.number ?? 0)) return this.#report();
    this.#command = command;
    const grants = new Set(command.units.map(({ grant }) => grant));
    for (const grant of this.#released) if (!grants.has(grant)) this.#released.delete(grant);
    this.#report();
    this.#settle();
  }

  /** Number that a listing must be told of, when it is asked for now. */
  get listingMark(): number {
    return this.#choiceCount;
  }

  /** What the kernel translates by this address, from a listing that was asked for at this mark. */
  flowsListed(flows: readonly TranslatedFlow[], mark: number): void {
    if (this.#isClosed) return;
    this.#counts = new FlowCounts(flows);
    this.#hasListed = true;
    this.#countsKnowOf = mark;
    this.#noteFull();
    this.#report();
    this.#settle();
  }

  /** Whether use may change soon, so that it should be looked at often. */
  get isBusy(): boolean {
    const units = this.#unitsOf(this.#command, () => true);
    const [busiest] = this.#counts.busiestFirst(new Set(units), 1);
    const isNotable = (busiest?.count ?? 0) * NOTABLE_PART > units.length * UNIT_PORT_COUNT;
    return isNotable || this.#leaving.size > 0;
  }

  /** Whether ports may soon be missing, so that looking may cost something. */
  get isPressed(): boolean {
    const units = this.#unitsOf(this.#command, () => true);
    const [busiest] = this.#counts.busiestFirst(new Set(units), 1);
    return (busiest?.count ?? 0) * 2 > units.length * UNIT_PORT_COUNT;
  }

  /** Whether nothing of it is in the kernel. */
  get isIdle(): boolean {
    return this.#tracked.size === 0 && this.#counts.total === 0;
  }

  /** As it was last known. */
  describe(): TranslatedUse {
    const chosen = this.#chosenLast.units.map(({ unit }) => unit);
    const [busiest] = this.#counts.busiestFirst(new Set(chosen), 1);
    return {
      ip: this.#options.ip,
      unitCount: chosen.length,
      portCount: chosen.length * UNIT_PORT_COUNT,
      flowCount: this.#counts.total,
      busiestCount: busiest?.count ?? 0,
      busiestDestination: busiest?.destination ?? null,
    };
  }

  /** The kernel has been made anew by another program, or its state is not known: it is told everything again. */
  tellAgain(): void {
    this.#chosen = null;
    this.#settle();
  }

  /** Done when the kernel has followed so far, or could not. */
  async settled(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  /** Ends: nothing is reported any more, and the kernel is told nothing more. */
  close(): void {
    this.#isClosed = true;
    this.#cancelLook?.();
    this.#cancelLook = null;
  }

  #settle(): void {
    this.#isDirty = true;
    if (this.#running !== null || this.#isClosed) return;
    this.#running = this.#run().finally(() => {
      this.#running = null;
      this.#lookLater();
    });
  }

  async #run(): Promise<void> {
    try {
      while (this.#isDirty && !this.#isClosed) {
        this.#isDirty = false;
        await this.#follow();
      }
    } catch (fault) {
      // What the kernel has now is not known, and nothing of it is confirmed.
      this.#chosen = null;
      this.#isDirty = true;
      this.#options.onFault(fault);
    }
  }

  /** One round of all steps, in their order. What is commanded meanwhile has a round of its own. */
  async #follow(): Promise<void> {
    const command = this.#command;
    if (command === null) return;
    if (command.term !== null && (command.isHostUsable || command.units.length > 0))
      this.#isInheriting = false;
    // Whose the inherited units are is not known before the host has units, which is later than it has a term: the
    // guard is told of them between the two. Nothing else was given to this part yet. [SN11]
    if (this.#isInheriting) return this.#confirm(command.number);
    const { ip, kernel } = this.#options;
    const held = new Set(this.#unitsOf(command, () => true));
    await this.#begin(new Set([...held].filter((unit) => !this.#tracked.has(unit))));
    await this.#choose(command);
    const lost = [...this.#tracked].filter((unit) => !held.has(unit));
    // A round may take longer than what is left of a term that was renewed meanwhile.
    const isOver = this.#isOver(command.term) && this.#isOver(this.#command?.term ?? null);
    const ended = new Set(isOver && !this.#isEnded ? [...lost, ...held] : lost);
    if (ended.size > 0) await kernel.endEntries(ip, ended);
    this.#isEnded = isOver;
    const left = await this.#letGo(held);
    await this.#track(new Set([...held].filter((unit) => !left.includes(unit))));
    for (const { grant, unit } of command.units) if (left.includes(unit)) this.#released.add(grant);
    this.#confirm(command.number);
  }

  /** Entries of an earlier lease, which its end had silenced, must not come to life again in fresh units. */
  async #begin(fresh: ReadonlySet<number>): Promise<void> {
    // None has come into being in them since they were listed, for nobody chooses them.
    const doubtful = new Set([...fresh].filter((unit) => !this.#hasListed || this.#counts.ofUnit(unit) > 0));
    if (doubtful.size > 0) await this.#options.kernel.endEntries(this.#options.ip, doubtful);
    await this.#track(new Set([...this.#tracked, ...fresh]));
  }

  async #track(units: Set<number>): Promise<void> {
    if (this.#isTrackingSure && isDeepStrictEqual(units, this.#tracked)) return;
    const { ip, kernel } = this.#options;
    // While it is being told either may hold.
    this.#tracked = new Set([...this.#tracked, ...units]);
    this.#isTrackingSure = false;
    await kernel.track(
      ip,
      [...units].toSorted((a, b) => a - b),
    );
    this.#tracked = units;
    this.#isTrackingSure = true;
  }

  async #choose(command: PartCommand): Promise<void> {
    const choice = this.#choice(command);
    if (isDeepStrictEqual(choice, this.#chosen)) return;
    const before = this.#chosen;
    this.#chosen = null;
    await this.#options.kernel.choose(this.#options.ip, choice);
    this.#chosen = choice;
    this.#chosenLast = choice;
    const chosen = new Set(choice.units.map(({ unit }) => unit));
    if (before === null || before.units.some(({ unit }) => !chosen.has(unit))) this.#choiceCount += 1;
  }

  #choice(command: PartCommand): TranslationChoice {
    const { term, unitLimit } = command;
    if (term === null || this.#isOver(term)) return NOTHING_CHOSEN;
    const open = this.#unitsOf(command, ({ isDraining }) => !isDraining);
    this.#chooseLeaving(open, this.#unitsOf(command, () => true).length, unitLimit);
    const units = open.filter((unit) => !this.#leaving.has(unit)).toSorted((a, b) => a - b);
    const full = [...this.#fullFor].flatMap(([key, count]) => (count >= FULL_LISTINGS ? [key] : []));
    return { units: weigh(units, this.#counts), term, full };
  }

  /** Idle units beyond the limit are let go of; those on their way stay so only as long as they are beyond it. */
  #chooseLeaving(open: readonly number[], heldCount: number, unitLimit: number | null): void {
    const beyond = unitLimit === null ? 0 : Math.max(0, heldCount - unitLimit);
    const idle = open.filter((unit) => this.#counts.ofUnit(unit) === 0);
    const wanted = [
      ...idle.filter((unit) => this.#leaving.has(unit)),
      ...idle.filter((unit) => !this.#leaving.has(unit)),
    ];
    this.#leaving.clear();
    for (const unit of wanted.slice(0, beyond)) this.#leaving.add(unit);
  }

  /** Units that can be given back: a listing from after they were chosen last found nothing on them. */
  async #letGo(held: ReadonlySet<number>): Promise<number[]> {
    if (this.#countsKnowOf < this.#choiceCount) return [];
    const left = [...this.#leaving].filter((unit) => held.has(unit) && this.#counts.ofUnit(unit) === 0);
    if (left.length === 0) return [];
    await this.#options.kernel.endEntries(this.#options.ip, new Set(left));
    for (const unit of left) this.#leaving.delete(unit);
    return left;
  }

  #confirm(number: number): void {
    this.#confirmed = Math.max(this.#confirmed, number);
    this.#report();
  }

  #noteFull(): void {
    const units = new Set(this.#unitsOf(this.#command, ({ isDraining }) => !isDraining));
    const before = this.#fullFor;
    this.#fullFor = new Map();
    if (this.#command?.isGrowing !== false || units.size === 0) return;
    for (const { destination, count } of this.#counts.busiestFirst(units, MAX_BUSIEST)) {
      if (count < units.size * UNIT_PORT_COUNT) break;
      this.#fullFor.set(destination, (before.get(destination) ?? 0) + 1);
    }
  }

  #unitsOf(command: PartCommand | null, isMeant: (unit: GivenUnit) => boolean): number[] {
    const given = command?.units ?? [];
    return given.filter((unit) => !this.#released.has(unit.grant) && isMeant(unit)).map(({ unit }) => unit);
  }

  #isOver(term: LeaseTerm | null): boolean {
    return term === null || remainingMs(term, this.#clock()) <= 0;
  }

  #lookLater(): void {
    this.#cancelLook?.();
    this.#cancelLook = null;
    if (this.#isClosed) return;
    const term = this.#command?.term ?? null;
    const leftMs = term === null ? Infinity : remainingMs(term, this.#clock());
    // At its end all is ended, once.
    const isEndDue = (this.#chosen?.term ?? null) !== null && leftMs < Infinity;
    const inMs = this.#isDirty ? RETRY_MS : isEndDue ? Math.max(1, Math.min(leftMs, TERM_CHECK_MS)) : null;
    if (inMs === null) return;
    this.#cancelLook = this.#timers.after(
      inMs,
      () => {
        if (this.#isDirty || this.#isOver(this.#command?.term ?? null)) this.#settle();
        else this.#lookLater();
      },
      "idle",
    );
  }

  #report(): void {
    if (this.#isClosed) return;
    this.#sequence += 1;
    const given = this.#command?.units ?? [];
    const held = given.filter(({ grant }) => !this.#released.has(grant));
    const units = new Set(held.map(({ unit }) => unit));
    this.#options.send({
      sequence: this.#sequence,
      number: this.#confirmed,
      busiest: this.#counts.busiestFirst(units, MAX_BUSIEST),
      flows: held.flatMap(({ grant, unit }): [number, number][] => {
        const count = this.#flowsOf(unit);
        return count === 0 ? [] : [[grant, count]];
      }),
      busyLoans: [],
      released: [...this.#released],
      returned: [],
      idleCount: held.filter(({ unit }) => this.#counts.ofUnit(unit) === 0).length,
      asks: [],
      // Single ports of a translation cannot be held towards a destination: it has none to lend.
      offers: (this.#command?.requests ?? []).map(({ request }) => ({ request, ports: [] })),
      inUse: this.#counts.total,
      heldDown: 0,
    });
  }

  /** A unit that was just taken out of choice may have one more flow than was counted. */
  #flowsOf(unit: number): number {
    const count = this.#counts.flowsOfUnit(unit);
    return count === 0 && this.#countsKnowOf < this.#choiceCount ? 1 : count;
  }
}

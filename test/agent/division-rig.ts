/**
 * One address divided among data processes: the real division and the real parts, on a clock of its
 * own, with messages that are late, overtake each other and come twice, and processes that pause and die.
 */
import { AddressPorts } from "../../src/agent/egress/address-ports.ts";
import type { HeldPort } from "../../src/agent/egress/held-port.ts";
import type { CommandedBlock, PortControl, PortReport } from "../../src/agent/egress/port-messages.ts";
import { DividedPorts } from "../../src/agent/division/divided-ports.ts";
import type { PartCommand, PartReport } from "../../src/agent/division/part-messages.ts";
import { PartPorts } from "../../src/agent/division/part-ports.ts";
import { portCountOf } from "../../src/core/port-block.ts";
import type { LeaseTerm } from "../../src/core/lease-term.ts";
import type { Timers } from "../../src/process/timers.ts";

/** Draws an integer below a limit. */
export type Draw = (limit: number) => number;

interface Due {
  readonly atMs: number;
  readonly what: () => void;
}

/** A process with a part of the address. */
export interface RigPart {
  readonly number: number;
  readonly ports: AddressPorts;
  readonly part: PartPorts;
  readonly flows: Set<RigFlow>;
  isPaused: boolean;
  isDead: boolean;
  readonly late: (() => void)[];
}

/** A flow of a process, from the choice of its port to its end. */
export interface RigFlow {
  readonly held: HeldPort;
  readonly destination: string;
}

/** How messages go. */
export interface Weather {
  readonly longestWayMs: number;
  readonly mayOvertake: boolean;
  readonly mayRepeat: boolean;
}

export class DivisionRig {
  nowMs = 1_000_000;
  readonly division: DividedPorts;
  readonly parts: RigPart[] = [];
  readonly reports: PortReport[] = [];
  readonly #draw: Draw;
  readonly #weather: Weather;
  #due: Due[] = [];
  #number = 0;
  readonly #control: PortControl;
  #content: { term: LeaseTerm | null; blocks: readonly CommandedBlock[]; isGrowing: boolean };

  constructor(draw: Draw, weather: Weather = { longestWayMs: 3, mayOvertake: false, mayRepeat: false }) {
    this.#draw = draw;
    this.#weather = weather;
    this.#content = { term: this.term(600_000), blocks: [], isGrowing: false };
    this.division = new DividedPorts({
      clock: () => ({ monotonicMs: this.nowMs, wallMs: this.nowMs }),
      send: (part, command) => this.#send(part, command),
    });
    this.#control = this.division.control();
    this.#control.onReport = (report) => this.reports.push(report);
  }

  /** The newest report to the keeper. */
  get report(): PortReport {
    return this.reports.at(-1) ?? { number: 0, busiestCount: 0, flows: [], lingering: [] };
  }

  get number(): number {
    return this.#number;
  }

  term(lastsMs: number): LeaseTerm {
    return { monotonicEndMs: this.nowMs + lastsMs, wallEndMs: this.nowMs + lastsMs };
  }

  /** The keeper says something new. */
  keep(content: Partial<DivisionRig["content"]>): void {
    this.#content = { ...this.#content, ...content };
    this.#number += 1;
    this.#control.command({ number: this.#number, pressureCount: 0, ...this.#content });
  }

  get content(): { term: LeaseTerm | null; blocks: readonly CommandedBlock[]; isGrowing: boolean } {
    return this.#content;
  }

  /** The keeper asks for a report. */
  ask(): void {
    this.#control.command({ number: this.#number, pressureCount: 0, ...this.#content });
  }

  begin(): RigPart {
    const number = this.parts.length + 1;
    const clock = (): { monotonicMs: number; wallMs: number } => ({
      monotonicMs: this.nowMs,
      wallMs: this.nowMs,
    });
    const ports: AddressPorts = new AddressPorts("192.0.2.1", {
      clock,
      random: this.#draw,
      timers: this.#timersOf(() => rigPart),
    });
    const part = new PartPorts({
      ports,
      clock,
      timers: this.#timersOf(() => rigPart),
      send: (report) => this.#tell(rigPart, report),
    });
    const rigPart: RigPart = {
      number,
      ports,
      part,
      flows: new Set(),
      isPaused: false,
      isDead: false,
      late: [],
    };
    this.parts.push(rigPart);
    this.division.addPart(number);
    return rigPart;
  }

  get living(): RigPart[] {
    return this.parts.filter(({ isDead }) => !isDead);
  }

  kill(part: RigPart): void {
    part.isDead = true;
    part.flows.clear();
    this.division.removePart(part.number);
  }

  resume(part: RigPart): void {
    part.isPaused = false;
    for (const what of part.late.splice(0)) this.#run(part, what);
  }

  /** Opens a flow, if there is a port at once. */
  open(part: RigPart, destination: string): string {
    const taken = part.ports.take(destination);
    if (!taken.ok) return taken.refusal;
    this.#add(part, taken.value, destination);
    return "open";
  }

  /** As a dial does: waits for a port. */
  async openWithin(part: RigPart, destination: string, waitMs = 2_000): Promise<string> {
    const taken = await part.ports.takeWithin(destination, waitMs);
    if (!taken.ok) return taken.refusal;
    if (!part.isDead) this.#add(part, taken.value, destination);
    return "open";
  }

  close(part: RigPart, flow: RigFlow): void {
    part.flows.delete(flow);
    flow.held.release();
  }

  /** Lets time pass, and what is due happen. */
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    for (;;) {
      await settled();
      const next = this.#due.reduce<Due | null>(
        (first, due) => (due.atMs <= endMs && (first === null || due.atMs < first.atMs) ? due : first),
        null,
      );
      if (next === null) break;
      this.#due.splice(this.#due.indexOf(next), 1);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.what();
    }
    this.nowMs = endMs;
    await settled();
  }

  #add(part: RigPart, held: HeldPort, destination: string): void {
    const flow: RigFlow = { held, destination };
    part.flows.add(flow);
    held.onReset = () => this.close(part, flow);
  }

  #send(number: number, command: PartCommand): void {
    const part = this.parts.find((known) => known.number === number)!;
    const text = JSON.stringify(command);
    this.#carry(() => this.#run(part, () => part.part.command(JSON.parse(text) as PartCommand)));
  }

  #tell(part: RigPart, report: PartReport): void {
    const text = JSON.stringify(report);
    this.#carry(() => {
      if (!part.isDead) this.division.report(part.number, JSON.parse(text) as PartReport);
    });
  }

  #lastMs = 0;

  #carry(deliver: () => void): void {
    const { longestWayMs, mayOvertake, mayRepeat } = this.#weather;
    const arrive = (): void => {
      const atMs = this.nowMs + (longestWayMs === 0 ? 0 : this.#draw(longestWayMs));
      this.#lastMs = mayOvertake ? atMs : Math.max(atMs, this.#lastMs);
      this.#due.push({ atMs: this.#lastMs, what: deliver });
    };
    arrive();
    if (mayRepeat && this.#draw(10) === 0) arrive();
  }

  #run(part: RigPart, what: () => void): void {
    if (part.isDead) return;
    if (part.isPaused) part.late.push(what);
    else what();
  }

  #timersOf(of: () => RigPart): Timers {
    return {
      after: (delayMs, what) => {
        let isWanted = true;
        const due = {
          atMs: this.nowMs + Math.max(1, delayMs),
          what: () =>
            this.#run(of(), () => {
              if (isWanted) what();
            }),
        };
        this.#due.push(due);
        return () => {
          isWanted = false;
          this.#due = this.#due.filter((other) => other !== due);
        };
      },
    };
  }
}

/** Everything that is promised has happened. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}

/** A block of 2^order ports. */
export function block(base: number, order: number, epoch: number, isDraining = false): CommandedBlock {
  return { lease: { base, order, epoch }, isDraining };
}

/** All ports of blocks. */
export function portCountIn(blocks: readonly CommandedBlock[]): number {
  return blocks.reduce((sum, { lease }) => sum + portCountOf(lease.order), 0);
}

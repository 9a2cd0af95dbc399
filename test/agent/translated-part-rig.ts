/**
 * A part of an address whose kernel is a model: each call waits until it is let go, may fail, and may have been carried
 * out all the same. What may never be is looked at with every call that is carried out, and every report.
 */
import { expect } from "vitest";
import type { LeaseTerm } from "../../src/core/lease-term.ts";
import type { GivenUnit, PartCommand, PartReport } from "../../src/agent/division/part-messages.ts";
import { TranslatedPart } from "../../src/agent/translation/translated-part.ts";
import type { TranslatedFlow } from "../../src/agent/translation/translated-flow.ts";
import type { TranslationChoice, TranslationKernel } from "../../src/agent/translation/translation-kernel.ts";
import { UNIT_PORT_COUNT, unitOf } from "../../src/core/port-block.ts";

export const IP = "192.0.2.1";

/** How a call ends: done, not done, or done though nobody heard of it. */
export type Outcome = "done" | "refused" | "unheard";

interface Call {
  readonly name: "track" | "choose" | "endEntries";
  readonly carryOut: () => void;
  readonly resolve: () => void;
  readonly reject: (fault: Error) => void;
}

interface Timer {
  readonly atMs: number;
  readonly what: () => void;
}

/** A command without anything of loans. */
export function command(content: Partial<PartCommand> & { readonly number: number }): PartCommand {
  return {
    term: null,
    units: [],
    unitLimit: null,
    lent: [],
    requests: [],
    borrowed: [],
    answers: [],
    isGrowing: false,
    isHostUsable: (content.units ?? []).length > 0,
    ...content,
  };
}

/** Units, each under the grant of 100 more. */
export function given(units: readonly number[], isDraining = false): GivenUnit[] {
  return units.map((unit) => ({ grant: 100 + unit, unit, isDraining }));
}

export class TranslatedRig {
  nowMs = 1_000_000;
  readonly part: TranslatedPart;
  readonly reports: PartReport[] = [];
  /** As the kernel has it. */
  tracked: ReadonlySet<number>;
  choice: TranslationChoice = { units: [], term: null, full: [] };
  entries: TranslatedFlow[] = [];
  readonly calls: Call[] = [];
  /** Names of the calls that were carried out. */
  readonly carriedOut: string[] = [];
  faultCount = 0;
  /** What was reported and was not so: within the part it would count as a fault of the kernel. */
  #untruth: Error | null = null;
  readonly #commands: PartCommand[] = [];
  #timers: Timer[] = [];
  #flowCount = 0;
  readonly #inherited: ReadonlySet<number>;
  readonly #leftOver = new Set<TranslatedFlow>();

  constructor(inherited: readonly number[] = []) {
    this.#inherited = new Set(inherited);
    this.tracked = new Set(inherited);
    const clock = (): { monotonicMs: number; wallMs: number } => ({
      monotonicMs: this.nowMs,
      wallMs: this.nowMs,
    });
    this.part = new TranslatedPart({
      ip: IP,
      kernel: this.#kernel(),
      send: (report) => {
        try {
          this.#heard(report);
        } catch (fault) {
          this.#untruth ??= fault as Error;
        }
      },
      inherited,
      onFault: () => {
        this.faultCount += 1;
      },
      clock,
      timers: {
        after: (delayMs, what) => {
          const timer = { atMs: this.nowMs + delayMs, what };
          this.#timers.push(timer);
          return () => {
            this.#timers = this.#timers.filter((other) => other !== timer);
          };
        },
      },
    });
  }

  get report(): PartReport | undefined {
    return this.reports.at(-1);
  }

  get newest(): PartCommand | undefined {
    return this.#commands.at(-1);
  }

  /** Units that new flows may have now. */
  get chosen(): number[] {
    const { term, units } = this.choice;
    return term !== null && term.monotonicEndMs > this.nowMs ? units.map(({ unit }) => unit) : [];
  }

  term(lastsMs: number): LeaseTerm {
    return { monotonicEndMs: this.nowMs + lastsMs, wallEndMs: this.nowMs + lastsMs };
  }

  async command(next: PartCommand): Promise<void> {
    this.#commands.push(next);
    this.#noteTaken(next);
    this.part.command(next);
    await this.#turns();
  }

  /** Flows of a unit that the part does not have are to end, even if it gets the unit again before they have. */
  #noteTaken({ term, units, isHostUsable }: PartCommand): void {
    if (term === null || !(isHostUsable || units.length > 0)) return;
    const own = new Set(units.map(({ unit }) => unit));
    for (const flow of this.entries) if (!own.has(unitOf(flow.port))) this.#leftOver.add(flow);
  }

  /** The same, and lets the kernel do all that comes of it. */
  async follow(next: PartCommand): Promise<void> {
    await this.command(next);
    await this.finish();
  }

  /** Ends the call that waits for longest. */
  async end(outcome: Outcome): Promise<void> {
    const call = this.calls.shift();
    if (call === undefined) return expect.fail("no call waits for the kernel");
    if (outcome !== "refused") {
      call.carryOut();
      this.carriedOut.push(call.name);
      this.#expectApart();
    }
    if (outcome === "done") call.resolve();
    else call.reject(new Error("the kernel does not listen"));
    await this.#turns();
  }

  /** Lets the kernel do all that it is asked. */
  async finish(): Promise<void> {
    await this.#turns();
    while (this.calls.length > 0) await this.end("done");
  }

  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    for (;;) {
      const due = this.#timers.filter(({ atMs }) => atMs <= endMs).toSorted((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== due);
      this.nowMs = Math.max(this.nowMs, due.atMs);
      due.what();
      await this.#turns();
    }
    this.nowMs = endMs;
  }

  /** A flow begins on a unit, with the next of its ports. */
  open(unit: number, destination = "203.0.113.1"): TranslatedFlow {
    this.#flowCount += 1;
    const used = this.entries.filter(
      (flow) => flow.destination === destination && unitOf(flow.port) === unit,
    );
    const flow: TranslatedFlow = {
      isOver: false,
      protocol: "tcp",
      source: "10.88.0.2",
      sourcePort: this.#flowCount,
      destination,
      destinationPort: 443,
      ip: IP,
      port: unit * UNIT_PORT_COUNT + used.length,
    };
    this.entries.push(flow);
    return flow;
  }

  /** A flow of an earlier lease, silent since its end, is in the table still. */
  leaveOver(unit: number): void {
    this.#leftOver.add(this.open(unit));
  }

  has(unit: number): boolean {
    return this.entries.some(({ port }) => unitOf(port) === unit);
  }

  /** Reads the table now; what is returned hands it to the part. */
  read(): () => Promise<void> {
    const mark = this.part.listingMark;
    const flows = [...this.entries];
    return async () => {
      this.part.flowsListed(flows, mark);
      await this.#turns();
    };
  }

  async list(): Promise<void> {
    await this.read()();
    await this.finish();
  }

  #kernel(): TranslationKernel {
    const call = (name: Call["name"], carryOut: () => void): Promise<void> => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.calls.push({ name, carryOut, resolve, reject });
      return promise;
    };
    return {
      track: (_ip, units) =>
        call("track", () => {
          this.tracked = new Set(units);
        }),
      choose: (_ip, choice) =>
        call("choose", () => {
          this.choice = choice;
        }),
      endEntries: (_ip, units) => {
        const lasting = this.#lastingUnits();
        return call("endEntries", () => this.#endEntries(units, lasting));
      },
      flows: () => Promise.reject(new Error("it is listed by the test")),
    };
  }

  /** Units whose lease lasts. */
  #lastingUnits(): number[] {
    const { term = null, units = [] } = this.newest ?? {};
    if (term === null || term.monotonicEndMs <= this.nowMs) return [];
    const released = new Set(this.report?.released);
    return units.filter(({ grant }) => !released.has(grant)).map(({ unit }) => unit);
  }

  /** `lasting`: of when it was asked for. */
  #endEntries(units: ReadonlySet<number>, lasting: readonly number[]): void {
    const isKept = (flow: TranslatedFlow): boolean => !units.has(unitOf(flow.port));
    const broken = this.entries.filter(
      (flow) => !isKept(flow) && lasting.includes(unitOf(flow.port)) && !this.#leftOver.has(flow),
    );
    expect(broken, "flows that were ended while their unit is this part's").toEqual([]);
    this.entries = this.entries.filter(isKept);
  }

  /** Everything that is promised has happened. */
  async #turns(): Promise<void> {
    for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
    if (this.#untruth !== null) throw this.#untruth;
  }

  #expectApart(): void {
    const untracked = this.choice.units.filter(({ unit }) => !this.tracked.has(unit));
    expect(untracked, "units that are chosen and not tracked").toEqual([]);
  }

  #heard(report: PartReport): void {
    this.reports.push(report);
    const later = this.#commands.filter(({ number }) => number >= report.number);
    const isInheriting = !this.#commands.some(
      ({ number, term, isHostUsable, units }) =>
        number <= report.number && term !== null && (isHostUsable || units.length > 0),
    );
    const mine = new Set(later.flatMap(({ units }) => units.map(({ unit }) => unit)));
    const inKernel = new Set([
      ...this.tracked,
      ...this.choice.units.map(({ unit }) => unit),
      ...this.entries.map(({ port }) => unitOf(port)),
    ]);
    for (const unit of inKernel) {
      if (mine.has(unit) || (isInheriting && this.#inherited.has(unit))) continue;
      // Nothing was confirmed yet, by which it would have become another's.
      if (report.number === 0) continue;
      expect.fail(`unit ${unit} is in the kernel, and command ${report.number} is said to be in force`);
    }
    const { units = [] } = this.newest ?? {};
    for (const { grant, unit } of units) {
      if (report.released.includes(grant)) expect(inKernel, `unit ${unit} is released`).not.toContain(unit);
    }
  }
}

/**
 * Whatever is commanded, and however the kernel fails: no unit is chosen that is not tracked, nothing is reported as
 * done or given back while the kernel still has it, and no flow ends before its lease. The rig looks all the time.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { GivenUnit } from "../../src/agent/division/part-messages.ts";
import type { LeaseTerm } from "../../src/core/lease-term.ts";
import { unitOf } from "../../src/core/port-block.ts";
import { command, type Outcome, TranslatedRig } from "./translated-part-rig.ts";

const UNITS = [20, 21, 22, 23];
const LONG_MS = 1_000_000;

type Step =
  | { readonly what: "give" | "take" | "drain" | "open" | "close"; readonly at: number }
  | { readonly what: "limit"; readonly count: number | null }
  | { readonly what: "term"; readonly lastsMs: number | null }
  | { readonly what: "pass"; readonly ms: number }
  | { readonly what: "call"; readonly outcome: Outcome }
  | { readonly what: "read" | "list" };

const at = fc.nat(7);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ what: fc.constantFrom("give" as const, "take" as const), at }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant("drain" as const), at }) },
  { weight: 6, arbitrary: fc.record({ what: fc.constantFrom("open" as const, "close" as const), at }) },
  {
    weight: 3,
    arbitrary: fc.record({ what: fc.constant("limit" as const), count: fc.constantFrom(null, 0, 1, 2) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      what: fc.constant("term" as const),
      lastsMs: fc.constantFrom(null, 700, 5_000, LONG_MS),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ what: fc.constant("pass" as const), ms: fc.constantFrom(1, 300, 1_000, 6_000) }),
  },
  {
    weight: 14,
    arbitrary: fc.record({
      what: fc.constant("call" as const),
      outcome: fc.constantFrom<Outcome>("done", "done", "done", "done", "refused", "unheard"),
    }),
  },
  { weight: 5, arbitrary: fc.record({ what: fc.constantFrom("read" as const, "list" as const) }) },
);

/**
 * What a division would say: it gives a unit anew only when its part has let go of it, under another grant; and the
 * first units that it gives have among them all that are inherited and still the host's.
 */
class Division {
  readonly rig: TranslatedRig;
  #number = 0;
  #grant = 0;
  #term: LeaseTerm | null = null;
  #limit: number | null = null;
  #given: GivenUnit[] = [];
  #ending: { readonly unit: number; readonly endsWith: number }[] = [];
  #listings: (() => Promise<void>)[] = [];
  readonly #claimed: readonly number[];
  /** Inherited units that are the host's no longer, until its part has heard of that. */
  #lost: readonly number[];
  #hasUnits = false;

  constructor(inherited: readonly number[], claimed: readonly number[]) {
    this.rig = new TranslatedRig(inherited);
    this.#claimed = inherited.filter((unit) => claimed.includes(unit));
    this.#lost = inherited.filter((unit) => !claimed.includes(unit));
    for (const unit of inherited) this.rig.open(unit);
  }

  async take(taken: Step): Promise<void> {
    const { rig } = this;
    this.#hear();
    switch (taken.what) {
      case "give":
        return this.#give(UNITS[taken.at % UNITS.length]!);
      case "take":
        return this.#take(taken.at);
      case "drain":
        this.#given = this.#given.map((unit, which) =>
          which === taken.at ? { ...unit, isDraining: !unit.isDraining } : unit,
        );
        return this.#say();
      case "open": {
        const unit = rig.chosen[taken.at % Math.max(1, rig.chosen.length)];
        if (unit !== undefined) rig.open(unit);
        return;
      }
      case "close":
        rig.entries.splice(taken.at, 1);
        return;
      case "limit":
        this.#limit = taken.count;
        return this.#say();
      case "term":
        this.#term = taken.lastsMs === null ? null : rig.term(taken.lastsMs);
        return this.#say();
      case "pass":
        return rig.pass(taken.ms);
      case "call":
        return rig.calls.length > 0 ? rig.end(taken.outcome) : undefined;
      case "read":
        this.#listings.push(rig.read());
        return;
      case "list":
        return this.#listings.shift()?.();
    }
  }

  /** From now on nothing fails, and the host has what it has for long. */
  async end(): Promise<void> {
    const { rig } = this;
    this.#term = rig.term(LONG_MS);
    this.#limit = null;
    await this.#say();
    for (let turn = 0; turn < 4; turn += 1) {
      await rig.finish();
      await rig.pass(1_000);
      await rig.list();
    }
    this.#hear();
    const held = this.#given.map(({ unit }) => unit).toSorted((a, b) => a - b);
    const open = this.#given.filter(({ isDraining }) => !isDraining).map(({ unit }) => unit);
    if (held.length > 0) expect([...rig.tracked].toSorted((a, b) => a - b)).toEqual(held);
    expect(rig.chosen).toEqual(open.toSorted((a, b) => a - b));
    expect(rig.report?.number).toBe(this.#number);
    if (held.length > 0) for (const { port } of rig.entries) expect(held).toContain(unitOf(port));
  }

  #hear(): void {
    const { number = 0, released = [] } = this.rig.report ?? {};
    this.#ending = this.#ending.filter(({ endsWith }) => endsWith > number);
    this.#given = this.#given.filter(({ grant }) => !released.includes(grant));
  }

  async #give(unit: number): Promise<void> {
    const units = this.#hasUnits ? [unit] : [...new Set([...this.#claimed, unit])];
    this.#hasUnits = true;
    for (const next of units) {
      const others = [...this.#ending, ...this.#given].map((other) => other.unit);
      if (others.includes(next) || this.#lost.includes(next)) continue;
      this.#grant += 1;
      this.#given.push({ grant: this.#grant, unit: next, isDraining: false });
    }
    return this.#say();
  }

  async #take(which: number): Promise<void> {
    const [gone] = this.#given.splice(which, 1);
    if (gone === undefined) return;
    this.#ending.push({ unit: gone.unit, endsWith: this.#number + 1 });
    return this.#say();
  }

  async #say(): Promise<void> {
    this.#number += 1;
    if (this.#given.length > 0 && this.#term !== null) {
      for (const unit of this.#lost) this.#ending.push({ unit, endsWith: this.#number });
      this.#lost = [];
    }
    return this.rig.command(
      command({ number: this.#number, term: this.#term, units: [...this.#given], unitLimit: this.#limit }),
    );
  }
}

test("[SN6] [SN11] in any order of commands, listings and failures nothing is said that is not so", async () => {
  const history = fc.record({
    inherited: fc.subarray(UNITS),
    claimed: fc.subarray(UNITS),
    steps: fc.array(step, { minLength: 5, maxLength: 60 }),
  });
  await fc.assert(
    fc.asyncProperty(history, async ({ inherited, claimed, steps }) => {
      const division = new Division(inherited, claimed);
      for (const each of steps) await division.take(each);
      await division.end();
    }),
    { numRuns: 2_000, interruptAfterTimeLimit: 40_000, markInterruptAsFailure: true },
  );
});

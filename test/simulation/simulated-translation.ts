/** An agent's way to what its kernel translates: calls take their time, fail, and perhaps were carried out all the same. */
import type { TranslatedFlow } from "../../src/agent/translation/translated-flow.ts";
import type { TranslationChoice } from "../../src/agent/translation/translation-kernel.ts";
import type { PreparedKernel } from "../../src/agent/translation/translator.ts";
import { remainingMs } from "../../src/core/lease-term.ts";
import type { Chance } from "./chance.ts";
import type { SimulatedGuard } from "./guard-kernel.ts";
import type { Process } from "./machine.ts";
import type { TranslationTable } from "./translation-table.ts";

const LONGEST_CALL_MS = 15;
const LONGEST_LISTING_MS = 60;

/** Of one agent. */
export class SimulatedTranslation implements PreparedKernel {
  readonly #table: TranslationTable;
  readonly #guard: SimulatedGuard;
  readonly #process: Process;
  readonly #chance: Chance;

  constructor(table: TranslationTable, guard: SimulatedGuard, process: Process, chance: Chance) {
    this.#table = table;
    this.#guard = guard;
    this.#process = process;
    this.#chance = chance;
  }

  open(): Promise<void> {
    return Promise.resolve();
  }

  restore(): Promise<boolean> {
    return Promise.resolve(false);
  }

  takePolicy(): Promise<void> {
    return Promise.resolve();
  }

  counts(): Promise<ReadonlyMap<string, number>> {
    return Promise.resolve(new Map());
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  track(ip: string, units: readonly number[]): Promise<void> {
    return this.#guard.translate(ip, units);
  }

  choose(ip: string, choice: TranslationChoice): Promise<void> {
    const { term } = choice;
    const leftMs = term === null ? 0 : remainingMs(term, this.#process.machine.clock());
    return this.#call(LONGEST_CALL_MS, () => this.#table.choose(ip, choice, leftMs));
  }

  endEntries(ip: string, units: ReadonlySet<number>): Promise<void> {
    return this.#call(LONGEST_CALL_MS, () => this.#table.endEntries(ip, units));
  }

  flows(): Promise<ReadonlyMap<string, readonly TranslatedFlow[]>> {
    return this.#call(LONGEST_LISTING_MS, () =>
      Map.groupBy(
        Array.from(this.#table.entries(), (flow): TranslatedFlow => ({ ...flow })),
        ({ ip }) => ip,
      ),
    );
  }

  /** It is carried out at some moment, and told at a later one. */
  #call<Result>(longestMs: number, carryOut: () => Result): Promise<Result> {
    const { troubles, lossCount } = this.#guard.kernel;
    const { machine } = this.#process;
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const isFailing = this.#chance.isLikely(troubles.failureChance);
    const isInVain = isFailing && this.#chance.isLikely(0.5);
    const doneMs = this.#chance.between(0.5, longestMs) + this.#chance.next() * troubles.slownessMs;
    const toldMs = this.#chance.between(0.1, longestMs / 2);
    // The program that tells the kernel goes on when the agent is paused or killed.
    machine.after(doneMs, () => {
      if (lossCount !== this.#guard.kernel.lossCount) return;
      const result = isInVain ? null : carryOut();
      machine.after(toldMs, () =>
        this.#process.run(() =>
          isFailing ? reject(new Error("the kernel does not listen")) : resolve(result as Result),
        ),
      );
    });
    return promise;
  }
}

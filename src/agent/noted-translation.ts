/** The guard, as the translation sees it: in which units the kernel translates is noted in the host's log on its way. [AT12] */
import { UNIT_PORT_COUNT } from "../core/port-block.ts";
import type { BlockLog } from "./flow-log/block-log.ts";
import type { LoggedTranslation } from "./flow-log/log-lines.ts";
import type { Machine } from "./machine/guarded-machine.ts";
import type { TranslationGuard } from "./translation/nft-translation.ts";
import type { SnatRule } from "./translation/snat-rule.ts";

/** One per agent that translates. */
export class NotedTranslation implements TranslationGuard {
  readonly #guard: Pick<Machine, "restore" | "translate" | "unitsInUse">;
  readonly #rules: readonly SnatRule[];
  readonly #log: BlockLog | null;
  /** Units that are noted and have not ended, by address. */
  readonly #noted = new Map<string, ReadonlySet<number>>();
  /** Addresses whose units were said in this life. */
  readonly #said = new Set<string>();

  constructor(
    guard: Pick<Machine, "restore" | "translate" | "unitsInUse">,
    rules: readonly SnatRule[],
    log: BlockLog | null,
  ) {
    this.#guard = guard;
    this.#rules = rules;
    this.#log = log;
  }

  restore(): Promise<boolean> {
    return this.#guard.restore();
  }

  /** Those of an earlier life, which go on. */
  unitsInUse(ip: string): readonly number[] {
    const units = this.#guard.unitsInUse(ip);
    if (!this.#said.has(ip)) this.#begin(ip, units);
    return units;
  }

  /** What comes is noted before anything can leave from it, what goes when nothing can any more. */
  async translate(ip: string, units: readonly number[]): Promise<void> {
    this.#said.add(ip);
    this.#begin(ip, units);
    await this.#guard.translate(ip, units);
    const kept = new Set(units);
    for (const unit of this.#noted.get(ip) ?? []) {
      if (!kept.has(unit)) this.#log?.translationEnded(this.#logged(ip, unit));
    }
    this.#noted.set(ip, kept);
  }

  #begin(ip: string, units: readonly number[]): void {
    const before = this.#noted.get(ip) ?? new Set();
    for (const unit of units) if (!before.has(unit)) this.#log?.translationBegan(this.#logged(ip, unit));
    this.#noted.set(ip, new Set([...before, ...units]));
  }

  #logged(ip: string, unit: number): LoggedTranslation {
    const meant = this.#rules.filter(({ ips }) => ips.length === 0 || ips.includes(ip));
    const first = unit * UNIT_PORT_COUNT;
    return {
      ip,
      first,
      last: first + UNIT_PORT_COUNT - 1,
      names: [...new Set(meant.map(({ name }) => name))],
    };
  }
}

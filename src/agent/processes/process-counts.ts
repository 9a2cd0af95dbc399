/**
 * What the data processes of a host counted together. A counter must not fall when one of them has ended or
 * does not answer: to whoever reads it that looks like a new beginning, and all of it would count again. So
 * what each said last stays in the sum. [MT4]
 */
import { type Samples, sumOfCounts } from "../../metrics/node/registry.ts";

/** One per agent. */
export class ProcessCounts {
  /** By process. */
  readonly #last = new Map<number, Samples>();
  /** Of all that have ended. */
  #ended: Samples = [];

  /** All that is to be added up after a scrape of the processes there are; null for one that did not answer. */
  async after(scrape: ReadonlyMap<number, Samples | null>): Promise<readonly Samples[]> {
    const gone = [...this.#last].filter(([process]) => !scrape.has(process));
    for (const [process] of gone) this.#last.delete(process);
    if (gone.length > 0)
      this.#ended = await sumOfCounts([this.#ended, ...gone.map(([, samples]) => samples)]);
    for (const [process, samples] of scrape) if (samples !== null) this.#last.set(process, samples);
    return [this.#ended, ...this.#last.values()];
  }
}

/** What a data process asks the others of its host, and what they have said. [MP5] */
import type { PartAnswer, PartAsk } from "./part-messages.ts";

interface Towards {
  /** The question that is open; null for none. */
  openAsk: number | null;
  /** Flows that have wanted a port since the last answer. */
  waitingCount: number;
  /** The newest question that was answered with no, and when. */
  noAsk: number;
  noAtMs: number;
}

/** So long after a no nobody is asked again: who is short of ports meanwhile asks together. */
const PAUSE_MS = 20;
/** Destinations about which nothing was asked for so long are forgotten. */
const MEMORY_MS = 10_000;

/** One per address of a data process. Times are of the monotonic clock. */
export class PartAsks {
  #count = 0;
  readonly #byDestination = new Map<string, Towards>();

  /** Questions asked so far. */
  get count(): number {
    return this.#count;
  }

  /** What is open. */
  get open(): PartAsk[] {
    return [...this.#byDestination].flatMap(([destination, { openAsk: ask, waitingCount: count }]) =>
      ask === null ? [] : [{ ask, destination, count }],
    );
  }

  /**
   * Whether ports towards a destination may still come for whoever began to wait after so many
   * questions, and whether a question is to be asked for that now, or only after a pause (milliseconds).
   */
  want(
    destination: string,
    since: number,
    nowMs: number,
  ): { mayCome: boolean; isNew: boolean; waitMs: number } {
    let towards = this.#byDestination.get(destination);
    if (towards === undefined) {
      towards = { openAsk: null, waitingCount: 0, noAsk: 0, noAtMs: -Infinity };
      this.#byDestination.set(destination, towards);
    }
    if (towards.openAsk !== null) {
      towards.waitingCount += 1;
      return { mayCome: true, isNew: false, waitMs: 0 };
    }
    // One that was asked before this flow came says nothing of now.
    if (towards.noAsk > since) return { mayCome: false, isNew: false, waitMs: 0 };
    towards.waitingCount += 1;
    const waitMs = towards.noAtMs + PAUSE_MS - nowMs;
    if (waitMs > 0) return { mayCome: true, isNew: false, waitMs };
    this.#count += 1;
    towards.openAsk = this.#count;
    return { mayCome: true, isNew: true, waitMs: 0 };
  }

  /** What was decided; whether anything of it is news. */
  answered(answers: readonly PartAnswer[], nowMs: number): boolean {
    let isNews = false;
    for (const [destination, towards] of this.#byDestination) {
      const answer = answers.find(({ ask }) => ask === towards.openAsk);
      if (answer === undefined) {
        if (towards.openAsk === null && nowMs - towards.noAtMs > MEMORY_MS)
          this.#byDestination.delete(destination);
        continue;
      }
      isNews = true;
      towards.openAsk = null;
      towards.waitingCount = 0;
      if (!answer.isNo) continue;
      towards.noAsk = answer.ask;
      towards.noAtMs = nowMs;
    }
    return isNews;
  }
}

/**
 * Hosts whose gateways did not answer a moment ago, by pool. Whoever asks a pool for its placement
 * names them, so that the pool asks them for a word: it need not hear of each host every second to
 * know within seconds which one is gone. [DO20] [WK46]
 */
import { PassingMarks } from "./passing-marks.ts";

/** So long a doubt lasts; a host that goes on being missed is doubted again. */
const DOUBT_MS = 5_000;
const REMEMBERED_DOUBTS = 4_096;

/** What one isolate doubts. No name has a blank. */
export class HostDoubts {
  readonly #marks = new PassingMarks(DOUBT_MS, REMEMBERED_DOUBTS);
  readonly #told = new PassingMarks(DOUBT_MS, REMEMBERED_DOUBTS);

  /** The gateway of a host has not answered. */
  add(pool: string, host: string, nowMs: number): void {
    this.#marks.add(keyOf(pool, host), nowMs);
  }

  /** The gateway of a host has answered. */
  remove(pool: string, host: string): void {
    this.#marks.remove(keyOf(pool, host));
    this.#told.remove(keyOf(pool, host));
  }

  /** Whether the pool knows of it. */
  isTold(pool: string, host: string, nowMs: number): boolean {
    return this.#told.has(keyOf(pool, host), nowMs);
  }

  /** The hosts of a pool that are in doubt now: the pool is about to be told. */
  tell(pool: string, nowMs: number): string[] {
    const prefix = keyOf(pool, "");
    const keys = this.#marks.present(nowMs).filter((key) => key.startsWith(prefix));
    for (const key of keys) this.#told.add(key, nowMs);
    return keys.map((key) => key.slice(prefix.length));
  }
}

function keyOf(pool: string, host: string): string {
  return `${pool} ${host}`;
}

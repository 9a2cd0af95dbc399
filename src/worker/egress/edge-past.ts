/**
 * What an edge of one isolate answered over the last hour and day, for the dashboard. In memory alone: it begins
 * anew with the edge. Where there are many isolates one of them says nothing, so none counts. [DA11]
 */
import { MINUTE_MS, type PastCounts } from "../../core/live-view.ts";
import { PastRings } from "../../core/past-counts.ts";

/** One per isolate. */
export class EdgePast {
  readonly #rings = new PastRings();
  /** What has come in the minute that runs, so that a request costs no more than an addition. */
  #minute = 0;
  #requestCount = 0;
  #flowCount = 0;
  readonly #refusals = new Map<string, number>();

  /** A request was answered by a host, a flow of one was begun, or the edge itself has refused it. */
  note(nowMs: number, code: string | null, status: number): void {
    const minute = Math.floor(nowMs / MINUTE_MS);
    if (minute !== this.#minute) this.#count();
    this.#minute = minute;
    if (code !== null) this.#refusals.set(code, (this.#refusals.get(code) ?? 0) + 1);
    else if (status === 101) this.#flowCount += 1;
    else this.#requestCount += 1;
  }

  /** All of it. */
  past(nowMs: number): PastCounts {
    this.#count();
    return this.#rings.past(nowMs);
  }

  #count(): void {
    const requestCount = this.#requestCount;
    const flowCount = this.#flowCount;
    const refusals = Object.fromEntries(this.#refusals);
    if (requestCount + flowCount + this.#refusals.size === 0) return;
    this.#rings.add(this.#minute * MINUTE_MS, { requestCount, flowCount, refusals, portCount: 0 });
    this.#requestCount = 0;
    this.#flowCount = 0;
    this.#refusals.clear();
  }
}

/** That of this isolate. */
export const edgePast = new EdgePast();

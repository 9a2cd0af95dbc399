/**
 * How much an origin may send over HTTP/2 that carries nothing: settings, pings, empty frames,
 * frames of streams that are over. Each is allowed, and a flood of them is not. [OR7]
 */
import { ENHANCE_YOUR_CALM, Http2Error } from "./http2-frames.ts";

const MAX_IN_PERIOD = 10_000;
const PERIOD_MS = 10_000;

/** Of one connection. */
export class NuisanceBudget {
  #spent = 0;
  #sinceMs = performance.now();

  /** A frame that carried nothing. Throws `Http2Error` beyond the bound. */
  spend(): void {
    this.#spent += 1;
    if (this.#spent <= MAX_IN_PERIOD) return;
    const nowMs = performance.now();
    if (nowMs - this.#sinceMs < PERIOD_MS) {
      throw new Http2Error(ENHANCE_YOUR_CALM, "Too many frames carry nothing.");
    }
    this.#sinceMs = nowMs;
    this.#spent = 1;
  }

  /** Something useful was sent or came: windows and pings belong to it. */
  forgive(): void {
    if (this.#spent > 0) this.#spent -= 1;
  }
}

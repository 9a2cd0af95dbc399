/**
 * How much an origin may send over HTTP/2 that carries nothing: settings, pings, windows, empty
 * frames, frames of streams that are over. Each is allowed, and a flood of them is not, unless what
 * we did ourselves brings it about. [OR7]
 */
import { ENHANCE_YOUR_CALM, Http2Error } from "./http2-frames.ts";
import { monotonicMs } from "../../../process/clock.ts";

const MAX_IN_PERIOD = 10_000;
const PERIOD_MS = 10_000;

/** Of one connection. */
export class NuisanceBudget {
  #spent = 0;
  #sinceMs = monotonicMs();

  /** A frame that carried nothing. Throws `Http2Error` beyond the bound. */
  spend(): void {
    this.#spent += 1;
    if (this.#spent <= MAX_IN_PERIOD) return;
    const nowMs = monotonicMs();
    if (nowMs - this.#sinceMs < PERIOD_MS) {
      throw new Http2Error(ENHANCE_YOUR_CALM, "Too many frames carry nothing.");
    }
    this.#sinceMs = nowMs;
    this.#spent = 1;
  }

  /** Something came that does carry something, or we did what so many such frames may follow. */
  forgive(frames = 1): void {
    this.#spent = Math.max(-MAX_IN_PERIOD, this.#spent - frames);
  }
}

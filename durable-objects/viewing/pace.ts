/** How often something is done that many things may ask for: at once, and then not before a while has passed. */
import { within } from "../platform/deadline.ts";
import type { ObjectPlatform } from "../platform/object-platform.ts";

/** One per thing that is done. */
export class Pace {
  readonly #platform: ObjectPlatform;
  readonly #intervalMs: number;
  readonly #act: () => Promise<void>;
  #lastAtMs = -Infinity;
  #isWanted = false;
  #isUnderWay = false;
  #hurry = Promise.withResolvers<void>();

  /** `act` is never done twice at a time. */
  constructor(platform: ObjectPlatform, intervalMs: number, act: () => Promise<void>) {
    this.#platform = platform;
    this.#intervalMs = intervalMs;
    this.#act = act;
  }

  /** It is to be done, once for all that ask until then. */
  soon(): void {
    this.#isWanted = true;
    if (this.#isUnderWay) return;
    this.#isUnderWay = true;
    // Not kept awake for it: where the instance ends all the same, whoever looks says so again.
    void this.#work().catch(() => {});
  }

  /** It is to be done without waiting. */
  now(): void {
    this.#hurry.resolve();
    this.soon();
  }

  async #work(): Promise<void> {
    while (this.#isWanted) {
      // A clock that was set back makes nobody wait longer.
      const passedMs = Math.abs(this.#platform.nowMs() - this.#lastAtMs);
      const leftMs = this.#intervalMs - passedMs;
      if (leftMs > 0) await within(this.#platform, leftMs, this.#hurry.promise);
      // Whoever asks may be in the middle of something.
      await this.#platform.wait(0);
      this.#isWanted = false;
      this.#hurry = Promise.withResolvers();
      this.#lastAtMs = this.#platform.nowMs();
      try {
        await this.#act();
      } catch (fault) {
        this.#platform.report("who looks could not be told", fault);
      }
    }
    this.#isUnderWay = false;
  }
}

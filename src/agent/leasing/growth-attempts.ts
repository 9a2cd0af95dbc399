/** When a host may ask for another block, and whether it was refused the last one. [LK5] */
import type { RefusalCode } from "./keeper-options.ts";
import { UNIT_PORT_COUNT } from "../../core/port-block.ts";
import { BackOff } from "../../process/back-off.ts";

/** One per keeper. Times are of the monotonic clock, in milliseconds. */
export class GrowthAttempts {
  readonly #backOff: BackOff;
  #atMs = 0;
  #isExhausted = false;

  constructor(random: () => number) {
    this.#backOff = new BackOff({ firstMs: 500, longestMs: 30_000 }, random);
  }

  /** When to ask next, if more is wanted. */
  get atMs(): number {
    return this.#atMs;
  }

  /** Whether the address has no more for this host, as far as is known. */
  get isExhausted(): boolean {
    return this.#isExhausted;
  }

  /** A block came. */
  granted(): void {
    this.#backOff.succeed();
    this.#isExhausted = false;
  }

  /** None came, because of this; null if one came that could not be used. */
  failed(code: RefusalCode | null, nowMs: number): void {
    this.#atMs = nowMs + this.#backOff.fail();
    if (code !== null) this.#isExhausted = code === "address-exhausted" || code === "share-exceeded";
  }

  /** The address tells how many ports it has left: with some, it is worth a question. */
  heardOf(portCount: number): void {
    if (this.#isExhausted && portCount >= UNIT_PORT_COUNT) this.#atMs = 0;
  }

  /** What was refused before says nothing any more. */
  beginAnew(): void {
    this.granted();
    this.#atMs = 0;
  }
}

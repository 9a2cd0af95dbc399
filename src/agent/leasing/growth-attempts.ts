/** When a host may ask for another block, and whether it was refused the last one. [LK5] */
import type { RefusalCode } from "./keeper-options.ts";
import { UNIT_PORT_COUNT } from "../../core/port-block.ts";
import { type Holdings, pressureCount } from "./growth-policy.ts";
import { BackOff } from "../../process/back-off.ts";

/** A host that gave a spare back, since it was too large, wants no other for so long unless it is needed. */
const CONTENT_MS = 30_000;

/** One per keeper. Times are of the monotonic clock, in milliseconds. */
export class GrowthAttempts {
  readonly #backOff: BackOff;
  #atMs = 0;
  #isExhausted = false;
  #contentUntilMs = -Infinity;

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

  /**
   * A spare was too large, and is given back. On a full address the next one might be the same block
   * again, for it can be had by nobody else while it rests. [QU3]
   */
  gaveBack(nowMs: number): void {
    this.#contentUntilMs = nowMs + CONTENT_MS;
  }

  /** Whether a block that is wanted may be asked for now. */
  mayAsk(holdings: Holdings, nowMs: number): boolean {
    const isNeeded = holdings.active.length === 0 || holdings.busiestCount >= pressureCount(holdings);
    return nowMs >= this.#atMs && (isNeeded || nowMs >= this.#contentUntilMs);
  }

  /** What was refused before says nothing any more. */
  beginAnew(): void {
    this.granted();
    this.#atMs = 0;
  }
}

/** The drain of a keeper: whether it is on, until when its flows may go on, and how long its releases are waited for. [LK9] */

/** One per keeper. Times are of the monotonic clock, in milliseconds. */
export class KeeperDrain {
  readonly #farewellMs: number;
  #endMs: number | null = null;
  #farewellEndMs: number | null = null;
  #keepsSlots = false;

  constructor(farewellMs: number) {
    this.#farewellMs = farewellMs;
  }

  /** Whether nothing new is taken. */
  get isOn(): boolean {
    return this.#endMs !== null;
  }

  /** Whether static slots stay this host's when it is done. [SM9] */
  get keepsSlots(): boolean {
    return this.#keepsSlots;
  }

  /** When it will have to be looked at; null for what is not foreseen. */
  get wakeAtMs(): readonly (number | null)[] {
    return [this.#endMs, this.#farewellEndMs];
  }

  /** Begins, or ends sooner than before. */
  begin(endMs: number, keepsSlots: boolean): void {
    this.#endMs = Math.min(this.#endMs ?? Infinity, endMs);
    this.#keepsSlots = keepsSlots;
  }

  /** False if its deadline has come, or there is none. [LK11] */
  takeBack(nowMs: number): boolean {
    if (this.#endMs === null || nowMs >= this.#endMs) return false;
    this.#endMs = null;
    this.#farewellEndMs = null;
    return true;
  }

  /** Whether flows that are left are reset now. */
  isDue(nowMs: number): boolean {
    return this.#endMs !== null && nowMs >= this.#endMs;
  }

  /** Whether the releases, of which the first could be asked for when this was asked first, have had their time. */
  isFarewellOver(nowMs: number): boolean {
    this.#farewellEndMs ??= nowMs + this.#farewellMs;
    return nowMs >= this.#farewellEndMs;
  }
}

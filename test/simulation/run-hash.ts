/** A digest of all that happened, to tell whether two runs were the same. FNV-1a, twice over. */
export class RunHash {
  #low = 0x811c9dc5;
  #high = 0x84222325;

  add(text: string): void {
    let low = this.#low;
    let high = this.#high;
    for (let at = 0; at < text.length; at += 1) {
      const code = text.charCodeAt(at);
      low = Math.imul(low ^ code, 0x01000193);
      high = (Math.imul(high ^ code, 0x01000197) + at) | 0;
    }
    this.#low = low;
    this.#high = high;
  }

  /** A true time, to the last bit. */
  addTime(atMs: number): void {
    const whole = Math.floor(atMs);
    this.#low = Math.imul(this.#low ^ (whole | 0), 0x01000193);
    this.#high = Math.imul(this.#high ^ Math.floor((atMs - whole) * 2 ** 31), 0x01000197);
  }

  toString(): string {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
  }
}

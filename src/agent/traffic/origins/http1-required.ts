/** Origins that asked for HTTP/1.1 over HTTP/2: they are not asked in vain again. [OR8] */

/** The oldest is forgotten beyond this. */
const MAX_ORIGINS = 1_000;

/** The last origins that did. */
export class Http1Required {
  readonly #origins = new Set<string>();

  has(origin: string): boolean {
    return this.#origins.has(origin);
  }

  add(origin: string): void {
    this.#origins.delete(origin);
    this.#origins.add(origin);
    if (this.#origins.size <= MAX_ORIGINS) return;
    for (const oldest of this.#origins) {
      this.#origins.delete(oldest);
      return;
    }
  }
}

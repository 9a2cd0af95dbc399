/** Which hue each host of an address has. */
const byName = new Intl.Collator("en", { numeric: true }).compare;

/** By name as they were first seen together, and then for as long as the address is shown. [PG2] */
export class HostHues {
  readonly #indexes = new Map<string, number>();

  /** Numbers those that have none yet. */
  see(hosts: Iterable<string>): void {
    const fresh = [...new Set(hosts)].filter((host) => !this.#indexes.has(host));
    for (const host of fresh.toSorted(byName)) this.#indexes.set(host, this.#indexes.size);
  }

  /** -1 for one that was not seen. */
  indexOf(host: string): number {
    return this.#indexes.get(host) ?? -1;
  }
}

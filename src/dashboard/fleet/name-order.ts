/** Names in the order of people, `web-2` before `web-10`; compared once for all rows, since collators are slow. */
export class NameOrder {
  readonly #ranks = new Map<string, number>();
  readonly #compare = new Intl.Collator("en", { numeric: true }).compare;

  /** The place of each of these among them. */
  ranksOf(names: Iterable<string>): ReadonlyMap<string, number> {
    const all = [...names];
    if (all.length === this.#ranks.size && all.every((name) => this.#ranks.has(name))) return this.#ranks;
    this.#ranks.clear();
    for (const name of all.toSorted(this.#compare)) this.#ranks.set(name, this.#ranks.size);
    return this.#ranks;
  }
}

/** What a pool tells anybody of its addresses, if its operator says so: for partners who let them in. [PF1] */

/** An address as the Internet sees it. */
export interface PublishedAddress {
  readonly address: string;
  /**
   * `drained` is kept out of use and may come into it at any time; `retiring` leaves the pool, and what
   * was begun from it goes on for a while.
   */
  readonly state: "active" | "drained" | "retiring";
  /** In lower case; null when the operator has not said. */
  readonly country: string | null;
  /** When it came into the pool (Unix milliseconds); 0 when that is not known. */
  readonly addedAtMs: number;
}

/** The addresses of one pool, IPv4 first, each once. */
export interface PublishedPool {
  readonly pool: string;
  readonly addresses: readonly PublishedAddress[];
}

const STATES: readonly PublishedAddress["state"][] = ["active", "drained", "retiring"];

/** In an order that stays; of two with one address the one that is more in use counts. */
export function publishedPool(pool: string, all: readonly PublishedAddress[]): PublishedPool {
  const byAddress = new Map<string, PublishedAddress>();
  for (const one of all) {
    const known = byAddress.get(one.address);
    if (known === undefined || STATES.indexOf(one.state) < STATES.indexOf(known.state)) {
      byAddress.set(one.address, one);
    }
  }
  return { pool, addresses: [...byAddress.values()].toSorted(byFamilyAndText) };
}

function byFamilyAndText({ address: one }: PublishedAddress, { address: other }: PublishedAddress): number {
  const families = Number(one.includes(":")) - Number(other.includes(":"));
  return families !== 0 ? families : one < other ? -1 : 1;
}

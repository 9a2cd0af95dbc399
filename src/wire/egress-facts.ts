/**
 * What pools publish, as partners read it: a list of prefixes in the manner of large providers, and a
 * geofeed (RFC 8805). Both depend on nothing but what is published, so that a script sees when it has
 * changed. [PF2] [PF3]
 */
import type { PublishedAddress, PublishedPool } from "../core/egress-facts.ts";

const VERSION = 1;
const LINE_END = "\r\n";

/** The list without the time at which it was made, as members of a JSON object. */
export function listedFacts(pools: readonly PublishedPool[]): Record<string, unknown> {
  return {
    version: VERSION,
    prefixes: pools.flatMap(({ pool, addresses }) => addresses.map((one) => listedAddress(pool, one))),
  };
}

function listedAddress(
  pool: string,
  { address, state, country, addedAtMs }: PublishedAddress,
): Record<string, unknown> {
  return {
    ...(address.includes(":") ? { ipv6Prefix: prefixOf(address) } : { ipv4Prefix: prefixOf(address) }),
    pool,
    state,
    ...(country === null ? {} : { country: country.toUpperCase() }),
    ...(addedAtMs === 0 ? {} : { added: new Date(addedAtMs).toISOString() }),
  };
}

/** The geofeed: addresses whose country is known, each once. Without one a line would say "nowhere". */
export function formatGeofeed(pools: readonly PublishedPool[]): string {
  const lines = new Map<string, string>();
  for (const { address, country } of pools.flatMap(({ addresses }) => addresses)) {
    if (country === null || lines.has(address)) continue;
    // Region, city and postal code are not known.
    lines.set(address, `${prefixOf(address)},${country.toUpperCase()},,,`);
  }
  const head = "# Egress addresses, each with the country in which it is used (RFC 8805).";
  return [head, ...lines.values()].map((line) => line + LINE_END).join("");
}

function prefixOf(address: string): string {
  return `${address}/${address.includes(":") ? 128 : 32}`;
}

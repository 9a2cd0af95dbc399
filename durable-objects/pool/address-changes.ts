/** What an operator changes about an address of a pool. */
import { PLACELESS } from "../../src/core/whereabouts.ts";
import type { PoolIp } from "./pool-store.ts";

/** What is not given stays as it is; null, and an empty list, take away. [DO19] */
export type AddressChanges = {
  readonly [Key in keyof Omit<PoolIp, "ip" | "retiring">]?: PoolIp[Key] | undefined;
};

/** The address as it is from now on; before it was known nothing was said of it. */
export function changedAddress(
  known: PoolIp | null,
  ip: string,
  changes: AddressChanges,
): Omit<PoolIp, "retiring"> {
  const { advertised, country, sites, tags } = known ?? { advertised: null, ...PLACELESS };
  return {
    ip,
    // Null says something.
    advertised: changes.advertised === undefined ? advertised : changes.advertised,
    country: changes.country === undefined ? country : changes.country,
    sites: changes.sites ?? sites,
    tags: changes.tags ?? tags,
  };
}

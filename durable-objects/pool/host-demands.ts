/** How many addresses each host needs, by what it reports; kept on disk over restarts of the object. [AS8] */
import {
  type AddressUse,
  type Demand,
  demandAfter,
  FIRST_DEMAND,
  REST_MS,
} from "../../src/core/address-demand.ts";
import { type Family, familyOf } from "../../src/core/address-family.ts";
import type { ObjectPlatform } from "../platform/object-platform.ts";
import type { AssignmentStore, HostDemand } from "./assignment-store.ts";
import type { StoredHost } from "./pool-store.ts";

export const FAMILIES: readonly Family[] = [4, 6];

/** What a look at a host came to. */
export interface DemandNow {
  readonly addressCounts: { readonly [Key in Family]: number };
  /** When it is to be looked at again if it says nothing; infinite for not before it does. */
  readonly dueAtMs: number;
}

/** One per pool object. */
export class HostDemands {
  readonly #platform: Pick<ObjectPlatform, "nowMs">;
  readonly #assignments: AssignmentStore;

  constructor(options: {
    readonly platform: Pick<ObjectPlatform, "nowMs">;
    readonly assignments: AssignmentStore;
  }) {
    this.#platform = options.platform;
    this.#assignments = options.assignments;
  }

  /** Looks at the demand of a host that has at least so many ports of each address, and keeps what it was. */
  lookAt(stored: StoredHost, before: HostDemand, leastPorts: number): DemandNow {
    const nowMs = this.#platform.nowMs();
    const addressCounts = { 4: 1, 6: 1 };
    let dueAtMs = Infinity;
    const seen: { [Key in Family]?: Demand } = {};
    for (const family of FAMILIES) {
      const uses = usesOf(stored, family);
      const demand = demandAfter(before[family] ?? FIRST_DEMAND, uses, nowMs, leastPorts);
      if (uses.length > 0 || before[family] !== undefined) seen[family] = demand;
      addressCounts[family] = demand.addressCount;
      if (demand.restSinceMs !== null) dueAtMs = Math.min(dueAtMs, demand.restSinceMs + REST_MS);
    }
    if (FAMILIES.some((family) => isNews(before[family], seen[family]))) {
      this.#assignments.putDemand(stored.host, seen);
    }
    return { addressCounts, dueAtMs };
  }
}

/** Whether a demand is worth a row: not the mere time of a look at the same use. */
function isNews(before: Demand | undefined, now: Demand | undefined): boolean {
  if (before === undefined || now === undefined) return before !== now;
  return (
    before.addressCount !== now.addressCount ||
    before.restSinceMs !== now.restSinceMs ||
    before.busyCount !== now.busyCount
  );
}

/** What a host uses of the addresses of a family where it has ports. */
export function usesOf({ rooms }: StoredHost, family: Family): AddressUse[] {
  const uses: AddressUse[] = [];
  for (const { ip, portCount, busiestCount, limit = null } of rooms) {
    if (portCount > 0 && limit !== null && familyOf(ip) === family) uses.push({ busiestCount, limit });
  }
  return uses;
}

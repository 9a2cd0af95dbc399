/**
 * Who may send what through a pool, as its operator says: tenants, destinations and limits. Hosts have a
 * copy of it and decide by that alone. How addresses lease is none of it (`pool-settings.ts`).
 */

/** How seriously lists of destinations are taken. Special addresses are refused in every mode. */
export type PolicyMode =
  /** What a list forbids is refused. */
  | "enforce"
  /** What a list forbids is counted and logged, and goes ahead. */
  | "report"
  /** Lists are not looked at. */
  | "open";

/**
 * Lists of destinations. An entry is `HOST[:PORTS]`: a name, `*.` and a name (whatever is below it), an
 * address, a network in CIDR form, or `*`; IPv6 is in brackets where ports follow. PORTS is a number or `80-90`.
 */
export interface DestinationRules {
  readonly mode: PolicyMode;
  /** When there are any, all else is denied. */
  readonly allow: readonly string[];
  /** Come before what is allowed. */
  readonly deny: readonly string[];
}

/** What a tenant may have at once or in a time, over all hosts of the pool; null for as much as there is. */
export interface TenantLimits {
  readonly requestsPerSecond: number | null;
  readonly requestsInFlight: number | null;
  readonly tunnels: number | null;
  /** Ports in use towards destinations, each connection counted, and each UDP association. */
  readonly ports: number | null;
  /** In both directions together, from midnight to midnight UTC. */
  readonly bytesPerDay: number | null;
}

/** What is said of one tenant. */
export interface TenantPolicy {
  /** Beside the pool's: a destination must pass both. */
  readonly destinations: DestinationRules;
  readonly limits: TenantLimits;
}

/** A token that is not good any more, until it would have ended anyway. */
export interface RevokedToken {
  readonly tokenId: string;
  /** Unix milliseconds. */
  readonly expiresAtMs: number;
}

/** All of it. */
export interface PoolPolicy {
  /** Rises with every change; 0 where nothing was ever said. */
  readonly version: number;
  /** For every tenant. */
  readonly destinations: DestinationRules;
  /** Networks in CIDR form that may be reached although they are special; never the hosts' own addresses. */
  readonly special: readonly string[];
  /** Tenants that the pool serves, by name; null for every tenant, under `anyTenant`. */
  readonly tenants: Readonly<Record<string, TenantPolicy>> | null;
  /** What holds for a tenant where the pool serves every one. */
  readonly anyTenant: TenantPolicy;
  readonly revoked: readonly RevokedToken[];
}

/** Everything that is not special may be reached. */
export const OPEN_DESTINATIONS: DestinationRules = { mode: "enforce", allow: [], deny: [] };

/** As much as there is. */
export const NO_LIMITS: TenantLimits = {
  requestsPerSecond: null,
  requestsInFlight: null,
  tunnels: null,
  ports: null,
  bytesPerDay: null,
};

const UNRESTRICTED: TenantPolicy = { destinations: OPEN_DESTINATIONS, limits: NO_LIMITS };

/** The policy of a pool about which nothing was said. */
export const DEFAULT_POOL_POLICY: PoolPolicy = {
  version: 0,
  destinations: OPEN_DESTINATIONS,
  special: [],
  tenants: null,
  anyTenant: UNRESTRICTED,
  revoked: [],
};

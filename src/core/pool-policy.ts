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
  /** Rises with every change, and is no less than its time (Unix milliseconds); 0 where nothing was ever said. [PY2] */
  readonly version: number;
  /** For every tenant. */
  readonly destinations: DestinationRules;
  /** Networks in CIDR form that may be reached although they are special; never the hosts' own addresses. */
  readonly special: readonly string[];
  /** Tenants of which something is said, by name. */
  readonly tenants: Readonly<Record<string, TenantPolicy>>;
  /** What holds for a tenant that is not named; null when the pool serves only those that are. */
  readonly anyTenant: TenantPolicy | null;
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

/** Whatever is not special, and as much as there is. */
export const UNRESTRICTED: TenantPolicy = { destinations: OPEN_DESTINATIONS, limits: NO_LIMITS };

/** The policy of a pool about which nothing was said. */
export const DEFAULT_POOL_POLICY: PoolPolicy = {
  version: 0,
  destinations: OPEN_DESTINATIONS,
  special: [],
  tenants: {},
  anyTenant: UNRESTRICTED,
  revoked: [],
};

/** What holds for a tenant; null when the pool does not serve it. */
export function tenantPolicyOf({ tenants, anyTenant }: PoolPolicy, tenant: string): TenantPolicy | null {
  return Object.hasOwn(tenants, tenant) ? tenants[tenant]! : anyTenant;
}

/** What a tenant is limited to; nothing where the pool does not serve it, for then it is refused anyway. */
export function limitsOf(policy: PoolPolicy, tenant: string): TenantLimits {
  return tenantPolicyOf(policy, tenant)?.limits ?? NO_LIMITS;
}

type Given<Fields> = { readonly [Name in keyof Fields]?: Fields[Name] | undefined };

/** What is to change of what is said of a tenant; the rest stays. */
export interface TenantChanges {
  readonly destinations?: Given<DestinationRules> | undefined;
  readonly limits?: Given<TenantLimits> | undefined;
}

/** What is to change of a policy, its tenants and revoked tokens apart; the rest stays. */
export interface PolicyChanges {
  readonly destinations?: Given<DestinationRules> | undefined;
  readonly special?: readonly string[] | undefined;
  readonly anyTenant?: TenantChanges | null | undefined;
}

/** The same with these changes. */
export function changedTenant(before: TenantPolicy, { destinations, limits }: TenantChanges): TenantPolicy {
  return {
    destinations: { ...before.destinations, ...definedOnly(destinations) },
    limits: { ...before.limits, ...definedOnly(limits) },
  };
}

/** The same with these changes. */
export function changedPolicy(before: PoolPolicy, changes: PolicyChanges): PoolPolicy {
  const { destinations, special, anyTenant } = changes;
  return {
    ...before,
    destinations: { ...before.destinations, ...definedOnly(destinations) },
    special: special ?? before.special,
    anyTenant:
      anyTenant === undefined
        ? before.anyTenant
        : anyTenant && changedTenant(before.anyTenant ?? UNRESTRICTED, anyTenant),
  };
}

function definedOnly<Fields extends object>(
  fields: Fields | undefined,
): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
  const given = Object.entries(fields ?? {}).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> };
}

/** What those say to each other among whom tenants' limits are shared out. [LI12] */
import type { TenantLimits } from "./pool-policy.ts";
import type { Amounts } from "./tenant-limits.ts";

/** What a member says of a tenant. */
export interface TenantUse {
  readonly tenant: string;
  readonly used: Amounts;
  /** With what was refused of late. */
  readonly wanted: Amounts;
  /** Of a token with a rate of its own, which is shared out in the same way under its key. Only the key counts. */
  readonly rate?: number | undefined;
}

/** What a process says to its host: with the limits, which it knows by the policy. */
export interface LocalUse extends TenantUse {
  readonly limits: TenantLimits;
}

/** What a member may have of a tenant's limits. */
export interface TenantShare {
  readonly tenant: string;
  readonly share: Amounts;
}

/** What is to be told to a member. Of tenants that it does not name everybody has the base. */
export interface ShareMessage {
  /** Repeated in the member's answer. */
  readonly number: number;
  /** Among how many the base is divided. */
  readonly members: number;
  readonly tenants: readonly TenantShare[];
}

/** No name of a tenant begins so. */
const OF_TOKEN = "\n";

/** What stands for a token among tenants. */
export function tokenKey(tokenId: string | null, subject: string, perSecond: number): string {
  return `${OF_TOKEN}${JSON.stringify([tokenId, subject, perSecond])}`;
}

/**
 * The rate in the key of a token; null for what is none, undefined for the name of a tenant. A member cannot
 * say another: what one says of a tenant must not be taken for the tenant's limit. [LI3]
 */
export function rateInKey(tenant: string): number | null | undefined {
  if (!tenant.startsWith(OF_TOKEN)) return undefined;
  try {
    const [, , perSecond] = JSON.parse(tenant.slice(OF_TOKEN.length)) as unknown[];
    return typeof perSecond === "number" && perSecond >= 0 ? perSecond : null;
  } catch {
    return null;
  }
}

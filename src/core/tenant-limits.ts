/**
 * What a tenant may have of each limited thing, as numbers: its limits over the pool, and the share of
 * them that one host, or one process of it, has. [LI1]
 */
import type { TenantLimits } from "./pool-policy.ts";

/** A thing of which a tenant may have so many. */
export type Limited = keyof TenantLimits;

/** All of them. */
export const LIMITED: readonly Limited[] = [
  "requestsPerSecond",
  "requestsInFlight",
  "tunnels",
  "ports",
  "bytesPerDay",
];

/** So much of each; absent for what has no limit. */
export type Amounts = { readonly [Thing in Limited]?: number | undefined };

/** Whether anything is limited. */
export function isLimited(limits: TenantLimits): boolean {
  return LIMITED.some((thing) => limits[thing] !== null);
}

/**
 * A pool's policy as JSON: checked at the API, by each host that fetches it, and again when it comes off a
 * host's disk. Nothing in it is ignored: what a reader does not know might be a restriction, so it refuses
 * the whole, and keeps what it has. What says nothing new is left out for readers of before. [PY4]
 */
import { z } from "zod";
import type {
  DestinationRules,
  PoolPolicy,
  RevokedToken,
  TenantLimits,
  TenantPolicy,
} from "../core/pool-policy.ts";
import { parseDestinationEntry } from "../policy/destination-entry.ts";
import { countUpTo } from "./whole-number.ts";

/** Entries of one list of destinations, or of special networks. */
export const MOST_ENTRIES = 1_000;
/** Tenants of which something is said. */
export const MOST_TENANTS = 1_000;
/** Tokens that are revoked and have not ended. */
export const MOST_REVOKED = 10_000;
/** Of a policy as JSON without its revoked tokens. */
export const LONGEST_POLICY_CHARACTERS = 262_144;

const entry = z
  .string()
  .refine(
    (text) => parseDestinationEntry(text).ok,
    "a name, address or network is expected, with or without ports",
  )
  .meta({ example: "*.example.com:443" });
const entries = z.array(entry).max(MOST_ENTRIES).readonly();

/** Lists of destinations. */
export const destinationRulesSchema = z.strictObject({
  mode: z.enum(["enforce", "report", "open"]),
  allow: entries,
  deny: entries,
}) satisfies z.ZodType<DestinationRules>;

const limit = countUpTo().nullable();

/** How much a tenant may have. */
export const tenantLimitsSchema = z.strictObject({
  requestsPerSecond: limit,
  requestsInFlight: limit,
  tunnels: limit,
  ports: limit,
  bytesPerDay: limit,
}) satisfies z.ZodType<TenantLimits>;

/** What is said of a tenant. */
export const tenantPolicySchema = z.strictObject({
  destinations: destinationRulesSchema,
  limits: tenantLimitsSchema,
}) satisfies z.ZodType<TenantPolicy>;

/** The name of a tenant, or of the client that is one by itself. */
export const tenantNameSchema = z
  .string()
  .min(1)
  .max(128)
  // No object that is read from JSON has a member of this name of its own.
  .refine((name) => name.isWellFormed() && name !== "__proto__", "a tenant cannot be named so")
  .meta({ example: "shop" });

/** Networks that may be reached although they are special. */
export const specialNetworksSchema = z
  .array(z.union([z.cidrv4(), z.cidrv6()], "a network in CIDR form is expected"))
  .max(MOST_ENTRIES)
  .readonly();

const revokedToken = z.strictObject({
  tokenId: z.string().min(1).max(64),
  expiresAtMs: countUpTo(),
}) satisfies z.ZodType<RevokedToken>;

/** All of it. */
export const poolPolicySchema = z.strictObject({
  version: countUpTo(),
  destinations: destinationRulesSchema,
  special: specialNetworksSchema,
  tenants: z
    .record(tenantNameSchema, tenantPolicySchema)
    .refine((tenants) => Object.keys(tenants).length <= MOST_TENANTS),
  anyTenant: tenantPolicySchema.nullable(),
  revoked: z.array(revokedToken).max(MOST_REVOKED).readonly(),
}) satisfies z.ZodType<PoolPolicy>;

/** Reads a policy; null for anything else. */
export function parsePoolPolicy(value: unknown): PoolPolicy | null {
  // The schema would read it without this one tenant.
  if (hasMember(value, "tenants") && hasMember(value["tenants"], "__proto__")) return null;
  return poolPolicySchema.safeParse(value).data ?? null;
}

function hasMember<Name extends string>(value: unknown, name: Name): value is Record<Name, unknown> {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name);
}

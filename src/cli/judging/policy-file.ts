/** A pool's policy as it was written into a file, or as the edge gives it: what is judged by it. */
import { z } from "zod";
import { OPEN_DESTINATIONS, type DestinationRules } from "../../core/pool-policy.ts";
import { parseDestinationEntry } from "../../policy/destination-entry.ts";
import { CommandFault } from "../../process/command-fault.ts";

/** What is known of the destinations of a pool and one of its tenants. */
export interface JudgedRules {
  readonly pool: DestinationRules;
  /** Null for a tenant that the pool does not serve. */
  readonly tenant: DestinationRules | null;
  readonly special: readonly string[];
}

const entry = z.string().superRefine((text, context) => {
  const read = parseDestinationEntry(text);
  if (!read.ok) context.addIssue({ code: "custom", message: read.refusal });
});
const rules = z.object({
  mode: z.enum(["enforce", "report", "open"]).default("enforce"),
  allow: z.array(entry).default([]),
  deny: z.array(entry).default([]),
});
const tenant = z.object({ destinations: rules.default(openRules()) });
/** Limits and revoked tokens are of no matter here. */
const policy = z.object({
  destinations: rules.default(openRules()),
  special: z.array(z.union([z.cidrv4(), z.cidrv6()])).default([]),
  tenants: z.record(z.string(), tenant).nullable().default(null),
  anyTenant: tenant.nullable().default({ destinations: openRules() }),
});

/** Reads a policy as JSON; `source` says where it came from. Throws `option-invalid`. */
export function rulesIn(text: string, source: string, tenantName: string): JudgedRules {
  const read = policy.safeParse(parsed(text, source));
  if (!read.success) {
    const [issue] = read.error.issues;
    throw notRead(source, `${issue!.path.join(".")}: ${issue!.message}`, read.error);
  }
  const { destinations, special, tenants, anyTenant } = read.data;
  const named = tenants !== null && Object.hasOwn(tenants, tenantName) ? tenants[tenantName]! : anyTenant;
  return { pool: destinations, special, tenant: named?.destinations ?? null };
}

function parsed(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch (fault) {
    throw notRead(source, (fault as Error).message, fault);
  }
}

function notRead(source: string, why: string, cause: unknown): CommandFault {
  return new CommandFault("option-invalid", `${source} is no policy of a pool: ${why}`, cause);
}

function openRules(): { mode: "enforce"; allow: string[]; deny: string[] } {
  return { mode: "enforce", allow: [...OPEN_DESTINATIONS.allow], deny: [...OPEN_DESTINATIONS.deny] };
}

/** What is between a pool's policy and one that a file has. [AY2] */
import type { AnswerOf } from "../../api/edge-api.ts";
import {
  changedTenant,
  DEFAULT_POOL_POLICY,
  type TenantPolicy,
  UNRESTRICTED,
} from "../../core/pool-policy.ts";
import type { DesiredPool, DesiredTenant } from "./desired-file.ts";
import type { Change } from "./difference.ts";

type Policy = AnswerOf<"getPolicy">;
type DesiredPolicy = NonNullable<DesiredPool["policy"]>;

/** What to do; `before` is null for a pool that there is not. */
export function policyChanges(pool: string, desired: DesiredPolicy, before: Policy | null): Change[] {
  const old = before ?? { ...DEFAULT_POOL_POLICY, version: 0 };
  const { anyTenant: said } = desired;
  const wanted = {
    destinations: { ...DEFAULT_POOL_POLICY.destinations, ...desired.destinations },
    special: desired.special ?? [],
    anyTenant: said === null ? null : wholeTenant(said ?? {}),
  };
  const differing = Object.entries(wanted).filter(
    ([key, value]) => !isSame(value, old[key as keyof typeof wanted]),
  );
  const closes = wanted.anyTenant === null && old.anyTenant !== null;
  const changes: Change[] = [];
  if (differing.length > 0) {
    changes.push({
      sign: "~",
      pool,
      text: differing
        .map(([key, value]) => `policy, ${key}: ${shown(old[key as keyof typeof wanted])} → ${shown(value)}`)
        .join("; "),
      cuts: closes ? "tenants that are not named are served no more, and lose what runs" : null,
      route: "putPolicy",
      input: { pool, ...Object.fromEntries(differing) },
    });
  }
  const tenants = desired.tenants ?? {};
  for (const [tenant, about] of Object.entries(tenants)) {
    const whole = wholeTenant(about ?? {});
    const known = Object.hasOwn(old.tenants, tenant) ? old.tenants[tenant]! : null;
    if (known !== null && isSame(whole, known)) continue;
    changes.push({
      sign: known === null ? "+" : "~",
      pool,
      text: `tenant ${tenant}: ${known === null ? "" : `${shown(known)} → `}${shown(whole)}`,
      cuts: null,
      route: "putTenant",
      input: { pool, tenant, ...whole },
    });
  }
  for (const tenant of Object.keys(old.tenants).filter((name) => !Object.hasOwn(tenants, name))) {
    const cuts = wanted.anyTenant === null ? "the pool serves it no more, and it loses what runs" : null;
    changes.push({
      sign: "-",
      pool,
      text: `tenant ${tenant}`,
      cuts,
      route: "deleteTenant",
      input: { pool, tenant },
    });
  }
  // Who is named keeps what runs when all others are served no more.
  return closes ? [...changes.slice(1), changes[0]!] : changes;
}

function wholeTenant(about: DesiredTenant): TenantPolicy {
  return changedTenant(UNRESTRICTED, about);
}

/** Whatever the order in which the members of an object come. */
function isSame(one: unknown, other: unknown): boolean {
  return canonical(one) === canonical(other);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

function shown(value: unknown): string {
  return JSON.stringify(value);
}

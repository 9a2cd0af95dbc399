/**
 * Changes of a pool's policy. Each gives it a higher version, which hosts are told; what it says they
 * fetch. [PY2] [PY3]
 */
import type { ChangeAuthor } from "../../src/core/audit.ts";
import { ok, type Outcome, refuse } from "../../src/core/outcome.ts";
import {
  changedPolicy,
  changedTenant,
  type PolicyChanges,
  type PoolPolicy,
  type RevokedToken,
  type TenantChanges,
  UNRESTRICTED,
} from "../../src/core/pool-policy.ts";
import { LONGEST_POLICY_CHARACTERS, MOST_REVOKED, MOST_TENANTS } from "../../src/wire/pool-policy-schema.ts";
import type { AuditLog, Cause } from "../audit/audit-log.ts";
import type { PolicyStore } from "./policy-store.ts";

/** Why a policy is not changed. */
export type PolicyRefusal = "pool-unknown" | "policy-changed" | "policy-too-large";

/** What they need of their pool. */
export interface PoolPoliciesOptions {
  readonly nowMs: () => number;
  readonly store: PolicyStore;
  /** Whether there is a pool. */
  readonly isMade: () => boolean;
  readonly audit: AuditLog;
  /** The policy is another, on disk. */
  readonly onChange: () => void;
}

/** A token whose end has just come is still good by a clock that is behind. */
const CLOCK_SKEW_MS = 3_600_000;

/** One per pool object. */
export class PoolPolicies {
  readonly #options: PoolPoliciesOptions;

  constructor(options: PoolPoliciesOptions) {
    this.#options = options;
  }

  /** The version alone. */
  get version(): number {
    return this.#options.store.version();
  }

  /** All of it. */
  get policy(): PoolPolicy {
    return this.#options.store.policy();
  }

  /** What holds for whom; hosts fetch it. [PY3] */
  read(): Outcome<PoolPolicy, "pool-unknown"> {
    return this.#options.isMade() ? ok(this.policy) : refuse("pool-unknown");
  }

  /** Changes what is given; `madeFor` is the version that the change was made for, null for any. [PY5] */
  change(
    changes: PolicyChanges,
    madeFor: number | null,
    by: ChangeAuthor | null = null,
  ): Outcome<PoolPolicy, PolicyRefusal> {
    return this.#put({ by, what: "putPolicy" }, madeFor, (before) => changedPolicy(before, changes));
  }

  /** Names a tenant, or changes what is given of it. */
  putTenant(
    tenant: string,
    changes: TenantChanges,
    madeFor: number | null,
    by: ChangeAuthor | null = null,
  ): Outcome<PoolPolicy, PolicyRefusal> {
    return this.#put({ by, what: "putTenant" }, madeFor, (before) => {
      const known = Object.hasOwn(before.tenants, tenant) ? before.tenants[tenant]! : UNRESTRICTED;
      return { ...before, tenants: { ...before.tenants, [tenant]: changedTenant(known, changes) } };
    });
  }

  /** Says nothing of a tenant any more. */
  removeTenant(
    tenant: string,
    by: ChangeAuthor | null = null,
  ): Outcome<PoolPolicy, PolicyRefusal | "tenant-unknown"> {
    const cause = { by, what: "deleteTenant" };
    if (this.#options.isMade() && !Object.hasOwn(this.policy.tenants, tenant)) {
      return this.#refuse(cause, "tenant-unknown");
    }
    return this.#put(cause, null, (before) => {
      const { [tenant]: _removed, ...tenants } = before.tenants;
      return { ...before, tenants };
    });
  }

  /** Whether a token is revoked. */
  isRevoked(tokenId: string): boolean {
    return this.#options.store.isRevoked(tokenId);
  }

  /** Notes that tokens are revoked; nothing takes that back. May be repeated. Answers the version. */
  revoke(
    tokens: readonly RevokedToken[],
    by: ChangeAuthor | null = null,
  ): Outcome<number, "policy-too-large" | "pool-unknown"> {
    const { store, nowMs, isMade, audit, onChange } = this.#options;
    if (!isMade()) return refuse("pool-unknown");
    const cause = { by, what: "revoke" };
    const endedMs = nowMs() - CLOCK_SKEW_MS;
    const known = new Map(store.revoked().map(({ tokenId, expiresAtMs }) => [tokenId, expiresAtMs]));
    const fresh = tokens.filter(
      ({ tokenId, expiresAtMs }) => expiresAtMs >= endedMs && (known.get(tokenId) ?? -1) < expiresAtMs,
    );
    if (fresh.length === 0) return ok(this.version);
    const all = new Map([
      ...known,
      ...fresh.map(({ tokenId, expiresAtMs }) => [tokenId, expiresAtMs] as const),
    ]);
    const lasting = [...all.values()].filter((expiresAtMs) => expiresAtMs >= endedMs);
    if (lasting.length > MOST_REVOKED) return this.#refuse(cause, "policy-too-large");
    const version = this.#nextVersion();
    audit.change(cause, () => {
      store.forgetRevoked(endedMs);
      store.revoke(fresh);
      store.put({ ...this.policy, version });
      return { after: { revoked: fresh } };
    });
    onChange();
    return ok(version);
  }

  #put(
    cause: Cause,
    madeFor: number | null,
    change: (before: PoolPolicy) => PoolPolicy,
  ): Outcome<PoolPolicy, PolicyRefusal> {
    const { store, nowMs, isMade, audit, onChange } = this.#options;
    if (!isMade()) return refuse("pool-unknown");
    const before = this.policy;
    if (madeFor !== null && madeFor !== before.version) return this.#refuse(cause, "policy-changed");
    const policy = { ...change(before), version: this.#nextVersion() };
    const isTooLarge =
      Object.keys(policy.tenants).length > MOST_TENANTS ||
      JSON.stringify({ ...policy, revoked: [] }).length > LONGEST_POLICY_CHARACTERS;
    if (isTooLarge) return this.#refuse(cause, "policy-too-large");
    audit.change(cause, () => {
      store.forgetRevoked(nowMs() - CLOCK_SKEW_MS);
      store.put(policy);
      return { before, after: policy };
    });
    onChange();
    return ok(this.policy);
  }

  #refuse<Refusal extends string>(cause: Cause, refusal: Refusal): Outcome<never, Refusal> {
    this.#options.audit.note(cause, refusal);
    return refuse(refusal);
  }

  /** Higher than any before, also than those that were given before the pool was restored from a backup. */
  #nextVersion(): number {
    return Math.max(this.version + 1, Math.floor(this.#options.nowMs()));
  }
}

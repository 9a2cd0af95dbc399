/**
 * What holds for whoever sends: which destinations, and how much. Every listener's flows ask here, at
 * their admission; the answer follows from the pool's policy alone, which is replaced as a whole. [PY1]
 */
import { type Identity, tenantOf, type TokenRestrictions } from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import {
  DEFAULT_POOL_POLICY,
  type PoolPolicy,
  type TenantPolicy,
  tenantPolicyOf,
} from "../../core/pool-policy.ts";
import type { Problem } from "../../core/problems.ts";
import type { DestinationPolicy } from "../egress/destination-policy.ts";
import type { BeginningFlow, TrackedFlow } from "./running-flows.ts";
import type { TenantMeter } from "./tenant-meter.ts";
import { TenantMeters } from "./tenant-meters.ts";
import type { TokenRate } from "./token-rates.ts";

/** What holds for one identity. */
export interface Standing {
  readonly tenant: string;
  readonly policy: DestinationPolicy;
  readonly meter: TenantMeter;
  /** The rate of its token; null where that is the tenant's. */
  readonly own: TokenRate | null;
}

/** Makes the rules of destinations for a tenant and what its token permits less. */
export type MakePolicy = (
  pool: PoolPolicy,
  tenant: TenantPolicy,
  restrictions: TokenRestrictions,
) => DestinationPolicy;

/** One for all listeners of a process. */
export class TenantBook {
  readonly meters: TenantMeters;
  readonly #makePolicy: MakePolicy;
  #policy: PoolPolicy | null;
  #revoked: ReadonlySet<string> = new Set();
  /** By tenant and restrictions: flows that have these in common may share connections. */
  #policies = new Map<string, DestinationPolicy>();
  /** A token is verified once, so the identities of its requests are the same object. */
  #known = new WeakMap<Identity, Outcome<Standing, Problem>>();

  /** Without a policy (null) nobody is served until there is one. [PY6] */
  constructor(
    makePolicy: MakePolicy,
    policy: PoolPolicy | null = DEFAULT_POOL_POLICY,
    meters = new TenantMeters(),
  ) {
    this.#makePolicy = makePolicy;
    this.#policy = policy;
    this.meters = meters;
  }

  /** The version of the policy by which is decided; null for none. */
  get version(): number | null {
    return this.#policy?.version ?? null;
  }

  /** Decides by this policy from now on. What runs and may not any more is ended. [LI8] */
  take(policy: PoolPolicy): void {
    this.#policy = policy;
    this.#revoked = new Set(policy.revoked.map(({ tokenId }) => tokenId));
    this.#policies = new Map();
    this.#known = new WeakMap();
    this.meters.take(policy);
    this.meters.cutThose((identity) => {
      const standing = this.standingOf(identity);
      return standing.ok ? null : standing.refusal;
    });
  }

  /** What holds for an identity, or why it may not send at all. In constant time when it was asked before. */
  standingOf(identity: Identity): Outcome<Standing, Problem> {
    let standing = this.#known.get(identity);
    if (standing === undefined || (standing.ok && standing.value.meter.isForgotten)) {
      standing = this.#judge(identity);
      this.#known.set(identity, standing);
    }
    return standing;
  }

  /**
   * Begins a flow of one that may send, within its limits. Without a promise, unless it has to wait for a
   * share that may come. [LI14]
   */
  begin(
    identity: Identity,
    standing: Standing,
    flow: BeginningFlow,
  ): Outcome<TrackedFlow, Problem> | Promise<Outcome<TrackedFlow, Problem>> {
    return this.meters.begin(standing.meter, identity, flow, standing.own);
  }

  #judge(identity: Identity): Outcome<Standing, Problem> {
    const policy = this.#policy;
    if (policy === null) return refuse({ code: "policy-missing" });
    const tenant = tenantOf(identity);
    const { tokenId, restrictions = {} } = identity;
    if (tokenId !== undefined && this.#revoked.has(tokenId)) return refuse({ code: "token-revoked" });
    const served = tenantPolicyOf(policy, tenant);
    if (served === null) {
      return refuse({ code: "tenant-denied", detail: `The pool does not serve the tenant ${tenant}.` });
    }
    return ok({
      tenant,
      policy: this.#rulesOf(policy, tenant, served, restrictions),
      meter: this.meters.of(tenant),
      own: this.meters.rateOf(identity),
    });
  }

  #rulesOf(
    policy: PoolPolicy,
    tenant: string,
    served: TenantPolicy,
    restrictions: TokenRestrictions,
  ): DestinationPolicy {
    const key = JSON.stringify([tenant, restrictions]);
    let rules = this.#policies.get(key);
    if (rules === undefined) {
      rules = this.#makePolicy(policy, served, restrictions);
      this.#policies.set(key, rules);
    }
    return rules;
  }
}

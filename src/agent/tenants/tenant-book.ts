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
import type { DestinationPolicy } from "../../policy/destination-policy.ts";
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

/** Makes the rules of destinations for a tenant, by its name, and what its token permits less. */
export type MakePolicy = (
  pool: PoolPolicy,
  tenant: TenantPolicy,
  restrictions: TokenRestrictions,
  name: string,
) => DestinationPolicy;

/** With the rules of the tenant that it was made of. */
interface RuledPolicy {
  readonly policy: DestinationPolicy;
  readonly rules: string;
}

/** One for all listeners of a process. */
export class TenantBook {
  readonly meters: TenantMeters;
  readonly #makePolicy: MakePolicy;
  #policy: PoolPolicy | null;
  #revoked: ReadonlySet<string>;
  /** By tenant and restrictions: flows that have these in common may share connections. */
  #policies = new Map<string, RuledPolicy>();
  /** Those of the policy before, as long as it says the same of all tenants. */
  #earlier: ReadonlyMap<string, RuledPolicy> = new Map();
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
    this.#revoked = revokedIn(policy);
    this.meters = meters;
  }

  /** The version of the policy by which is decided; null for none. */
  get version(): number | null {
    return this.#policy?.version ?? null;
  }

  /** Decides by this policy from now on. What runs and may not any more is ended. [LI8] */
  take(policy: PoolPolicy): void {
    const isSameForAll = this.#policy !== null && sharedRules(policy) === sharedRules(this.#policy);
    this.#policy = policy;
    this.#revoked = revokedIn(policy);
    // One who may do what he could before keeps his connections; whoever may not, gets none of them. [DE15]
    this.#earlier = isSameForAll ? this.#policies : new Map();
    this.#policies = new Map();
    this.#known = new WeakMap();
    this.meters.take(policy);
    this.meters.cutThose((identity) => {
      const standing = this.standingOf(identity);
      return standing.ok ? null : standing.refusal;
    });
  }

  /** Whether a token was taken back, whatever it is for. */
  isRevoked({ tokenId }: Identity): boolean {
    return tokenId !== undefined && this.#revoked.has(tokenId);
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
    const { restrictions = {} } = identity;
    if (this.isRevoked(identity)) return refuse({ code: "token-revoked" });
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
    const known = this.#policies.get(key);
    if (known !== undefined) return known.policy;
    const rules = JSON.stringify(served.destinations);
    const earlier = this.#earlier.get(key);
    const made =
      earlier?.rules === rules ? earlier.policy : this.#makePolicy(policy, served, restrictions, tenant);
    this.#policies.set(key, { policy: made, rules });
    return made;
  }
}

/** What the policies of all tenants of a pool are made of. */
function sharedRules({ destinations, special }: PoolPolicy): string {
  return JSON.stringify([destinations, special]);
}

function revokedIn(policy: PoolPolicy | null): ReadonlySet<string> {
  return new Set(policy?.revoked.map(({ tokenId }) => tokenId));
}

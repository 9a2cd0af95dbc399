/** What a pool says of its tenants: its policy, and the hosts' shares of the limits in it. */
import { limitsOf, type PoolPolicy } from "../../src/core/pool-policy.ts";
import { isStatic } from "../../src/core/static-slots.ts";
import type { AuditLog } from "../audit/audit-log.ts";
import type { ObjectPlatform } from "../platform/object-platform.ts";
import type { HostSockets } from "./host-sockets.ts";
import { PolicyStore } from "./policy-store.ts";
import { PoolPolicies } from "./pool-policies.ts";
import type { PoolStore } from "./pool-store.ts";
import { ShareStore } from "./share-store.ts";
import { TenantShares } from "./tenant-shares.ts";

/** What they need of their pool. */
export interface TenantRulesOptions {
  readonly platform: ObjectPlatform;
  readonly store: PoolStore;
  readonly sockets: HostSockets;
  readonly audit: AuditLog;
  /** The policy is another. */
  readonly onChange: () => void;
}

/** Both, of one pool object. */
export interface TenantRules {
  readonly policies: PoolPolicies;
  readonly shares: TenantShares;
}

/** Limits are those of the policy, so shares hear of each change of it. */
export function tenantRules({ platform, store, sockets, audit, onChange }: TenantRulesOptions): TenantRules {
  const nowMs = (): number => platform.nowMs();
  /** Asked for each share, and read from the disk only once. */
  let known: PoolPolicy | null = null;
  const policies = new PoolPolicies({
    nowMs,
    store: new PolicyStore(platform.storage),
    isMade: () => store.pool() !== null,
    audit,
    onChange: () => {
      known = null;
      onChange();
      shares.limitsChanged();
    },
  });
  const shares = new TenantShares({
    store: new ShareStore(platform.storage),
    nowMs,
    limitsOf: (tenant) => limitsOf((known ??= policies.policy), tenant),
    live: () => new Set(sockets.liveInstances(store.pool()!.settings).keys()),
    socketOf: (host) => {
      const stored = store.host(host);
      return stored === null ? undefined : sockets.socketOf(stored);
    },
    leaseMs: () => {
      const { settings } = store.pool()!;
      return isStatic(settings) ? null : settings.leaseDurationMs;
    },
  });
  return { policies, shares };
}

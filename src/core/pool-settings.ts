/** What an operator may set for a pool: how its addresses lease, and what the pool is otherwise. */

/** How an address leases; every answer to a host tells it. */
export interface LeaseSettings {
  /** How long a lease runs from a renewal. */
  readonly leaseDurationMs: number;
  /** Hold-down between two different hosts on one block (RFC 6888 REQ-8). */
  readonly quarantineMs: number;
  /** Size of a host's first block, as a power of two. */
  readonly firstBlockOrder: number;
  /** Ports that a present host gets, whatever the others ask for; on a full address when they have made room. */
  readonly minPortsPerHost: number;
  /** Ports that one host may hold of one address; told to a host, it is what that one may hold now. [AL6] */
  readonly maxPortsPerHost: number;
  /**
   * Ports of the one slot of each address that a host keeps for good, a power of two; null for leases
   * that end with time. Without effect then: the three before this. [SM1]
   */
  readonly staticPortsPerHost: number | null;
}

/** What a pool sets beside its leases; a host is told when it enlists, and when it changes. [DO11] */
export interface PoolOwnSettings {
  /**
   * Silence after which a host gets no new requests (liveness, not ownership); told to a host, it is
   * what holds in a pool of as many hosts. [LAW8] [DO20]
   */
  readonly hostSilenceMs: number;
  /** Longest wait of a grant for routers that do not acknowledge it. [LAW4] */
  readonly steeringDeadlineMs: number;
}

/** What a pool sets for its routers alone. */
export interface RouterSettings {
  /** Silence after which no grant waits for a router any more. */
  readonly routerSilenceMs: number;
}

/** How a pool assigns its addresses to its hosts. */
export interface AssignmentSettings {
  /** Live hosts that serve each address, where the pool has as many. [AS2] */
  readonly minHostsPerIp: number;
}

/** What a pool tells strangers. */
export interface FactsSettings {
  /** Whether anybody may see which addresses it has, as the Internet sees them. [PF1] */
  readonly published: boolean;
}

/** What a pool keeps of the past of its addresses. */
export interface HistorySettings {
  /** For how long an address can say who held a port. [AT3] */
  readonly historyDays: number;
}

/** All of a pool's settings; every address of the pool follows them. */
export interface PoolSettings
  extends
    LeaseSettings,
    PoolOwnSettings,
    RouterSettings,
    AssignmentSettings,
    FactsSettings,
    HistorySettings {}

/** How addresses lease about which their operator has said nothing. */
export const DEFAULT_LEASE_SETTINGS: LeaseSettings = {
  leaseDurationMs: 600_000,
  quarantineMs: 120_000,
  firstBlockOrder: 8,
  minPortsPerHost: 512,
  maxPortsPerHost: 32_768,
  staticPortsPerHost: null,
};

/** The settings of a pool about which its operator has said nothing. */
export const DEFAULT_POOL_SETTINGS: PoolSettings = {
  ...DEFAULT_LEASE_SETTINGS,
  // A heartbeat in 20 s. A host that is missed is found within seconds, by asking it.
  hostSilenceMs: 50_000,
  steeringDeadlineMs: 2_000,
  routerSilenceMs: 5_000,
  // The loss of one leaves two until a third has come in its place.
  minHostsPerIp: 3,
  published: false,
  historyDays: 90,
};

/** Those of a pool's settings by which its addresses lease. */
export function leaseSettingsOf({
  leaseDurationMs,
  quarantineMs,
  firstBlockOrder,
  minPortsPerHost,
  maxPortsPerHost,
  staticPortsPerHost,
}: PoolSettings): LeaseSettings {
  return {
    leaseDurationMs,
    quarantineMs,
    firstBlockOrder,
    minPortsPerHost,
    maxPortsPerHost,
    staticPortsPerHost,
  };
}

/** Those of a pool's settings that are not about leases. */
export function ownSettingsOf({ hostSilenceMs, steeringDeadlineMs }: PoolSettings): PoolOwnSettings {
  return { hostSilenceMs, steeringDeadlineMs };
}

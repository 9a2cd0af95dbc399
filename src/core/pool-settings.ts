/** What an operator may set for a pool; every address of the pool follows it. */
export interface PoolSettings {
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
  /** Silence after which a host gets no new requests (liveness, not ownership). [LAW8] */
  readonly hostSilenceMs: number;
  /** Longest wait of a grant for routers that do not acknowledge it. [LAW4] */
  readonly steeringDeadlineMs: number;
}

/** The settings of a pool about which its operator has said nothing. */
export const DEFAULT_POOL_SETTINGS: PoolSettings = {
  leaseDurationMs: 600_000,
  quarantineMs: 120_000,
  firstBlockOrder: 8,
  minPortsPerHost: 512,
  maxPortsPerHost: 32_768,
  hostSilenceMs: 5_000,
  steeringDeadlineMs: 2_000,
};

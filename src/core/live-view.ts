/**
 * What is said while somebody looks: by a page to the object of a pool or of an address, by that object to
 * the page and to its hosts, and by a host of itself. While nobody looks none of it is said. [LV1]
 */

/** A page says so again this often. */
export const LOOK_INTERVAL_MS = 10_000;
/** Who has not said so for this long does not look any more. */
export const LOOK_LASTS_MS = 30_000;
/** Who was told so much more than it has heard, in characters, is told nothing until it has caught up. [LV9] */
export const MOST_UNHEARD = 2_097_152;
/** A page that has heard so much more says so without waiting. */
export const HEARD_STEP = MOST_UNHEARD / 8;

/** What was counted in a time that begins at `atMs`, Unix milliseconds. */
export interface CountSlot {
  readonly atMs: number;
  /** Requests that were answered by their destination. */
  readonly requestCount: number;
  /** Tunnels, WebSockets and associations that were admitted. */
  readonly flowCount: number;
  /** By their codes. */
  readonly refusals: Readonly<Record<string, number>>;
  /** The most ports that were in use at a time. */
  readonly portCount: number;
}

/** The last hour by minutes, the last day by quarters of an hour, oldest first. A time of which nothing is known is left out. */
export interface PastCounts {
  readonly minutes: readonly CountSlot[];
  readonly quarters: readonly CountSlot[];
}

/** The most slots of each. */
export const MOST_MINUTES = 60;
export const MOST_QUARTERS = 96;
export const MINUTE_MS = 60_000;
export const QUARTER_MS = 15 * MINUTE_MS;
/** The most codes that a slot tells apart. */
export const MOST_CODES = 24;
/** In place of the codes beyond. */
export const OTHER_CODES = "other";
/** The longest name in a decision, in characters; the rest is cut off. */
export const LONGEST_NAME = 128;
/** The most addresses, and blocks of all of them together, that one telling has. */
export const MOST_TOLD_ADDRESSES = 512;
export const MOST_TOLD_BLOCKS = 2_048;

/** One decision about a flow, with the names that lines of the log have. [MT12] */
export interface LiveDecision {
  readonly atMs: number;
  readonly decision: "admitted" | "answered" | "refused";
  readonly requestId?: string | undefined;
  readonly tenant?: string | undefined;
  readonly client?: string | undefined;
  /** Of what was admitted: what it is. */
  readonly kind?: string | undefined;
  readonly ip?: string | undefined;
  readonly port?: number | undefined;
  readonly status?: number | undefined;
  readonly code?: string | undefined;
  readonly tookMs?: number | undefined;
}

/** Of an address, as its host has it. */
export interface WatchedAddress {
  readonly ip: string;
  /** Of its leases there, Unix milliseconds by the host's clock; null while it holds none, or has a slot for good. */
  readonly renewedAtMs: number | null;
  readonly renewsAtMs: number | null;
  readonly endsAtMs: number | null;
  /** Ports in use, each counted once, whatever it is connected to. */
  readonly inUseCount: number;
  /** For each block that it holds: first port, ports, and those of them in use; left out where it cannot tell. */
  readonly blocks?: readonly (readonly [base: number, portCount: number, inUseCount: number])[] | undefined;
}

/** What a host tells of itself while it is watched. */
export interface WatchedHost {
  /** Of ipshard. */
  readonly version: string;
  readonly startedAtMs: number;
  /** Data processes; 1 when the agent itself carries the traffic. */
  readonly processCount: number;
  /** Requests and WebSockets under way. */
  readonly runningCount: number;
  readonly addresses: readonly WatchedAddress[];
  /** The minute that runs. */
  readonly minute: CountSlot;
}

/** Pool to host: what it is to tell of itself, how often, and for how long from now. [LV7] */
export interface Watch {
  readonly everyMs: number;
  readonly forMs: number;
  /** Whether its past is wanted, once. */
  readonly past: boolean;
  /** The most decisions in one telling; none for 0. */
  readonly decisionCount: number;
}

/** Host to pool: what was asked for. Its past comes by itself, for it may be long. [LV7] */
export interface Telling {
  readonly now?: WatchedHost | undefined;
  readonly past?: PastCounts | undefined;
  readonly decisions?: readonly LiveDecision[] | undefined;
  /** Further decisions were made since the last telling. */
  readonly lostCount?: number | undefined;
}

/** Decisions that were made since they were taken last. */
export interface TakenDecisions {
  readonly decisions: readonly LiveDecision[];
  /** Beyond these. */
  readonly lostCount: number;
}

/** Hosts are told to tell so rarely that all of them together tell no more often in a second. */
const MOST_TELLINGS_PER_SECOND = 200;
/** And no host more often than this. */
const LEAST_EVERY_MS = 1_000;
/** Decisions of all hosts that a pool takes in a second, and of one. */
const MOST_DECISIONS_PER_SECOND = 200;
const MOST_DECISIONS_OF_HOST = 20;
/** The longest time between two tellings, however many hosts there are. */
export const LONGEST_EVERY_MS = 60_000;
/** The most decisions in one telling. */
export const MOST_DECISIONS = 20;

/** What each of so many hosts is asked for. [LV7] */
export function watchFor(hostCount: number, past: boolean, decisions: boolean): Watch {
  const fairMs = Math.ceil((hostCount * 1_000) / MOST_TELLINGS_PER_SECOND);
  const everyMs = Math.min(LONGEST_EVERY_MS, Math.max(LEAST_EVERY_MS, fairMs));
  const perSecond = Math.min(MOST_DECISIONS_OF_HOST, MOST_DECISIONS_PER_SECOND / Math.max(1, hostCount));
  const decisionCount = Math.min(MOST_DECISIONS, Math.max(1, Math.floor((perSecond * everyMs) / 1_000)));
  return { everyMs, forMs: LOOK_LASTS_MS, past, decisionCount: decisions ? decisionCount : 0 };
}

/** Page to object, at once and then every `LOOK_INTERVAL_MS`. */
export interface LookRequest {
  readonly type: "look";
  /** Whether the past of a pool is wanted, once. */
  readonly past?: boolean | undefined;
  /** Whether a pool's decisions are wanted as they are made. */
  readonly decisions?: boolean | undefined;
  /** How many characters of messages it has heard on this connection, all together. */
  readonly heard?: number | undefined;
}

/**
 * Pool to page. `Pool` is what `GET /v1/pools/{pool}` answers; `pool` comes first, and again whenever all that
 * was known is to be forgotten. Of `pool-change` each member holds what has become other, whole.
 */
export type PoolSight<
  Pool extends {
    readonly ips: readonly unknown[];
    readonly hosts: readonly unknown[];
    readonly routers: readonly unknown[];
  },
> =
  | { readonly type: "pool"; readonly pool: Pool }
  | {
      readonly type: "pool-change";
      readonly ips: Pool["ips"];
      readonly goneIps: readonly string[];
      readonly hosts: Pool["hosts"];
      readonly goneHosts: readonly string[];
      readonly routers: Pool["routers"];
      readonly goneRouters: readonly string[];
      /** Everything else of the pool, where some of it has changed. */
      readonly rest?: Omit<Pool, "ips" | "hosts" | "routers"> | undefined;
    }
  /** By host. Those that are too old to tell are never named. */
  | { readonly type: "watched"; readonly hosts: Readonly<Record<string, WatchedHost>> }
  /** The sum of all hosts that told theirs; `silentHosts` are live and have not. */
  | {
      readonly type: "past";
      readonly past: PastCounts;
      readonly hostCount: number;
      readonly silentHosts: readonly string[];
    }
  | {
      readonly type: "decisions";
      readonly decisions: readonly (LiveDecision & { readonly host: string })[];
      /** More were made than can be told. */
      readonly lostCount: number;
    };

/** Address to page. `Address` is what `GET /v1/ips/{ip}` answers. */
export type AddressSight<Address extends { readonly blocks: readonly unknown[] }> =
  | { readonly type: "address"; readonly ip: string; readonly address: Address }
  | {
      readonly type: "address-change";
      /** Blocks that are new or have changed; a block is known by its epoch. */
      readonly blocks: Address["blocks"];
      readonly goneEpochs: readonly number[];
      /** Everything else of the address. */
      readonly rest: Omit<Address, "blocks">;
    };

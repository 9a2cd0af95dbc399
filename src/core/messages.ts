/**
 * What the parts say to one another, as JSON over WebSockets: a host with each of its
 * addresses (EgressIp), and a host or a router with its pool (EgressPool).
 *
 * A connection opens with a message that names the version; a peer that does not know it
 * refuses. Every request of a host carries an id that its answer repeats. [ME1] [ME2]
 */
import type { Destination } from "./busiest-destination.ts";
import type { Lease, LeaseRefusal } from "./lease-commands.ts";
import type { Telling, Watch } from "./live-view.ts";
import type { Holdings } from "./recovery.ts";
import type { LeaseSettings, PoolOwnSettings } from "./pool-settings.ts";
import type { Room } from "./share.ts";
import type { ShareMessage, TenantUse } from "./share-messages.ts";
import type { SteeringChange, SteeringTable } from "./steering.ts";
import type { AddressUplink, Place } from "./uplink.ts";

/** Version of everything in this file. */
export const PROTOCOL_VERSION = 1;

/** Keep-alive text a host sends; the object answers it without waking up. */
export const HEARTBEAT = "ping";
/** The answer to a heartbeat. */
export const HEARTBEAT_ANSWER = "pong";

/** Host to EgressIp. */
export type LeaseRequest =
  | {
      readonly type: "join";
      readonly version: number;
      readonly requestId: string;
      readonly instance: string;
      /** What it holds; told to an address that has asked for it by `holdings-wanted`. [OC3] */
      readonly holdings?: Holdings | undefined;
    }
  | { readonly type: "renew"; readonly requestId: string }
  | { readonly type: "acquire"; readonly requestId: string; readonly order: number }
  | {
      readonly type: "release";
      readonly requestId: string;
      readonly base: number;
      readonly epoch: number;
    };

/** EgressIp to host. */
export type LeaseReply =
  | {
      readonly type: "answer";
      readonly requestId: string;
      readonly leases: readonly Lease[];
      readonly leaseDurationMs: number | null;
      readonly granted: Lease | null;
      /** The pool's, but for `maxPortsPerHost`: what this host may hold now. [AL6] */
      readonly settings: LeaseSettings;
      /** What the address has left for it; an older edge does not tell. [AL8] */
      readonly room?: Room | undefined;
    }
  | {
      readonly type: "refused";
      /** Empty when the request could not be read. */
      readonly requestId: string;
      readonly code: LeaseRefusal | MessageRefusal;
    }
  /** Unasked: the lease settings of the pool, or what the address has left, have changed; a renewal tells. [LK12] */
  | { readonly type: "changed" };

/** Why a message itself is refused. */
export type MessageRefusal = "version-unsupported" | "message-malformed";

/** How much capacity a host has on one address, towards its busiest destination. */
export interface AddressCapacity {
  readonly ip: string;
  /** Ports it may use now; 0 while it has no valid lease. */
  readonly portCount: number;
  /** Of these, taken or held down towards the busiest destination. */
  readonly busiestCount: number;
  /** That destination; absent when nothing is in use, or the pool does not take it. [PM9] */
  readonly busiestDestination?: Destination | undefined;
  /** Ports that it could have of the address, used or not; absent when the host does not tell. [AS8] */
  readonly limit?: number | undefined;
  /** True while the address is not on the host's machine. [PM2] */
  readonly absent?: boolean | undefined;
  /** Whether what leaves gets anywhere; absent when the host does not watch it. */
  readonly uplink?: AddressUplink | undefined;
}

/** What a host still has of an address that it takes no new flows from. [AS7] */
export interface LeavingAddress {
  readonly ip: string;
  /** Ports of the blocks that it has not let go of. */
  readonly portCount: number;
  /** Flows that have not ended. */
  readonly flowCount: number;
}

/** Host to EgressPool. */
export type PoolRequest =
  | {
      readonly type: "enlist";
      readonly version: number;
      readonly instance: string;
      /** URL at which the Worker reaches this host's gateway. */
      readonly gateway: string;
      /** Where routers reach this host, by IP address; absent when it does not know. */
      readonly reach?: { readonly ipv4: string | null; readonly ipv6: string | null } | undefined;
      /**
       * Where it is; without it the host gets only what is announced everywhere. An older pool takes
       * neither this nor `weight`, so they are said only where they are configured. [ME5]
       */
      readonly site?: string | undefined;
      /** Its share of the load compared with other hosts; 1 when it does not say. */
      readonly weight?: number | undefined;
    }
  | {
      readonly type: "report";
      readonly draining: boolean;
      readonly rooms: readonly AddressCapacity[];
      /** Addresses that it does not serve any more, and has not let go of yet. */
      readonly leaving?: readonly LeavingAddress[] | undefined;
      /** Of the policy by which it decides; left out while it has none. [PY7] */
      readonly policyVersion?: number | undefined;
      /** True of a host that can be watched; said to pools whose `takes` has `watchable`. [ME7] */
      readonly watchable?: true | undefined;
    }
  /**
   * What tenants with limits use here, and up to which `shares` it knows. Said to pools whose `takes` has
   * `tenants`, when more or much less is wanted. [LI12]
   */
  | { readonly type: "use"; readonly number: number; readonly tenants: readonly TenantUse[] }
  /** The answer to `try`: of the places asked for, those that were reached from the address. [UP2] */
  | { readonly type: "tried"; readonly ip: string; readonly reached: readonly Place[] }
  /** What somebody looks at; said while `watch` lasts, and then no more. [LV7] */
  | ({ readonly type: "watched" } & Telling);

/** EgressPool to host. `enlisted` again whenever the host's addresses, the own settings of the pool or its policy change. */
export type PoolReply =
  | {
      readonly type: "enlisted";
      readonly pool: string;
      /** Those that this host is to serve. [AS1] */
      readonly ips: readonly string[];
      /**
       * Of those that it is not to serve any more, the ones that leave the pool: only their flows have
       * a deadline. A pool that does not say is an older one, which takes neither `absent` nor
       * `leaving` in a report. [AS4]
       */
      readonly retiring?: readonly string[] | undefined;
      /**
       * Whether routers must know where this host is. A pool that does not say is an older one,
       * which takes no `uplink` in a report.
       */
      readonly steered?: boolean | undefined;
      /**
       * Further members that the pool takes in a report; a host leaves out what is not named here. [ME6]
       */
      readonly takes?: readonly string[] | undefined;
      /** Older pools do not tell them. */
      readonly settings?: PoolOwnSettings | undefined;
      /** Of the pool's policy, which the host fetches by itself; older pools have none. [PY3] */
      readonly policyVersion?: number | undefined;
      /** Of `ips`, what the Internet sees instead, where that is another address. [PF5] */
      readonly advertised?: Readonly<Record<string, string>> | undefined;
      /** Why this host has no address of some family: in a static pool every slot may be another's. [SM7] */
      readonly shortage?: "address-exhausted" | undefined;
    }
  /** Another host cannot reach these from the address: can this one? Asked of hosts that tell their uplink. [UP2] */
  | { readonly type: "try"; readonly ip: string; readonly places: readonly Place[] }
  /** What this host may have of tenants' limits; answered by `use`. [LI11] */
  | ({ readonly type: "shares" } & ShareMessage)
  /** The addresses on which this host gets no requests, for others reach what it cannot. [UP3] */
  | { readonly type: "ejected"; readonly ips: readonly string[] }
  /** Somebody looks at the pool. Said to hosts that have said `watchable`. [LV7] */
  | ({ readonly type: "watch" } & Watch)
  | { readonly type: "refused"; readonly code: PoolRefusal | MessageRefusal };

/** Why a pool does not take a host. */
export type PoolRefusal = "host-already-present" | "pool-unknown" | "gateway-invalid";

/** Router to EgressPool. */
export type RouterRequest =
  | { readonly type: "enroll"; readonly version: number; readonly instance: string }
  /** Wants the table as it is now, once; no grant waits for this router. [ST13] */
  | { readonly type: "observe"; readonly version: number }
  /**
   * The kernel has applied up to this change. The first one after a table means that the whole
   * table is in force. Each covers all before it; late or repeated ones take nothing back. [ST7]
   */
  | { readonly type: "acknowledge"; readonly sequence: number }
  /** The router has missed something and wants the whole table again. */
  | { readonly type: "resync" };

/**
 * EgressPool to router. A table comes in parts, in order and with nothing between them; each
 * holds a piece of every list, all the same sequence, and together they are the table. [ST8]
 */
export type RouterReply =
  | {
      readonly type: "table";
      /** From 1 to `parts`. */
      readonly part: number;
      readonly parts: number;
      readonly table: SteeringTable;
    }
  | { readonly type: "change"; readonly change: SteeringChange }
  | { readonly type: "refused"; readonly code: RouterRefusal | MessageRefusal };

/** Why a pool does not take a router, or what it says. */
export type RouterRefusal =
  /** Another instance of this router is live. [ST9] */
  | "router-already-present"
  | "pool-unknown"
  /** An acknowledgement of a change that there has not been. [ST7] */
  | "sequence-unknown";

/** A host as an administrator sees it, without instance keys and internals. */
import type { Destination } from "../../src/core/busiest-destination.ts";
import { type UplinkState, uplinkState } from "../../src/core/uplink.ts";
import type { DrainProgress, DrainReport, LeavingIp } from "./operator-drains.ts";
import type { StoredHost } from "./pool-store.ts";
import type { HeldSlot } from "./static-places.ts";

/** How much capacity a host has on an address, and whether what leaves there gets anywhere. */
export interface PoolHostCapacity {
  readonly ip: string;
  readonly portCount: number;
  readonly busiestCount: number;
  /** Null when nothing is in use, or the host does not tell. [PM9] */
  readonly busiestDestination: Destination | null;
  readonly uplink: UplinkState;
  /** Of the destinations dialled lately; null when the host does not tell. */
  readonly destinationCount: number | null;
  readonly failedCount: number | null;
}

/** A host by what it said last. */
export interface PoolHost {
  readonly host: string;
  readonly gateway: string;
  readonly live: boolean;
  readonly draining: boolean;
  /** Where routers reach it; in a pool with routers nothing comes back to one that they do not. [PM7] */
  readonly reach: { readonly ipv4: string | null; readonly ipv6: string | null };
  /** Where it is; null if it does not say. */
  readonly site: string | null;
  readonly weight: number;
  /** The worst of its addresses. [UP4] */
  readonly uplink: UplinkState;
  readonly rooms: readonly PoolHostCapacity[];
  /** What it has of addresses that it takes no new flows from. [AS4] */
  readonly leaving: readonly LeavingIp[];
  /** Null unless its operator drains it; `draining` is what it does by itself. [DR5] */
  readonly drain: DrainProgress | null;
  /** Of the policy by which it decides; null when it has none, or does not tell. [PY7] */
  readonly policyVersion: number | null;
  /** Its slots of a static pool, held or not heard of for long. [SM8] */
  readonly slots: readonly HeldSlot[];
}

const WORST_FIRST: readonly UplinkState[] = ["dead", "suspect", "good", "unknown"];

/**
 * Tells what is known of a host at this time (Unix milliseconds); `isEjected` whether it gets no
 * requests on an address, which makes its uplink there a dead one for whatever reason. [UP4]
 */
export function describeHost(
  stored: StoredHost,
  live: boolean,
  nowMs: number,
  isEjected: (ip: string) => boolean,
  drains: DrainReport,
  slots: readonly HeldSlot[],
): PoolHost {
  const { host, gateway, draining, reach, site, weight, opinions, policyVersion } = stored;
  const rooms = stored.rooms.map(({ uplink = null, ...room }): PoolHostCapacity => {
    const { ip, portCount, busiestCount, busiestDestination = null } = room;
    const own = uplinkState({ uplink, opinion: opinions[ip] ?? null }, nowMs);
    const state = isEjected(ip) ? "dead" : own === "dead" ? "suspect" : own;
    const { destinationCount = null, failedCount = null } = uplink ?? {};
    return {
      ip,
      portCount,
      busiestCount,
      busiestDestination,
      uplink: state,
      destinationCount,
      failedCount,
    };
  });
  const worst = WORST_FIRST.find((state) => rooms.some((capacity) => capacity.uplink === state));
  const [leaving, drain] = [drains.leaving(host), drains.host(host)];
  return {
    host,
    gateway,
    live,
    draining,
    reach,
    site,
    weight,
    uplink: worst ?? "unknown",
    rooms,
    leaving,
    drain,
    policyVersion,
    slots,
  };
}

/** What needs attention, why, and in which order: the worst first, and what is alike by name, so that rows lie still. */
import { LEASABLE_PORT_COUNT } from "../../core/port-block.ts";
import type { WatchedHost } from "../../core/live-view.ts";
import type { PoolHost, PoolIp, PoolRouter, PoolStore } from "../live/pool-store.ts";
import type { Level } from "../parts/level.ts";
import { NameOrder } from "./name-order.ts";
import { counted, percent, whole } from "../parts/words.ts";

/** A judgement with its reason in a few words. */
export interface Standing {
  readonly level: Level;
  readonly why: string;
}

/** An address as the fleet shows it. */
export interface AddressRow extends Standing {
  readonly ip: PoolIp;
  readonly heldCount: number;
  /** Null where no host tells. */
  readonly inUseCount: number | null;
  readonly liveHostCount: number;
  /** Nothing of the pool leaves by any other. */
  readonly isLast: boolean;
}

/** A host as the fleet shows it. */
export interface HostRow extends Standing {
  readonly host: PoolHost;
  readonly heldCount: number;
  readonly inUseCount: number | null;
  readonly watched: WatchedHost | null;
  /** No other host of the pool serves. */
  readonly isLast: boolean;
  /** What to add to the time of whoever looks to have its own, by which the following are. */
  readonly clockOffsetMs: number;
  /** Of its addresses the one whose lease runs out next. */
  readonly renewedAtMs: number | null;
  readonly renewsAtMs: number | null;
  readonly endsAtMs: number | null;
}

/** A router as the fleet shows it. */
export interface RouterRow extends Standing {
  readonly router: PoolRouter;
  /** Changes that it has yet to apply; null when it has told of none. */
  readonly behindCount: number | null;
}

/** The orders of names, kept from one drawing to the next. */
export interface FleetOrder {
  readonly addresses: NameOrder;
  readonly hosts: NameOrder;
  readonly routers: NameOrder;
}

const NEARLY_ALL = 0.9;
const MUCH = 0.8;
/** A renewal may be so late before anybody needs to know. */
const LATE_MS = 15_000;
const ORDER: Readonly<Record<Level, number>> = { bad: 0, short: 1, note: 2, good: 3 };

/** Orders of nothing yet. */
export function newFleetOrder(): FleetOrder {
  return { addresses: new NameOrder(), hosts: new NameOrder(), routers: new NameOrder() };
}

/** The addresses of a pool, those that need attention first. */
export function addressRows(store: PoolStore, order: FleetOrder): readonly AddressRow[] {
  const served = new Map<string, { held: number; live: number; dead: number }>();
  for (const { live, rooms } of store.hosts.values()) {
    for (const { ip, portCount, uplink } of rooms) {
      const sum = served.get(ip) ?? { held: 0, live: 0, dead: 0 };
      sum.held += portCount;
      if (live && portCount > 0) sum.live += 1;
      if (live && uplink === "dead") sum.dead += 1;
      served.set(ip, sum);
    }
  }
  const used = new Map<string, number>();
  for (const { addresses } of store.watched.values())
    for (const { ip, inUseCount } of addresses) used.set(ip, (used.get(ip) ?? 0) + inUseCount);
  const wanted = Math.min(store.rest?.settings.minHostsPerIp ?? 1, liveCount(store));
  const rows = [...store.ips.values()].map((ip): AddressRow => {
    const { held, live, dead } = served.get(ip.ip) ?? { held: 0, live: 0, dead: 0 };
    const { level, why } = standingOfAddress(ip, { held, live, dead, wanted });
    const inUseCount = used.get(ip.ip) ?? null;
    const isLast = isServing(ip) && live > 0;
    return { ip, heldCount: held, inUseCount, liveHostCount: live, isLast, level, why };
  });
  return inOrder(alone(rows), ({ ip }) => ip.ip, order.addresses);
}

/** The hosts of a pool, those that need attention first. */
export function hostRows(store: PoolStore, order: FleetOrder, nowMs: number): readonly HostRow[] {
  const policyVersion = store.rest?.policyVersion ?? 0;
  const rows = [...store.hosts.values()].map((host): HostRow => {
    const watched = store.watched.get(host.host) ?? null;
    const heldCount = host.rooms.reduce((sum, { portCount }) => sum + portCount, 0);
    const inUseCount =
      watched === null ? null : watched.addresses.reduce((sum, address) => sum + address.inUseCount, 0);
    const { renewedAtMs, renewsAtMs, endsAtMs } = leaseTimesOf(watched);
    const clockOffsetMs = store.clocks.offsetMs(host.host);
    const { level, why } = standingOfHost(host, {
      heldCount,
      policyVersion,
      nowMs: nowMs + clockOffsetMs,
      renewsAtMs,
      endsAtMs,
    });
    const times = { clockOffsetMs, renewedAtMs, renewsAtMs, endsAtMs };
    const isLast = isServing(host) && host.live && !host.draining && heldCount > 0;
    return Object.assign(times, { host, heldCount, inUseCount, watched, isLast, level, why });
  });
  return inOrder(alone(rows), ({ host }) => host.host, order.hosts);
}

/** The routers of a pool, those that need attention first. */
export function routerRows(store: PoolStore, order: FleetOrder): readonly RouterRow[] {
  const sequence = store.rest?.steeringSequence ?? 0;
  const rows = [...store.routers.values()].map((router): RouterRow => {
    const behindCount = router.acknowledged === null ? null : Math.max(0, sequence - router.acknowledged);
    const { level, why } = standingOfRouter(router, behindCount);
    return { router, behindCount, level, why };
  });
  return inOrder(rows, ({ router }) => router.router, order.routers);
}

function isServing({ drain, retiring = null }: { drain: object | null; retiring?: object | null }): boolean {
  return drain === null && retiring === null;
}

/** Where several serve none is the last. */
function alone<Row extends { readonly isLast: boolean }>(rows: readonly Row[]): readonly Row[] {
  if (rows.filter(({ isLast }) => isLast).length === 1) return rows;
  return rows.map((row) => (row.isLast ? { ...row, isLast: false } : row));
}

function standingOfAddress(
  { retiring, drain, busiestDestination }: PoolIp,
  { held, live, dead, wanted }: { held: number; live: number; dead: number; wanted: number },
): Standing {
  if (retiring !== null)
    return {
      level: "note",
      why: `retiring, ${counted(retiring.leasedPortCount ?? held, "port")} still held`,
    };
  if (drain !== null)
    return {
      level: "note",
      why: drain.state === "drained" ? "drained" : `draining, ${counted(drain.portCount, "port")} left`,
    };
  if (live === 0) return { level: "bad", why: "no live host serves it" };
  if (dead === live) return { level: "bad", why: "nothing that leaves by it gets anywhere" };
  const part = held / LEASABLE_PORT_COUNT;
  if (part >= NEARLY_ALL) return { level: "short", why: `${percent(part)} of its ports are held` };
  const hottest = busiestDestination === null || held === 0 ? 0 : busiestDestination.portCount / held;
  if (hottest >= MUCH)
    return { level: "short", why: `${percent(hottest)} of its ports go to one destination` };
  if (dead > 0) return { level: "short", why: `uplink dead on ${counted(dead, "host")}` };
  if (live < wanted) return { level: "note", why: `${counted(live, "host")} of ${whole(wanted)} wanted` };
  return { level: "good", why: "serves" };
}

interface HostState {
  readonly heldCount: number;
  readonly policyVersion: number;
  readonly nowMs: number;
  readonly renewsAtMs: number | null;
  readonly endsAtMs: number | null;
}

function standingOfHost(host: PoolHost, state: HostState): Standing {
  const { live, uplink, rooms, drain, draining, leaving } = host;
  const { heldCount, policyVersion, nowMs, renewsAtMs, endsAtMs } = state;
  if (!live) return { level: "bad", why: "is not heard" };
  if (uplink === "dead") return { level: "bad", why: "uplink dead: what leaves gets nowhere" };
  if (endsAtMs !== null && endsAtMs < nowMs) return { level: "bad", why: "a lease of it has run out" };
  if (uplink === "suspect") return { level: "short", why: "uplink suspect" };
  const busiest = rooms.reduce(
    (most, { busiestCount, portCount }) => Math.max(most, portCount === 0 ? 0 : busiestCount / portCount),
    0,
  );
  if (busiest >= NEARLY_ALL)
    return { level: "short", why: `${percent(busiest)} of its ports go to one destination` };
  if (renewsAtMs !== null && renewsAtMs < nowMs - LATE_MS)
    return { level: "short", why: "a renewal is late" };
  if (drain !== null)
    return {
      level: "note",
      why: drain.state === "drained" ? "drained" : `draining, ${counted(drain.portCount, "port")} left`,
    };
  if (draining) return { level: "note", why: "gives everything back" };
  if (host.policyVersion !== null && host.policyVersion !== policyVersion)
    return { level: "note", why: `decides by policy ${host.policyVersion}, not ${policyVersion}` };
  if (leaving.length > 0)
    return { level: "note", why: `leaves ${counted(leaving.length, "address", "addresses")}` };
  return { level: "good", why: heldCount === 0 ? "holds nothing" : "serves" };
}

function standingOfRouter({ live, ready, lagging }: PoolRouter, behindCount: number | null): Standing {
  if (!live) return { level: "bad", why: "is not heard" };
  if (!ready) return { level: "bad", why: "has no whole table yet" };
  if (lagging) return { level: "short", why: "grants have gone ahead of it" };
  if ((behindCount ?? 0) > 0) return { level: "note", why: `${counted(behindCount ?? 0, "change")} behind` };
  return { level: "good", why: "has applied everything" };
}

function leaseTimesOf(watched: WatchedHost | null): Pick<HostRow, "renewedAtMs" | "renewsAtMs" | "endsAtMs"> {
  let next: WatchedHost["addresses"][number] | null = null;
  for (const address of watched?.addresses ?? []) {
    if (address.endsAtMs === null) continue;
    if (next === null || address.endsAtMs < (next.endsAtMs ?? Infinity)) next = address;
  }
  return {
    renewedAtMs: next?.renewedAtMs ?? null,
    renewsAtMs: next?.renewsAtMs ?? null,
    endsAtMs: next?.endsAtMs ?? null,
  };
}

function liveCount(store: PoolStore): number {
  let count = 0;
  for (const { live } of store.hosts.values()) if (live) count += 1;
  return count;
}

function inOrder<Row extends Standing>(
  rows: readonly Row[],
  nameOf: (row: Row) => string,
  order: NameOrder,
): readonly Row[] {
  const ranks = order.ranksOf(rows.map(nameOf));
  const rank = (row: Row): number => ranks.get(nameOf(row)) ?? 0;
  return rows.toSorted((a, b) => ORDER[a.level] - ORDER[b.level] || rank(a) - rank(b));
}

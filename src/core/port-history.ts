/**
 * Who held a port of an address at a past time, judged by its leases. A lease counts from its grant
 * until its end, the end excluded. [AT1]
 *
 * "Nobody" is knowledge: the table was kept then, and nobody had the port. Where it was not kept yet,
 * or not any more, the answer is "unknown". [AT2]
 */
import type { LeaseEnd } from "./lease-table.ts";
import { blockContains, FIRST_LEASABLE_PORT, type PortBlock } from "./port-block.ts";

/** A lease of the present or of the past. */
export interface KnownLease extends PortBlock {
  readonly host: string;
  /** To which the address belonged then. */
  readonly pool: string;
  readonly epoch: number;
  /** Unix milliseconds by the clock of the edge, as all times here. */
  readonly sinceMs: number;
  /** The instant itself lies outside; null while the lease goes on. */
  readonly untilMs: number | null;
  /** How it ended; null while it goes on. */
  readonly end: LeaseEnd | null;
}

/** Why nobody is named. */
export type NobodyReason =
  /** Ports below 1024 are never leased. [PB2] */
  | "port-reserved"
  /** It was free, or in quarantine. */
  | "not-leased"
  /** The table began later, or what it said of then is kept no more. */
  | "before-history"
  | "not-yet";

/** What is known of a port at a time. */
export interface PortHistory {
  readonly state: "held" | "nobody" | "unknown";
  /** Null when it was held. */
  readonly reason: NobodyReason | null;
  /** One, unless the edge's clock was set back meanwhile: then a time may have come twice. */
  readonly holders: readonly KnownLease[];
  /** The lease that had ended last before, for those whose clock is not quite right. */
  readonly before: KnownLease | null;
  /** The one that began next. */
  readonly after: KnownLease | null;
  /** From when on the table knows everything. */
  readonly knownSinceMs: number;
}

/** What is asked. */
export interface PortQuestion {
  readonly port: number;
  readonly atMs: number;
}

/** What the table knows, and until when. */
export interface PortKnowledge {
  /** All leases on the port that began before the time and may have lasted, and the neighbours of that time. */
  readonly leases: readonly KnownLease[];
  /** From when on nothing is missing of what was written. */
  readonly wholeSinceMs: number;
  /** Times later than that of which nothing is known; none where it is left out. [OC5] */
  readonly gaps?: readonly { readonly fromMs: number; readonly toMs: number }[];
  readonly nowMs: number;
  readonly historyDays: number;
}

const DAY_MS = 86_400_000;

/** What has ended before that is forgotten, sooner or later. [AT3] */
export function retentionStartMs(nowMs: number, historyDays: number): number {
  return nowMs - historyDays * DAY_MS;
}

/** All that held a port, as far as is known: the latest first, and no more than that. */
export interface PortLeases {
  readonly leases: readonly KnownLease[];
  /** From when on the table knows everything. */
  readonly knownSinceMs: number;
}

/** The most that is told of a port at once. */
export const MOST_LEASES = 100;

/** How many of the latest leases on a port are wanted. */
export interface LeasesQuestion {
  readonly port: number;
  readonly limit: number;
}

/** The latest leases on a port, of leases of any order, of which those elsewhere do not count. [AT11] */
export function portLeases(
  { port, limit }: LeasesQuestion,
  { leases, wholeSinceMs, nowMs, historyDays }: PortKnowledge,
): PortLeases {
  const keptSinceMs = retentionStartMs(nowMs, historyDays);
  const found = leases
    .filter((lease) => blockContains(lease, port) && (lease.untilMs ?? Infinity) > keptSinceMs)
    .toSorted((a, b) => b.sinceMs - a.sinceMs || b.epoch - a.epoch);
  return { leases: found.slice(0, limit), knownSinceMs: Math.max(wholeSinceMs, keptSinceMs) };
}

/** Answers from leases of any order, of which those elsewhere do not count. */
export function portHistory({ port, atMs }: PortQuestion, knowledge: PortKnowledge): PortHistory {
  const { wholeSinceMs, gaps = [], nowMs, historyDays } = knowledge;
  const keptSinceMs = retentionStartMs(nowMs, historyDays);
  const knownSinceMs = Math.max(wholeSinceMs, keptSinceMs);
  const answer = { reason: null, holders: [], before: null, after: null, knownSinceMs } as const;
  if (port < FIRST_LEASABLE_PORT) return { ...answer, state: "nobody", reason: "port-reserved" };
  if (atMs > nowMs) return { ...answer, state: "unknown", reason: "not-yet" };
  const leases = knowledge.leases
    // What is older is gone soon: it must not depend on when that happens.
    .filter((lease) => blockContains(lease, port) && (lease.untilMs ?? Infinity) > keptSinceMs)
    .toSorted((a, b) => a.sinceMs - b.sinceMs || a.epoch - b.epoch);
  const holders = leases.filter(({ sinceMs, untilMs }) => sinceMs <= atMs && atMs < (untilMs ?? Infinity));
  if (holders.length > 0) return { ...answer, state: "held", holders };
  const ended = leases.filter(({ untilMs }) => untilMs !== null && untilMs <= atMs);
  const before = ended.toSorted((a, b) => a.untilMs! - b.untilMs!).at(-1) ?? null;
  const after = leases.find(({ sinceMs }) => sinceMs > atMs) ?? null;
  const isLost = gaps.some(({ fromMs, toMs }) => fromMs <= atMs && atMs < toMs);
  return atMs < knownSinceMs || isLost
    ? { ...answer, state: "unknown", reason: "before-history", before, after }
    : { ...answer, state: "nobody", reason: "not-leased", before, after };
}

/**
 * What happened to a pool or an address, as people are told of it. [EV1]
 *
 * Most of it is stored for other reasons: leases that are there or over, and what administrators changed.
 * Only what is stored nowhere else is written down to be told. Events have an order that no later event
 * changes, so that they can be read page by page.
 */
import type { PortBlock } from "./port-block.ts";

/** Every kind there is. None ever changes its meaning; more may come. */
export const EVENT_KINDS = [
  "block-granted",
  "block-returned",
  "lease-lost",
  "address-added",
  "address-changed",
  "address-draining",
  "address-drained",
  "address-resumed",
  "address-retiring",
  "address-removed",
  "host-joined",
  "host-silent",
  "host-back",
  "host-draining",
  "host-drained",
  "host-resumed",
  "host-removed",
  "router-joined",
  "router-gone",
  "steering-overdue",
  "pool-made",
  "settings-changed",
  "policy-changed",
  "tenant-changed",
  "tokens-revoked",
  "change-refused",
  "restored",
] as const;

/** What happened. */
export type EventKind = (typeof EVENT_KINDS)[number];

/**
 * Where an event is read from: changes by administrators, ends and grants of leases, what a pool notes of
 * itself, restores. Of one millisecond they follow one another in this order.
 */
const SOURCES = ["change", "end", "grant", "note", "restore"] as const;

/** Where an event is read from. */
export type EventSource = (typeof SOURCES)[number];

/** Its place in the order of events; no two of a pool and an address have the same. */
export interface EventPlace {
  /** Unix milliseconds by the clock of the edge. */
  readonly atMs: number;
  readonly source: EventSource;
  /** An epoch, or a sequence. */
  readonly number: number;
}

/** Something that happened. */
export interface HistoryEvent extends EventPlace {
  readonly kind: EventKind;
  readonly pool: string;
  /** Whom and what it concerns; null where it is none in particular. */
  readonly ip: string | null;
  readonly host: string | null;
  readonly router: string | null;
  readonly block: PortBlock | null;
  readonly epoch: number | null;
  /** A code. */
  readonly reason: string | null;
  /** The administrator by name, and the id of the token; null for what nobody did. */
  readonly by: { readonly subject: string; readonly tokenId: string | null } | null;
  /** JSON text, as an audit has it: of what has changed, how it was, and how it is. */
  readonly before: string;
  readonly after: string;
}

/** Which events are wanted: the newest of them. */
export interface EventPage {
  /** Those of this time and later, in Unix milliseconds. */
  readonly sinceMs: number;
  /** Only those that come before this one; null for all. */
  readonly before: EventPlace | null;
  /** Null for every kind. */
  readonly kinds: readonly EventKind[] | null;
  /** Null for every host. */
  readonly host: string | null;
  readonly limit: number;
}

/** Of nothing in particular. */
const NOTHING = {
  ip: null,
  host: null,
  router: null,
  block: null,
  epoch: null,
  reason: null,
  by: null,
  before: "null",
  after: "null",
} as const;

/** An event of which only this is known. */
export function historyEvent(
  known: EventPlace & Pick<HistoryEvent, "kind" | "pool"> & Partial<HistoryEvent>,
): HistoryEvent {
  return { ...NOTHING, ...known };
}

/** Whether it is wanted, by all but their number. */
export function isWanted(event: HistoryEvent, { sinceMs, before, kinds, host }: EventPage): boolean {
  if (event.atMs < sinceMs || (kinds !== null && !kinds.includes(event.kind))) return false;
  if (host !== null && event.host !== host) return false;
  return before === null || newestFirst(before, event) < 0;
}

/** Orders the later one first. */
export function newestFirst(a: EventPlace, b: EventPlace): number {
  return b.atMs - a.atMs || SOURCES.indexOf(b.source) - SOURCES.indexOf(a.source) || b.number - a.number;
}

/** As many as are wanted of several lists, the newest first. */
export function newestOf(lists: readonly (readonly HistoryEvent[])[], limit: number): HistoryEvent[] {
  return lists.flat().toSorted(newestFirst).slice(0, limit);
}

/** A place as clients repeat it. */
export function placeText({ atMs, source, number }: EventPlace): string {
  return `${atMs}-${source}-${number}`;
}

/** The same read; null for anything else. */
export function placeIn(text: string): EventPlace | null {
  const [, atMs, word, number] = /^(\d{1,15})-([a-z]+)-(\d{1,15})$/.exec(text) ?? [];
  const source = SOURCES.find((known) => known === word);
  return source === undefined ? null : { atMs: Number(atMs), source, number: Number(number) };
}

/**
 * A table that is an old copy, as after the restore of a backup: it does not know what was granted,
 * given back or renewed since. So it grants nothing until whatever may have been granted has ended,
 * and of what is held it believes the holders. [OC1] [OC2] [OC3]
 *
 * What hosts tell cannot contradict itself: an honest host tells what it may use at that moment, and
 * since the copy woke up nobody has been granted anything that another could hold.
 */
import type { Lease } from "./lease-commands.ts";
import {
  isUnused,
  type LeaseEvent,
  type LeaseRow,
  type LeaseTable,
  leasesOf,
  longestGapMs,
} from "./lease-table.ts";
import { blocksOverlap } from "./port-block.ts";
import { isStatic } from "./static-slots.ts";

/** One restore of a backup, as the edge's operator made it. */
export interface Restoration {
  /** Differs from that of every other restoration. */
  readonly id: string;
  /**
   * When it was made, Unix milliseconds. From here numbers go on, so it must not be before an earlier
   * restore: the clocks of objects may be wrong, and this one the operator has looked at.
   */
  readonly atMs: number;
  /** The least time in which nothing is granted; more than lease time and quarantine if these were longer since. */
  readonly waitMs: number;
  /** The operator has made sure that no host holds a slot of which the copy does not know. [OC6] */
  readonly areSlotsKnown: boolean;
}

/** What a host says it holds of an address. */
export interface Holdings {
  readonly leases: readonly Lease[];
  /** How long it counts on them at the most, from now; null for static slots. */
  readonly leftMs: number | null;
}

/** A told epoch beyond this from what is known is no epoch: it would leave no numbers for others. */
const MOST_AHEAD = 366 * 86_400_000;

type Record = (event: LeaseEvent) => void;

/**
 * Numbers go on from where no life of this table can have come: fewer than one grant, join or
 * publication was made in each millisecond since 1970. [EP1] [OC1]
 */
export function beginRecovery(
  table: LeaseTable,
  { id, atMs, waitMs, areSlotsKnown }: Restoration,
  nowMs: number,
  record: Record,
): void {
  const { leaseDurationMs, quarantineMs } = table.settings;
  const waitsMs = Math.max(waitMs, leaseDurationMs + quarantineMs);
  const hasEnd = areSlotsKnown || !isStatic(table.settings);
  const copiedAtMs = table.seenAtMs;
  // By a clock that is behind that of the copy what it has would last too long; forward, nothing ends too soon.
  const shiftMs = isUnused(table) ? 0 : Math.min(0, nowMs - copiedAtMs + longestGapMs(table.settings));
  record({ type: "clock-read", atMs: nowMs, shiftMs });
  record({
    type: "recovery-began",
    restoration: id,
    recovery: { untilMs: hasEnd ? nowMs + waitsMs : null, copiedAtMs },
    lastEpoch: Math.max(table.lastEpoch, atMs),
    lastSession: Math.max(table.lastSession, atMs),
    steeringVersion: Math.max(table.steeringVersion + 1, atMs),
    // Whoever is in the copy may have renewed at the last moment before.
    heldUntilMs: nowMs + waitsMs - quarantineMs,
  });
}

/** Whether this instance of a host must tell what it holds before it can be told that. [OC3] */
export function mustTellHoldings(table: LeaseTable, host: string, instance: string): boolean {
  const present = table.holders.get(host);
  if (present?.isUnheard === true) return true;
  return table.recovery !== null && present?.instance !== instance;
}

/** What a host says of what it holds, with who it is. */
export interface Told {
  readonly host: string;
  readonly instance: string;
  readonly holdings: Holdings;
}

/** A host is heard for the first time since the copy woke up: what it does not hold any more rests. [OC3] */
export function endUntold(table: LeaseTable, told: Told, nowMs: number, record: Record): void {
  const { host, instance, holdings } = told;
  const present = table.holders.get(host);
  const isOther = present !== undefined && present.instance !== instance;
  // Only when the leases of one instance had ended was another let in; with nothing held, it never was. [HO1]
  if (isOther && (present.isUnheard !== true || holdings.leases.length === 0)) return;
  const isTold = (row: LeaseRow): boolean =>
    row.instance === instance && holdings.leases.some((lease) => isSame(row, lease));
  for (const row of leasesOf(table, host)) if (!isTold(row)) endUnknown(table, row, nowMs, record);
}

/** It has joined, and holds what it says. [OC3] */
export function adoptTold(table: LeaseTable, told: Told, nowMs: number, record: Record): void {
  record({ type: "heard", host: told.host });
  // Afterwards the copy is what counts: what it does not have may not be made up.
  if (table.recovery === null) return;
  for (const lease of told.holdings.leases) adopt(table, told, lease, nowMs, record);
}

function adopt(
  table: LeaseTable,
  { host, instance }: Told,
  lease: Lease,
  nowMs: number,
  record: Record,
): void {
  const { base, order, epoch } = lease;
  if (epoch > table.lastEpoch + MOST_AHEAD) return;
  const inTheWay = [...table.rows.values()].filter((row) => row.epoch === epoch || blocksOverlap(row, lease));
  const own = inTheWay.find((row) => row.host === host && row.instance === instance && isSame(row, lease));
  if (own?.state === "leased") {
    if (!own.steered) record({ type: "steered", epoch });
    return;
  }
  if (inTheWay.some((row) => row !== own && (row.epoch >= epoch || isKnownHeld(table, row)))) return;
  for (const row of inTheWay) {
    if (row.state === "leased") endUnknown(table, row, nowMs, record);
    record({ type: "freed", epoch: row.epoch });
  }
  const row: LeaseRow = {
    base,
    order,
    epoch,
    host,
    instance,
    state: "leased",
    grantedAtMs: own?.grantedAtMs ?? nowMs,
    requestId: `told-${epoch}`,
    endedAtMs: null,
    freeAtMs: null,
    // Its host would not have been told of it before its routers.
    steered: true,
  };
  record({ type: "adopted", row });
}

/** It ended at some time that the copy has not seen; so it is only known to have lasted as long as that saw. */
function endUnknown(table: LeaseTable, row: LeaseRow, nowMs: number, record: Record): void {
  const endedAtMs = Math.max(row.grantedAtMs, table.recovery?.copiedAtMs ?? nowMs);
  // An agent that was started anew has forgotten what its kernel may still let out: that ends before the wait.
  const freeAtMs = Math.max(nowMs + table.settings.quarantineMs, table.recovery?.untilMs ?? 0);
  record({ type: "ended", epoch: row.epoch, end: "expired", endedAtMs, freeAtMs });
}

/** Its holder has told that it holds it. */
function isKnownHeld(table: LeaseTable, { state, host, instance }: LeaseRow): boolean {
  const holder = table.holders.get(host);
  return state === "leased" && holder?.instance === instance && holder.isUnheard !== true;
}

function isSame(row: LeaseRow, { base, order, epoch }: Lease): boolean {
  return row.epoch === epoch && row.base === base && row.order === order;
}

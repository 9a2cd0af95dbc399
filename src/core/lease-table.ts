/**
 * The table of one egress IP: which host holds which block, since when, until when.
 *
 * A block's life: free → leased (epoch n) → quarantined → free. Free blocks have no row; what
 * is free is derived. A lease has no end of its own: all blocks of a host on this address end
 * together, at its holder's `expiresAtMs`, so that one renewal is one row. [LE1]
 *
 * The table changes through events alone. `lease-commands.ts` decides which; `applyEvent`
 * carries them out here, and a store writes the same events to disk, so that memory rebuilt
 * from disk equals the memory that wrote it. [LE2]
 */
import { emptyUnitHistory, markUnused, type UnitHistory } from "./buddy-allocator.ts";
import type { PortBlock } from "./port-block.ts";
import type { PoolSettings } from "./pool-settings.ts";
import {
  emptyTableIndex,
  indexHolder,
  indexOf,
  indexRow,
  reindexRow,
  type TableIndex,
  unindexHolder,
  unindexRow,
} from "./table-index.ts";

/** A host as this address knows it. */
export interface Holder {
  readonly host: string;
  /** Key of the host's state directory: tells a restart from a duplicate instance. [HO1] */
  readonly instance: string;
  /** Rises with every join; messages of an older session are refused. [HO2] */
  readonly session: number;
  /** When all its leases end unless renewed; the instant itself lies outside. [LE3] */
  readonly expiresAtMs: number;
  /** It is of an old copy, and has not told since what it holds. [OC3] */
  readonly isUnheard?: true;
}

/** What an old copy of a table waits for. [OC2] */
export interface Recovery {
  /** When nobody can hold any more what is not known here; null where no time ends that. [OC6] */
  readonly untilMs: number | null;
  /** When the copy last saw the clock before: what it says holds up to then. */
  readonly copiedAtMs: number;
}

/** A block that is not free. Its epoch is unique in the table and names the lease. */
export interface LeaseRow extends PortBlock {
  readonly epoch: number;
  readonly host: string;
  readonly instance: string;
  readonly state: "leased" | "quarantined";
  readonly grantedAtMs: number;
  /** The acquire request it answers, so that a repeated request gets the same block. */
  readonly requestId: string;
  /** When the lease ended; null while leased. */
  readonly endedAtMs: number | null;
  /** When anybody may have the block again; null while leased. */
  readonly freeAtMs: number | null;
  /** Whether the routers have applied it; before that its host is not told of it. [ST4] */
  readonly steered: boolean;
}

/** The table in memory. Only `applyEvent` changes it. */
export interface LeaseTable {
  settings: PoolSettings;
  lastEpoch: number;
  lastSession: number;
  /** When the clock was last looked at, by that clock; 0 for never. [LE6] */
  seenAtMs: number;
  /** Whether the pool has routers, or had some: then grants wait for them. [ST4] */
  isSteered: boolean;
  /** Rises whenever what routers must know of this address changes. [ST5] */
  steeringVersion: number;
  /** The newest version that the pool has taken and the routers have applied. [ST5] */
  publishedVersion: number;
  /** Whether the pool has given the address up: then nothing is granted any more. [RE1] */
  isRetiring: boolean;
  /** Null unless this is an old copy that may not know of all grants. [OC2] */
  recovery: Recovery | null;
  readonly holders: ReadonlyMap<string, Holder>;
  /** When a host was last refused more because there was none, by host. [AL7] */
  readonly wants: Map<string, number>;
  /** By epoch; blocks of different rows never overlap. */
  readonly rows: ReadonlyMap<number, LeaseRow>;
  /** Follows from holders and rows. [AL10] */
  readonly index: TableIndex;
  readonly unitHistory: UnitHistory;
}

/** A table as it is written here. */
interface WritableTable extends LeaseTable {
  readonly holders: Map<string, Holder>;
  readonly rows: Map<number, LeaseRow>;
  index: TableIndex;
}

/** Why a lease ended. */
export type LeaseEnd =
  | "released"
  | "expired"
  /** The operator has said that its host is gone for good. [SM5] */
  | "removed";

/** Everything that can change a table. */
export type LeaseEvent =
  | { readonly type: "configured"; readonly settings: PoolSettings }
  | { readonly type: "joined"; readonly holder: Holder }
  | { readonly type: "renewed"; readonly host: string; readonly expiresAtMs: number }
  | { readonly type: "granted"; readonly row: LeaseRow }
  | {
      readonly type: "ended";
      readonly epoch: number;
      readonly end: LeaseEnd;
      readonly endedAtMs: number;
      readonly freeAtMs: number;
    }
  | { readonly type: "freed"; readonly epoch: number }
  /** A host was refused more because there was none. [AL7] */
  | { readonly type: "wanted"; readonly host: string; readonly atMs: number }
  /** It has got some. */
  | { readonly type: "satisfied"; readonly host: string }
  /** A host whose time is over and who has no block any more is forgotten. [HO5] */
  | { readonly type: "left"; readonly host: string }
  /** The clock was looked at; all deadlines that lie ahead move by `shiftMs`. [LE6] */
  | { readonly type: "clock-read"; readonly atMs: number; readonly shiftMs: number }
  /** The pool has its first router. */
  | { readonly type: "steering-began" }
  /** The routers have applied this grant, or their deadline has passed. [ST4] */
  | { readonly type: "steered"; readonly epoch: number }
  | { readonly type: "published"; readonly version: number }
  /** The pool has given the address up, or has taken it back. [RE1] */
  | { readonly type: "retired"; readonly isRetiring: boolean }
  /** The table is an old copy; numbers go on from these, and no holder is taken to be gone before this time. [OC1] */
  | {
      readonly type: "recovery-began";
      readonly restoration: string;
      readonly recovery: Recovery;
      readonly lastEpoch: number;
      readonly lastSession: number;
      readonly steeringVersion: number;
      readonly heldUntilMs: number;
    }
  /** A host of an old copy has told what it holds. [OC3] */
  | { readonly type: "heard"; readonly host: string }
  /** It holds this, of which the copy did not know. [OC3] */
  | { readonly type: "adopted"; readonly row: LeaseRow }
  /** What is not known here is held by nobody any more. [OC2] */
  | { readonly type: "recovered" };

/** A table in which everything is free. */
export function emptyLeaseTable(settings: PoolSettings): LeaseTable {
  const unitHistory = emptyUnitHistory();
  return {
    settings,
    lastEpoch: 0,
    lastSession: 0,
    seenAtMs: 0,
    isSteered: false,
    steeringVersion: 0,
    publishedVersion: 0,
    isRetiring: false,
    recovery: null,
    holders: new Map(),
    wants: new Map(),
    rows: new Map(),
    index: emptyTableIndex(unitHistory),
    unitHistory,
  };
}

/** Puts what was stored into an empty table; rows come in the order of their epochs. */
export function fillLeaseTable(
  table: LeaseTable,
  stored: { readonly holders: Iterable<Holder>; readonly rows: Iterable<LeaseRow> },
): void {
  const writable = table as WritableTable;
  for (const holder of stored.holders) writable.holders.set(holder.host, holder);
  for (const row of stored.rows) writable.rows.set(row.epoch, row);
  writable.index = indexOf(table.unitHistory, table.holders.values(), table.rows.values());
}

/** Carries one event out. Events are facts: they are applied, not judged. */
export function applyEvent(readable: LeaseTable, event: LeaseEvent): void {
  const table = readable as WritableTable;
  switch (event.type) {
    case "configured":
      table.settings = event.settings;
      return;
    case "joined":
      table.holders.set(event.holder.host, event.holder);
      indexHolder(table.index, event.holder);
      table.lastSession = Math.max(table.lastSession, event.holder.session);
      return;
    case "renewed": {
      const holder = table.holders.get(event.host)!;
      table.holders.set(event.host, { ...holder, expiresAtMs: event.expiresAtMs });
      return;
    }
    case "wanted":
    case "satisfied":
      if (event.type === "wanted") table.wants.set(event.host, event.atMs);
      else table.wants.delete(event.host);
      return;
    case "granted":
    case "adopted":
      table.rows.set(event.row.epoch, event.row);
      indexRow(table.index, event.row);
      table.lastEpoch = Math.max(table.lastEpoch, event.row.epoch);
      noteSteeringChange(table);
      return;
    case "ended": {
      const { endedAtMs, freeAtMs } = event;
      alterRow(table, event.epoch, { state: "quarantined", endedAtMs, freeAtMs });
      noteSteeringChange(table);
      return;
    }
    case "freed": {
      const row = table.rows.get(event.epoch)!;
      table.rows.delete(event.epoch);
      markUnused(table.unitHistory, row, row.endedAtMs ?? 0);
      unindexRow(table.index, row);
      return;
    }
    case "left":
      table.holders.delete(event.host);
      unindexHolder(table.index, event.host);
      table.wants.delete(event.host);
      return;
    case "clock-read":
      table.seenAtMs = event.atMs;
      if (event.shiftMs !== 0) shiftDeadlines(table, event.shiftMs);
      return;
    case "retired":
      table.isRetiring = event.isRetiring;
      // Routers may have been told to forget an address that is taken back. [RE2]
      if (!event.isRetiring) noteSteeringChange(table);
      return;
    case "steering-began":
    case "steered":
    case "published":
    case "recovery-began":
    case "heard":
    case "recovered":
      applySteering(table, event);
      return;
  }
}

type SteeringEvent = LeaseEvent & {
  type: "steering-began" | "steered" | "published" | "recovery-began" | "heard" | "recovered";
};

/** What concerns routers, who are also told what an old copy comes to know. */
function applySteering(table: WritableTable, event: SteeringEvent): void {
  switch (event.type) {
    case "steering-began":
      table.isSteered = true;
      noteSteeringChange(table);
      return;
    case "steered":
      alterRow(table, event.epoch, { steered: true });
      return;
    case "published":
      table.publishedVersion = event.version;
      return;
    case "recovery-began":
      beginRecovery(table, event);
      return;
    case "heard":
      noteSteeringChange(table);
      return;
    case "recovered":
      table.recovery = null;
      noteSteeringChange(table);
      return;
  }
}

function beginRecovery(table: WritableTable, event: LeaseEvent & { type: "recovery-began" }): void {
  table.recovery = event.recovery;
  table.lastEpoch = event.lastEpoch;
  table.lastSession = event.lastSession;
  table.steeringVersion = event.steeringVersion;
  for (const holder of table.holders.values()) {
    const expiresAtMs = Math.max(holder.expiresAtMs, event.heldUntilMs);
    table.holders.set(holder.host, { ...holder, expiresAtMs, isUnheard: true });
  }
}

/** Without routers nobody asks for versions, and none is written. */
function noteSteeringChange(table: LeaseTable): void {
  if (table.isSteered) table.steeringVersion += 1;
}

function alterRow(table: WritableTable, epoch: number, change: Partial<LeaseRow>): void {
  const before = table.rows.get(epoch)!;
  const after = { ...before, ...change };
  table.rows.set(epoch, after);
  reindexRow(table.index, before, after);
}

function shiftDeadlines(table: WritableTable, shiftMs: number): void {
  table.recovery = shiftedRecovery(table.recovery, shiftMs);
  for (const holder of table.holders.values()) {
    table.holders.set(holder.host, { ...holder, expiresAtMs: holder.expiresAtMs + shiftMs });
  }
  for (const row of table.rows.values()) {
    if (row.freeAtMs !== null) table.rows.set(row.epoch, { ...row, freeAtMs: row.freeAtMs + shiftMs });
  }
  table.index = indexOf(table.unitHistory, table.holders.values(), table.rows.values());
}

/** The same, with its end moved. */
export function shiftedRecovery(recovery: Recovery | null, shiftMs: number): Recovery | null {
  if (recovery === null || recovery.untilMs === null) return recovery;
  return { ...recovery, untilMs: recovery.untilMs + shiftMs };
}

/** Whether there is neither host nor block. */
export function isUnused(table: LeaseTable): boolean {
  return table.holders.size === 0 && table.rows.size === 0;
}

/** The blocks of a host, leased and quarantined, oldest epoch first. */
export function rowsOf({ index }: LeaseTable, host: string): Iterable<LeaseRow> {
  return index.parts.get(host)?.rows.values() ?? [];
}

/** The leases a host holds, oldest epoch first. */
export function leasesOf(table: LeaseTable, host: string): LeaseRow[] {
  const leases: LeaseRow[] = [];
  for (const row of rowsOf(table, host)) if (row.state === "leased") leases.push(row);
  return leases;
}

/** Ports a host holds. */
export function portsHeldBy({ index }: LeaseTable, host: string): number {
  return index.parts.get(host)?.held ?? 0;
}

/** Ports that are leased to anybody. */
export function portsLeased({ index }: LeaseTable): number {
  return index.portsLeased;
}

/**
 * How long the object may go without looking at its clock. Within it a step of the clock goes
 * unseen, so it is at most half a quarantine, which absorbs what it does; never under a second,
 * so that alarms do not crowd. [LE6]
 */
export function longestGapMs(settings: PoolSettings): number {
  return Math.max(1_000, Math.floor(settings.quarantineMs / 2));
}

/**
 * When the table must be looked at again, for the alarm: something ends, or the clock has not
 * been seen for too long. Null when nothing can end by time: there is neither host nor block, or
 * there are slots and nothing else. [LE7]
 */
export function nextDeadlineMs(table: LeaseTable): number | null {
  if (!awaitsTime(table)) return null;
  // Alarms come a little late. Were this one due at the very end of the gap, each would be taken
  // for a leap, and every deadline be moved and written for a few milliseconds.
  let next = table.seenAtMs + Math.floor((longestGapMs(table.settings) * 5) / 6);
  const isEndless = table.settings.staticPortsPerHost !== null;
  const { parts, quarantined } = table.index;
  next = Math.min(next, quarantined[0]?.freeAtMs ?? Infinity, table.recovery?.untilMs ?? Infinity);
  for (const { host, expiresAtMs } of table.holders.values()) {
    const { held, rows } = parts.get(host)!;
    // A slot has no end [SM3]; and one that only has what rests is forgotten with the last of that.
    if ((held > 0 && !isEndless) || rows.size === 0) next = Math.min(next, expiresAtMs);
  }
  return next;
}

/** Whether time alone can change the table: something has an end that lies ahead. */
export function awaitsTime(table: LeaseTable): boolean {
  if ((table.recovery?.untilMs ?? null) !== null) return true;
  if (table.settings.staticPortsPerHost === null) return !isUnused(table);
  const { parts, quarantined } = table.index;
  return quarantined.length > 0 || [...parts.values()].some(({ held }) => held === 0);
}

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
import { type PortBlock, portCountOf } from "./port-block.ts";
import type { PoolSettings } from "./pool-settings.ts";

/** A host as this address knows it. */
export interface Holder {
  readonly host: string;
  /** Key of the host's state directory: tells a restart from a twin. [HO1] */
  readonly instance: string;
  /** Rises with every join; messages of an older session are refused. [HO2] */
  readonly session: number;
  /** When all its leases end unless renewed; the instant itself lies outside. [LE3] */
  readonly expiresAtMs: number;
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
}

/** The table in memory. Only `applyEvent` changes it. */
export interface LeaseTable {
  settings: PoolSettings;
  lastEpoch: number;
  lastSession: number;
  readonly holders: Map<string, Holder>;
  /** By epoch; blocks of different rows never overlap. */
  readonly rows: Map<number, LeaseRow>;
  readonly unitHistory: UnitHistory;
}

/** Why a lease ended. */
export type LeaseEnd = "released" | "expired";

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
  | { readonly type: "freed"; readonly epoch: number };

/** A table in which everything is free. */
export function emptyLeaseTable(settings: PoolSettings): LeaseTable {
  return {
    settings,
    lastEpoch: 0,
    lastSession: 0,
    holders: new Map(),
    rows: new Map(),
    unitHistory: emptyUnitHistory(),
  };
}

/** Carries one event out. Events are facts: they are applied, not judged. */
export function applyEvent(table: LeaseTable, event: LeaseEvent): void {
  switch (event.type) {
    case "configured":
      table.settings = event.settings;
      return;
    case "joined":
      table.holders.set(event.holder.host, event.holder);
      table.lastSession = Math.max(table.lastSession, event.holder.session);
      return;
    case "renewed": {
      const holder = table.holders.get(event.host)!;
      table.holders.set(event.host, { ...holder, expiresAtMs: event.expiresAtMs });
      return;
    }
    case "granted":
      table.rows.set(event.row.epoch, event.row);
      table.lastEpoch = Math.max(table.lastEpoch, event.row.epoch);
      return;
    case "ended": {
      const row = table.rows.get(event.epoch)!;
      const { endedAtMs, freeAtMs } = event;
      table.rows.set(event.epoch, { ...row, state: "quarantined", endedAtMs, freeAtMs });
      return;
    }
    case "freed": {
      const row = table.rows.get(event.epoch)!;
      table.rows.delete(event.epoch);
      markUnused(table.unitHistory, row, row.endedAtMs ?? 0);
      return;
    }
  }
}

/** The leases a host holds, oldest epoch first. */
export function leasesOf(table: LeaseTable, host: string): LeaseRow[] {
  return [...table.rows.values()].filter((row) => row.host === host && row.state === "leased");
}

/** Ports a host holds. */
export function portsHeldBy(table: LeaseTable, host: string): number {
  return leasesOf(table, host).reduce((sum, row) => sum + portCountOf(row.order), 0);
}

/** When something next ends by time alone, for the alarm; null when nothing will. */
export function nextDeadlineMs(table: LeaseTable): number | null {
  let next = Infinity;
  for (const row of table.rows.values()) {
    const deadline = row.freeAtMs ?? table.holders.get(row.host)!.expiresAtMs;
    next = Math.min(next, deadline);
  }
  return next === Infinity ? null : next;
}

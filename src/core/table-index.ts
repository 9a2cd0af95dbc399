/**
 * What is counted of a table, so that a question costs the same however full the address is.
 *
 * The rows are the truth, and everything here follows from them and from who the holders are: a walk
 * over all of them gives the same. It is kept because several of these questions are asked at every
 * grant and every renewal. It cannot disagree, since it is written where the rows are: by
 * `applyEvent` and by the filling of a table from disk, and by nobody else. [AL10]
 */
import { emptyOccupancy, markFree, markTaken, type Occupancy, type UnitHistory } from "./buddy-allocator.ts";
import type { Holder, LeaseRow } from "./lease-table.ts";
import { portCountOf } from "./port-block.ts";

/** Ports a host holds, and those of its own in quarantine that it may take up again. */
export interface Usage {
  readonly held: number;
  readonly resting: number;
}

/** A host's part of the table. */
interface HostPart extends Usage {
  held: number;
  resting: number;
  /** Of the host as it joined last; what another instance held does not rest for this one. */
  instance: string;
  /** By epoch, oldest first. */
  readonly rows: Map<number, LeaseRow>;
}

/** Plain values, so that a table can be copied and compared whole. */
export interface TableIndex {
  /** Ports that are leased to anybody. */
  portsLeased: number;
  readonly occupancy: Occupancy;
  /** By host: every holder's, with or without rows. */
  readonly parts: Map<string, HostPart>;
  /** What rests, in the order in which it becomes free; of the same moment the oldest first. */
  readonly quarantined: LeaseRow[];
}

/** The index of a table in which everything is free. */
export function emptyTableIndex(history: UnitHistory): TableIndex {
  return { portsLeased: 0, occupancy: emptyOccupancy(history), parts: new Map(), quarantined: [] };
}

/** The index of these holders and rows; rows come in the order of their epochs. The history stays the table's. */
export function indexOf(
  history: UnitHistory,
  holders: Iterable<Holder>,
  rows: Iterable<LeaseRow>,
): TableIndex {
  const index = emptyTableIndex(history);
  for (const holder of holders) indexHolder(index, holder);
  for (const row of rows) indexRow(index, row);
  return index;
}

/** A host has come, or has come back, perhaps as another instance. */
export function indexHolder(index: TableIndex, { host, instance }: Holder): void {
  const part = index.parts.get(host);
  if (part === undefined) {
    index.parts.set(host, { held: 0, resting: 0, instance, rows: new Map() });
  } else if (part.instance !== instance) {
    part.instance = instance;
    part.resting = 0;
    for (const row of part.rows.values())
      if (isOwnQuarantined(row, part)) part.resting += portCountOf(row.order);
  }
}

/** A host without rows is forgotten. */
export function unindexHolder(index: TableIndex, host: string): void {
  index.parts.delete(host);
}

/** A block is taken. */
export function indexRow(index: TableIndex, row: LeaseRow): void {
  markTaken(index.occupancy, row);
  index.parts.get(row.host)!.rows.set(row.epoch, row);
  count(index, row, 1);
}

/** A block stays taken, and what is known of it changes. */
export function reindexRow(index: TableIndex, before: LeaseRow, after: LeaseRow): void {
  count(index, before, -1);
  index.parts.get(after.host)!.rows.set(after.epoch, after);
  count(index, after, 1);
}

/** A block is free, after the history has been told. */
export function unindexRow(index: TableIndex, row: LeaseRow): void {
  markFree(index.occupancy, row);
  index.parts.get(row.host)!.rows.delete(row.epoch);
  count(index, row, -1);
}

/** Whether a block of a host is in quarantine and this very instance held it last. [QU3] */
export function isOwnQuarantined(row: LeaseRow, { instance }: Pick<Holder, "instance">): boolean {
  return row.state === "quarantined" && row.instance === instance;
}

function count(index: TableIndex, row: LeaseRow, sign: 1 | -1): void {
  const part = index.parts.get(row.host)!;
  const portCount = sign * portCountOf(row.order);
  if (row.state === "leased") {
    index.portsLeased += portCount;
    part.held += portCount;
    return;
  }
  if (isOwnQuarantined(row, part)) part.resting += portCount;
  const { quarantined } = index;
  if (sign === -1) quarantined.splice(quarantined.indexOf(row), 1);
  // Nearly always it is the last: a quarantine is as long for all.
  else quarantined.splice(quarantined.findLastIndex((other) => isFreeSooner(other, row)) + 1, 0, row);
}

function isFreeSooner(a: LeaseRow, b: LeaseRow): boolean {
  return a.freeAtMs! < b.freeAtMs! || (a.freeAtMs === b.freeAtMs && a.epoch < b.epoch);
}

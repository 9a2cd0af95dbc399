/**
 * The questions to a table, answered by a walk over all of its rows, as they were before anything was
 * counted. Slow and plain: what the index of a table says must be the same. [AL10]
 */
import type { Room } from "../../src/core/share.ts";
import {
  type Holder,
  isUnused,
  type LeaseEvent,
  type LeaseRow,
  type LeaseTable,
  longestGapMs,
} from "../../src/core/lease-table.ts";
import {
  FIRST_LEASABLE_PORT,
  LEASABLE_PORT_COUNT,
  MAX_ORDER,
  type PortBlock,
  PORT_END,
  portCountOf,
  UNIT_COUNT,
  UNIT_PORT_COUNT,
} from "../../src/core/port-block.ts";
import { minimumOf } from "../../src/core/share.ts";

/** The leases a host holds, oldest epoch first. */
export function leasesOf({ rows }: LeaseTable, host: string): LeaseRow[] {
  return [...rows.values()].filter((row) => row.host === host && row.state === "leased");
}

/** Ports of some rows. */
function portsOf({ rows }: LeaseTable, isMeant: (row: LeaseRow) => boolean): number {
  let count = 0;
  for (const row of rows.values()) if (isMeant(row)) count += portCountOf(row.order);
  return count;
}

/** Ports that are leased to anybody. */
export function portsLeased(table: LeaseTable): number {
  return portsOf(table, ({ state }) => state === "leased");
}

/** What a host holds, and what of its own it may take up again. */
export function usageOf(table: LeaseTable, { host, instance }: Holder): { held: number; resting: number } {
  return {
    held: portsOf(table, (row) => row.host === host && row.state === "leased"),
    resting: portsOf(
      table,
      (row) => row.host === host && row.state === "quarantined" && row.instance === instance,
    ),
  };
}

/** What is left for a host. */
export function roomFor(table: LeaseTable, host: string, nowMs: number): Room {
  const present = [...table.holders.values()].filter(({ expiresAtMs }) => nowMs < expiresAtMs);
  let portCount = LEASABLE_PORT_COUNT - portsLeased(table);
  for (const other of present) {
    const { held, resting } = usageOf(table, other);
    if (other.host !== host) portCount -= Math.max(0, minimumOf(table.settings) - held - resting);
  }
  return { portCount: Math.max(0, portCount), hostCount: present.length };
}

/** Free blocks, by a list of which units are taken. */
export function freeBlocks({ rows }: LeaseTable): PortBlock[] {
  const isTaken = Array.from(
    { length: UNIT_COUNT },
    (_, unit) => unit * UNIT_PORT_COUNT < FIRST_LEASABLE_PORT,
  );
  for (const { base, order } of rows.values()) {
    const first = base / UNIT_PORT_COUNT;
    isTaken.fill(true, first, first + portCountOf(order) / UNIT_PORT_COUNT);
  }
  const within = (base: number, order: number): PortBlock[] => {
    const units = isTaken.slice(base / UNIT_PORT_COUNT, (base + portCountOf(order)) / UNIT_PORT_COUNT);
    if (units.every((isOne) => !isOne)) return [{ base, order }];
    if (units.every((isOne) => isOne)) return [];
    return [...within(base, order - 1), ...within(base + portCountOf(order - 1), order - 1)];
  };
  const bases = Array.from(
    { length: PORT_END / portCountOf(MAX_ORDER) },
    (_, at) => at * portCountOf(MAX_ORDER),
  );
  return bases.flatMap((base) => within(base, MAX_ORDER));
}

/** The block to give out next, of a list of free ones. */
export function chooseBlock(
  free: readonly PortBlock[],
  order: number,
  { unitHistory }: LeaseTable,
  random: () => number,
): PortBlock | null {
  const usedAtMs = ({ base, order: size }: PortBlock): number => {
    const first = base / UNIT_PORT_COUNT;
    return Math.max(...unitHistory.slice(first, first + portCountOf(size) / UNIT_PORT_COUNT));
  };
  const longestUnused = (blocks: readonly PortBlock[]): PortBlock => {
    const oldestMs = Math.min(...blocks.map(usedAtMs));
    const equals = blocks.filter((block) => usedAtMs(block) === oldestMs);
    return equals[Math.floor(random() * equals.length)]!;
  };
  if (free.length === 0) return null;
  const sufficient = free.filter((block) => block.order >= order).map((block) => block.order);
  const best =
    sufficient.length > 0 ? Math.min(...sufficient) : Math.max(...free.map((block) => block.order));
  let block = longestUnused(free.filter((other) => other.order === best));
  while (block.order > order) {
    const half = block.order - 1;
    block = longestUnused([
      { base: block.base, order: half },
      { base: block.base + portCountOf(half), order: half },
    ]);
  }
  return block;
}

/** When the table must be looked at again. */
export function nextDeadlineMs(table: LeaseTable): number | null {
  const { staticPortsPerHost } = table.settings;
  const rows = [...table.rows.values()];
  const hasSlot = (host: string): boolean => rows.some((row) => row.host === host && row.state === "leased");
  const isStill = rows.every(({ state }) => state === "leased") && [...table.holders.keys()].every(hasSlot);
  if (isUnused(table) || (staticPortsPerHost !== null && isStill)) return null;
  let next = table.seenAtMs + Math.floor((longestGapMs(table.settings) * 5) / 6);
  const hostsWithRows = new Set<string>();
  for (const row of rows) {
    hostsWithRows.add(row.host);
    const endsAtMs = staticPortsPerHost === null ? table.holders.get(row.host)!.expiresAtMs : Infinity;
    next = Math.min(next, row.freeAtMs ?? endsAtMs);
  }
  for (const holder of table.holders.values()) {
    if (!hostsWithRows.has(holder.host)) next = Math.min(next, holder.expiresAtMs);
  }
  return next;
}

/** What time does once the clock was looked at; each event is carried out before the next is looked for. */
export function letTimePass(table: LeaseTable, nowMs: number, record: (event: LeaseEvent) => void): void {
  const over = [...table.holders.values()].filter(({ expiresAtMs }) => nowMs >= expiresAtMs);
  const isOver = new Set(over.map(({ host }) => host));
  for (const { epoch, host, state } of table.rows.values()) {
    if (state !== "leased" || !isOver.has(host) || table.settings.staticPortsPerHost !== null) continue;
    const endedAtMs = table.holders.get(host)!.expiresAtMs;
    const freeAtMs = endedAtMs + table.settings.quarantineMs;
    record({ type: "ended", epoch, end: "expired", endedAtMs, freeAtMs });
  }
  for (const { epoch, freeAtMs } of table.rows.values()) {
    if (freeAtMs !== null && nowMs >= freeAtMs) record({ type: "freed", epoch });
  }
  for (const { host } of over) {
    if (![...table.rows.values()].some((row) => row.host === host)) record({ type: "left", host });
  }
}

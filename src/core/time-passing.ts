/**
 * What time alone does to a table: leases end, quarantines are lifted, hosts are forgotten.
 *
 * The object has only a wall clock, and a wall clock may be set. Were a leap of an hour
 * believed, leases would end that their hosts still count on. So the table remembers when it
 * last saw the clock: time beyond the longest gap between two looks is taken for a leap, or
 * for an outage in which nobody could renew, and all deadlines ahead move along. Likewise when
 * the clock is set back by more than that, so that the blocks of a dead host are not held for
 * hours longer. [LE6]
 */
import {
  awaitsTime,
  isUnused,
  type LeaseEvent,
  type LeaseRow,
  leasesOf,
  type LeaseTable,
  longestGapMs,
} from "./lease-table.ts";
import { isStatic } from "./static-slots.ts";

/** Lets time pass up to this moment, before any command is judged. [LE4] */
export function letTimePass(table: LeaseTable, nowMs: number, record: (event: LeaseEvent) => void): void {
  lookAtClock(table, nowMs, record);
  const over = new Set<string>();
  for (const holder of table.holders.values()) if (nowMs >= holder.expiresAtMs) over.add(holder.host);
  // A slot stands, no matter how long its host is away, and what the clock says. [SM3]
  if (over.size > 0 && !isStatic(table.settings)) endLeasesOf(over, table, record);
  for (const { epoch } of restedBy(nowMs, table)) record({ type: "freed", epoch });
  for (const host of over) if (table.index.parts.get(host)!.rows.size === 0) record({ type: "left", host });
  if (nowMs >= (table.recovery?.untilMs ?? Infinity)) record({ type: "recovered" });
}

/** What has rested long enough, oldest first. */
function restedBy(nowMs: number, { index: { quarantined } }: LeaseTable): LeaseRow[] {
  const rested: LeaseRow[] = [];
  for (const row of quarantined) {
    if (nowMs < row.freeAtMs!) break;
    rested.push(row);
  }
  return rested.toSorted(byEpoch);
}

function endLeasesOf(
  hosts: ReadonlySet<string>,
  table: LeaseTable,
  record: (event: LeaseEvent) => void,
): void {
  const leases = [...hosts].flatMap((host) => leasesOf(table, host));
  for (const row of leases.toSorted(byEpoch)) {
    // Quarantine counts from the end of the lease, not from when the end was noticed. [QU2]
    const { expiresAtMs: endedAtMs, isUnheard } = table.holders.get(row.host)!;
    const freeAtMs = endedAtMs + table.settings.quarantineMs;
    // Of a host that was not heard since a restore it is not known how long it held this. [OC5]
    const knownUntilMs = isUnheard === true ? table.recovery?.copiedAtMs : undefined;
    const shownAtMs = knownUntilMs === undefined ? endedAtMs : Math.max(row.grantedAtMs, knownUntilMs);
    record({ type: "ended", epoch: row.epoch, end: "expired", endedAtMs: shownAtMs, freeAtMs });
  }
}

function byEpoch(a: LeaseRow, b: LeaseRow): number {
  return a.epoch - b.epoch;
}

function lookAtClock(table: LeaseTable, nowMs: number, record: (event: LeaseEvent) => void): void {
  const longestMs = longestGapMs(table.settings);
  const gapMs = nowMs - table.seenAtMs;
  // Half the gap is often enough to look, and spares a busy table a write per command.
  if (gapMs >= 0 && gapMs < longestMs / 2) return;
  // A step back by less than the gap is left alone, as one forward is: a clock that goes to and fro
  // would otherwise take a gap from every deadline each time that it comes back.
  const shiftMs = Math.min(0, gapMs + longestMs) + Math.max(0, gapMs - longestMs);
  // Where nothing has an end no alarm looks at the clock, and each look would else write all holders
  // anew. What was reckoned by a clock that is set back since is to end all the same, once it has an end.
  const isMoved = (shiftMs < 0 && !isUnused(table)) || awaitsTime(table);
  record({ type: "clock-read", atMs: nowMs, shiftMs: isMoved ? shiftMs : 0 });
}

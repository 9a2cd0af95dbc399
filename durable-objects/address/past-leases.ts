/**
 * The leases of an address that are over, on disk: who held which block, from when to when. [DO4]
 *
 * A row is a run of leases of one host on one block, each taken up again out of its own quarantine, so
 * that nobody else can have had a port of it between them; it keeps the times of each. What is asked of
 * the past is found by block, and what is forgotten by the order of epochs, so neither reads all of it. [AT3]
 */
import type { LeaseEnd } from "../../src/core/lease-table.ts";
import { type KnownLease, retentionStartMs } from "../../src/core/port-history.ts";
import { MAX_ORDER, MIN_ORDER, portCountOf } from "../../src/core/port-block.ts";
import {
  numberOf,
  numberOrNull,
  type SqlDatabase,
  type SqlRow,
  textOf,
  textOrNull,
} from "../storage/sql-database.ts";

/** Rows that are kept of an address, whatever its retention; far more than a year of an ordinary one. */
export const KEPT_PAST_LEASES = 1_000_000;
/** Rows that are looked at, and so at most forgotten, at one time. */
const PRUNED_ROWS = 2_500;
/** How often it is worth looking. */
const PRUNE_EVERY_MS = 600_000;
/** Leases in one row; a longer run has several. */
const LEASES_IN_ROW = 64;
/** Leases of one block that may have been there at one time; more than one after a clock was set back. */
const CANDIDATES = 4;

/** Epoch, beginning, end, and how it ended. */
export type LeaseInRow = readonly [epoch: number, sinceMs: number, untilMs: number, end: LeaseEnd];

/** Reads and writes the past of one table; transactions are the caller's. */
export class PastLeases {
  readonly #sql: SqlDatabase["sql"];

  constructor(sql: SqlDatabase["sql"]) {
    this.#sql = sql;
  }

  /** Takes a lease over that is about to leave the live rows. */
  add(epoch: number): void {
    const [lease] = this.#rows("SELECT * FROM lease WHERE epoch = ?", epoch);
    if (lease === undefined) return;
    const resumed = numberOrNull(lease, "resumes_epoch");
    const earlier = resumed === null ? [] : this.#rows("SELECT * FROM past_lease WHERE epoch = ?", resumed);
    const run = earlier[0] === undefined ? [] : leasesIn(earlier[0]);
    const ended: LeaseInRow = [
      epoch,
      numberOf(lease, "granted_at_ms"),
      numberOf(lease, "ended_at_ms"),
      textOf(lease, "end_reason") as LeaseEnd,
    ];
    if (run.length > 0 && run.length < LEASES_IN_ROW) {
      // Its epoch is the newest of the run: rows stay in the order in which their blocks came free.
      this.#sql.exec(
        "UPDATE past_lease SET epoch = ?, end_reason = ?, ended_at_ms = ?, leases = ? WHERE epoch = ?",
        epoch,
        ended[3],
        ended[2],
        JSON.stringify([...run, ended]),
        resumed,
      );
      return;
    }
    this.#sql.exec(
      `INSERT INTO past_lease (epoch, base, block_order, host, granted_at_ms, end_reason, ended_at_ms, pool)
      SELECT epoch, base, block_order, host, granted_at_ms, end_reason, ended_at_ms,
      (SELECT pool FROM assignment) FROM lease WHERE epoch = ?`,
      epoch,
    );
  }

  /**
   * Those that answer for a port at a time: what may have lasted then, and the nearest before and after.
   * A port lies in one block of each order, so that is a few looks into the index.
   */
  around(port: number, atMs: number): KnownLease[] {
    const found: SqlRow[] = [];
    const select = "SELECT * FROM past_lease WHERE base = ? AND block_order = ? AND granted_at_ms";
    for (let order = MIN_ORDER; order <= MAX_ORDER; order += 1) {
      const base = port - (port % portCountOf(order));
      const earlier = `${select} <= ? ORDER BY granted_at_ms DESC LIMIT ${CANDIDATES}`;
      found.push(...this.#rows(earlier, base, order, atMs));
      found.push(...this.#rows(`${select} > ? ORDER BY granted_at_ms LIMIT 1`, base, order, atMs));
    }
    return this.#known(found);
  }

  /** Those among which the latest on a port are, at most so many of each size of block. [AT11] */
  latest(port: number, limit: number): KnownLease[] {
    const found: SqlRow[] = [];
    const select = "SELECT * FROM past_lease WHERE base = ? AND block_order = ?";
    for (let order = MIN_ORDER; order <= MAX_ORDER; order += 1) {
      const base = port - (port % portCountOf(order));
      // Each row has one lease at least, and its later ones come before an earlier row's.
      found.push(
        ...this.#rows(`${select} ORDER BY granted_at_ms DESC, epoch DESC LIMIT ?`, base, order, limit),
      );
    }
    return this.#known(found);
  }

  #known(found: readonly SqlRow[]): KnownLease[] {
    const [assignment] = this.#rows("SELECT pool FROM assignment");
    const present = assignment === undefined ? "" : textOf(assignment, "pool");
    return found.flatMap((row) =>
      leasesIn(row).map(([epoch, sinceMs, untilMs, end]) => ({
        base: numberOf(row, "base"),
        order: numberOf(row, "block_order"),
        host: textOf(row, "host"),
        // Rows from before it was noted are of an address that has hardly ever moved.
        pool: textOrNull(row, "pool") ?? present,
        epoch,
        sinceMs,
        untilMs,
        end,
      })),
    );
  }

  /** After a restore epochs go on from here; those between were not granted here, nor is that time known. [OC5] */
  leap(toEpoch: number, fromMs: number, toMs: number): void {
    const [last] = this.#rows(
      `SELECT max(epoch) AS epoch FROM (SELECT epoch FROM lease UNION ALL SELECT epoch FROM past_lease
      UNION ALL SELECT to_epoch FROM restored)`,
    );
    const fromEpoch = numberOrNull(last!, "epoch") ?? 0;
    this.#sql.exec(
      "INSERT INTO restored (from_epoch, to_epoch, from_ms, to_ms) VALUES (?, ?, ?, ?)",
      fromEpoch,
      toEpoch,
      fromMs,
      toMs,
    );
  }

  /** Where the last leap led; 0 where there was none. */
  leptTo(): number {
    const [leap] = this.#rows("SELECT max(to_epoch) AS epoch FROM restored");
    return numberOrNull(leap!, "epoch") ?? 0;
  }

  /** The times of which nothing is known, since what was known of them was not restored. */
  gaps(): { readonly fromMs: number; readonly toMs: number }[] {
    return this.#rows("SELECT from_ms, to_ms FROM restored").map((row) => ({
      fromMs: numberOf(row, "from_ms"),
      toMs: numberOf(row, "to_ms"),
    }));
  }

  /** The epoch so many before this one, of those that can have been granted. */
  #before(epoch: number, count: number): number {
    let before = epoch - count;
    for (const leap of this.#rows("SELECT from_epoch, to_epoch FROM restored ORDER BY id DESC")) {
      const [from, to] = [numberOf(leap, "from_epoch"), numberOf(leap, "to_epoch")];
      if (before < to && to <= epoch) before -= Math.max(0, to - from);
    }
    return before;
  }

  /** From when on nothing is missing. */
  wholeSinceMs(): number {
    const [row] = this.#rows("SELECT known_since_ms FROM assignment");
    return row === undefined ? Infinity : numberOf(row, "known_since_ms");
  }

  /**
   * Forgets what has ended before the retention. In the order of epochs, of those that are not to be
   * forgotten yet at most 1,008 can come before one that is, since blocks are disjoint: so looking at the
   * first few thousand is enough. The newest epoch stays, since epochs only rise. [EP1] [DO4]
   */
  prune(nowMs: number, historyDays: number, kept = KEPT_PAST_LEASES): void {
    const knownMs = this.wholeSinceMs();
    const cutMs = Math.max(knownMs, retentionStartMs(nowMs, historyDays));
    const [bounds] = this.#rows("SELECT min(epoch) AS first, max(epoch) AS last FROM past_lease");
    const first = bounds === undefined ? null : numberOrNull(bounds, "first");
    if (first === null) return;
    const last = numberOf(bounds!, "last");
    const mostEpoch = this.#before(last, Math.max(1, kept));
    if (cutMs < knownMs + PRUNE_EVERY_MS && first > mostEpoch) return;
    const [outlived] = this.#rows(
      `SELECT max(ended_at_ms) AS ended FROM
      (SELECT ended_at_ms, epoch FROM past_lease ORDER BY epoch LIMIT ${PRUNED_ROWS}) WHERE epoch <= ?`,
      mostEpoch,
    );
    this.#sql.exec(
      `DELETE FROM past_lease WHERE epoch IN (SELECT epoch FROM
      (SELECT epoch, ended_at_ms FROM past_lease ORDER BY epoch LIMIT ${PRUNED_ROWS})
      WHERE epoch < ? AND (ended_at_ms <= ? OR epoch <= ?))`,
      last,
      cutMs,
      mostEpoch,
    );
    const sinceMs = Math.max(cutMs, numberOrNull(outlived!, "ended") ?? 0);
    this.#sql.exec("UPDATE assignment SET known_since_ms = max(known_since_ms, ?)", sinceMs);
  }

  #rows(query: string, ...bindings: number[]): SqlRow[] {
    return this.#sql.exec(query, ...bindings).toArray();
  }
}

/** The leases of a row, the oldest first. */
export function leasesIn(row: SqlRow): readonly LeaseInRow[] {
  const leases = textOrNull(row, "leases");
  if (leases !== null) return JSON.parse(leases) as LeaseInRow[];
  const end = textOf(row, "end_reason") as LeaseEnd;
  return [[numberOf(row, "epoch"), numberOf(row, "granted_at_ms"), numberOf(row, "ended_at_ms"), end]];
}

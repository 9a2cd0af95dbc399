/**
 * The table of an address on disk. It is written event by event and read whole: the table
 * that comes back equals the table that wrote it. [LE2] [DO3]
 *
 * Costs are laid out for what happens most. A renewal updates the one row of its holder, and many that
 * come together update one row for all of them: of a holder's two times the later one counts. A
 * grant adds one row. A lease that is over leaves the live rows for the history ("who held
 * these ports then?", `past-leases.ts`); only its recent part is read again, to know which blocks have
 * been unused longest.
 */
import { markUnused } from "../../src/core/buddy-allocator.ts";
import {
  emptyLeaseTable,
  fillLeaseTable,
  type Holder,
  type LeaseEnd,
  type LeaseEvent,
  type LeaseRow,
  type LeaseTable,
} from "../../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import {
  type KnownLease,
  type LeasesQuestion,
  portHistory,
  type PortHistory,
  type PortKnowledge,
  portLeases,
  type PortLeases,
  type PortQuestion,
  retentionStartMs,
} from "../../src/core/port-history.ts";
import { AddressEvents, type AddressQuestion, type StoredEvents } from "./address-events.ts";
import { PastLeases } from "./past-leases.ts";
import { recoveryIn, StoredRecovery } from "./stored-recovery.ts";
import { numberOf, type SqlDatabase, type SqlRow, textOf, textOrNull } from "../storage/sql-database.ts";

/** Past leases that are read when a table is loaded: several for each unit of an address. */
export const RECALLED_PAST_LEASES = 4_096;

/** Without routers it changes no row, so that a grant costs no more than before. */
const COUNT_STEERING_CHANGE =
  "UPDATE assignment SET steering_version = steering_version + 1 WHERE is_steered = 1";

const STEERING_CHANGES: ReadonlySet<LeaseEvent["type"]> = new Set([
  "granted",
  "adopted",
  "ended",
  "steering-began",
  "heard",
  "recovered",
]);

/** What is known of an address that belongs to a pool. */
export interface StoredAddress {
  /** Null until a pool has called the address by its name. */
  readonly ip: string | null;
  readonly pool: string;
  readonly table: LeaseTable;
}

/** What is known of a port at a time, and the pool that the address belongs to, or did last. */
export interface StoredHistory {
  readonly pool: string;
  readonly history: PortHistory;
}

/** The latest leases on a port, and that pool. */
export interface StoredLeases extends PortLeases {
  readonly pool: string;
}

/** Reads and writes one table; transactions are the caller's. */
export class LeaseStore {
  readonly #sql: SqlDatabase["sql"];
  readonly #past: PastLeases;
  /** Of a restore from a backup. */
  readonly recovery: StoredRecovery;

  constructor(database: Pick<SqlDatabase, "sql">) {
    this.#sql = database.sql;
    this.#past = new PastLeases(database.sql);
    this.recovery = new StoredRecovery(database.sql, this.#past);
  }

  /**
   * Gives an address that belongs nowhere to a pool. Its sessions, epochs and versions go on rising, and
   * its history goes on. [RE5]
   */
  assign(ip: string, pool: string, settings: PoolSettings, nowMs: number): void {
    this.#sql.exec(
      `INSERT INTO assignment (id, ip, pool, settings, known_since_ms) VALUES (1, ?, ?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET ip = excluded.ip, pool = excluded.pool,
      settings = excluded.settings, is_steered = 0, standing = 'serving'`,
      ip,
      pool,
      JSON.stringify(settings),
      nowMs,
    );
  }

  /** Takes an address of which nothing is left from its pool. [RE3] */
  leave(): void {
    this.#sql.exec("UPDATE assignment SET standing = 'left'");
    this.#sql.exec("DELETE FROM holder");
    this.#sql.exec("DELETE FROM want");
    this.#sql.exec("DELETE FROM renewed_together");
  }

  /** The newest revision of a pool's orders that was heeded; 0 for none. [RE6] */
  orderOf(pool: string): number {
    const row = this.#sql.exec("SELECT revision FROM pool_order WHERE pool = ?", pool).toArray()[0];
    return row === undefined ? 0 : numberOf(row, "revision");
  }

  /** Notes that an order of this revision is heeded. */
  noteOrder(pool: string, revision: number): void {
    this.#sql.exec("INSERT OR REPLACE INTO pool_order (pool, revision) VALUES (?, ?)", pool, revision);
  }

  /** Notes what the address is, which an alarm does not tell. */
  name(ip: string): void {
    this.#sql.exec("UPDATE assignment SET ip = ?", ip);
  }

  /** The address as it was last written; null while it belongs to no pool. */
  load(): StoredAddress | null {
    const assignment = this.#rows("SELECT * FROM assignment")[0];
    if (assignment === undefined || assignment["standing"] === "left") return null;
    const table = emptyLeaseTable(settingsOf(assignment));
    // Sessions only rise, though hosts are forgotten; and time goes on from when it was last seen.
    table.lastSession = numberOf(assignment, "last_session");
    table.seenAtMs = numberOf(assignment, "seen_at_ms");
    table.isSteered = assignment["is_steered"] === 1;
    table.steeringVersion = numberOf(assignment, "steering_version");
    table.publishedVersion = numberOf(assignment, "published_version");
    table.isRetiring = assignment["standing"] === "retiring";
    table.recovery = recoveryIn(assignment);
    table.lastEpoch = this.#past.leptTo();
    const together = this.#renewedTogether();
    const holders: Holder[] = [];
    for (const row of this.#rows("SELECT * FROM holder")) {
      const session = numberOf(row, "session");
      const host = textOf(row, "host");
      const expiresAtMs = Math.max(numberOf(row, "expires_at_ms"), together.get(host) ?? 0);
      const isUnheard = row["is_unheard"] === 1 ? { isUnheard: true as const } : {};
      holders.push({ host, instance: textOf(row, "instance"), session, expiresAtMs, ...isUnheard });
    }
    for (const row of this.#rows("SELECT * FROM want")) {
      table.wants.set(textOf(row, "host"), numberOf(row, "at_ms"));
    }
    // In the order of epochs a later use of a unit comes after an earlier one.
    const recalled = this.#rows("SELECT * FROM past_lease ORDER BY epoch DESC LIMIT ?", RECALLED_PAST_LEASES);
    for (const row of recalled.toReversed()) {
      markUnused(table.unitHistory, blockOf(row), numberOf(row, "ended_at_ms"));
      table.lastEpoch = Math.max(table.lastEpoch, numberOf(row, "epoch"));
    }
    const leases = this.#rows("SELECT * FROM lease ORDER BY epoch").map(leaseRowOf);
    for (const lease of leases) {
      table.lastEpoch = Math.max(table.lastEpoch, lease.epoch);
    }
    fillLeaseTable(table, { holders, rows: leases });
    return { ip: textOrNull(assignment, "ip"), pool: textOf(assignment, "pool"), table };
  }

  /** Writes what a command came to; to be called in one transaction. */
  append(events: readonly LeaseEvent[]): void {
    const renewed = events.filter((event) => event.type === "renewed");
    for (const [at, event] of events.entries()) {
      if (event.type === "granted") this.#insertLease(event.row, this.#resumedBy(event.row, events[at - 1]));
      else if (event.type === "adopted") this.#insertLease(event.row, null);
      else if (event.type !== "renewed" || renewed.length === 1) this.#write(event);
      if (changesSteering(event)) this.#sql.exec(COUNT_STEERING_CHANGE);
    }
    // Last: before it, time has passed for those that were there.
    if (renewed.length > 1) this.#renewTogether(renewed);
  }

  /** One row, however many they are. [DO16] */
  #renewTogether(renewed: readonly (LeaseEvent & { type: "renewed" })[]): void {
    const together = this.#renewedTogether();
    for (const { host, expiresAtMs } of renewed) together.set(host, expiresAtMs);
    this.#putTogether(together);
  }

  /** Should it come back, only its own time counts. */
  #forgetTogether(host: string): void {
    const together = this.#renewedTogether();
    if (together.delete(host)) this.#putTogether(together);
  }

  #shiftTogether(shiftMs: number): void {
    const together = this.#renewedTogether();
    if (together.size === 0) return;
    for (const [host, atMs] of together) together.set(host, atMs + shiftMs);
    this.#putTogether(together);
  }

  /** By host. */
  #renewedTogether(): Map<string, number> {
    const [row] = this.#rows("SELECT expires_at_ms FROM renewed_together");
    const entries = row === undefined ? [] : JSON.parse(textOf(row, "expires_at_ms"));
    return new Map(entries as [string, number][]);
  }

  #putTogether(expiresAtMs: ReadonlyMap<string, number>): void {
    this.#sql.exec(
      `INSERT INTO renewed_together (id, expires_at_ms) VALUES (1, ?)
      ON CONFLICT (id) DO UPDATE SET expires_at_ms = excluded.expires_at_ms`,
      JSON.stringify([...expiresAtMs]),
    );
  }

  /** Forgets what is long over. [DO4] */
  prune(nowMs: number, historyDays: number): void {
    this.#past.prune(nowMs, historyDays);
  }

  /** Who held a port at a time. Reads the disk alone, so that it also answers for an address without a pool. */
  historyOf(question: PortQuestion, nowMs: number): StoredHistory | null {
    const known = this.#known(nowMs, () => this.#past.around(question.port, question.atMs));
    if (known === null) return null;
    const { pool, ...knowledge } = known;
    return { pool, history: portHistory(question, { ...knowledge, gaps: this.#past.gaps() }) };
  }

  /** The latest leases on a port, also of an address without a pool. [AT11] */
  leasesOf(question: LeasesQuestion, nowMs: number): StoredLeases | null {
    const known = this.#known(nowMs, () => this.#past.latest(question.port, question.limit));
    return known === null ? null : { pool: known.pool, ...portLeases(question, known) };
  }

  #known(nowMs: number, past: () => readonly KnownLease[]): (PortKnowledge & { pool: string }) | null {
    const [assignment] = this.#rows("SELECT * FROM assignment");
    if (assignment === undefined) return null;
    const pool = textOf(assignment, "pool");
    const { historyDays } = settingsOf(assignment);
    const live = this.#rows("SELECT * FROM lease").map((row) => knownLeaseOf(row, pool));
    const leases = [...live, ...past()];
    return { pool, leases, wholeSinceMs: this.#past.wholeSinceMs(), nowMs, historyDays };
  }

  /** What happened. Reads the disk alone, so that it also answers for an address without a pool. [EV2] */
  eventsOf(question: AddressQuestion, nowMs: number): StoredEvents | null {
    const [assignment] = this.#rows("SELECT * FROM assignment");
    if (assignment === undefined) return null;
    const [ip, pool] = [textOrNull(assignment, "ip") ?? "", textOf(assignment, "pool")];
    const keptSinceMs = retentionStartMs(nowMs, settingsOf(assignment).historyDays);
    const sinceMs = Math.max(question.sinceMs, keptSinceMs);
    return { pool, events: new AddressEvents(this.#sql).read({ ...question, sinceMs }, { ip, pool }) };
  }

  /** The epoch of the lease that a grant goes on with: it came free for this grant alone. [QU3] */
  #resumedBy({ base, order, host }: LeaseRow, before: LeaseEvent | undefined): number | null {
    if (before?.type !== "freed") return null;
    const [row] = this.#rows("SELECT base, block_order, host FROM past_lease WHERE epoch = ?", before.epoch);
    const isSame = row?.["base"] === base && row["block_order"] === order && row["host"] === host;
    return isSame ? before.epoch : null;
  }

  #write(event: Exclude<LeaseEvent, { type: "granted" | "adopted" }>): void {
    const sql = this.#sql;
    switch (event.type) {
      case "configured":
        sql.exec("UPDATE assignment SET settings = ?", JSON.stringify(event.settings));
        return;
      case "joined":
        this.#putHolder(event.holder);
        return;
      case "renewed":
        sql.exec("UPDATE holder SET expires_at_ms = ? WHERE host = ?", event.expiresAtMs, event.host);
        return;
      case "wanted":
        sql.exec("INSERT OR REPLACE INTO want (host, at_ms) VALUES (?, ?)", event.host, event.atMs);
        return;
      case "satisfied":
        sql.exec("DELETE FROM want WHERE host = ?", event.host);
        return;
      case "ended":
        sql.exec(
          "UPDATE lease SET end_reason = ?, ended_at_ms = ?, free_at_ms = ? WHERE epoch = ?",
          event.end,
          event.endedAtMs,
          event.freeAtMs,
          event.epoch,
        );
        return;
      case "freed":
        this.#past.add(event.epoch);
        sql.exec("DELETE FROM lease WHERE epoch = ?", event.epoch);
        return;
      case "left":
        sql.exec("DELETE FROM holder WHERE host = ?", event.host);
        sql.exec("DELETE FROM want WHERE host = ?", event.host);
        this.#forgetTogether(event.host);
        return;
      case "clock-read":
        sql.exec("UPDATE assignment SET seen_at_ms = ?", event.atMs);
        if (event.shiftMs === 0) return;
        sql.exec("UPDATE holder SET expires_at_ms = expires_at_ms + ?", event.shiftMs);
        sql.exec("UPDATE lease SET free_at_ms = free_at_ms + ? WHERE free_at_ms IS NOT NULL", event.shiftMs);
        this.#shiftTogether(event.shiftMs);
        this.recovery.shift(event.shiftMs);
        return;
      case "steering-began":
        sql.exec("UPDATE assignment SET is_steered = 1");
        return;
      case "steered":
        sql.exec("UPDATE lease SET is_steered = 1 WHERE epoch = ?", event.epoch);
        return;
      case "published":
        sql.exec("UPDATE assignment SET published_version = ?", event.version);
        return;
      case "retired":
        sql.exec("UPDATE assignment SET standing = ?", event.isRetiring ? "retiring" : "serving");
        return;
      case "recovery-began":
        this.recovery.begin(event);
        return;
      case "heard":
        return;
      case "recovered":
        this.recovery.end();
        return;
    }
  }

  #putHolder({ host, instance, session, expiresAtMs }: Holder): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO holder (host, instance, session, expires_at_ms) VALUES (?, ?, ?, ?)",
      host,
      instance,
      session,
      expiresAtMs,
    );
    this.#sql.exec("UPDATE assignment SET last_session = max(last_session, ?)", session);
  }

  #insertLease(row: LeaseRow, resumesEpoch: number | null): void {
    const { epoch, base, order, host, instance, grantedAtMs, requestId, steered } = row;
    this.#sql.exec(
      `INSERT INTO lease
      (epoch, base, block_order, host, instance, granted_at_ms, request_id, is_steered, resumes_epoch)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      epoch,
      base,
      order,
      host,
      instance,
      grantedAtMs,
      requestId,
      steered ? 1 : 0,
      resumesEpoch,
    );
  }

  #rows(query: string, ...bindings: number[]): SqlRow[] {
    return this.#sql.exec(query, ...bindings).toArray();
  }
}

function leaseRowOf(row: SqlRow): LeaseRow {
  const ended = row["ended_at_ms"] !== null;
  return {
    ...blockOf(row),
    epoch: numberOf(row, "epoch"),
    host: textOf(row, "host"),
    instance: textOf(row, "instance"),
    state: ended ? "quarantined" : "leased",
    grantedAtMs: numberOf(row, "granted_at_ms"),
    requestId: textOf(row, "request_id"),
    endedAtMs: ended ? numberOf(row, "ended_at_ms") : null,
    freeAtMs: ended ? numberOf(row, "free_at_ms") : null,
    steered: row["is_steered"] === 1,
  };
}

function knownLeaseOf(row: SqlRow, pool: string): KnownLease {
  const { base, order, host, epoch, grantedAtMs: sinceMs, endedAtMs: untilMs } = leaseRowOf(row);
  return { base, order, host, pool, epoch, sinceMs, untilMs, end: row["end_reason"] as LeaseEnd | null };
}

/** Settings that were added since they were written hold by their default. */
function settingsOf(row: SqlRow): PoolSettings {
  const written = JSON.parse(textOf(row, "settings")) as Partial<PoolSettings>;
  return { ...DEFAULT_POOL_SETTINGS, ...written };
}

/** As `applyEvent` counts them. */
function changesSteering(event: LeaseEvent): boolean {
  if (event.type === "retired") return !event.isRetiring;
  return STEERING_CHANGES.has(event.type);
}

function blockOf(row: SqlRow): { base: number; order: number } {
  return { base: numberOf(row, "base"), order: numberOf(row, "block_order") };
}

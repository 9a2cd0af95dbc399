/**
 * The steering table of a pool on disk, the number of its last change, and the routers that
 * were ever seen. A table may be far larger than memory should hold, so it is read in pieces.
 */
import type { AddressChange, Publication, PublishedAddress } from "../../src/core/publication.ts";
import type { NextHop, SteeringEntry, SteeringTable } from "../../src/core/steering.ts";
import {
  numberOf,
  numberOrNull,
  type SqlDatabase,
  type SqlRow,
  type SqlValue,
  textOf,
  textOrNull,
} from "../storage/sql-database.ts";

/** A router by what was last known of it, be it live or not. */
export interface StoredRouter {
  readonly router: string;
  readonly instance: string;
  /** Whether its connection has not been seen to end. */
  readonly isConnected: boolean;
  readonly seenAtMs: number;
  /** The last change it acknowledged; null until it has applied a table. */
  readonly acknowledged: number | null;
  /** The last change that it did not acknowledge in time; null for none. */
  readonly overdue: number | null;
}

/** Reads and writes one steering table; transactions are the caller's. */
export class SteeringStore {
  readonly #sql: SqlDatabase["sql"];

  constructor(database: Pick<SqlDatabase, "sql">) {
    this.#sql = database.sql;
  }

  /** Number of the last change; 0 before the first. */
  sequence(): number {
    const row = this.#rows("SELECT sequence FROM pool")[0];
    return row === undefined ? 0 : numberOf(row, "sequence");
  }

  /**
   * The table is an old copy: numbers go on from where none can have been given, what was acknowledged
   * says nothing, and of no address is all that is leased in here. [OC4]
   */
  restored(atMs: number): void {
    this.#sql.exec("UPDATE pool SET sequence = max(sequence, ?)", atMs);
    this.#sql.exec("UPDATE router SET acknowledged = NULL, overdue = NULL");
    this.#sql.exec("UPDATE egress_ip SET is_partial = 1");
    // Routers have these, or newer ones; what is still held is published again.
    this.#sql.exec("DELETE FROM steering_entry");
    // Copies of a pool and of an address may be of different moments.
    this.#sql.exec("UPDATE egress_ip SET steering_version = 0 WHERE steering_version IS NOT NULL");
  }

  /** Whether something is leased that is not in the table, as far as is known. [OC4] */
  isPartial(): boolean {
    return this.#rows("SELECT 1 FROM egress_ip WHERE is_partial = 1 AND is_confirmed = 1 LIMIT 1").length > 0;
  }

  /** An address has published all that is leased of it; whether that was news. */
  noteWhole(ip: string): boolean {
    const query = "UPDATE egress_ip SET is_partial = 0 WHERE ip = ? AND is_partial = 1 RETURNING ip";
    return this.#rows(query, ip).length > 0;
  }

  /** Takes the number of a new change. */
  advance(): number {
    return numberOf(this.#rows("UPDATE pool SET sequence = sequence + 1 RETURNING sequence")[0]!, "sequence");
  }

  /** What is known of an address; null if the pool does not have it. */
  address(ip: string): PublishedAddress | null {
    const row = this.#rows("SELECT steering_version FROM egress_ip WHERE ip = ?", ip)[0];
    if (row === undefined) return null;
    const entries = this.#rows("SELECT * FROM steering_entry WHERE ip = ? ORDER BY base", ip).map(entryOf);
    return { ip, version: numberOrNull(row, "steering_version"), entries };
  }

  /**
   * Whether an address that knows its pool has not published yet. Of one that retires and has nothing
   * leased there is nothing to know; routers may have been told to forget it.
   */
  hasUnpublished(): boolean {
    const query = `SELECT 1 FROM egress_ip WHERE is_confirmed = 1 AND steering_version IS NULL
      AND (is_retiring = 0 OR leased_port_count IS NOT 0) LIMIT 1`;
    return this.#rows(query).length > 0;
  }

  /** Addresses of which a block belongs to a host that has this name and another instance key. */
  ipsOfDuplicate(host: string, instance: string): string[] {
    const query = `SELECT DISTINCT ip FROM steering_entry
      WHERE host IN (?, ?) AND instance NOT IN (?, '')`;
    return this.#rows(query, host, unplaced(host), instance).map((row) => textOf(row, "ip"));
  }

  /**
   * The host to which routers are to send what is an instance's: nowhere, while another has
   * enlisted under its name. [ST12]
   */
  placeOf(host: string, instance: string): string {
    const enlisted = this.#rows("SELECT instance FROM host WHERE host = ?", host)[0];
    return enlisted === undefined || enlisted["instance"] === instance ? host : unplaced(host);
  }

  /** What was sent nowhere and belongs to an instance that has enlisted now. */
  placeEntries(host: string, instance: string): SteeringEntry[] {
    const query = "UPDATE steering_entry SET host = ? WHERE host = ? AND instance = ? RETURNING *";
    return this.#rows(query, host, unplaced(host), instance).map(entryOf);
  }

  /** Writes what a publication changed. */
  apply(ip: string, { version, blocks }: Publication, { withdraw, put }: AddressChange): void {
    const instances = new Map(blocks.map(({ epoch, instance }) => [epoch, instance]));
    for (const { base, epoch } of withdraw) {
      this.#sql.exec("DELETE FROM steering_entry WHERE ip = ? AND base = ? AND epoch = ?", ip, base, epoch);
    }
    for (const { base, order, host, epoch } of put) {
      this.#sql.exec(
        "INSERT INTO steering_entry (ip, base, block_order, host, instance, epoch) VALUES (?, ?, ?, ?, ?, ?)",
        ip,
        base,
        order,
        host,
        instances.get(epoch) ?? "",
        epoch,
      );
    }
    this.#sql.exec(
      "UPDATE egress_ip SET steering_version = ?1 WHERE ip = ?2 AND steering_version IS NOT ?1",
      version,
      ip,
    );
  }

  /** Takes an address out, with all of its entries. */
  remove(ip: string): void {
    this.#sql.exec("DELETE FROM steering_entry WHERE ip = ?", ip);
    this.#sql.exec("UPDATE egress_ip SET steering_version = NULL WHERE ip = ?", ip);
  }

  /** The whole table in pieces of at most `size` items; one piece if there is nothing. [ST8] */
  *pieces(size: number): Generator<SteeringTable> {
    const partial = this.isPartial() ? { isPartial: true } : {};
    const empty: SteeringTable = {
      sequence: this.sequence(),
      ips: [],
      entries: [],
      nextHops: [],
      ...partial,
    };
    let isEmpty = true;
    for (const ips of this.#pages(IPS_AFTER, [""], size, (row) => [textOf(row, "ip")])) {
      isEmpty = false;
      yield { ...empty, ips: ips.map((row) => textOf(row, "ip")) };
    }
    for (const hosts of this.#pages(NEXT_HOPS_AFTER, [""], size, (row) => [textOf(row, "host")])) {
      isEmpty = false;
      yield { ...empty, nextHops: hosts.map(nextHopOf) };
    }
    for (const entries of this.#pages(ENTRIES_AFTER, ["", 0], size, entryKeyOf)) {
      isEmpty = false;
      yield { ...empty, entries: entries.map(entryOf) };
    }
    if (isEmpty) yield empty;
  }

  /** How many pieces there will be. */
  pieceCount(size: number): number {
    let count = 0;
    for (const counted of [COUNT_IPS, COUNT_NEXT_HOPS, COUNT_ENTRIES]) {
      count += Math.ceil(numberOf(this.#rows(counted)[0]!, "count") / size);
    }
    return Math.max(1, count);
  }

  /** All routers in alphabetical order. */
  routers(): StoredRouter[] {
    return this.#rows("SELECT * FROM router ORDER BY router").map(routerOf);
  }

  /** A router by name. */
  router(name: string): StoredRouter | null {
    return this.#rows("SELECT * FROM router WHERE router = ?", name).map(routerOf)[0] ?? null;
  }

  /** Keeps what is known of a router. */
  putRouter({ router, instance, isConnected, seenAtMs, acknowledged, overdue }: StoredRouter): void {
    this.#sql.exec(
      `INSERT OR REPLACE INTO router (router, instance, is_connected, seen_at_ms, acknowledged, overdue)
      VALUES (?, ?, ?, ?, ?, ?)`,
      router,
      instance,
      isConnected ? 1 : 0,
      seenAtMs,
      acknowledged,
      overdue,
    );
  }

  /** Forgets routers that left before this time. */
  forgetRouters(leftBeforeMs: number): void {
    this.#sql.exec("DELETE FROM router WHERE is_connected = 0 AND seen_at_ms < ?", leftBeforeMs);
  }

  *#pages(
    query: string,
    from: readonly SqlValue[],
    size: number,
    keyOf: (row: SqlRow) => SqlValue[],
  ): Generator<SqlRow[]> {
    let after = from;
    for (;;) {
      const rows = this.#rows(query, ...after, size);
      if (rows.length > 0) yield rows;
      if (rows.length < size) return;
      after = keyOf(rows.at(-1)!);
    }
  }

  #rows(query: string, ...bindings: SqlValue[]): SqlRow[] {
    return this.#sql.exec(query, ...bindings).toArray();
  }
}

// An address that has published nothing is not steered yet: routers leave it alone.
const PUBLISHED = "steering_version IS NOT NULL";
const HAS_NEXT_HOP = "(reach_ipv4 IS NOT NULL OR reach_ipv6 IS NOT NULL)";
const IPS_AFTER = `SELECT ip FROM egress_ip WHERE ip > ? AND ${PUBLISHED} ORDER BY ip LIMIT ?`;
const NEXT_HOPS_AFTER = `SELECT host, reach_ipv4, reach_ipv6 FROM host WHERE host > ? AND ${HAS_NEXT_HOP} ORDER BY host LIMIT ?`;
const ENTRIES_AFTER = "SELECT * FROM steering_entry WHERE (ip, base) > (?, ?) ORDER BY ip, base LIMIT ?";
const COUNT_IPS = `SELECT count(*) AS count FROM egress_ip WHERE ${PUBLISHED}`;
const COUNT_NEXT_HOPS = `SELECT count(*) AS count FROM host WHERE ${HAS_NEXT_HOP}`;
const COUNT_ENTRIES = "SELECT count(*) AS count FROM steering_entry";

/** No host has a colon in its name, so no router finds a next hop for this one. */
function unplaced(host: string): string {
  return `:${host}`;
}

function entryKeyOf(row: SqlRow): SqlValue[] {
  return [textOf(row, "ip"), numberOf(row, "base")];
}

function entryOf(row: SqlRow): SteeringEntry {
  return {
    ip: textOf(row, "ip"),
    base: numberOf(row, "base"),
    order: numberOf(row, "block_order"),
    host: textOf(row, "host"),
    epoch: numberOf(row, "epoch"),
  };
}

function nextHopOf(row: SqlRow): NextHop {
  return {
    host: textOf(row, "host"),
    ipv4: textOrNull(row, "reach_ipv4"),
    ipv6: textOrNull(row, "reach_ipv6"),
  };
}

function routerOf(row: SqlRow): StoredRouter {
  return {
    router: textOf(row, "router"),
    instance: textOf(row, "instance"),
    isConnected: row["is_connected"] === 1,
    seenAtMs: numberOf(row, "seen_at_ms"),
    acknowledged: numberOrNull(row, "acknowledged"),
    overdue: numberOrNull(row, "overdue"),
  };
}

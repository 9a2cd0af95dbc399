/** The catalogue of one pool on disk: its settings, addresses, and what its hosts last said. */
import type { AddressRoom } from "../src/core/messages.ts";
import type { PoolSettings } from "../src/core/pool-settings.ts";
import { numberOf, type SqlDatabase, textOf } from "./sql-database.ts";

/** A pool. `revision` rises with every change of its settings. */
export interface StoredPool {
  readonly name: string;
  readonly settings: PoolSettings;
  readonly revision: number;
}

/** An address of the pool. */
export interface PoolIp {
  readonly ip: string;
  /** What the Internet sees where a cloud maps the address to another; else null. */
  readonly advertised: string | null;
}

/** A host of the pool by what it said last, be it live or not. */
export interface StoredHost {
  readonly host: string;
  readonly instance: string;
  readonly gateway: string;
  readonly draining: boolean;
  readonly rooms: readonly AddressRoom[];
}

/** Reads and writes one catalogue. Nothing is remembered here: what is asked is read. */
export class PoolStore {
  readonly #sql: SqlDatabase["sql"];

  constructor(database: Pick<SqlDatabase, "sql">) {
    this.#sql = database.sql;
  }

  /** The pool; null before it was first configured. */
  pool(): StoredPool | null {
    const row = this.#sql.exec("SELECT name, settings, revision FROM pool").toArray()[0];
    if (row === undefined) return null;
    const settings = JSON.parse(textOf(row, "settings")) as PoolSettings;
    return { name: textOf(row, "name"), settings, revision: numberOf(row, "revision") };
  }

  /** Keeps the pool's settings. */
  putPool({ name, settings, revision }: StoredPool): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO pool (id, name, settings, revision) VALUES (1, ?, ?, ?)",
      name,
      JSON.stringify(settings),
      revision,
    );
  }

  /** All addresses in alphabetical order. */
  ips(): PoolIp[] {
    const rows = this.#sql.exec("SELECT ip, advertised FROM egress_ip ORDER BY ip").toArray();
    return rows.map((row) => ({
      ip: textOf(row, "ip"),
      advertised: row["advertised"] === null ? null : textOf(row, "advertised"),
    }));
  }

  /** Addresses that have not been told these settings yet. */
  ipsBehind(revision: number): string[] {
    const rows = this.#sql
      .exec("SELECT ip FROM egress_ip WHERE revision < ? ORDER BY ip", revision)
      .toArray();
    return rows.map((row) => textOf(row, "ip"));
  }

  /** Keeps an address, which follows the settings of this revision. */
  putIp({ ip, advertised }: PoolIp, revision: number): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO egress_ip (ip, advertised, revision) VALUES (?, ?, ?)",
      ip,
      advertised,
      revision,
    );
  }

  /** Notes that an address follows the settings of this revision. */
  markFollowing(ip: string, revision: number): void {
    this.#sql.exec("UPDATE egress_ip SET revision = ? WHERE ip = ?", revision, ip);
  }

  /** A host by name. */
  host(name: string): StoredHost | null {
    return hostsOf(this.#sql.exec("SELECT * FROM host WHERE host = ?", name))[0] ?? null;
  }

  /** All hosts in alphabetical order. */
  hosts(): StoredHost[] {
    return hostsOf(this.#sql.exec("SELECT * FROM host ORDER BY host"));
  }

  /** Keeps what a host said. */
  putHost({ host, instance, gateway, draining, rooms }: StoredHost): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO host (host, instance, gateway, draining, rooms) VALUES (?, ?, ?, ?, ?)",
      host,
      instance,
      gateway,
      draining ? 1 : 0,
      JSON.stringify(rooms),
    );
  }
}

function hostsOf(rows: ReturnType<SqlDatabase["sql"]["exec"]>): StoredHost[] {
  return rows.toArray().map((row) => ({
    host: textOf(row, "host"),
    instance: textOf(row, "instance"),
    gateway: textOf(row, "gateway"),
    draining: row["draining"] === 1,
    rooms: JSON.parse(textOf(row, "rooms")) as AddressRoom[],
  }));
}

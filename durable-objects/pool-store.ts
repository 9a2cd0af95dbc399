/** The catalogue of one pool on disk: its settings, addresses, and what its hosts last said. */
import type { AddressRoom } from "../src/core/messages.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../src/core/pool-settings.ts";
import type { HostReach } from "../src/core/steering.ts";
import { numberOf, type SqlDatabase, textOf, textOrNull } from "./sql-database.ts";

/** A pool. `revision` rises with every change of what its addresses must follow. */
export interface StoredPool {
  readonly name: string;
  readonly settings: PoolSettings;
  readonly revision: number;
  /** Whether it has routers, or had some: then grants wait for them. */
  readonly isSteered: boolean;
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
  readonly reach: Omit<HostReach, "host">;
  /** Another instance has blocks under its name: routers are not told where this one is. [ST12] */
  readonly isDisowned: boolean;
}

/** Reads and writes one catalogue. Nothing is remembered here: what is asked is read. */
export class PoolStore {
  readonly #sql: SqlDatabase["sql"];

  constructor(database: Pick<SqlDatabase, "sql">) {
    this.#sql = database.sql;
  }

  /** The pool; null before it was first configured. */
  pool(): StoredPool | null {
    const row = this.#sql.exec("SELECT name, settings, revision, is_steered FROM pool").toArray()[0];
    if (row === undefined) return null;
    // Settings that were added since they were written hold by their default.
    const written = JSON.parse(textOf(row, "settings")) as Partial<PoolSettings>;
    return {
      name: textOf(row, "name"),
      settings: { ...DEFAULT_POOL_SETTINGS, ...written },
      revision: numberOf(row, "revision"),
      isSteered: row["is_steered"] === 1,
    };
  }

  /** Keeps what addresses follow. */
  putPool({ name, settings, revision, isSteered }: StoredPool): void {
    this.#sql.exec(
      `INSERT INTO pool (id, name, settings, revision, is_steered) VALUES (1, ?, ?, ?, ?)
      ON CONFLICT (id) DO UPDATE
      SET settings = excluded.settings, revision = excluded.revision, is_steered = excluded.is_steered`,
      name,
      JSON.stringify(settings),
      revision,
      isSteered ? 1 : 0,
    );
  }

  /** All addresses in alphabetical order. */
  ips(): PoolIp[] {
    const rows = this.#sql.exec("SELECT ip, advertised FROM egress_ip ORDER BY ip").toArray();
    return rows.map((row) => ({
      ip: textOf(row, "ip"),
      advertised: textOrNull(row, "advertised"),
    }));
  }

  /** Addresses that have not been told these settings yet. */
  ipsBehind(revision: number): string[] {
    const rows = this.#sql
      .exec("SELECT ip FROM egress_ip WHERE revision < ? ORDER BY ip", revision)
      .toArray();
    return rows.map((row) => textOf(row, "ip"));
  }

  /** Keeps an address, which follows this revision. */
  putIp({ ip, advertised }: PoolIp, revision: number): void {
    this.#sql.exec(
      `INSERT INTO egress_ip (ip, advertised, revision) VALUES (?, ?, ?)
      ON CONFLICT (ip) DO UPDATE SET advertised = excluded.advertised, revision = excluded.revision`,
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
  putHost({ host, instance, gateway, draining, rooms, reach, isDisowned }: StoredHost): void {
    this.#sql.exec(
      `INSERT OR REPLACE INTO host
        (host, instance, gateway, draining, rooms, reach_ipv4, reach_ipv6, is_disowned)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      host,
      instance,
      gateway,
      draining ? 1 : 0,
      JSON.stringify(rooms),
      reach.ipv4,
      reach.ipv6,
      isDisowned ? 1 : 0,
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
    reach: { ipv4: textOrNull(row, "reach_ipv4"), ipv6: textOrNull(row, "reach_ipv6") },
    isDisowned: row["is_disowned"] === 1,
  }));
}

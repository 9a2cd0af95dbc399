/** The catalogue of one pool on disk: its settings, addresses, and what its hosts last said. */
import type { AddressCapacity } from "../../src/core/messages.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import type { NextHop } from "../../src/core/steering.ts";
import type { Opinion } from "../../src/core/uplink.ts";
import type { AddressPlace } from "../../src/core/whereabouts.ts";
import {
  numberOf,
  numberOrNull,
  type SqlDatabase,
  type SqlRow,
  textOf,
  textOrNull,
} from "../storage/sql-database.ts";

/** A pool. `revision` rises with every change of what its addresses must follow. */
export interface StoredPool {
  readonly name: string;
  readonly settings: PoolSettings;
  readonly revision: number;
  /** Whether it has routers, or had some: then grants wait for them. */
  readonly isSteered: boolean;
}

/** An address of the pool. */
export interface PoolIp extends AddressPlace {
  readonly ip: string;
  /** What the Internet sees where a cloud maps the address to another; else null. */
  readonly advertised: string | null;
  /** What is left of an address that the pool has given up; null for any other. */
  readonly retiring: RetiringIp | null;
}

/** What is still held of a retiring address, as it said last; null until it has said anything. */
export interface RetiringIp {
  readonly leasedPortCount: number | null;
  readonly quarantinedPortCount: number | null;
}

/** A host of the pool by what it said last, be it live or not. */
export interface StoredHost {
  readonly host: string;
  readonly instance: string;
  readonly gateway: string;
  readonly draining: boolean;
  readonly rooms: readonly AddressCapacity[];
  readonly reach: Omit<NextHop, "host">;
  /** Where it is; null if it does not say. */
  readonly site: string | null;
  /** Its share of the load compared with other hosts. */
  readonly weight: number;
  /** What other hosts found when they tried what this one cannot reach, by address. [UP2] */
  readonly opinions: Readonly<Record<string, Opinion>>;
  /** Of the policy by which it decides; null when it has none, or does not tell. [PY7] */
  readonly policyVersion: number | null;
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

  /** Takes the number of a new revision; addresses that followed the one before follow it as well. */
  advanceRevision(): void {
    this.#sql.exec(
      `UPDATE egress_ip SET revision = revision + 1 WHERE revision = (SELECT revision FROM pool)`,
    );
    this.#sql.exec("UPDATE pool SET revision = revision + 1");
  }

  /** Goes beyond a revision that was given before, by a pool that has forgotten it. */
  outdo(revision: number): void {
    this.#sql.exec("UPDATE pool SET revision = max(revision, ?) + 1", revision);
  }

  /** What was noted of the last restore of a backup; null for none, undefined where there is no pool yet. */
  restoration(): string | null | undefined {
    const [row] = this.#sql.exec("SELECT restoration FROM pool").toArray();
    return row === undefined ? undefined : textOrNull(row, "restoration");
  }

  /** Notes it, and that every address is to be told what is wanted: that wakes it up. */
  noteRestoration(note: string): void {
    this.#sql.exec("UPDATE pool SET restoration = ?, revision = revision + 1", note);
  }

  /** All addresses in alphabetical order. */
  ips(): PoolIp[] {
    return this.#sql.exec("SELECT * FROM egress_ip ORDER BY ip").toArray().map(poolIpOf);
  }

  /** Those that have said that they are the pool's, retiring ones included. */
  confirmedIps(): PoolIp[] {
    const rows = this.#sql.exec("SELECT * FROM egress_ip WHERE is_confirmed = 1 ORDER BY ip");
    return rows.toArray().map(poolIpOf);
  }

  /** Of these addresses, what the Internet sees instead, where that is another. */
  advertised(ips: readonly string[]): Record<string, string> {
    const rows = this.#sql
      .exec("SELECT ip, advertised FROM egress_ip WHERE advertised IS NOT NULL")
      .toArray();
    const known = rows.map((row) => [textOf(row, "ip"), textOf(row, "advertised")] as const);
    return Object.fromEntries(known.filter(([ip]) => ips.includes(ip)));
  }

  /** One address; null if the pool does not have it. */
  ip(ip: string): PoolIp | null {
    return this.#sql.exec("SELECT * FROM egress_ip WHERE ip = ?", ip).toArray().map(poolIpOf)[0] ?? null;
  }

  /** The addresses that hosts are to serve: the pool's own for certain, and not retiring. */
  ipsToServe(): PoolIp[] {
    const rows = this.#sql.exec(
      "SELECT * FROM egress_ip WHERE is_retiring = 0 AND is_confirmed = 1 ORDER BY ip",
    );
    return rows.toArray().map(poolIpOf);
  }

  /** Whether an address has ever said that it is the pool's. */
  isConfirmed(ip: string): boolean {
    const row = this.#sql.exec("SELECT is_confirmed FROM egress_ip WHERE ip = ?", ip).toArray()[0];
    return row?.["is_confirmed"] === 1;
  }

  /** Addresses that are not as this revision wants them, or are on their way out. */
  ipsToTell(revision: number): string[] {
    const rows = this.#sql.exec(
      "SELECT ip FROM egress_ip WHERE revision < ? OR is_retiring = 1 ORDER BY ip",
      revision,
    );
    return rows.toArray().map((row) => textOf(row, "ip"));
  }

  /** Keeps an address, which is to be served and follows this revision; 0 if it was not told of any. */
  putIp({ ip, advertised, country, sites, tags }: Omit<PoolIp, "retiring">, revision: number): void {
    this.#sql.exec(
      `INSERT INTO egress_ip (ip, advertised, country, sites, tags, revision, is_confirmed)
      VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (ip) DO UPDATE SET advertised = excluded.advertised, country = excluded.country,
      sites = excluded.sites, tags = excluded.tags, revision = excluded.revision,
      is_confirmed = max(is_confirmed, excluded.is_confirmed),
      is_retiring = 0, leased_port_count = NULL, quarantined_port_count = NULL`,
      ip,
      advertised,
      country,
      JSON.stringify(sites),
      JSON.stringify(tags),
      revision,
      revision > 0 ? 1 : 0,
    );
  }

  /** Notes that an address is to leave, which it has not been told. */
  retireIp(ip: string): void {
    this.#sql.exec("UPDATE egress_ip SET is_retiring = 1, revision = 0 WHERE ip = ?", ip);
  }

  /** Notes what is still held of a retiring address. */
  noteRemaining(ip: string, { leasedPortCount, quarantinedPortCount }: RetiringIp): void {
    this.#sql.exec(
      "UPDATE egress_ip SET leased_port_count = ?, quarantined_port_count = ? WHERE ip = ?",
      leasedPortCount,
      quarantinedPortCount,
      ip,
    );
  }

  /** Forgets an address. */
  forgetIp(ip: string): void {
    this.#sql.exec("DELETE FROM egress_ip WHERE ip = ?", ip);
  }

  /** Notes that an address is as this revision wants it, at this time (Unix milliseconds). */
  markFollowing(ip: string, revision: number, nowMs: number): void {
    this.#sql.exec(
      `UPDATE egress_ip SET revision = ?, is_confirmed = 1,
      added_at_ms = CASE WHEN is_confirmed = 1 THEN added_at_ms ELSE ? END WHERE ip = ?`,
      revision,
      nowMs,
      ip,
    );
  }

  /** Since when each address has been the pool's for certain (Unix milliseconds); 0 for always. */
  addedAtMs(): Map<string, number> {
    const rows = this.#sql.exec("SELECT ip, added_at_ms FROM egress_ip").toArray();
    return new Map(rows.map((row) => [textOf(row, "ip"), numberOf(row, "added_at_ms")]));
  }

  /** When the pool was made (Unix milliseconds); 0 for long ago. */
  madeAtMs(): number {
    const row = this.#sql.exec("SELECT made_at_ms FROM pool").toArray()[0];
    return row === undefined ? 0 : numberOf(row, "made_at_ms");
  }

  /** Notes when the pool was made. */
  noteMade(atMs: number): void {
    this.#sql.exec("UPDATE pool SET made_at_ms = ?", atMs);
  }

  /** A host by name. */
  host(name: string): StoredHost | null {
    return hostsOf(this.#sql.exec("SELECT * FROM host WHERE host = ?", name))[0] ?? null;
  }

  /** All hosts in alphabetical order. */
  hosts(): StoredHost[] {
    return hostsOf(this.#sql.exec("SELECT * FROM host ORDER BY host"));
  }

  /** Forgets a host. */
  forgetHost(host: string): void {
    this.#sql.exec("DELETE FROM host WHERE host = ?", host);
  }

  /** Keeps what a host said. */
  putHost(stored: StoredHost): void {
    const { host, instance, gateway, draining, rooms, reach, site, weight, opinions, policyVersion } = stored;
    this.#sql.exec(
      `INSERT INTO host (host, instance, gateway, draining, rooms, reach_ipv4, reach_ipv6, site, weight,
      opinions, policy_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (host) DO UPDATE SET instance = excluded.instance, gateway = excluded.gateway,
      draining = excluded.draining, rooms = excluded.rooms, reach_ipv4 = excluded.reach_ipv4,
      reach_ipv6 = excluded.reach_ipv6, site = excluded.site, weight = excluded.weight,
      opinions = excluded.opinions, policy_version = excluded.policy_version`,
      host,
      instance,
      gateway,
      draining ? 1 : 0,
      JSON.stringify(rooms),
      reach.ipv4,
      reach.ipv6,
      site,
      weight,
      JSON.stringify(opinions),
      policyVersion,
    );
  }
}

function poolIpOf(row: SqlRow): PoolIp {
  const isRetiring = row["is_retiring"] === 1;
  const leasedPortCount = numberOrNull(row, "leased_port_count");
  const quarantinedPortCount = numberOrNull(row, "quarantined_port_count");
  return {
    ip: textOf(row, "ip"),
    advertised: textOrNull(row, "advertised"),
    country: textOrNull(row, "country"),
    sites: JSON.parse(textOf(row, "sites")) as string[],
    tags: JSON.parse(textOf(row, "tags")) as string[],
    retiring: isRetiring ? { leasedPortCount, quarantinedPortCount } : null,
  };
}

function hostsOf(rows: ReturnType<SqlDatabase["sql"]["exec"]>): StoredHost[] {
  return rows.toArray().map((row) => ({
    host: textOf(row, "host"),
    instance: textOf(row, "instance"),
    gateway: textOf(row, "gateway"),
    draining: row["draining"] === 1,
    rooms: JSON.parse(textOf(row, "rooms")) as AddressCapacity[],
    reach: { ipv4: textOrNull(row, "reach_ipv4"), ipv6: textOrNull(row, "reach_ipv6") },
    site: textOrNull(row, "site"),
    weight: numberOf(row, "weight"),
    opinions: JSON.parse(textOf(row, "opinions")) as Record<string, Opinion>,
    policyVersion: numberOrNull(row, "policy_version"),
  }));
}

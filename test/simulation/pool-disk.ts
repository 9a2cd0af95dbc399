/** What the pool has on disk, for those who look at it from outside. */
import type { ObjectDatabase } from "./object-database.ts";
import { Reading } from "./reading.ts";

/** One per run. */
export class PoolDisk {
  readonly #instances: Reading<ReadonlyMap<string, string>>;
  readonly #published: Reading<ReadonlySet<string>>;

  constructor(database: ObjectDatabase) {
    this.#instances = new Reading(database, "host", (sql) => {
      const rows = sql.exec("SELECT host, instance FROM host").toArray();
      return new Map(rows.map((row) => [row["host"] as string, row["instance"] as string]));
    });
    this.#published = new Reading(database, "egress_ip", (sql) => {
      const rows = sql.exec("SELECT ip FROM egress_ip WHERE steering_version IS NOT NULL").toArray();
      return new Set(rows.map((row) => row["ip"] as string));
    });
  }

  /** Packets of an instance that has not enlisted, while another of its name has, go nowhere. [ST12] */
  isEnlisted({ name, instance }: { readonly name: string; readonly instance: string }): boolean {
    return this.#instances.value.get(name) === instance;
  }

  /** Whether it has blocks of an address: until then routers leave that alone. [ST4] */
  hasBlocksOf(ip: string): boolean {
    return this.#published.value.has(ip);
  }
}

/** The names of all pools, for those who administer them; no request passes through here. [DO13] */
import { DurableObject } from "cloudflare:workers";
import { migrate } from "../storage/migrate.ts";
import { CATALOGUE_MIGRATIONS } from "./catalogue-schema.ts";

/** The Durable Object that lists the pools; there is one. */
export class PoolCatalogue extends DurableObject<object> {
  constructor(ctx: DurableObjectState, env: object) {
    super(ctx, env);
    migrate(ctx.storage, CATALOGUE_MIGRATIONS);
  }

  /** Notes that a pool exists, and perhaps that it may tell strangers of its addresses; may be repeated. */
  async add(pool: string, isPublished = false): Promise<void> {
    this.ctx.storage.sql.exec("INSERT OR IGNORE INTO pool (name) VALUES (?)", pool);
    if (isPublished) this.ctx.storage.sql.exec("UPDATE pool SET is_published = 1 WHERE name = ?", pool);
  }

  /** Notes that a pool tells strangers nothing any more. */
  async unpublish(pool: string): Promise<void> {
    this.ctx.storage.sql.exec("UPDATE pool SET is_published = 0 WHERE name = ?", pool);
  }

  /** The pools that may do so, in alphabetical order. [PF1] */
  async published(): Promise<string[]> {
    const rows = this.ctx.storage.sql.exec<{ name: string }>(
      "SELECT name FROM pool WHERE is_published = 1 ORDER BY name",
    );
    return rows.toArray().map(({ name }) => name);
  }

  /** All pools in alphabetical order. */
  async list(): Promise<string[]> {
    const rows = this.ctx.storage.sql.exec<{ name: string }>("SELECT name FROM pool ORDER BY name");
    return rows.toArray().map(({ name }) => name);
  }
}

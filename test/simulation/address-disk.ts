/** What an address has on disk, for those who look at it from outside. */
import type { LivingBlock } from "./block-lives.ts";
import type { ObjectDatabase } from "./object-database.ts";
import { Reading } from "./reading.ts";

/** A lease, or what rests after one. */
export interface StoredLease extends LivingBlock {
  readonly isLeased: boolean;
}

/** How an address stands to its pool, and whether it knows of routers. */
export interface Standing {
  readonly standing: string;
  readonly knowsOfRouters: boolean;
  /** It is an older copy, and grants nothing yet. [OC2] */
  readonly isRecovering: boolean;
}

/** One per address. */
export class AddressDisk {
  readonly #leases: Reading<readonly StoredLease[]>;
  readonly #standing: Reading<Standing>;

  constructor(database: ObjectDatabase) {
    this.#leases = new Reading(database, "lease", readLeases);
    this.#standing = new Reading(database, "assignment", readStanding);
  }

  /** In the order of epochs; the same list as long as nothing is written to it. */
  get leases(): readonly StoredLease[] {
    return this.#leases.value;
  }

  get standing(): Standing {
    return this.#standing.value;
  }
}

function readLeases(sql: ObjectDatabase["sql"]): StoredLease[] {
  const rows = sql.exec(
    "SELECT epoch, base, block_order, host, instance, end_reason, is_steered FROM lease ORDER BY epoch",
  );
  return rows.toArray().map((row) => ({
    epoch: row["epoch"] as number,
    base: row["base"] as number,
    order: row["block_order"] as number,
    host: row["host"] as string,
    instance: row["instance"] as string,
    endReason: row["end_reason"] as string | null,
    isLeased: row["end_reason"] === null,
    isSteered: row["is_steered"] === 1,
  }));
}

function readStanding(sql: ObjectDatabase["sql"]): Standing {
  const [row] = sql.exec("SELECT standing, is_steered, recovery FROM assignment").toArray();
  return {
    standing: row?.["standing"] as string,
    knowsOfRouters: row?.["is_steered"] === 1,
    isRecovering: (row?.["recovery"] ?? null) !== null,
  };
}

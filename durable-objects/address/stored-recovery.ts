/** What an address that was restored from a backup has on disk of that. [OC1] [OC2] [OC5] */
import { type LeaseEvent, type Recovery, shiftedRecovery } from "../../src/core/lease-table.ts";
import { numberOf, type SqlDatabase, type SqlRow, textOrNull } from "../storage/sql-database.ts";
import type { PastLeases } from "./past-leases.ts";

/** Reads and writes it for one table; transactions are the caller's. */
export class StoredRecovery {
  readonly #sql: SqlDatabase["sql"];
  readonly #past: PastLeases;

  constructor(sql: SqlDatabase["sql"], past: PastLeases) {
    this.#sql = sql;
    this.#past = past;
  }

  /** The restore that is known here; null for none. */
  restoration(): string | null {
    const row = this.#sql.exec("SELECT restoration FROM assignment").toArray()[0];
    return row === undefined ? null : textOrNull(row, "restoration");
  }

  /** Notes that a restore is known here, and needs nothing. */
  note(id: string): void {
    this.#sql.exec("UPDATE assignment SET restoration = ?", id);
  }

  /** Of what was between the copy and now nothing is known. */
  begin(event: LeaseEvent & { type: "recovery-began" }): void {
    const assignment = this.#sql.exec("SELECT seen_at_ms FROM assignment").toArray()[0];
    this.#past.leap(event.lastEpoch, event.recovery.copiedAtMs, numberOf(assignment!, "seen_at_ms"));
    this.#sql.exec(
      "UPDATE assignment SET restoration = ?, recovery = ?, last_session = ?, steering_version = ?",
      event.restoration,
      JSON.stringify(event.recovery),
      event.lastSession,
      event.steeringVersion,
    );
    const untilMs = event.heldUntilMs;
    this.#sql.exec("UPDATE holder SET expires_at_ms = max(expires_at_ms, ?), is_unheard = 1", untilMs);
  }

  /** The clock was set. */
  shift(shiftMs: number): void {
    const row = this.#sql.exec("SELECT recovery FROM assignment WHERE recovery IS NOT NULL").toArray()[0];
    const recovery = shiftedRecovery(row === undefined ? null : recoveryIn(row), shiftMs);
    if (recovery !== null) this.#sql.exec("UPDATE assignment SET recovery = ?", JSON.stringify(recovery));
  }

  /** It is over. */
  end(): void {
    this.#sql.exec("UPDATE assignment SET recovery = NULL");
  }
}

/** What the row of an assignment says is waited for; null for nothing. */
export function recoveryIn(row: SqlRow): Recovery | null {
  const written = textOrNull(row, "recovery");
  return written === null ? null : (JSON.parse(written) as Recovery);
}

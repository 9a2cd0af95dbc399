/**
 * What was changed in an object, by whom, and how it was before. An entry is written in the transaction of
 * the change, so the disk has both or neither. It knows nothing of what is changed. [AU1] [LAW9]
 */
import type { AuditEntry, ChangeAuthor } from "../../src/core/audit.ts";
import { numberOf, type SqlDatabase, type SqlRow, textOf, textOrNull } from "../storage/sql-database.ts";
import { differenceOf } from "./difference.ts";

/** Why there is an entry. */
export interface Cause {
  /** Null for what the edge does by itself. */
  readonly by: ChangeAuthor | null;
  /** What it is called where no route has called it. */
  readonly what: string;
}

/** What was changed: both ways that it was and is. */
export interface Changed {
  readonly before?: unknown;
  readonly after?: unknown;
}

/** Which entries are wanted, as their sequences. */
export interface AuditPage {
  /** The first that come after this one; absent for the newest. */
  readonly after?: number | undefined;
  /** The newest of those before this one. */
  readonly before?: number | undefined;
  readonly limit: number;
}

const DAY_MS = 86_400_000;
/** So long is an entry shown, and kept unless there are too many. [AU3] */
export const AUDIT_KEPT_MS = 400 * DAY_MS;
/** The most entries of one log. */
export const MOST_AUDIT_ENTRIES = 100_000;
/** The longest value, as JSON text. */
export const LONGEST_AUDIT_VALUE = 4_096;
/** Each entry prunes some, so that none is slow, and more than it adds, so that it comes to an end. */
const PRUNED_AT_ONCE = 8;
/** A signed token, as JWS writes it: its header is JSON. */
const TOKEN = /eyJ[\w-]*\.[\w-]*\.[\w-]*/g;
/** The private part of a key as a JWK. */
const PRIVATE_PART = /"d":"[^"]*"/g;

/** The log of one object. Nothing is remembered here: what is asked is read. */
export class AuditLog {
  readonly #database: SqlDatabase;
  readonly #sql: SqlDatabase["sql"];
  readonly #nowMs: () => number;

  constructor(database: SqlDatabase, nowMs: () => number) {
    this.#database = database;
    this.#sql = database.sql;
    this.#nowMs = nowMs;
  }

  /** Makes a change on disk and notes it, or neither. */
  change(cause: Cause, make: () => Changed): void {
    this.#database.transactionSync(() => this.#note(cause, make(), "done"));
  }

  /** Notes what was refused, by its code, or that something has begun which takes several objects. */
  note(cause: Cause, result: string): void {
    this.#database.transactionSync(() => this.#note(cause, {}, result));
  }

  #note({ by, what }: Cause, { before, after }: Changed, result: string): void {
    const difference = differenceOf(before, after);
    const nowMs = Math.floor(this.#nowMs());
    const [last] = this.#sql.exec("SELECT max(sequence) AS sequence FROM audit").toArray();
    const sequence = (last === undefined || last["sequence"] === null ? 0 : numberOf(last, "sequence")) + 1;
    this.#sql.exec(
      `INSERT INTO audit (sequence, at_ms, subject, token_id, route, given, result, before, after)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      sequence,
      nowMs,
      by?.subject ?? null,
      by?.tokenId ?? null,
      by?.route ?? what,
      bounded(by?.given ?? "{}"),
      result,
      bounded(JSON.stringify(difference.before)),
      bounded(JSON.stringify(difference.after)),
    );
    this.#prune(sequence, nowMs);
  }

  /** Entries in the order in which they were written. */
  entries({ after, before, limit }: AuditPage): AuditEntry[] {
    const oldestMs = Math.floor(this.#nowMs()) - AUDIT_KEPT_MS;
    const range = [after ?? 0, before ?? Number.MAX_SAFE_INTEGER, oldestMs, limit] as const;
    const condition = "sequence > ? AND sequence < ? AND at_ms >= ?";
    const order = after === undefined ? "DESC" : "ASC";
    const rows = this.#sql
      .exec(`SELECT * FROM audit WHERE ${condition} ORDER BY sequence ${order} LIMIT ?`, ...range)
      .toArray();
    const entries = rows.map(entryOf);
    return after === undefined ? entries.toReversed() : entries;
  }

  /**
   * The entries between these times, the newest first, out of the newest `most`. They are read as they are
   * asked for: what they say may be long.
   */
  *newestFirst(sinceMs: number, untilMs: number, most: number): Generator<AuditEntry> {
    const sequences = this.#sql
      .exec(
        `SELECT sequence FROM audit WHERE sequence > (SELECT max(sequence) FROM audit) - ?
        AND at_ms >= ? AND at_ms <= ? ORDER BY at_ms DESC, sequence DESC`,
        most,
        sinceMs,
        untilMs,
      )
      .toArray();
    for (const row of sequences) {
      const found = this.#sql.exec("SELECT * FROM audit WHERE sequence = ?", numberOf(row, "sequence"));
      yield entryOf(found.toArray()[0]!);
    }
  }

  /** The oldest go first, and only from that end: no search goes through the log. */
  #prune(newest: number, nowMs: number): void {
    const oldest = this.#sql
      .exec("SELECT sequence, at_ms FROM audit ORDER BY sequence LIMIT ?", PRUNED_AT_ONCE)
      .toArray();
    for (const row of oldest) {
      const sequence = numberOf(row, "sequence");
      const isKept = numberOf(row, "at_ms") >= nowMs - AUDIT_KEPT_MS;
      // The newest stays in any case: the next number follows from it.
      if (sequence === newest || (isKept && newest - sequence < MOST_AUDIT_ENTRIES)) return;
      this.#sql.exec("DELETE FROM audit WHERE sequence = ?", sequence);
    }
  }
}

/** Without secrets, whatever it was made of, and cut where it is long, which shows. [AU4] */
function bounded(json: string): string {
  const text = json.replace(TOKEN, "(a token)").replace(PRIVATE_PART, '"d":"(a key)"');
  if (text.length <= LONGEST_AUDIT_VALUE) return text;
  return JSON.stringify({ cut: text.slice(0, LONGEST_AUDIT_VALUE), length: text.length });
}

function entryOf(row: SqlRow): AuditEntry {
  return {
    sequence: numberOf(row, "sequence"),
    atMs: numberOf(row, "at_ms"),
    subject: textOrNull(row, "subject"),
    tokenId: textOrNull(row, "token_id"),
    route: textOf(row, "route"),
    given: textOf(row, "given"),
    result: textOf(row, "result"),
    before: textOf(row, "before"),
    after: textOf(row, "after"),
  };
}

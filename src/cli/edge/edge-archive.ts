/**
 * The one file in which a copy of an edge is: an SQLite database with the keys, and each object's database
 * with a digest of its own. So a single database can be put in anew, as a standby does all the time, and the
 * file is whole at any moment. [OC7] [OC9]
 */
import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import type sqliteModule from "node:sqlite";
import type { DatabaseSync } from "node:sqlite";
import { CommandFault } from "../../process/command-fault.ts";
import { makeDirectory } from "../../process/directories.ts";
import { isPathOfCopy } from "./copied-paths.ts";

/** Raised when what is in a copy changes its meaning. */
const FORMAT = 2;
/** A database may be larger than a value of SQLite, and no more of it than this is in memory. */
const PART_BYTES = 8 * 1024 * 1024;
/** Only its owner may read it: the keys are in it. */
export const OWNER_ONLY = 0o600;
/** A standby writes while somebody looks. */
const BUSY_MS = 10_000;

const SCHEMA = `
  CREATE TABLE part (path TEXT, number INTEGER, content BLOB, PRIMARY KEY (path, number));
  CREATE TABLE file (path TEXT PRIMARY KEY, version TEXT, bytes INTEGER, digest TEXT);
  CREATE TABLE about (format INTEGER, taken_at_ms INTEGER, source TEXT, digest TEXT);
`;

/** What is said of a copy. */
export interface CopyFacts {
  /** Everything that was written before is in it. */
  readonly takenAtMs: number;
  /** Where the edge is that a standby follows; null for a backup. */
  readonly source: string | null;
  readonly databaseCount: number;
  readonly bytes: number;
  readonly digest: string;
}

/** From `create` or `open` until `close`. */
export class EdgeArchive {
  readonly #file: string;
  readonly #database: DatabaseSync;

  private constructor(file: string, database: DatabaseSync) {
    this.#file = file;
    this.#database = database;
  }

  /** An empty one in a file of its own. */
  static async create(file: string): Promise<EdgeArchive> {
    const sqlite = await sqliteOfNode();
    // Made before SQLite would, which lets others read: who has opened a file reads also what comes into it later.
    writeFileSync(file, "", { mode: OWNER_ONLY, flag: "wx" });
    const database = new sqlite.DatabaseSync(file);
    database.exec(SCHEMA);
    database.exec(`INSERT INTO about VALUES (${FORMAT}, 0, NULL, '')`);
    return new EdgeArchive(file, database);
  }

  /** One that is complete. Throws `file-invalid`. */
  static async open(file: string): Promise<EdgeArchive> {
    if (!existsSync(file)) throw new CommandFault("file-invalid", `There is no file ${file}.`);
    const sqlite = await sqliteOfNode();
    let database: DatabaseSync | null = null;
    let format: unknown;
    try {
      // What a standby that was killed had begun is taken back, and that is written.
      database = new sqlite.DatabaseSync(file, { timeout: BUSY_MS });
      format = database.prepare("SELECT * FROM about").get()!["format"];
      if (format === FORMAT) database.prepare("SELECT 1 FROM part, file LIMIT 1").get();
    } catch (fault) {
      database?.close();
      throw new CommandFault("file-invalid", `${file} is no backup of an edge: ${String(fault)}`, fault);
    }
    if (format === FORMAT) return new EdgeArchive(file, database);
    database.close();
    throw new CommandFault("file-invalid", `${file} is of another version of ipshard.`);
  }

  facts(): CopyFacts {
    const about = this.#database.prepare("SELECT * FROM about").get()!;
    const sums = this.#database
      .prepare("SELECT count(*) AS count, sum(bytes) AS bytes FROM file WHERE path LIKE '%.sqlite'")
      .get()!;
    return {
      takenAtMs: about["taken_at_ms"] as number,
      source: about["source"] as string | null,
      databaseCount: sums["count"] as number,
      bytes: (sums["bytes"] as number | null) ?? 0,
      digest: about["digest"] as string,
    };
  }

  /** What each of its files was when it was copied, by its path below the state directory. */
  versions(): ReadonlyMap<string, string> {
    const rows = this.#database.prepare("SELECT path, version FROM file").all();
    return new Map(rows.map((row) => [row["path"] as string, row["version"] as string]));
  }

  /** What is done to it is there as a whole, or not at all. */
  change(what: () => void): void {
    this.begin();
    try {
      what();
      this.commit();
    } catch (fault) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw fault;
    }
  }

  /** A change that takes its time, until `commit`. */
  begin(): void {
    this.#database.exec("BEGIN IMMEDIATE");
  }

  commit(): void {
    this.#database.prepare("UPDATE about SET digest = ?").run(this.#digest());
    this.#database.exec("COMMIT");
  }

  /** Within a change: takes a file in, in the place of what was there. */
  put(path: string, version: string, from: string): void {
    if (!isPathOfCopy(path)) throw this.#isNone(path);
    this.remove(path);
    const insert = this.#database.prepare("INSERT INTO part VALUES (?, ?, ?)");
    const hash = createHash("sha256");
    const descriptor = openSync(from, "r");
    let bytes = 0;
    try {
      for (let number = 0; ; number += 1) {
        const part = readPart(descriptor);
        if (part.length === 0 && number > 0) break;
        insert.run(path, number, part);
        hash.update(part);
        bytes += part.length;
        if (part.length < PART_BYTES) break;
      }
    } finally {
      closeSync(descriptor);
    }
    const insertFile = this.#database.prepare("INSERT INTO file VALUES (?, ?, ?, ?)");
    insertFile.run(path, version, bytes, hash.digest("hex"));
  }

  /** Within a change. */
  remove(path: string): void {
    this.#database.prepare("DELETE FROM part WHERE path = ?").run(path);
    this.#database.prepare("DELETE FROM file WHERE path = ?").run(path);
  }

  /** Within a change: of when it is, and of which edge. */
  conclude(takenAtMs: number, source: string | null): void {
    this.#database.prepare("UPDATE about SET taken_at_ms = ?, source = ?").run(takenAtMs, source);
  }

  /** Writes all files below a directory, as they are now. Throws `file-invalid` before `begin` is called. */
  extractTo(root: string, begin: () => void): void {
    this.#atOneMoment(() => {
      this.#verify();
      begin();
      for (const { path } of this.#database.prepare("SELECT path FROM file").all() as { path: string }[]) {
        const target = join(root, path);
        makeDirectory(dirname(target), 0o700);
        const descriptor = openSync(target, "w", OWNER_ONLY);
        try {
          for (const part of this.#partsOf(path)) writeAll(descriptor, part);
        } finally {
          closeSync(descriptor);
        }
      }
    });
  }

  /** Throws `file-invalid` if it is not what was written. */
  verify(): void {
    this.#atOneMoment(() => this.#verify());
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  /** A standby may write meanwhile. */
  #atOneMoment(what: () => void): void {
    this.#database.exec("BEGIN");
    try {
      what();
    } finally {
      this.#database.exec("ROLLBACK");
    }
  }

  #verify(): void {
    const isRight = this.facts().digest === this.#digest();
    const files = this.#database.prepare("SELECT path, digest FROM file").all();
    const isWhole = ({ path, digest }: Record<string, unknown>): boolean => {
      const hash = createHash("sha256");
      for (const part of this.#partsOf(path as string)) hash.update(part);
      return hash.digest("hex") === digest;
    };
    // Whoever can write a digest has one that fits: it says nothing of where the files would go.
    const elsewhere = files.find(({ path }) => !isPathOfCopy(path));
    if (elsewhere !== undefined) throw this.#isNone(elsewhere["path"]);
    if (isRight && files.every(isWhole)) return;
    throw new CommandFault("file-invalid", `${this.#file} is damaged: its digest is another.`);
  }

  #isNone(path: unknown): CommandFault {
    return new CommandFault(
      "file-invalid",
      `${this.#file}: an edge has no file ${String(path)} to be copied.`,
    );
  }

  *#partsOf(path: string): Generator<Uint8Array> {
    const parts = this.#database.prepare("SELECT content FROM part WHERE path = ? ORDER BY number");
    for (const part of parts.iterate(path)) yield part["content"] as Uint8Array;
  }

  #digest(): string {
    const hash = createHash("sha256");
    for (const { path, digest } of this.#database
      .prepare("SELECT path, digest FROM file ORDER BY path")
      .iterate()) {
      hash.update(`${path as string}\0${digest as string}\n`);
    }
    return hash.digest("hex");
  }
}

/** Loaded by the verbs that need it alone: before 22.16 Node has no copy of a database that is in use. */
export async function sqliteOfNode(): Promise<typeof sqliteModule> {
  const sqlite = await import("node:sqlite");
  if (typeof sqlite.backup === "function") return sqlite;
  throw new CommandFault("option-invalid", `A backup takes Node 22.16 or newer; this is ${process.version}.`);
}

function readPart(descriptor: number): Buffer {
  const part = Buffer.allocUnsafe(PART_BYTES);
  let length = 0;
  while (length < PART_BYTES) {
    const read = readSync(descriptor, part, length, PART_BYTES - length, null);
    if (read === 0) break;
    length += read;
  }
  return part.subarray(0, length);
}

function writeAll(descriptor: number, content: Uint8Array): void {
  for (let at = 0; at < content.length;) at += writeSync(descriptor, content, at);
}

/**
 * What an edge that runs has on disk: its keys, and a database for each object, that change while one looks.
 *
 * Each database is copied by SQLite itself, so it is whole, though not of the same moment as the others: what
 * is restored takes nothing for the latest anyway. [OC7]
 */
import { createHash, randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { StatePaths } from "../state-paths.ts";
import { OWNER_ONLY, sqliteOfNode } from "./edge-archive.ts";

/** One object's database. */
export interface EdgeDatabase {
  /** Below the state directory. */
  readonly path: string;
  /** As long as it stays the same, so does what is in the database. */
  readonly version: string;
  readonly bytes: number;
}

/** A file system may note times this coarsely: what is written just after a look may bear the time of before. */
const COARSEST_MS = 100;
/** All pages in one step. With several, each write in between would make the copy begin anew. */
const ALL_PAGES = 0x7fff_ffff;

/** Of SQLite, and of workerd: the first page lists the tables, and each of them has another. */
const PAGE_BYTES = 4_096;

/** All databases in which there is something, in a stable order. */
export function databasesOf(state: StatePaths): EdgeDatabase[] {
  return filesBelow(state.edgeStorage, ".sqlite").flatMap((file) => {
    const look = lookAt(file);
    return look === null || look.bytes <= PAGE_BYTES ? [] : [{ path: relative(state.root, file), ...look }];
  });
}

/**
 * Takes away what objects have left that never were. The edge must not run: workerd makes a file for whatever
 * is asked for, though nothing is ever written there. [DO22]
 */
export function removeEmptyDatabases(state: StatePaths): void {
  for (const file of filesBelow(state.edgeStorage, ".sqlite")) {
    const look = lookAt(file);
    if (look === null || look.bytes > PAGE_BYTES) continue;
    for (const ending of ["", "-wal", "-shm"]) rmSync(`${file}${ending}`, { force: true });
  }
}

/** Files that no object writes: the keys, and what Prometheus shows. */
export function secretsOf(state: StatePaths): string[] {
  const own = existsSync(state.metricsTokenFile) ? [state.metricsTokenFile] : [];
  return [...filesBelow(state.keys, ".json"), ...own].map((file) => relative(state.root, file));
}

/** By which two files with the same secret are known, and nothing else is. */
export function secretVersion(state: StatePaths, path: string): string {
  const content = readFileSync(join(state.root, path));
  return createHash("sha256").update("ipshard copy\0").update(content).digest("hex");
}

/** Copies a database that may be in use; what was there goes. */
export async function copyDatabase(from: string, to: string): Promise<void> {
  rmSync(to, { force: true });
  // Else SQLite makes it, for all to read.
  writeFileSync(to, "", { mode: OWNER_ONLY, flag: "wx" });
  const sqlite = await sqliteOfNode();
  const source = new sqlite.DatabaseSync(from, { readOnly: true });
  try {
    await sqlite.backup(source, to, { rate: ALL_PAGES });
  } finally {
    source.close();
  }
}

/**
 * Takes out of a copy what is secret of the keys that the edge has made by rotation: whoever is given a copy
 * may follow the edge, and not sign in its place. What these keys have signed can be verified as before. [OC10]
 */
export async function withoutPrivateKeys(copied: string): Promise<void> {
  const { DatabaseSync } = await sqliteOfNode();
  const database = new DatabaseSync(copied);
  try {
    const query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'access_key'";
    if (database.prepare(query).get() === undefined) return;
    // Nothing of it stays in pages that are free, or in a log.
    database.exec("PRAGMA journal_mode = DELETE; PRAGMA secure_delete = ON");
    database.exec("UPDATE access_key SET jwk = json_remove(jwk, '$.d') WHERE jwk IS NOT NULL");
  } finally {
    database.close();
  }
}

/** Before the copy: what is written after the look makes another version. Null for what is gone. */
function lookAt(file: string): { version: string; bytes: number } | null {
  const looks = [file, `${file}-wal`].map((path) => statSync(path, { bigint: true, throwIfNoEntry: false }));
  const [main] = looks;
  if (main === undefined) return null;
  // A log with nothing in it comes of looking, and says nothing.
  const isNothing = (look: (typeof looks)[number]): boolean => look === undefined || look.size === 0n;
  const newestMs = Math.max(...looks.map((look) => (isNothing(look) ? 0 : Number(look!.mtimeMs))));
  const isSettled = Math.abs(Date.now() - newestMs) > COARSEST_MS;
  const parts = looks.map((look) => (isNothing(look) ? "-" : `${look!.ino}.${look!.size}.${look!.mtimeNs}`));
  return {
    version: [...parts, ...(isSettled ? [] : [randomUUID()])].join(" "),
    bytes: looks.reduce((sum, look) => sum + Number(look?.size ?? 0n), 0),
  };
}

/** Those with this ending, in a stable order. */
function filesBelow(directory: string, ending: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

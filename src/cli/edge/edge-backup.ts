/**
 * Copies of the state of an edge: taken while it runs, and made the state of another one. [OC7] [OC8]
 *
 * Each object's database is copied by SQLite itself, so it is whole, though not of the same moment as the
 * others: what is restored takes nothing for the latest anyway. The copy is one SQLite file.
 */
import { createHash, randomUUID } from "node:crypto";
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type sqliteModule from "node:sqlite";
import type { DatabaseSync } from "node:sqlite";
import type { Restoration } from "../../core/recovery.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { makeDirectory } from "../../process/directories.ts";
import type { StatePaths } from "../state-paths.ts";

/** Raised when what is in a copy changes its meaning. */
const FORMAT = 1;
/** A database may be larger than a value of SQLite. */
const PART_BYTES = 64 * 1024 * 1024;
/** Only its owner may read it: the keys are in it. */
const OWNER_ONLY = 0o600;

/** What a backup came to. */
export interface BackupReport {
  readonly databaseCount: number;
  readonly digest: string;
}

/** Copies storage and keys of an edge, which may run, into a file; an older copy there is replaced at the end. */
export async function backUpEdge(state: StatePaths, file: string): Promise<BackupReport> {
  const databases = filesBelow(state.edgeStorage, ".sqlite");
  if (databases.length === 0) {
    throw new CommandFault("state-unusable", `There is no edge's storage in ${state.edgeStorage}.`);
  }
  const unfinished = `${file}.${randomUUID()}`;
  const copied = `${unfinished}.copied`;
  const sqlite = await sqliteOfNode();
  const archive = new sqlite.DatabaseSync(unfinished);
  try {
    chmodSync(unfinished, OWNER_ONLY);
    archive.exec("CREATE TABLE part (path TEXT, number INTEGER, content BLOB, PRIMARY KEY (path, number))");
    archive.exec("CREATE TABLE about (format INTEGER, taken_at_ms INTEGER, digest TEXT)");
    // First, so that no key is missing by which something in the storage was signed.
    for (const path of filesBelow(state.keys, ".json")) put(archive, state, path, readFileSync(path));
    for (const path of databases) {
      await copyDatabase(path, copied);
      put(archive, state, path, readFileSync(copied));
    }
    const digest = digestOf(archive);
    archive.prepare("INSERT INTO about VALUES (?, ?, ?)").run(FORMAT, Date.now(), digest);
    archive.close();
    renameSync(unfinished, file);
    return { databaseCount: databases.length, digest };
  } catch (fault) {
    if (archive.isOpen) archive.close();
    throw fault instanceof CommandFault
      ? fault
      : new CommandFault("output-failed", `${file} cannot be written: ${String(fault)}`, fault);
  } finally {
    for (const left of [unfinished, `${unfinished}-journal`, copied, `${copied}-journal`]) {
      rmSync(left, { force: true });
    }
  }
}

/** What the operator says of the time since the copy was taken. */
export type RestoreWords = Pick<Restoration, "waitMs" | "areSlotsKnown">;

/** Makes a copy the state of an edge that has none yet. */
export async function restoreEdge(
  file: string,
  state: StatePaths,
  words: RestoreWords,
): Promise<{ takenAtMs: number }> {
  if (existsSync(state.edge) || existsSync(state.keys)) {
    throw new CommandFault(
      "state-unusable",
      `${state.root} is the state of an edge already: restore into a directory of its own.`,
    );
  }
  const archive = await openArchive(file);
  try {
    const about = archive.prepare("SELECT * FROM about").get()!;
    if (about["format"] !== FORMAT) {
      throw new CommandFault("file-invalid", `${file} is of another version of ipshard.`);
    }
    if (about["digest"] !== digestOf(archive)) {
      throw new CommandFault("file-invalid", `${file} is damaged: its digest is another.`);
    }
    makeDirectory(state.edge, 0o700);
    // Before any storage: without it an edge would take the copy for the latest.
    const restoration: Restoration = { id: randomUUID(), atMs: Date.now(), ...words };
    writeFileSync(state.restorationFile, JSON.stringify(restoration), { mode: OWNER_ONLY });
    for (const part of archive.prepare("SELECT path, content FROM part ORDER BY path, number").iterate()) {
      const path = join(state.root, part["path"] as string);
      makeDirectory(dirname(path), 0o700);
      writeFileSync(path, part["content"] as Uint8Array, { mode: OWNER_ONLY, flag: "a" });
    }
    return { takenAtMs: about["taken_at_ms"] as number };
  } catch (fault) {
    if (fault instanceof CommandFault) throw fault;
    // A part of a state must not be taken for all of it.
    for (const made of [state.edge, state.keys]) rmSync(made, { recursive: true, force: true });
    throw new CommandFault("output-failed", `${state.root} cannot be written: ${String(fault)}`, fault);
  } finally {
    archive.close();
  }
}

/** The operator has made sure that no host holds a slot of which the copy does not know. [OC6] */
export function confirmSlots(state: StatePaths): void {
  if (!existsSync(state.restorationFile)) {
    throw new CommandFault("state-unusable", `${state.root} was not restored from a backup.`);
  }
  const restoration = JSON.parse(readFileSync(state.restorationFile, "utf8")) as Restoration;
  const text = JSON.stringify({ ...restoration, areSlotsKnown: true });
  writeFileSync(`${state.restorationFile}.new`, text, { mode: OWNER_ONLY });
  renameSync(`${state.restorationFile}.new`, state.restorationFile);
}

async function copyDatabase(from: string, to: string): Promise<void> {
  rmSync(to, { force: true });
  const sqlite = await sqliteOfNode();
  const source = new sqlite.DatabaseSync(from, { readOnly: true });
  try {
    await sqlite.backup(source, to);
  } finally {
    source.close();
  }
}

/** Loaded by the verbs that need it alone: before 22.16 Node has no copy of a database that is in use. */
async function sqliteOfNode(): Promise<typeof sqliteModule> {
  const sqlite = await import("node:sqlite");
  if (typeof sqlite.backup === "function") return sqlite;
  throw new CommandFault("option-invalid", `A backup takes Node 22.16 or newer; this is ${process.version}.`);
}

async function openArchive(file: string): Promise<DatabaseSync> {
  const sqlite = await sqliteOfNode();
  try {
    const archive = new sqlite.DatabaseSync(file, { readOnly: true });
    archive.prepare("SELECT format, taken_at_ms, digest FROM about").get();
    archive.prepare("SELECT path, number, content FROM part LIMIT 1").get();
    return archive;
  } catch (fault) {
    throw new CommandFault("file-invalid", `${file} is no backup of an edge: ${String(fault)}`, fault);
  }
}

function put(archive: DatabaseSync, state: StatePaths, path: string, content: Uint8Array): void {
  const insert = archive.prepare("INSERT INTO part VALUES (?, ?, ?)");
  for (let at = 0; at < content.length; at += PART_BYTES) {
    insert.run(relative(state.root, path), at / PART_BYTES, content.subarray(at, at + PART_BYTES));
  }
}

function digestOf(archive: DatabaseSync): string {
  const hash = createHash("sha256");
  for (const part of archive.prepare("SELECT * FROM part ORDER BY path, number").iterate()) {
    const content = part["content"] as Uint8Array;
    hash.update(`${part["path"] as string}\0${part["number"] as number}\0${content.length}\0`);
    hash.update(content);
  }
  return hash.digest("hex");
}

/** Those with this ending, in a stable order. */
function filesBelow(directory: string, ending: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

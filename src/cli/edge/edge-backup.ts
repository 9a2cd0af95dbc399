/** Copies of the state of an edge: taken while it runs, and made the state of another one. [OC7] [OC8] */
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Restoration } from "../../core/recovery.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { makeDirectory } from "../../process/directories.ts";
import type { StatePaths } from "../state-paths.ts";
import { type CopyFacts, EdgeArchive, OWNER_ONLY } from "./edge-archive.ts";
import { copyDatabase, databasesOf, secretsOf, secretVersion } from "./edge-files.ts";

/** Copies storage and keys of an edge, which may run, into a file; an older copy there is replaced at the end. */
export async function backUpEdge(state: StatePaths, file: string): Promise<CopyFacts> {
  const takenAtMs = Date.now();
  const databases = databasesOf(state);
  if (databases.length === 0) {
    throw new CommandFault("state-unusable", `There is no edge's storage in ${state.edgeStorage}.`);
  }
  const unfinished = `${file}.${randomUUID()}`;
  const copied = `${unfinished}.copied`;
  let archive: EdgeArchive | null = null;
  try {
    const made = (archive = await EdgeArchive.create(unfinished));
    // First, so that no key is missing by which something in the storage was signed.
    made.begin();
    for (const path of secretsOf(state)) {
      made.put(path, secretVersion(state, path), join(state.root, path));
    }
    for (const { path, version } of databases) {
      await copyDatabase(join(state.root, path), copied);
      made.put(path, version, copied);
    }
    made.conclude(takenAtMs, null);
    made.commit();
    const facts = made.facts();
    made.close();
    renameSync(unfinished, file);
    return facts;
  } catch (fault) {
    archive?.close();
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
export async function restoreEdge(file: string, state: StatePaths, words: RestoreWords): Promise<CopyFacts> {
  if (existsSync(state.edge) || existsSync(state.keys)) {
    throw new CommandFault(
      "state-unusable",
      `${state.root} is the state of an edge already: restore into a directory of its own.`,
    );
  }
  const archive = await EdgeArchive.open(file);
  try {
    archive.extractTo(state.root, () => {
      makeDirectory(state.edge, 0o700);
      // Before any storage: without it an edge would take the copy for the latest.
      const restoration: Restoration = { id: randomUUID(), atMs: Date.now(), ...words };
      writeFileSync(state.restorationFile, JSON.stringify(restoration), { mode: OWNER_ONLY });
    });
    return archive.facts();
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

/** What a backup is refused for, and what it leaves behind. */
import { createHash } from "node:crypto";
import { statSync, watch } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { EdgeArchive } from "../../src/cli/edge/edge-archive.ts";
import { backUpEdge, confirmSlots, restoreEdge } from "../../src/cli/edge/edge-backup.ts";
import { removeEmptyDatabases } from "../../src/cli/edge/edge-files.ts";
import { StatePaths } from "../../src/cli/state-paths.ts";

const WORDS = { waitMs: 5_000, areSlotsKnown: false };

/** A state with a key and one database that somebody is writing to. */
async function livingState() {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-backup-"));
  const state = new StatePaths(join(directory, "state"));
  await mkdir(join(state.edgeStorage, "objects"), { recursive: true });
  await mkdir(state.keys, { recursive: true });
  await writeFile(state.keyFile("edge"), "a key");
  const database = new DatabaseSync(join(state.edgeStorage, "objects", "one.sqlite"));
  database.exec("PRAGMA journal_mode = WAL; CREATE TABLE note (text TEXT); INSERT INTO note VALUES ('kept')");
  return { directory, state, database, file: join(directory, "copy") };
}

test("[OC7] a backup has what is written by then, for its owner only, and nothing half made stays", async () => {
  const { directory, state, database, file } = await livingState();
  await writeFile(file, "an older one");
  await backUpEdge(state, file);
  database.exec("INSERT INTO note VALUES ('later')");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect((await readdir(directory)).toSorted()).toEqual(["copy", "state"]);
  const target = new StatePaths(join(directory, "other"));
  await restoreEdge(file, target, WORDS);
  expect(await readFile(target.keyFile("edge"), "utf8")).toBe("a key");
  const copy = new DatabaseSync(join(target.edgeStorage, "objects", "one.sqlite"));
  expect(copy.prepare("SELECT text FROM note").all()).toEqual([{ text: "kept" }]);
  copy.close();
  database.close();
  await expect(backUpEdge(new StatePaths(join(directory, "none")), file)).rejects.toThrow(
    "no edge's storage",
  );
});

test("[DO22] an object that never was is in no copy, and gone when the edge is started again", async () => {
  const { state, database, file } = await livingState();
  const objects = join(state.edgeStorage, "objects");
  const empty = new DatabaseSync(join(objects, "never.sqlite"));
  // As workerd makes one.
  empty.exec("PRAGMA journal_mode = WAL");
  expect(statSync(join(objects, "never.sqlite")).size).toBeLessThanOrEqual(4_096);
  await backUpEdge(state, file);
  const archive = await EdgeArchive.open(file);
  expect([...archive.versions().keys()].filter((path) => path.endsWith(".sqlite"))).toEqual([
    "edge/storage/objects/one.sqlite",
  ]);
  archive.close();
  empty.close();
  removeEmptyDatabases(state);
  expect((await readdir(objects)).filter((name) => name.startsWith("never"))).toEqual([]);
  // What is in a log alone is something.
  expect(database.prepare("SELECT text FROM note").all()).toEqual([{ text: "kept" }]);
  database.close();
});

test("[OC8] what is restored says so, and a file that is damaged or none of ours leaves nothing behind", async () => {
  const { directory, state, database, file } = await livingState();
  await backUpEdge(state, file);
  database.close();
  const target = new StatePaths(join(directory, "other"));
  const bytes = await readFile(file);
  const at = bytes.indexOf("a key");
  bytes.write("b", at);
  const damaged = join(directory, "damaged");
  await writeFile(damaged, bytes);
  await expect(restoreEdge(damaged, target, WORDS)).rejects.toThrow("its digest is another");
  await writeFile(damaged, "no database");
  await expect(restoreEdge(damaged, target, WORDS)).rejects.toThrow("no backup of an edge");
  await expect(stat(target.root)).rejects.toThrow("ENOENT");
  await restoreEdge(file, target, WORDS);
  const restoration = JSON.parse(await readFile(target.restorationFile, "utf8"));
  expect(restoration).toMatchObject(WORDS);
  expect(Math.abs(restoration.atMs - Date.now())).toBeLessThan(3_600_000);
  await expect(restoreEdge(file, target, WORDS)).rejects.toThrow("already");
});

test("[OC8] a copy whose digest fits and that would write elsewhere is refused, and writes nothing", async () => {
  const { directory, state, database, file } = await livingState();
  await backUpEdge(state, file);
  database.close();
  const target = new StatePaths(join(directory, "other"));
  const places = [
    "../stolen.json",
    "keys/../../stolen.json",
    "edge/storage/../../../stolen.sqlite",
    "/stolen.json",
    "edge/restoration.json",
    "keys/run.sh",
    "keys/a\0.json",
    "tokens/admin",
    "keys//edge.json",
  ];
  for (const place of places) {
    const copy = new DatabaseSync(file);
    for (const table of ["part", "file"])
      copy.prepare(`UPDATE ${table} SET path = ? WHERE path <> 'keys/edge.json'`).run(place);
    const hash = createHash("sha256");
    for (const { path, digest } of copy.prepare("SELECT * FROM file ORDER BY path").iterate())
      hash.update(`${String(path)}\0${String(digest)}\n`);
    copy.prepare("UPDATE about SET digest = ?").run(hash.digest("hex"));
    copy.close();
    await expect(restoreEdge(file, target, WORDS), place).rejects.toThrow("an edge has no file");
  }
  // What an edge lists for a standby is judged before it is put into the file.
  const archive = await EdgeArchive.open(file);
  expect(() => archive.put("edge/storage/../../x.sqlite", "1", file)).toThrow("an edge has no file");
  archive.close();
  expect((await readdir(directory)).toSorted()).toEqual(["copy", "state"]);
});

test("[OC7] while a backup is made nobody else can read any of it", async () => {
  const { directory, state, database, file } = await livingState();
  const modes = new Set<number>();
  const watched = watch(directory, (_, name) => {
    const found = statSync(join(directory, name ?? ""), { throwIfNoEntry: false });
    if (found?.isFile() === true) modes.add(found.mode & 0o777);
  });
  await backUpEdge(state, file);
  await setImmediate();
  watched.close();
  database.close();
  expect([...modes]).toEqual([0o600]);
});

test("[OC6] that all slots are known is said of a restored state only", async () => {
  const { directory, state, database, file } = await livingState();
  await backUpEdge(state, file);
  database.close();
  expect(() => confirmSlots(state)).toThrow("was not restored");
  const target = new StatePaths(join(directory, "other"));
  await restoreEdge(file, target, WORDS);
  const before = JSON.parse(await readFile(target.restorationFile, "utf8"));
  confirmSlots(target);
  const after = JSON.parse(await readFile(target.restorationFile, "utf8"));
  expect(after).toEqual({ ...before, areSlotsKnown: true });
});

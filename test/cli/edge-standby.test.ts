/** What a standby keeps of an edge that changes, is killed, or is another one, and what is given to whom. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Readable } from "node:stream";
import { gunzipSync, gzipSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { edgeListingSchema } from "../../src/api/copy-schemas.ts";
import { serveCopies } from "../../src/cli/edge/copy-service.ts";
import { EdgeArchive } from "../../src/cli/edge/edge-archive.ts";
import { backUpEdge, restoreEdge } from "../../src/cli/edge/edge-backup.ts";
import { AgeWords } from "../../src/cli/edge/run-standby.ts";
import { type CopySource, Standby } from "../../src/cli/edge/standby.ts";
import { program } from "../../src/cli/program.ts";
import { StatePaths } from "../../src/cli/state-paths.ts";

const URL_OF_EDGE = "https://edge.example/";
const WORDS = { waitMs: 0, areSlotsKnown: false };

/** An edge with two objects, a copy of it, and a standby that follows it. */
async function followed() {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-standby-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const state = new StatePaths(join(directory, "state"));
  await mkdir(join(state.edgeStorage, "objects"), { recursive: true });
  await mkdir(state.keys, { recursive: true });
  await writeFile(state.keyFile("edge"), "the key of the edge");
  const objects = [openObject(state, "one"), openObject(state, "two")] as const;
  const file = join(directory, "copy");
  await backUpEdge(state, file);
  const service = await serveCopies(state);
  const ask = (target: string, key = service.key): Promise<Response> =>
    fetch(`http://${service.address}${target}`, { headers: { authorization: `Bearer ${key}` } });
  const read: string[] = [];
  const source: CopySource = {
    list: async (heldAtMs) => {
      const response = await ask(heldAtMs === null ? "/files" : `/files?held=${heldAtMs}`);
      return edgeListingSchema.parse(await response.json());
    },
    read: async ({ path }) => {
      read.push(path);
      const response = await ask(`/database?path=${encodeURIComponent(path)}`);
      if (response.status === 429) return "wait";
      return response.status === 200 ? Readable.from(Buffer.from(await response.arrayBuffer())) : null;
    },
  };
  const archive = await EdgeArchive.open(file);
  onTestFinished(() => archive.close());
  const follow = (from = source, nowMs?: () => number): Standby =>
    new Standby(archive, URL_OF_EDGE, from, join(directory, "incoming"), nowMs);
  return { directory, state, objects, file, ask, read, source, archive, follow, service };
}

function openObject(state: StatePaths, name: string): DatabaseSync {
  const database = new DatabaseSync(join(state.edgeStorage, "objects", `${name}.sqlite`));
  database.exec("PRAGMA journal_mode = WAL; CREATE TABLE note (text TEXT)");
  onTestFinished(() => {
    if (database.isOpen) database.close();
  });
  return database;
}

async function notesIn(directory: string, file: string, name: string): Promise<unknown[]> {
  const target = new StatePaths(await mkdtemp(join(directory, "restored-")));
  await restoreEdge(file, target, WORDS);
  const copy = new DatabaseSync(join(target.edgeStorage, "objects", `${name}.sqlite`));
  try {
    return copy.prepare("SELECT text FROM note").all();
  } finally {
    copy.close();
  }
}

test("[OC9] what was written is in the copy after the next round, for its owner only, and what stays as it is not fetched again", async () => {
  const { directory, objects, file, read, follow, archive, state } = await followed();
  const standby = follow();
  await standby.round();
  // Long enough before for the times of files to tell.
  for (;;) {
    read.length = 0;
    await standby.round();
    if (read.length === 0) break;
  }
  objects[0].exec("INSERT INTO note VALUES ('new')");
  const beforeMs = Date.now();
  const { takenAtMs, databaseCount } = await standby.round();
  expect(takenAtMs).toBeGreaterThanOrEqual(beforeMs);
  expect(databaseCount).toBe(1);
  expect(read).toEqual(["edge/storage/objects/one.sqlite"]);
  expect(archive.facts()).toMatchObject({ takenAtMs, source: URL_OF_EDGE, databaseCount: 2 });
  expect(await notesIn(directory, file, "one")).toEqual([{ text: "new" }]);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  for (const left of await readdir(join(directory, "incoming"))) {
    expect((await stat(join(directory, "incoming", left))).mode & 0o777).toBe(0o600);
  }
  objects[1].close();
  await rm(join(state.edgeStorage, "objects", "two.sqlite"));
  await standby.round();
  expect(archive.facts().databaseCount).toBe(1);
});

test("[OC9] a round that breaks off leaves a copy that can be restored, with the time of the one before", async () => {
  const { directory, objects, file, source, follow, archive } = await followed();
  const before = archive.facts().takenAtMs;
  for (const object of objects) object.exec("INSERT INTO note VALUES ('new')");
  const torn: CopySource = {
    list: source.list,
    read: async (database) => {
      const whole = (await source.read(database)) as Readable;
      if (database.path.endsWith("one.sqlite")) return whole;
      const bytes = Buffer.concat(await whole.toArray());
      return Readable.from(bytes.subarray(0, bytes.length - 9));
    },
  };
  await expect(follow(torn).round()).rejects.toThrow("unexpected end of file");
  expect(archive.facts().takenAtMs).toBe(before);
  expect(await notesIn(directory, file, "two")).toEqual([]);
  // By another process that knows nothing of that one.
  await follow(source).round();
  expect(await notesIn(directory, file, "one")).toEqual([{ text: "new" }]);
  expect(await notesIn(directory, file, "two")).toEqual([{ text: "new" }]);
});

test("[OC11] no more is inflated than a database can be by what was said of it, and what is held stays", async () => {
  const { directory, objects, file, source, archive, follow } = await followed();
  objects[0].exec("INSERT INTO note VALUES ('kept')");
  await follow().round();
  const { takenAtMs } = archive.facts();
  const bomb = gzipSync(Buffer.alloc(48 * 1024 * 1024));
  objects[0].exec("INSERT INTO note VALUES ('more')");
  const asked: string[] = [];
  const bombs = (saidBytes?: number): CopySource => ({
    list: async (heldAtMs) => {
      const listing = await source.list(heldAtMs);
      const said = listing.databases.map((one) => ({ ...one, bytes: saidBytes ?? one.bytes }));
      return { ...listing, databases: said };
    },
    read: async ({ path }) => {
      asked.push(path);
      return Readable.from(bomb);
    },
  });
  await expect(follow(bombs()).round()).rejects.toMatchObject({ code: "copy-too-large" });
  expect(asked).toHaveLength(1);
  const { size } = await stat(join(directory, "incoming", "0"));
  expect(size).toBeLessThanOrEqual(17 * 1024 * 1024);
  await expect(follow(bombs(2 ** 40)).round()).rejects.toMatchObject({ code: "copy-too-large" });
  expect(asked).toHaveLength(1);
  expect(archive.facts().takenAtMs).toBe(takenAtMs);
  expect(await notesIn(directory, file, "one")).toEqual([{ text: "kept" }]);
  await follow().round();
  expect(await notesIn(directory, file, "one")).toHaveLength(2);
});

test("[OC9] the edge knows how old the copy is that is held elsewhere, also after its restart", async () => {
  const { state, ask, follow } = await followed();
  const age = async (asked = ask): Promise<unknown> => (await asked("/age")).json();
  expect(await age()).toEqual({ ageMs: null });
  const standby = follow();
  await standby.round();
  expect(await age()).toEqual({ ageMs: null });
  const beforeMs = Date.now();
  await standby.round();
  await standby.round();
  const { ageMs } = (await age()) as { ageMs: number };
  expect(ageMs).toBeLessThanOrEqual(Date.now() - beforeMs);
  // Of a time that has not come nobody can hold anything.
  await ask(`/files?held=${Date.now() + 3_600_000}`);
  await ask("/files?held=12x");
  expect(((await age()) as { ageMs: number }).ageMs).toBeGreaterThanOrEqual(ageMs);
  const again = await serveCopies(state);
  const known = await age((target) =>
    fetch(`http://${again.address}${target}`, { headers: { authorization: `Bearer ${again.key}` } }),
  );
  expect((known as { ageMs: number }).ageMs).toBeGreaterThanOrEqual(ageMs);
});

test("[OC10] only databases are given, to who knows the key of this start, and one at a time", async () => {
  const { ask, state, objects, source, directory } = await followed();
  objects[0].exec("CREATE TABLE big (content BLOB); INSERT INTO big VALUES (randomblob(8000000))");
  for (const target of ["/files", "/age", "/database?path=edge%2Fstorage%2Fobjects%2Fone.sqlite"]) {
    expect((await ask(target, "another")).status).toBe(401);
  }
  expect((await ask("/database?path=edge%2Fstorage%2Fobjects%2Fone.sqlite")).status).toBe(400);
  await ask("/files");
  for (const path of ["keys/edge.json", "../state/keys/edge.json", "", "edge/storage/objects/none.sqlite"]) {
    expect((await ask(`/database?path=${encodeURIComponent(path)}`)).status).toBe(400);
  }
  expect(JSON.stringify(await source.list(null))).not.toContain("the key of the edge");
  const one = "/database?path=edge%2Fstorage%2Fobjects%2Fone.sqlite";
  const slow = await ask(one);
  expect(slow.status).toBe(200);
  const other = await ask(one);
  expect(other.status).toBe(429);
  expect(await other.json()).toMatchObject({ code: "copy-under-way" });
  await slow.body!.cancel();
  // Whoever leaves makes room, and leaves nothing on the disk.
  const again = async (): Promise<number> => {
    const response = await ask(one);
    await response.body!.cancel();
    return response.status;
  };
  await expect.poll(again, { timeout: 5_000 }).toBe(200);
  await expect
    .poll(async () => (await readdir(state.edge)).filter((name) => name.startsWith("copied")))
    .toEqual([]);
  expect(await readdir(directory)).toContain("copy");
});

test("[OC10] what an edge that was killed left of a copy gets into no later one", async () => {
  const { state } = await followed();
  const left = ["", "-journal", "-wal", "-shm"].map((ending) => join(state.edge, `copied.sqlite${ending}`));
  await Promise.all(left.map((file) => writeFile(file, "of before")));
  await serveCopies(state);
  expect((await readdir(state.edge)).filter((name) => name.startsWith("copied"))).toEqual([]);
});

test("[OC10] what is secret of keys that were made by rotation is in no copy, not even in its free pages", async () => {
  const { ask, objects } = await followed();
  const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ";
  objects[0].exec("CREATE TABLE access_key (kid TEXT, kind TEXT, jwk TEXT)");
  const add = objects[0].prepare("INSERT INTO access_key VALUES (?, ?, ?)");
  add.run(
    "e1",
    "edge",
    JSON.stringify({ kty: "OKP", crv: "Ed25519", x: "public-part", d: secret, kid: "e1" }),
  );
  add.run("i1", "issuer", JSON.stringify({ kty: "OKP", crv: "Ed25519", x: "of-an-issuer", kid: "i1" }));
  add.run("e0", "edge", null);
  await ask("/files");
  const copy = await ask("/database?path=edge%2Fstorage%2Fobjects%2Fone.sqlite");
  expect(copy.status).toBe(200);
  const content = gunzipSync(Buffer.from(await copy.arrayBuffer()));
  expect([content.includes("public-part"), content.includes("of-an-issuer")]).toEqual([true, true]);
  expect(content.includes(secret)).toBe(false);
  // The edge itself goes on signing with it.
  expect(objects[0].prepare("SELECT jwk FROM access_key WHERE kid = 'e1'").get()).toMatchObject({
    jwk: expect.stringContaining(secret),
  });
});

test("[OC10] nothing is taken of an edge with other keys, such as a new one under the old name", async () => {
  const { directory, state, objects, file, follow } = await followed();
  objects[0].exec("INSERT INTO note VALUES ('new')");
  const standby = follow();
  await standby.round();
  await writeFile(state.keyFile("edge"), "another key");
  objects[0].exec("DELETE FROM note");
  await expect(standby.round()).rejects.toMatchObject({ code: "copy-of-another" });
  await expect(standby.round()).rejects.toThrow("keys/edge.json");
  expect(await notesIn(directory, file, "one")).toEqual([{ text: "new" }]);
});

test("[OC10] an edge is not made of a standby's copy while one answers where it was, unless its operator insists", async () => {
  const { directory, file, archive } = await followed();
  const server = createServer((_request, response) => response.end("{}"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  archive.change(() => archive.conclude(Date.now(), url));
  const restore = (...more: string[]): Promise<unknown> =>
    program.parseAsync(["edge", "restore", file, "--state", join(directory, "taken"), ...more], {
      from: "user",
    });
  await expect(restore()).rejects.toMatchObject({ code: "edge-still-runs" });
  await expect(stat(join(directory, "taken"))).rejects.toThrow("ENOENT");
  await restore("--fenced");
  expect(await readFile(new StatePaths(join(directory, "taken")).keyFile("edge"), "utf8")).toBe(
    "the key of the edge",
  );
});

test("[OC9] a copy says how old it is, and fails where it is older than it may be", async () => {
  const { file, archive } = await followed();
  archive.change(() => archive.conclude(Date.now() - 100_000, URL_OF_EDGE));
  const copy = (...more: string[]): Promise<unknown> =>
    program.parseAsync(["edge", "copy", file, "--json", ...more], { from: "user" });
  await copy("--at-most", "200");
  await expect(copy("--at-most", "50")).rejects.toMatchObject({ code: "copy-too-old" });
});

test("[OC9] a standby says a line when something changes, not with each round", () => {
  const said: string[] = [];
  const words = new AgeWords(10_000, (line) => said.push(line));
  words.succeeded(400, 3, 50_000);
  words.succeeded(90, 1, 5_000);
  words.failed(new Error("no answer"), 11_000);
  words.failed(new Error("no answer"), 21_000);
  words.failed(new Error("no answer"), 31_000);
  words.failed(new Error("no answer"), 41_000);
  words.succeeded(90, 1, 5_000);
  expect(said).toEqual([
    "The copy is of now: 3 databases, 49 KiB in 0.4 s.",
    "The copy is 11 s old, and cannot be made anew: no answer",
    "The copy is 31 s old, and cannot be made anew: no answer",
    "The copy is of now: 1 databases, 5 KiB in 0.1 s.",
  ]);
});

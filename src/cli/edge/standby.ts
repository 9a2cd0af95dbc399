/**
 * A copy of an edge that is kept on another machine, as new as it can be: from time to time what has changed
 * is fetched and put into the file that `edge backup` had made, and `edge restore` makes an edge of it. It
 * grants nothing and answers nobody, so there are never two edges because of it. [OC9]
 */
import { createWriteStream, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pipeline } from "node:stream/promises";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { CommandFault } from "../../process/command-fault.ts";
import type { EdgeArchive } from "./edge-archive.ts";
import type { EdgeDatabase } from "./edge-files.ts";

/** What an edge says of its files. */
export interface EdgeListing {
  /** By the edge's clock. */
  readonly atMs: number;
  readonly secrets: readonly { readonly path: string; readonly version: string }[];
  readonly databases: readonly EdgeDatabase[];
}

/** The edge that is copied. */
export interface CopySource {
  /** `heldAtMs` is when, by its own clock, the listing was made of which all is held. */
  readonly list: (heldAtMs: number | null) => Promise<EdgeListing>;
  /** A database in gzip's form; null if it is gone, and `wait` while it copies for somebody else. */
  readonly read: (database: EdgeDatabase) => Promise<Readable | "wait" | null>;
}

/** What a round came to. */
export interface Round {
  readonly takenAtMs: number;
  readonly databaseCount: number;
  readonly bytes: number;
}

/** Of what is fetched so much waits for being put into the file at once. */
const BATCH_BYTES = 16 * 1024 * 1024;
/** What a database may have grown by, beside as much again, since it was listed. */
const GROWTH_BYTES = 16 * 1024 * 1024;
/** Of one database, whatever is said of it: a thousand times what an address comes to. */
const MOST_BYTES = 16 * 1024 * 1024 * 1024;
const WAIT_MS = 200;
const MOST_WAITS = 300;

/** Follows one edge into one file. */
export class Standby {
  readonly #archive: EdgeArchive;
  readonly #url: string;
  readonly #source: CopySource;
  readonly #incoming: string;
  readonly #nowMs: () => number;
  #heldAtMs: number | null = null;

  /** `incoming` is a directory of its own, for what is not in the file yet. */
  constructor(
    archive: EdgeArchive,
    url: string,
    source: CopySource,
    incoming: string,
    nowMs: () => number = Date.now,
  ) {
    this.#archive = archive;
    this.#url = url;
    this.#source = source;
    this.#incoming = incoming;
    this.#nowMs = nowMs;
  }

  /** Fetches what has changed. What it could not finish the next one need not fetch again. */
  async round(): Promise<Round> {
    // Before the question, so that everything until then is in the answer.
    const takenAtMs = this.#nowMs();
    const listing = await this.#source.list(this.#heldAtMs);
    const held = this.#archive.versions();
    refuseOthers(listing, held);
    this.#removeGone(listing, held);
    const changed = listing.databases.filter(({ path, version }) => held.get(path) !== version);
    let bytes = 0;
    let batch: EdgeDatabase[] = [];
    let batchBytes = 0;
    rmSync(this.#incoming, { recursive: true, force: true });
    mkdirSync(this.#incoming, { mode: 0o700 });
    for (const database of changed) {
      const to = join(this.#incoming, String(batch.length));
      if (!(await this.#fetch(database, to))) continue;
      const { size } = statSync(to);
      bytes += size;
      batchBytes += size;
      batch.push(database);
      if (batchBytes < BATCH_BYTES) continue;
      this.#store(batch);
      batch = [];
      batchBytes = 0;
    }
    this.#store(batch);
    this.#archive.change(() => this.#archive.conclude(takenAtMs, this.#url));
    this.#heldAtMs = listing.atMs;
    return { takenAtMs, databaseCount: changed.length, bytes };
  }

  #removeGone({ databases, secrets }: EdgeListing, held: ReadonlyMap<string, string>): void {
    const there = new Set([...databases, ...secrets].map(({ path }) => path));
    const gone = [...held.keys()].filter((path) => !there.has(path));
    if (gone.length === 0) return;
    this.#archive.change(() => {
      for (const path of gone) this.#archive.remove(path);
    });
  }

  #store(batch: readonly EdgeDatabase[]): void {
    if (batch.length === 0) return;
    this.#archive.change(() => {
      for (const [number, { path, version }] of batch.entries()) {
        this.#archive.put(path, version, join(this.#incoming, String(number)));
      }
    });
  }

  async #fetch(database: EdgeDatabase, to: string): Promise<boolean> {
    if (database.bytes > MOST_BYTES) throw tooLarge(database, MOST_BYTES);
    for (let waits = 0; waits < MOST_WAITS; waits += 1) {
      const content = await this.#source.read(database);
      if (content === null) return false;
      if (content === "wait") {
        await delay(WAIT_MS);
        continue;
      }
      // It fails where the end or a byte is missing.
      const upTo = atMost(2 * database.bytes + GROWTH_BYTES, database);
      await pipeline(content, createGunzip(), upTo, createWriteStream(to, { mode: 0o600 }));
      return true;
    }
    throw new CommandFault("edge-refused", "The edge is being copied by somebody else all the time.");
  }
}

/** Lets so much pass: a little that is sent may be very much once it is inflated. [OC11] */
function atMost(mostBytes: number, database: EdgeDatabase) {
  return async function* (pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let byteCount = 0;
    for await (const piece of pieces) {
      byteCount += piece.length;
      if (byteCount > mostBytes) throw tooLarge(database, mostBytes);
      yield piece;
    }
  };
}

function tooLarge({ path, bytes }: EdgeDatabase, mostBytes: number): CommandFault {
  return new CommandFault(
    "copy-too-large",
    `${path} is more than ${mostBytes} bytes, and the edge has said ${bytes}. What is held already stays.`,
  );
}

/** A new edge of the same name must not replace what is known of the lost one. [OC10] */
function refuseOthers({ secrets }: EdgeListing, held: ReadonlyMap<string, string>): void {
  const missing = secrets.filter(({ path, version }) => held.get(path) !== version);
  if (missing.length === 0) return;
  const names = missing.map(({ path }) => path).join(", ");
  throw new CommandFault(
    "copy-of-another",
    `The edge has keys that this copy does not have (${names}), and they do not travel. If they were changed ` +
      "there, bring a new backup here; if not, another edge answers at its address.",
  );
}

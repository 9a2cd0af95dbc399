/**
 * What the edge's Worker asks for a copy of the databases in which its objects store: they are files of this
 * machine, which a Worker cannot see. It listens on loopback, and answers only who knows the key that this
 * process has made for it. Private keys of the edge it never gives out. [OC9] [OC10]
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createReadStream, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { createGzip } from "node:zlib";
import type { Problem } from "../../core/problems.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { Flow } from "../../process/flow.ts";
import { outliveClients } from "../../process/listener.ts";
import { problemReply } from "../../wire/problem-response.ts";
import { bearerOf } from "../../wire/tokens.ts";
import type { StatePaths } from "../state-paths.ts";
import { OWNER_ONLY } from "./edge-archive.ts";
import { copyDatabase, databasesOf, secretsOf, secretVersion, withoutPrivateKeys } from "./edge-files.ts";

/** Where it listens, and what it must be shown. */
export interface CopyService {
  readonly address: string;
  readonly key: string;
}

/** Whoever takes nothing for so long lets the next one have a copy. */
const IDLE_MS = 30_000;
const PATIENCE_MS = 500;

/** Listens until this process ends. */
export async function serveCopies(state: StatePaths): Promise<CopyService> {
  const key = randomBytes(32).toString("hex");
  const copies = new Copies(state);
  const server = createServer((request, response) => {
    const flow = new Flow((fault) => {
      if (response.headersSent) response.destroy();
      else send(response, refusalOf(fault));
    }, report);
    flow.begin(async () => {
      const token = bearerOf(request.headers.authorization);
      if (token === null || !isSame(token, key)) return send(response, { code: "token-missing" });
      await copies.answer(request, response);
    });
  });
  outliveClients(server, report);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, key };
}

class Copies {
  readonly #state: StatePaths;
  /** Where a database is copied to before it is sent. */
  readonly #copied: string;
  readonly #heldFile: string;
  /** Paths that were listed last: no other leads anywhere. */
  #listed = new Set<string>();
  /** Everything that was written before is held elsewhere, as of what a standby said; null if none did. */
  #heldAtMs: number | null;
  /** Resolves when the copy that is under way is done; null while none is. */
  #underWay: Promise<void> | null = null;

  constructor(state: StatePaths) {
    this.#state = state;
    this.#copied = join(state.edge, "copied.sqlite");
    this.#heldFile = join(state.edge, "standby-held");
    this.#heldAtMs = readHeld(this.#heldFile);
    this.#clear();
  }

  async answer({ url = "", method }: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(url, "http://copies");
    if (method !== "GET") return send(response, { code: "method-unsupported" });
    if (pathname === "/age") return sendJson(response, { ageMs: this.#ageMs() });
    if (pathname === "/files") return this.#list(searchParams.get("held"), response);
    if (pathname === "/database") return this.#database(searchParams.get("path"), response);
    return send(response, { code: "route-unknown" });
  }

  #ageMs(): number | null {
    return this.#heldAtMs === null ? null : Math.max(0, Date.now() - this.#heldAtMs);
  }

  #list(held: string | null, response: ServerResponse): void {
    const atMs = Date.now();
    if (held !== null && /^\d{1,15}$/.test(held) && Number(held) <= atMs) this.#note(Number(held));
    const secrets = secretsOf(this.#state).map((path) => ({
      path,
      version: secretVersion(this.#state, path),
    }));
    const databases = databasesOf(this.#state);
    this.#listed = new Set(databases.map(({ path }) => path));
    sendJson(response, { atMs, secrets, databases });
  }

  /** On disk, so that a standby that is gone is missed also when this edge was started anew. */
  #note(heldAtMs: number): void {
    this.#heldAtMs = heldAtMs;
    writeFileSync(`${this.#heldFile}.new`, String(heldAtMs), { mode: OWNER_ONLY });
    renameSync(`${this.#heldFile}.new`, this.#heldFile);
  }

  async #database(path: string | null, response: ServerResponse): Promise<void> {
    // An edge that was started meanwhile has listed nothing yet: what it does not know is not gone.
    if (path === null || !this.#listed.has(path))
      return send(response, { code: "input-invalid", detail: "It was not listed." });
    const file = join(this.#state.root, path);
    if (!existsSync(file)) return send(response, { code: "route-unknown", detail: "It is gone." });
    // Whoever has had all of one asks for the next sooner than the former is cleared away.
    if (this.#underWay !== null) await Promise.race([this.#underWay, delay(PATIENCE_MS)]);
    if (this.#underWay !== null) return send(response, { code: "copy-under-way" });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#underWay = promise;
    try {
      await copyDatabase(file, this.#copied);
      await withoutPrivateKeys(this.#copied);
      response.setTimeout(IDLE_MS, () => response.destroy());
      response.writeHead(200, { "content-type": "application/gzip", "cache-control": "no-store" });
      // Its end says that it is whole, by a sum of all that it has.
      await pipeline(createReadStream(this.#copied), createGzip({ level: 1 }), response);
    } finally {
      this.#clear();
      this.#underWay = null;
      resolve();
    }
  }

  /** All of it: SQLite would put what an old log says into the next copy. */
  #clear(): void {
    for (const ending of ["", "-journal", "-wal", "-shm"])
      rmSync(`${this.#copied}${ending}`, { force: true });
  }
}

function readHeld(file: string): number | null {
  try {
    const heldAtMs = Number(readFileSync(file, "utf8"));
    return Number.isSafeInteger(heldAtMs) && heldAtMs > 0 ? heldAtMs : null;
  } catch {
    return null;
  }
}

function refusalOf(fault: unknown): Problem {
  return fault instanceof CommandFault
    ? { code: "route-unknown", detail: fault.message }
    : { code: "internal-fault" };
}

function report(fault: unknown): void {
  // Who asked has gone: that is nothing to tell an operator.
  if ((fault as NodeJS.ErrnoException).code === "ERR_STREAM_PREMATURE_CLOSE") return;
  console.error(`A copy of the edge could not be given: ${String(fault)}`);
}

function isSame(token: string, key: string): boolean {
  const [a, b] = [token, key].map((text) => createHash("sha256").update(text).digest());
  return timingSafeEqual(a!, b!);
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(value));
}

function send(response: ServerResponse, problem: Problem): void {
  const { status, headers, body } = problemReply(problem);
  response.writeHead(status, headers).end(body);
}

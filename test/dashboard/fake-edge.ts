/**
 * An edge that is made up, for the page alone: it serves the built files as the Worker does, and says what
 * the contract has it say. `node test/dashboard/fake-edge.ts [hosts] [addresses] [changes a second]` runs it.
 */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { WebSocket, WebSocketServer } from "ws";
import { watchFor } from "../../src/core/live-view.ts";
import { MadePool } from "./made-pool.ts";

/** How the made-up edge is. */
export interface FakeEdgeOptions {
  readonly pool: MadePool;
  readonly role?: "admin" | "viewer";
  readonly subject?: string;
  /** Of the first address, told in as many messages. */
  readonly changesPerSecond?: number;
  readonly port?: number;
  /** What `POST /dashboard/try` answers, if it is to be other than usual. */
  readonly attempt?: object;
  /** What `GET /v1/holders` answers, likewise. */
  readonly holders?: object;
  readonly sessionMs?: number;
}

/** Of which this edge takes one. */
export const FAKE_TOKEN = "made-up-token";
/** Good once. */
export const FAKE_CODE = "made-up-code";

const ROOT = join(import.meta.dirname, "../../dist/dashboard");
const COOKIE = "ipshard-session=made-up";
const CSRF = "made-up-csrf";
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};
const WATCH_MS = 1000;

interface Answer {
  readonly status: number;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The edge. */
export class FakeEdge {
  /** Requests that changed something, as `POST /v1/…`. */
  readonly changes: string[] = [];
  /** Whether there is a session. */
  isSignedIn = false;
  readonly #options: FakeEdgeOptions;
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true });
  readonly #viewers = new Map<WebSocket, { readonly path: string; decisions: boolean }>();
  readonly #timers: ReturnType<typeof setInterval>[] = [];
  #isCodeUsed = false;
  #turn = 0;
  #isAllTold = false;

  private constructor(options: FakeEdgeOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      void this.#serve(request, response).catch(() => response.destroy());
    });
    this.#server.on("upgrade", (request, socket, head) => {
      if (!this.#isKnown(request)) {
        socket.end("HTTP/1.1 401 Unauthorized\r\n\r\n");
        return;
      }
      this.#sockets.handleUpgrade(request, socket, head, (viewer) =>
        this.#welcome(viewer, request.url ?? ""),
      );
    });
  }

  static async start(options: FakeEdgeOptions): Promise<FakeEdge> {
    const edge = new FakeEdge(options);
    await new Promise<void>((resolve) => {
      edge.#server.listen(options.port ?? 0, "127.0.0.1", resolve);
    });
    edge.#timers.push(setInterval(() => edge.#tellWatched(), WATCH_MS));
    const { changesPerSecond = 0 } = options;
    if (changesPerSecond > 0) {
      const ip = options.pool.ips[0]!.ip;
      edge.#timers.push(setInterval(() => edge.tellChange(ip), 1000 / changesPerSecond));
    }
    return edge;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Changes a block of an address, and says so to those who look. */
  tellChange(ip: string): void {
    this.tellBlocks(ip, this.#options.pool.change(ip, Date.now()));
  }

  /** Says to those who look at an address that these blocks are other. */
  tellBlocks(
    ip: string,
    { blocks, goneEpochs }: { readonly blocks: readonly object[]; readonly goneEpochs: readonly number[] },
  ): void {
    const { blocks: _, ...rest } = this.#options.pool.tables.get(ip)!;
    this.#tell(`/dashboard/live/ips/${encodeURIComponent(ip)}`, {
      type: "address-change",
      blocks,
      goneEpochs,
      rest,
    });
  }

  /** Says something to those who look at the pool. */
  tellPool(message: object): void {
    this.#tell(`/dashboard/live/pools/${this.#options.pool.pool}`, message);
  }

  /** As when the edge is started again. */
  dropViewers(): void {
    for (const viewer of this.#viewers.keys()) viewer.terminate();
  }

  /** As when a session is over. */
  endSession(reason: string): void {
    this.isSignedIn = false;
    for (const viewer of this.#viewers.keys()) viewer.close(4002, reason);
  }

  /** How many look. */
  get viewerCount(): number {
    return this.#viewers.size;
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.dropViewers();
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  #welcome(viewer: WebSocket, path: string): void {
    this.#viewers.set(viewer, { path, decisions: false });
    viewer.on("close", () => this.#viewers.delete(viewer));
    let isTold = false;
    viewer.on("message", (data: Buffer) => {
      const look = JSON.parse(data.toString("utf8")) as { past?: boolean; decisions?: boolean };
      this.#viewers.get(viewer)!.decisions = look.decisions === true;
      const isFirst = !isTold;
      // As the real one says it of an address that is nobody's.
      if (isFirst && !this.#has(path)) return viewer.close(4004, "ip-unknown");
      if (isFirst) viewer.send(JSON.stringify(this.#whole(path)));
      isTold = true;
      if (path.includes("/pools/") && look.past === true) viewer.send(JSON.stringify(this.#past()));
      if (!path.includes("/pools/")) return;
      if (isFirst) this.#isAllTold = false;
      this.#tellWatched();
    });
  }

  #has(path: string): boolean {
    return path.includes("/pools/") || this.#options.pool.tables.has(nameIn(path));
  }

  #whole(path: string): object {
    const { pool } = this.#options;
    const name = nameIn(path);
    if (path.includes("/pools/")) return { type: "pool", pool: pool.answer() };
    return { type: "address", ip: name, address: pool.tables.get(name) };
  }

  #past(): object {
    const { pool } = this.#options;
    return {
      type: "past",
      past: pool.past(Date.now()),
      hostCount: pool.hosts.length - 1,
      silentHosts: [pool.hosts.at(-1)!.host],
    };
  }

  #tellWatched(): void {
    const { pool } = this.#options;
    if (this.#viewers.size === 0) return;
    // As many hosts as would tell in a second: the more there are, the more rarely each does. [LV7]
    const all = Object.entries(pool.watched(Date.now()));
    const turns = Math.ceil(watchFor(all.length, false, false).everyMs / WATCH_MS);
    this.#turn += 1;
    const told = all.filter((_, at) => !this.#isAllTold || at % turns === this.#turn % turns);
    this.#isAllTold = true;
    this.tellPool({ type: "watched", hosts: Object.fromEntries(told) });
    const decisions = Array.from({ length: 6 }, () => pool.decision(Date.now()));
    for (const [viewer, { decisions: isWanted }] of this.#viewers)
      if (isWanted) viewer.send(JSON.stringify({ type: "decisions", decisions, lostCount: 0 }));
  }

  #tell(path: string, message: object): void {
    const text = JSON.stringify(message);
    for (const [viewer, { path: looked }] of this.#viewers)
      if (looked === path && viewer.readyState === WebSocket.OPEN) viewer.send(text);
  }

  #isKnown({ headers: { cookie = "" } }: IncomingMessage): boolean {
    return this.isSignedIn && cookie.includes(COOKIE);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://edge.example");
    if (url.pathname === "/dashboard" || url.pathname.startsWith("/dashboard/assets/")) {
      await serveFile(url.pathname, response);
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { status, body, headers = {} } = this.#answer(request, url, Buffer.concat(chunks).toString("utf8"));
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  }

  #answer(request: IncomingMessage, url: URL, text: string): Answer {
    const { method = "GET" } = request;
    const { pool, attempt, holders } = this.#options;
    if (url.pathname === "/dashboard/session" && method === "POST") return this.#signIn(text);
    if (!this.#isKnown(request)) return problem(401, "token-missing", "A token is needed.");
    if (method !== "GET" && request.headers["ipshard-csrf"] !== CSRF)
      return problem(403, "csrf-refused", "This did not come from the page.");
    if (url.pathname === "/dashboard/session" && method === "GET")
      return { status: 200, body: this.#session() };
    if (url.pathname === "/dashboard/session" && method === "DELETE") {
      this.endSession("session-ended");
      return { status: 200, body: {} };
    }
    if (url.pathname === "/dashboard/edge-past")
      return { status: 200, body: { past: pool.past(Date.now()) } };
    if (url.pathname === "/dashboard/try") return { status: 200, body: attempt ?? usualAttempt(pool) };
    if (url.pathname === "/v1/pools") return { status: 200, body: { pools: [pool.pool] } };
    if (method === "GET" && this.#isThere(url.pathname)) return { status: 200, body: {} };
    if (url.pathname === "/v1/holders") return { status: 200, body: holders ?? usualHolders(pool, url) };
    if (method !== "GET" && url.pathname.startsWith("/v1/pools/")) return this.#change(method, url);
    return problem(404, "route-unknown", "There is nothing here.");
  }

  /** What a page asks whose connection does not open. */
  #isThere(path: string): boolean {
    const { pool } = this.#options;
    return path === `/v1/pools/${pool.pool}` || pool.ips.some(({ ip }) => path === `/v1/ips/${ip}`);
  }

  #change(method: string, url: URL): Answer {
    const { pool, role = "admin" } = this.#options;
    if (role === "viewer") return problem(403, "role-denied", "A viewer changes nothing.");
    this.changes.push(`${method} ${url.pathname}`);
    const [, , , , kind = "", name = "", verb = ""] = url.pathname.split("/").map(decodeURIComponent);
    const drain =
      verb === "drain"
        ? { state: "draining" as const, sinceMs: Date.now(), portCount: 64, flowCount: 1 }
        : null;
    const none = { ips: [], goneIps: [], hosts: [], goneHosts: [], routers: [], goneRouters: [] };
    const list: { drain: unknown }[] = kind === "ips" ? pool.ips : pool.hosts;
    const at = (kind === "ips" ? pool.ips.map(({ ip }) => ip) : pool.hosts.map(({ host }) => host)).indexOf(
      name,
    );
    if (at === -1) return problem(404, "host-unknown", "The pool does not know it.");
    if (method === "DELETE") {
      list.splice(at, 1);
      this.tellPool({
        type: "pool-change",
        ...none,
        ...(kind === "ips" ? { goneIps: [name] } : { goneHosts: [name] }),
      });
    } else {
      list[at] = { ...list[at]!, drain };
      this.tellPool({ type: "pool-change", ...none, [kind]: [list[at]] });
    }
    return { status: 200, body: pool.answer() };
  }

  #signIn(text: string): Answer {
    const { token, code } = JSON.parse(text) as { token?: string; code?: string };
    if (code !== undefined && (code !== FAKE_CODE || this.#isCodeUsed))
      return problem(401, "sign-in-code-invalid", "This link has been used, or is too old.");
    if (code === undefined && token !== FAKE_TOKEN)
      return problem(401, "token-invalid", "This token is not good here.");
    if (code !== undefined) this.#isCodeUsed = true;
    this.isSignedIn = true;
    return {
      status: 200,
      body: this.#session(),
      headers: { "set-cookie": `${COOKIE}; HttpOnly; SameSite=Strict; Path=/` },
    };
  }

  #session(): object {
    const { pool, role = "admin", subject = "anna", sessionMs = 3_600_000 } = this.#options;
    const endsAt = new Date(Date.now() + sessionMs).toISOString();
    return { subject, role, pools: [pool.pool], endsAt, csrf: CSRF };
  }
}

async function serveFile(path: string, response: ServerResponse): Promise<void> {
  const file = path === "/dashboard" ? "index.html" : normalize(path.slice("/dashboard/".length));
  const content = await readFile(join(ROOT, file)).catch(() => null);
  response.writeHead(content === null ? 404 : 200, {
    "content-type": TYPES[extname(file)] ?? "application/octet-stream",
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
  });
  response.end(content ?? "");
}

function problem(status: number, code: string, title: string): Answer {
  return { status, body: { type: `urn:ipshard:problem:${code}`, title, status, code } };
}

function usualAttempt(pool: MadePool): object {
  const [ip, { blocks }] = [...pool.tables][0]!;
  const block = blocks.find(({ state }) => state === "leased")!;
  return {
    requestId: "k3v9t0q2",
    tookMs: 48.2,
    status: 200,
    answered: true,
    refusal: null,
    egress: { ip, advertised: null, port: block.base + 17, host: block.host },
    block: { firstPort: block.base, lastPort: block.base + 2 ** block.order - 1, epoch: block.epoch },
    routers: [
      { router: "router-1", live: true, acknowledged: 5210, knows: true },
      { router: "router-2", live: true, acknowledged: 5207, knows: false },
    ],
    timings: { edgeMs: 1.4, hostMs: 44.1, resolveMs: 2.2, dialMs: 11.8, tlsMs: 14.9, firstByteMs: 13.6 },
    headers: [
      ["content-type", "text/html; charset=utf-8"],
      ["cache-control", "max-age=604800"],
    ],
    body: "<!doctype html>\n<title>Example</title>\n<h1>Example</h1>\n",
    attempts: [{ host: "web-5", code: "port-block-exhausted" }],
  };
}

function usualHolders(pool: MadePool, url: URL): object {
  const port = Number(url.searchParams.get("port"));
  const nowMs = Date.now();
  const lease = {
    pool: pool.pool,
    host: "web-1",
    firstPort: port & -64,
    lastPort: (port & -64) + 63,
    epoch: 812,
    sinceMs: nowMs - 3_000_000,
    untilMs: null,
    end: null,
  };
  const flow = {
    protocol: "tcp",
    tenant: "shop",
    senders: [{ client: "cart", clientAddress: "10.1.2.3", sinceMs: nowMs - 60_000 }],
    destinations: ["203.0.113.80:443"],
    startMs: nowMs - 60_000,
    endMs: null,
    cutOffMs: null,
    sent: null,
    received: null,
  };
  const log = {
    level: "flows",
    destinations: true,
    sinceMs: nowMs - 9_000_000,
    flows: [flow],
    ended: [],
    blocks: [],
    isComplete: true,
  };
  return {
    ip: url.searchParams.get("ip"),
    port,
    atMs: nowMs,
    throughMs: nowMs,
    state: "held",
    reason: null,
    holders: [{ ...lease, flows: { state: "answered", detail: null, log } }],
    before: null,
    after: null,
    knownSinceMs: nowMs - 90 * 86_400_000,
  };
}

if (import.meta.main) {
  const [hosts = 12, addresses = 6, changesPerSecond = 2] = process.argv.slice(2).map(Number);
  const pool = new MadePool({ pool: "eu", hostCount: hosts, addressCount: addresses });
  const edge = await FakeEdge.start({ pool, changesPerSecond, port: 8799 });
  process.stdout.write(`${edge.url}/dashboard#sign-in=${FAKE_CODE} or the token ${FAKE_TOKEN}\n`);
}

/** What is looked at by a socket of this path. */
function nameIn(path: string): string {
  return decodeURIComponent(path.split("/").at(-1)!);
}

/** Databases that let in one address, reached through it by the drivers of npm: from Node and from a Worker. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { builtinModules } from "node:module";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { build, type Plugin } from "esbuild";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { type ConnectOptions, createEgress, type Egress, type EgressSocket } from "../../src/sdk/egress.ts";
import { NodeSocket } from "../../src/sdk/node/node-socket.ts";
import { openWebSocket } from "../../src/sdk/node/open-websocket.ts";
import { Cluster, EGRESS_IP, freePort, until } from "./cluster.ts";
import { type Databases, startDatabases } from "./databases.ts";
import { askByPg, askByPostgres, askByRedis, type DatabaseCall } from "./driver-calls.ts";
import type { WorkerCall } from "./driver-worker.ts";

const HERE = import.meta.dirname;
const HOST = "127.0.0.1";
const CERTIFICATE_NAME = "secure.test";
const DIVISION_BY_ZERO = "22012";
const LENGTH = 2_000_000;

let databases: Databases;
let cluster: Cluster;
let egress: Egress;
let worker: Worker;

beforeAll(async () => {
  databases = await startDatabases();
  // What the agents trust beside the system's authorities.
  process.env["NODE_EXTRA_CA_CERTS"] = databases.certificateFile;
  cluster = await Cluster.start({ hosts: ["h1", "h2"], agentArgs: [`--allow=${HOST}/32`] });
  const token = await cluster.token("client", "tester");
  egress = createEgress({ endpoint: cluster.edgeUrl, token, openWebSocket });
  worker = await startWorker();
}, 120_000);
afterAll(async () => {
  delete process.env["NODE_EXTRA_CA_CERTS"];
  await worker?.stop();
  await cluster?.stop();
  await databases?.stop();
});

/** No port may be held when nobody is connected. */
async function untilNothingIsHeld(): Promise<void> {
  for (const host of ["h1", "h2"]) {
    await until(`${host} holds nothing`, async () => {
      const { addresses, running } = await cluster.status(host);
      return running === 0 && addresses.every(({ heldCount }) => heldCount === 0);
    });
  }
}

describe("from Node", () => {
  const call = (port: number): DatabaseCall => ({ ...databases, host: HOST, port });
  const stream = (port: number, options: ConnectOptions = {}): NodeSocket =>
    new NodeSocket(egress.connect({ hostname: HOST, port }, options));

  test.each([false, true])("[RC8] pg asks PostgreSQL, with TLS of its own: %s", async (isSecure) => {
    const { postgresPort: port, certificate } = databases;
    const ssl = isSecure ? { ca: certificate } : false;
    const result = await askByPg(call(port), () => stream(port), ssl);
    expect(result).toEqual({ from: EGRESS_IP, isSecure, length: LENGTH, refused: DIVISION_BY_ZERO });
    await untilNothingIsHeld();
  });

  test.each([false, true])("[RC8] postgres asks PostgreSQL, with TLS of its own: %s", async (isSecure) => {
    const { postgresPort: port, certificate, user, password } = databases;
    const sql = postgres({
      host: HOST,
      port,
      user,
      password,
      database: "postgres",
      max: 1,
      ssl: isSecure ? { ca: certificate, servername: CERTIFICATE_NAME } : false,
      socket: () => opened(stream(port)),
    } as postgres.Options<Record<string, postgres.PostgresType>>);
    const result = await askByPostgres(sql);
    expect(result).toEqual({ from: EGRESS_IP, isSecure, length: LENGTH, refused: DIVISION_BY_ZERO });
    await untilNothingIsHeld();
  });

  test.each([false, true])("[RC8] ioredis asks Redis, with TLS of its own: %s", async (isSecure) => {
    const { redisPort, redisTlsPort, certificate } = databases;
    const port = isSecure ? redisTlsPort : redisPort;
    const made = (): NodeSocket =>
      isSecure ? (connectTls({ socket: stream(port), host: HOST, ca: certificate }) as never) : stream(port);
    const result = await askByRedis(call(port), made, isSecure);
    expect(result).toMatchObject({ from: EGRESS_IP, length: LENGTH });
    expect(result.refused).toContain("not an integer");
    await untilNothingIsHeld();
  });

  test("[RC6] TLS is made at the host, and a certificate for another name is refused", async () => {
    const to = { hostname: HOST, port: databases.redisTlsPort };
    const trusted = egress.connect(to, { secureTransport: "on" });
    await trusted.opened;
    await trusted.close();
    const other = egress.connect(to, { secureTransport: "on", expectedServerHostname: "other.test" });
    await expect(other.opened).rejects.toMatchObject({ code: "tls-certificate-invalid", status: 502 });
    await untilNothingIsHeld();
  });
});

describe("from a Worker", () => {
  const call = (driver: WorkerCall["driver"], port: number, isSecure: boolean): Promise<unknown> =>
    worker.ask({ driver, port, isSecure });

  test.each([false, true])("[RC8] pg asks PostgreSQL, with TLS: %s", async (isSecure) => {
    const result = await call("pg", databases.postgresPort, isSecure);
    expect(result).toEqual({ from: EGRESS_IP, isSecure, length: LENGTH, refused: DIVISION_BY_ZERO });
    await untilNothingIsHeld();
  });

  test.each([false, true])("[RC8] postgres asks PostgreSQL, with TLS: %s", async (isSecure) => {
    const result = await call("postgres", databases.postgresPort, isSecure);
    expect(result).toEqual({ from: EGRESS_IP, isSecure, length: LENGTH, refused: DIVISION_BY_ZERO });
    await untilNothingIsHeld();
  });

  test.each([false, true])("[RC8] ioredis asks Redis, with TLS: %s", async (isSecure) => {
    const { redisPort, redisTlsPort } = databases;
    const result = await call("redis", isSecure ? redisTlsPort : redisPort, isSecure);
    expect(result).toMatchObject({ from: EGRESS_IP, length: LENGTH });
    await untilNothingIsHeld();
  });

  test("[RC1] a refusal has its code and status", async () => {
    const closed = await freePort();
    expect(await call("refused", closed, false)).toMatchObject({
      code: "connection-refused",
      status: 502,
      isOurs: true,
    });
    expect(
      await worker.ask({ driver: "refused", host: "10.1.2.3", port: 5_432, isSecure: false }),
    ).toMatchObject({
      code: "destination-prohibited",
      status: 403,
    });
  });
});

describe("an end of any kind", () => {
  let server: Server;
  let to: { readonly hostname: string; readonly port: number };
  beforeAll(async () => {
    server = createServer((socket) => {
      socket.on("error", () => {});
      socket.pipe(socket);
    }).listen(0, HOST);
    await once(server, "listening");
    to = { hostname: HOST, port: (server.address() as AddressInfo).port };
  });
  afterAll(() => server.close());

  async function echo(socket: EgressSocket, text: string): Promise<void> {
    const writer = socket.writable.getWriter();
    const reader = socket.readable.getReader();
    await writer.write(new TextEncoder().encode(text));
    expect(new TextDecoder().decode((await reader.read()).value)).toBe(text);
    writer.releaseLock();
    reader.releaseLock();
  }

  test("[RC1] a host that drains is passed over, and what it carries goes on until it ends", async () => {
    const sockets = Array.from({ length: 8 }, () => egress.connect(to));
    const hosts = await Promise.all(sockets.map(async (socket) => (await socket.opened).egress.host));
    expect(new Set(hosts)).toEqual(new Set(["h1", "h2"]));
    const draining = cluster.stopHost("h1", "SIGTERM");
    await cluster.untilServing(["h2"]);
    const late = egress.connect(to);
    expect((await late.opened).egress.host).toBe("h2");
    for (const socket of [...sockets, late]) {
      await echo(socket, "still");
      await socket.close();
    }
    expect(await draining).toBe(0);
    await cluster.startHost("h1");
    await cluster.untilServing(["h1", "h2"]);
    await untilNothingIsHeld();
  });

  test("[RC3] half-closing passes the edge in both directions, and much that is written arrives", async () => {
    const socket = egress.connect(to, { allowHalfOpen: true });
    const total = 8 * 1024 * 1024;
    const received = new Response(socket.readable).arrayBuffer();
    const writer = socket.writable.getWriter();
    for (let sent = 0; sent < total; sent += 65_536) await writer.write(new Uint8Array(65_536));
    await writer.close();
    expect((await received).byteLength).toBe(total);
    await socket.closed;
    await untilNothingIsHeld();
  });

  test("[RC5] a client that is gone frees the port through the edge", async () => {
    const url = `${cluster.edgeUrl.replace("http", "ws")}/v1/connect?to=${HOST}:${to.port}`;
    const client = new WebSocket(url, "ipshard.tcp.v1", { headers: await cluster.clientHeaders() });
    await once(client, "open");
    client.terminate();
    await untilNothingIsHeld();
    expect(client.readyState).toBe(WebSocket.CLOSED);
  });

  test("[RC5] a Worker that is gone with its process frees the port", async () => {
    const other = await startWorker();
    const { port } = to;
    // It answers and keeps its connection open.
    expect(await other.ask({ driver: "abandon", port, isSecure: false })).toMatchObject({ ip: EGRESS_IP });
    const running = await Promise.all(["h1", "h2"].map(async (host) => (await cluster.status(host)).running));
    expect(running.toSorted((a, b) => a - b)).toEqual([0, 1]);
    await other.stop("SIGKILL");
    await untilNothingIsHeld();
  });

  test("[RC5] a host that is killed fails what it carried, by name", async () => {
    const sockets = Array.from({ length: 8 }, () => egress.connect(to));
    const hosts = await Promise.all(sockets.map(async (socket) => (await socket.opened).egress.host));
    await cluster.stopHost("h2", "SIGKILL");
    for (const [at, socket] of sockets.entries()) {
      if (hosts[at] === "h2") {
        await expect(socket.closed).rejects.toMatchObject({ code: "carrier-lost" });
      } else {
        await echo(socket, "unharmed");
        await socket.close();
      }
    }
    await cluster.startHost("h2");
    await cluster.untilServing(["h1", "h2"]);
    await untilNothingIsHeld();
  });
});

/** `postgres` asks for a stream that is connected. */
async function opened(stream: NodeSocket): Promise<NodeSocket> {
  if (stream.connecting) {
    await new Promise((resolve, reject) => {
      stream.once("connect", resolve).once("error", reject);
    });
  }
  return stream;
}

interface Worker {
  readonly ask: (
    call: Pick<WorkerCall, "driver" | "port" | "isSecure"> & Partial<WorkerCall>,
  ) => Promise<unknown>;
  readonly stop: (signal?: NodeJS.Signals) => Promise<void>;
}

/** The drivers in plain workerd. */
async function startWorker(): Promise<Worker> {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-driver-worker-"));
  const port = await freePort();
  await build({
    entryPoints: [join(HERE, "driver-worker.ts")],
    outfile: join(directory, "worker.js"),
    bundle: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker"],
    mainFields: ["module", "main"],
    external: ["pg-native"],
    alias: { "cloudflare:sockets": join(HERE, "driver-worker-sockets.ts") },
    plugins: [nodeModules()],
    logLevel: "silent",
  });
  await writeFile(
    join(directory, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "worker", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2026-10-01",
      globalOutbound = "loopback",
    )),
    (name = "loopback", network = (allow = ["private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "worker")],
);
`,
  );
  const program = join(HERE, "../../node_modules/.bin/workerd");
  const child: ChildProcess = spawn(program, ["serve", join(directory, "config.capnp")], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  const url = `http://127.0.0.1:${port}/`;
  await until("the Worker answers", async () => (await fetch(url)).ok);
  const token = await cluster.token("client", "tester");
  return {
    ask: async (call) => {
      const { user, password } = databases;
      const known = {
        host: HOST,
        user,
        password,
        edge: cluster.edgeUrl,
        token,
        certificateName: CERTIFICATE_NAME,
      };
      const response = await fetch(url, { method: "POST", body: JSON.stringify({ ...known, ...call }) });
      return response.json();
    },
    stop: async (signal = "SIGTERM") => {
      const gone = new Promise((resolve) => {
        child.once("exit", resolve);
      });
      child.kill(signal);
      await gone;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** The modules of Node's that workerd has, also for what was written with `require`. */
function nodeModules(): Plugin {
  const names = new RegExp(
    `^(?:node:)?(?:${builtinModules.filter((name) => /^[a-z]/.test(name)).join("|")})$`,
  );
  return {
    name: "node-modules",
    setup(bundle) {
      bundle.onResolve({ filter: names }, ({ path, kind }) => {
        const name = path.startsWith("node:") ? path : `node:${path}`;
        return kind === "require-call"
          ? { path: name, namespace: "required" }
          : { path: name, external: true };
      });
      bundle.onLoad({ filter: /.*/, namespace: "required" }, ({ path }) => ({
        contents: `import all from "${path}"; module.exports = all;`,
        loader: "js",
      }));
    },
  };
}

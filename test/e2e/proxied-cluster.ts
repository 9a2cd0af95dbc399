/**
 * A cluster for programs that speak *proxy*. Two hosts share the address, and each has ports of its
 * own: `h1` serves whoever is on this machine, `h2` nobody without a token. Programs are run as anybody
 * runs them, and what counts is where the destinations saw them come from.
 *
 *     program ──▶ proxy of h1 ──127.0.0.10:port of h1──▶ origin, or a server of this process
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import { join } from "node:path";
import { WebSocketServer } from "ws";
import { CERTIFICATE, KEY } from "../agent/tls-origin.ts";
import { Cluster, EGRESS_IP, freePort, kernelConnectionsFrom, until } from "./cluster.ts";
import { startNameServer } from "./name-server.ts";

/** The name of the origin with TLS, as its certificate says; nobody but the agents can resolve it. */
export const SECURE_NAME = "secure.test";
/** Where servers of this process listen. */
export const SERVER_IP = "127.0.0.21";

/** What became of a program. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to run a program. */
export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Buffer;
  readonly directory?: string;
}

/** From which address a destination was reached, and whose that port was then. */
export type Egress = `${string} of ${string}`;

/** All of it came from the shared address, by ports of the host that was asked. */
export const FROM_H1: readonly Egress[] = [`${EGRESS_IP} of h1`];
export const FROM_H2: readonly Egress[] = [`${EGRESS_IP} of h2`];
/** It went past the proxy. */
export const DIRECT: readonly Egress[] = ["127.0.0.1 of nobody"];

type HostName = "h1" | "h2";

/** As many names as a file of tests needs. */
const NAME_COUNT = 100;
const RUN_TIMEOUT_MS = 120_000;
/** What the kernel refused is held for a minute [BI7], and kept connections for a few seconds. */
const EMPTY_TIMEOUT_MS = 90_000;
/** What would change the way to a proxy if it stood in our own environment. */
const PROXY_VARIABLE = /^(https?|all|ftp|no|ws|wss)_proxy$|^NODE_USE_ENV_PROXY$/i;

export class ProxiedCluster {
  readonly cluster: Cluster;
  readonly #proxyPorts: Readonly<Record<HostName, number>>;
  /** The token of a client, longer than the 255 bytes of a SOCKS password. */
  readonly token: string;
  /** A file with the certificate of the secure origin, and of the proxies. */
  readonly certificateFile: string;
  /** Speaks HTTP/2 and HTTP/1.1 under `secure.test`. */
  readonly securePort: number;
  readonly #closers: (() => void)[];
  #lookCount = 0;
  readonly #seen: { readonly address: string; readonly port: number }[];

  private constructor(
    cluster: Cluster,
    parts: Pick<ProxiedCluster, "token" | "certificateFile" | "securePort"> & {
      readonly proxyPorts: Readonly<Record<HostName, number>>;
    },
    closers: (() => void)[],
    seen: { address: string; port: number }[],
  ) {
    this.cluster = cluster;
    this.#proxyPorts = parts.proxyPorts;
    this.token = parts.token;
    this.certificateFile = parts.certificateFile;
    this.securePort = parts.securePort;
    this.#closers = closers;
    this.#seen = seen;
  }

  static async start(agentArgs: readonly string[] = []): Promise<ProxiedCluster> {
    const names = await startNameServer({
      [SECURE_NAME]: [SERVER_IP],
      ...Object.fromEntries(
        Array.from({ length: NAME_COUNT }, (_, at) => [
          [`o${at}.origin.test`, ["127.0.0.20"]],
          [`s${at}.server.test`, [SERVER_IP]],
        ]).flat(),
      ),
    });
    const seen: { address: string; port: number }[] = [];
    const secure = secureOrigin();
    const closeSecure = await listenAndNote(secure, seen);
    const closers = [names.close, closeSecure];
    const proxyPorts = { h1: await freePort(), h2: await freePort() };
    const cluster = await Cluster.start({ hosts: [] });
    const certificateFile = join(cluster.directory, "secure.test.pem");
    const keyFile = join(cluster.directory, "secure.test.key");
    await writeFile(certificateFile, CERTIFICATE);
    await writeFile(keyFile, KEY);
    for (const host of ["h1", "h2"] as const) {
      await cluster.startHost(host, [
        `--proxy=127.0.0.1:${proxyPorts[host]}`,
        `--dns=${names.address}`,
        `--proxy-certificate=${certificateFile}`,
        `--proxy-key=${keyFile}`,
        ...(host === "h2" ? ["--proxy-source=192.0.2.0/24=nobody"] : []),
        ...agentArgs,
      ]);
    }
    await cluster.untilServing(["h1", "h2"]);
    const token = await cluster.token("client", "tester");
    assert(token.length > 255, "as tokens are: longer than RFC 1929 has room for");
    const { port: securePort } = secure.address() as AddressInfo;
    return new ProxiedCluster(cluster, { proxyPorts, token, certificateFile, securePort }, closers, seen);
  }

  /** Where the proxy is, as a URL. */
  proxyUrl(scheme: string, userInfo = "", host: HostName = "h1"): string {
    return `${scheme}://${userInfo}${userInfo === "" ? "" : "@"}127.0.0.1:${this.#proxyPorts[host]}`;
  }

  /** A user name and a password of at most 255 bytes each, as RFC 1929 has it: the token is in both. */
  login(selection = ""): { readonly userName: string; readonly password: string } {
    const beginning = this.token.slice(0, -200);
    const userName = `${selection}${selection === "" ? "" : ","}token=${beginning}`;
    return { userName, password: this.token.slice(-200) };
  }

  /** The same, as it is written in a URL. */
  loginInUrl(selection = ""): string {
    const { userName, password } = this.login(selection);
    return `${encodeURIComponent(userName)}:${password}`;
  }

  /**
   * The name of the origin, which only the agents can resolve. It is another after each look at who
   * came, so that no connection that a proxy has kept serves what comes next.
   */
  get originName(): string {
    return `o${this.#lookCount}.origin.test`;
  }

  /** The same for servers of this process. */
  get serverName(): string {
    return `s${this.#lookCount}.server.test`;
  }

  /** A URL of the origin by its name. */
  named(path: string): string {
    return `http://${this.originName}:${this.cluster.origin.port}${path}`;
  }

  /** A URL of the origin with TLS. */
  secure(path: string): string {
    return `https://${SECURE_NAME}:${this.securePort}${path}`;
  }

  /** Serves in this process, where a port tells who came. */
  async serve(server: Server): Promise<number> {
    this.#closers.push(await listenAndNote(server, this.#seen));
    return (server.address() as AddressInfo).port;
  }

  /** Notes where a program says that it was reached from. */
  note(address: string, port: number): void {
    this.#seen.push({ address, port });
  }

  /** Whence all destinations were reached since this was asked last. */
  async egresses(): Promise<Egress[]> {
    const reached = [...(await this.cluster.seen()), ...this.#seen.splice(0)];
    await this.cluster.askOrigin("forget");
    this.#lookCount += 1;
    const { blocks } = await this.cluster.table();
    const holderOf = (port: number): string =>
      blocks.find(({ base, order }) => port >= base && port < base + 2 ** order)?.host ?? "nobody";
    return [...new Set(reached.map(({ address, port }): Egress => `${address} of ${holderOf(port)}`))];
  }

  /** Runs a program to its end; whatever our own environment says of proxies is left out of its. */
  async run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
    const inherited = Object.entries(process.env).filter(([name]) => !PROXY_VARIABLE.test(name));
    const child = spawn(program, args, {
      env: { ...Object.fromEntries(inherited), HOME: this.cluster.directory, ...options.env },
      cwd: options.directory ?? this.cluster.directory,
      stdio: ["pipe", "pipe", "pipe"],
      timeout: RUN_TIMEOUT_MS,
      killSignal: "SIGKILL",
    });
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const)
      child[name].setEncoding("utf8").on("data", (text: string) => {
        output[name] += text;
      });
    // A program need not read what it is given.
    child.stdin.on("error", () => {});
    child.stdin.end(options.input ?? "");
    const [code] = (await once(child, "close")) as [number | null];
    return { code, ...output };
  }

  /** Runs a program that is to succeed; what it wrote to its standard output. */
  async output(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(program, args, options);
    assert.equal(code, 0, `${program} ended with ${code}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Waits until the binder of each host and the kernel hold nothing, towards destinations and clients. */
  async untilNothingIsHeld(): Promise<void> {
    await until(
      "nothing is held",
      async () => {
        for (const host of ["h1", "h2"]) {
          const { addresses } = await this.cluster.status(host);
          if (addresses.length === 0 || addresses.some(({ heldCount }) => heldCount > 0)) return false;
        }
        const clientCounts = await Promise.all(Object.values(this.#proxyPorts).map(connectionsAt));
        return clientCounts.every((count) => count === 0) && (await kernelConnectionsFrom(EGRESS_IP)) === 0;
      },
      EMPTY_TIMEOUT_MS,
    );
  }

  async stop(): Promise<void> {
    for (const close of this.#closers) close();
    await this.cluster.stop();
  }
}

/** Connections of the kernel's table at this port of ours; what listens, and what rests, is none. */
async function connectionsAt(port: number): Promise<number> {
  const end = `:${port.toString(16).padStart(4, "0").toUpperCase()}`;
  const table = await readFile("/proc/net/tcp", "utf8");
  return table
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(end) === true && state !== "0A" && state !== "06").length;
}

/** Listens on a free port, and notes who connects; what closes it and all of its connections. */
async function listenAndNote(server: Server, seen: { address: string; port: number }[]): Promise<() => void> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    seen.push({ address: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 });
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, SERVER_IP);
  await once(server, "listening");
  return () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
}

/** Tells what it was asked, and where from; at `/ws` it says again what it is told. */
function secureOrigin(): Server {
  const answer = (request: Http2ServerRequest, response: Http2ServerResponse): void => {
    let byteCount = 0;
    request.on("data", (piece: Buffer) => {
      byteCount += piece.length;
    });
    request.on("end", () => {
      const { remoteAddress: address, remotePort: port } = request.socket;
      response.setHeader("content-type", "application/json");
      const { method, httpVersion, headers } = request;
      response.end(JSON.stringify({ address, port, method, httpVersion, byteCount, headers }));
    });
  };
  const server = createSecureServer({ key: KEY, cert: CERTIFICATE, allowHTTP1: true }, answer);
  server.on("tlsClientError", () => {});
  const sockets = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    sockets.handleUpgrade(request, socket, head, (client) => {
      client.on("message", (data, isBinary) => client.send(data, { binary: isBinary }));
    });
  });
  return server;
}

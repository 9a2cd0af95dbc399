/** A gateway that speaks TLS: clients that are not ours, certificates that change, clients that need one. */
import { Agent, request as httpsRequest, type RequestOptions } from "node:https";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { ListenerCertificate } from "../../src/agent/traffic/tls/listener-certificate.ts";
import { Authority, type MadeCertificate } from "./certificates.ts";
import { eventually, exchangeBytes, type Origin, type Rig, startOrigin, startRig } from "./gateway-rig.ts";

let authority: Authority;
let stranger: Authority;
let ca: string;
let server: MadeCertificate;
let rig: Rig;
/** Its clients need a certificate of the authority. */
let strict: Rig;
let origin: Origin;
let sockets: WebSocketServer;

beforeAll(async () => {
  [authority, stranger] = await Promise.all([Authority.make(), Authority.make("a stranger")]);
  ca = await authority.text();
  server = await authority.sign("gateway", "serverAuth");
  const pair = { cert: Buffer.from(server.cert), key: Buffer.from(server.keyText) };
  rig = await startRig({ tls: { certificate: () => pair, needsClientCertificate: false } });
  const trusting = { ...pair, ca: Buffer.from(ca) };
  strict = await startRig({
    egressIp: "127.0.0.11",
    tls: { certificate: () => trusting, needsClientCertificate: true },
  });
  origin = await startOrigin((request, response) => {
    if (request.url === "/broken") {
      response.writeHead(200, { "content-length": 100 });
      response.write("half");
      setTimeout(() => response.destroy(), 50);
      return;
    }
    request.pipe(response);
    if (request.method === "GET") response.end("hello");
  });
  sockets = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
});
afterAll(async () => {
  expect([...rig.faults, ...strict.faults]).toEqual([]);
  await rig.close();
  await strict.close();
  origin.close();
  sockets.close();
  await Promise.all([authority.close(), stranger.close()]);
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  readonly certificate: string;
}

/** Asks a gateway for a destination over TLS. */
async function ask(to: Rig, destination: string, more: RequestOptions = {}, body = ""): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const path = `/v1/fetch?url=${encodeURIComponent(destination)}`;
    const headers = { "egress-authorization": `Bearer ${to.token}` };
    const url = new URL(path, to.url);
    const request = httpsRequest(url, { ca, headers, agent: false, ...more }, (response) => {
      let text = "";
      const certificate = (response.socket as TLSSocket).getPeerX509Certificate()?.serialNumber ?? "";
      response.on("data", (bytes: Buffer) => (text += bytes.toString()));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode!, headers: response.headers, body: text, certificate }),
      );
    });
    request.on("error", reject);
    request.end(body);
  });
}

describe("a gateway with a certificate", () => {
  test("[TR1] serves requests and bodies within TLS", async () => {
    const answer = await ask(rig, `${origin.url}/`, { method: "POST" }, "x".repeat(300_000));
    expect([answer.status, answer.body.length]).toEqual([200, 300_000]);
    expect(answer.headers["egress-ip"]).toBe("127.0.0.10");
  });

  test("[TR1] keeps a connection for the next request", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca });
    const used = new Set<unknown>();
    for (let at = 0; at < 3; at += 1) {
      const { status } = await ask(rig, `${origin.url}/`, { agent });
      expect(status).toBe(200);
      await eventually(() => Object.values(agent.freeSockets).flat().length > 0, "it is free again");
      for (const socket of Object.values(agent.freeSockets).flat()) used.add(socket);
    }
    expect(used.size).toBe(1);
    agent.destroy();
  });

  test("[TR1] serves WebSockets within TLS", async () => {
    const { port } = sockets.address() as { port: number };
    const to = encodeURIComponent(`http://127.0.0.1:${port}/`);
    const socket = new WebSocket(`${rig.url.replace("https", "wss")}/v1/fetch?url=${to}`, {
      ca,
      headers: { "egress-authorization": `Bearer ${rig.token}` },
    });
    const echoed = await new Promise((resolve, reject) => {
      socket.on("open", () => socket.send("over TLS"));
      socket.on("message", (data: Buffer) => resolve(data.toString()));
      socket.on("error", reject);
    });
    expect(echoed).toBe("over TLS");
    socket.close();
  });

  test("[TR1] refuses what does not begin with TLS by name, before it reads a token", async () => {
    const bytes = `GET /v1/status HTTP/1.1\r\nhost: a\r\negress-authorization: Bearer ${rig.token}\r\n\r\n`;
    const answer = await exchangeBytes(rig.port, bytes);
    expect(answer).toMatch(/^HTTP\/1\.1 403 /);
    expect(answer).toContain('"code":"tls-required"');
    expect(answer).not.toContain("egress-host");
  });

  test("[TR1] a handshake that fails ends that connection, and is counted", async () => {
    const headers = { authorization: `Bearer ${await rig.tokenFor("admin")}` };
    const counted = async (): Promise<number> => {
      const { body } = await new Promise<{ body: string }>((resolve, reject) => {
        const request = httpsRequest(`${rig.url}/v1/status`, { ca, headers, agent: false }, (response) => {
          let text = "";
          response.on("data", (part: Buffer) => (text += part.toString()));
          response.on("end", () => resolve({ body: text }));
        });
        request.on("error", reject);
        request.end();
      });
      return (JSON.parse(body) as { refusals: Record<string, number> }).refusals["request-malformed"] ?? 0;
    };
    const before = await counted();
    await exchangeBytes(rig.port, "\x16\x03\x01\x00\x05nonsense that is no handshake");
    await eventually(() => rig.gateway.runningCount === 0, "nothing runs");
    expect(await counted()).toBe(before + 1);
    expect((await ask(rig, `${origin.url}/`)).status).toBe(200);
  });

  test("[TR1] an answer that breaks off does so for a client of HTTP/1.0 too", async () => {
    const socket = connectTls({ port: rig.port, host: "127.0.0.1", ca });
    const to = encodeURIComponent(`${origin.url}/broken`);
    socket.write(
      `GET /v1/fetch?url=${to} HTTP/1.0\r\nhost: a\r\negress-authorization: Bearer ${rig.token}\r\n\r\n`,
    );
    let text = "";
    socket.on("data", (bytes: Buffer) => (text += bytes.toString()));
    socket.on("error", () => {});
    await new Promise((resolve) => {
      socket.once("close", resolve);
    });
    expect(text).toMatch(/^HTTP\/1\.1 200 [^]*half$/);
    expect((await ask(rig, `${origin.url}/`)).status).toBe(200);
  });

  test("[TR2] takes a renewed certificate while requests run, and none of them is lost", async () => {
    const directory = await mkdtemp(join(tmpdir(), "ipshard-gateway-tls-"));
    const files = {
      certificate: join(directory, "cert.pem"),
      key: join(directory, "key.pem"),
      clientCa: null,
    };
    await copyFile(server.certificate, files.certificate);
    await copyFile(server.key, files.key);
    const faults: unknown[] = [];
    const kept = await ListenerCertificate.open(files, (fault) => faults.push(fault), 10);
    const renewing = await startRig({
      egressIp: "127.0.0.12",
      tls: { certificate: () => kept.pair, needsClientCertificate: false },
    });
    const seen: string[] = [];
    const over = new AbortController();
    const traffic = Array.from({ length: 4 }, async () => {
      while (!over.signal.aborted) {
        const { status, certificate } = await ask(renewing, `${origin.url}/`);
        expect(status).toBe(200);
        if (!seen.includes(certificate)) seen.push(certificate);
      }
    });
    for (let renewed = 0; renewed < 3; renewed += 1) {
      const next = await authority.sign("gateway, renewed", "serverAuth");
      const before = kept.pair;
      await copyFile(next.key, files.key);
      await copyFile(next.certificate, files.certificate);
      await eventually(() => kept.pair !== before, "the renewed certificate is read");
      const count = seen.length;
      await eventually(() => seen.length > count, "a client has seen it");
    }
    over.abort();
    await Promise.all(traffic);
    expect(seen.length).toBeGreaterThanOrEqual(3);
    kept.close();
    await renewing.close();
    await rm(directory, { recursive: true });
  });
});

describe("a gateway whose clients need a certificate", () => {
  const refused = { status: 403, code: "client-certificate-invalid" };
  const asked = async (more: RequestOptions): Promise<{ status: number; code: string | null }> => {
    const { status, body, headers } = await ask(strict, `${origin.url}/`, more);
    expect(Object.keys(headers)).not.toContain(status === 200 ? "proxy-status-nothing" : "egress-host");
    return { status, code: status === 200 ? null : (JSON.parse(body) as { code: string }).code };
  };

  test("[TR3] serves whoever shows one of the operator's authority", async () => {
    const { cert, keyText } = await authority.sign("the edge", "clientAuth");
    expect(await asked({ cert, key: keyText })).toEqual({ status: 200, code: null });
  });

  test("[TR3] refuses by name who shows none, one of a stranger, or one for servers", async () => {
    const other = await stranger.sign("the edge", "clientAuth");
    expect(await asked({})).toEqual(refused);
    expect(await asked({ cert: other.cert, key: other.keyText })).toEqual(refused);
    expect(await asked({ cert: server.cert, key: server.keyText })).toEqual(refused);
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "[TR3] a session that is taken up again in %s makes nobody trusted who has shown nothing",
    async (version) => {
      const options: ConnectionOptions = {
        port: strict.port,
        host: "127.0.0.1",
        ca,
        minVersion: version,
        maxVersion: version,
      };
      const heard = async (
        session?: Buffer,
        shown: ConnectionOptions = {},
      ): Promise<{ text: string; session: Buffer | undefined; isResumed: boolean }> => {
        const socket = connectTls({ ...options, ...shown, ...(session === undefined ? {} : { session }) });
        let isResumed = false;
        socket.once("secureConnect", () => (isResumed = socket.isSessionReused()));
        let kept: Buffer | undefined;
        let text = "";
        socket.on("session", (latest: Buffer) => (kept = latest));
        socket.on("error", () => {});
        socket.on("data", (bytes: Buffer) => (text += bytes.toString()));
        const fields = `host: a\r\nconnection: close\r\negress-authorization: Bearer ${strict.token}`;
        socket.write(
          `GET /v1/fetch?url=${encodeURIComponent(`${origin.url}/`)} HTTP/1.1\r\n${fields}\r\n\r\n`,
        );
        await new Promise((resolve) => {
          socket.once("close", resolve);
        });
        return { text, session: kept, isResumed };
      };
      const first = await heard();
      expect(first.text).toContain("client-certificate-invalid");
      expect(first.session).toBeDefined();
      const second = await heard(first.session);
      expect(second.isResumed).toBe(true);
      expect(second.text).toContain("client-certificate-invalid");
      // Whoever has shown one before need not do it again.
      const { cert, keyText: key } = await authority.sign("the edge", "clientAuth");
      const known = await heard(undefined, { cert, key });
      expect(known.text).toMatch(/^HTTP\/1\.1 200 /);
      const again = await heard(known.session, { cert, key });
      expect([again.isResumed, again.text.slice(0, 13)]).toEqual([true, "HTTP/1.1 200 "]);
    },
  );

  test("[TR3] plain HTTP is no way around it", async () => {
    expect(await exchangeBytes(strict.port, "GET /health HTTP/1.1\r\nhost: a\r\n\r\n")).toContain(
      '"code":"tls-required"',
    );
  });
});

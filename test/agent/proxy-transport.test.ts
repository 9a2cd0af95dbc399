/** What a proxy takes without TLS, and from whom; and clients that need a certificate. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PemPair } from "../../src/agent/traffic/tls/listener-certificate.ts";
import { Authority, type MadeCertificate } from "./certificates.ts";
import { exchangeBytes, type Origin, startOrigin } from "./gateway-rig.ts";
import { type ProxyRig, startProxyRig } from "./proxy-rig.ts";

let authority: Authority;
let pair: PemPair;
let trusting: PemPair;
let edge: MadeCertificate;
let origin: Origin;
let plain: ProxyRig;
let lax: ProxyRig;
let strict: ProxyRig;
let directory: string;

beforeAll(async () => {
  authority = await Authority.make();
  const server = await authority.sign("proxy", "serverAuth");
  edge = await authority.sign("a client", "clientAuth");
  pair = { cert: Buffer.from(server.cert), key: Buffer.from(server.keyText) };
  trusting = { ...pair, ca: Buffer.from(await authority.text()) };
  origin = await startOrigin((_request, response) => response.end("hello"));
  directory = await mkdtemp(join(tmpdir(), "ipshard-proxy-transport-"));
  plain = await startProxyRig({ certificate: () => pair });
  lax = await startProxyRig({ egressIp: "127.0.0.11", certificate: () => pair, takesPlain: true });
  strict = await startProxyRig({
    egressIp: "127.0.0.12",
    certificate: () => trusting,
    needsClientCertificate: true,
    takesPlain: true,
  });
});
afterAll(async () => {
  expect([...plain.faults, ...lax.faults, ...strict.faults]).toEqual([]);
  await Promise.all([plain.close(), lax.close(), strict.close()]);
  origin.close();
  await authority.close();
  await rm(directory, { recursive: true });
});

/** All that comes back, until the end. */
async function said(socket: Socket, bytes: string | Buffer): Promise<string> {
  let text = "";
  socket.setEncoding("latin1");
  socket.on("data", (part: string) => (text += part));
  socket.on("error", () => {});
  socket.write(bytes);
  if (!socket.closed) await once(socket, "close");
  return text;
}

/** A client that is not known to be on this machine: it comes by a path, and so from no address. */
async function fromElsewhere(rig: ProxyRig, name: string): Promise<() => Socket> {
  const path = join(directory, name);
  await once(rig.proxy.listen({ path }), "listening");
  return () => connect(path);
}

const get = (): string => `GET ${origin.url}/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`;
const withToken = (token: string): string =>
  get().replace("\r\n\r\n", `\r\nproxy-authorization: Bearer ${token}\r\n\r\n`);

describe("a client without TLS", () => {
  test("[TR5] is served on this machine", async () => {
    expect(await exchangeBytes(plain.proxyPort, get())).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("[TR5] is refused from elsewhere, with or without a token, in HTTP and in SOCKS", async () => {
    const client = await fromElsewhere(plain, "plain");
    for (const bytes of [
      get(),
      withToken(await plain.tokenFor("client")),
      "CONNECT a.test:1 HTTP/1.1\r\n\r\n",
    ]) {
      const answer = await said(client(), bytes);
      expect(answer).toMatch(/^HTTP\/1\.1 403 /);
      expect(answer).toContain('"code":"tls-required"');
    }
    expect(await said(client(), Buffer.from([5, 1, 2]))).toBe("\x05\xff");
    expect(plain.counts.get("tls-required")).toBe(4);
  });

  test("[TR5] is served from elsewhere where the operator says so", async () => {
    const client = await fromElsewhere(lax, "lax");
    expect(await said(client(), withToken(await lax.tokenFor("client")))).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("[TR5] from elsewhere is served within TLS", async () => {
    const client = await fromElsewhere(plain, "secure");
    const socket = connectTls({ socket: client(), ca: trusting.ca!, host: "127.0.0.1" });
    expect(await said(socket, withToken(await plain.tokenFor("client")))).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe("a proxy whose clients need a certificate", () => {
  const secure = (more: ConnectionOptions): Socket =>
    connectTls({ port: strict.proxyPort, host: "127.0.0.1", ca: trusting.ca!, ...more });

  test("[TR3] serves whoever shows one, by HTTP/1.1 and by HTTP/2", async () => {
    expect(await said(secure({ cert: edge.cert, key: edge.keyText }), get())).toMatch(/^HTTP\/1\.1 200 /);
    const session = connectHttp2(`https://127.0.0.1:${strict.proxyPort}`, {
      ca: trusting.ca!,
      cert: edge.cert,
      key: edge.keyText,
    });
    const stream = session.request({
      ":method": "GET",
      ":scheme": "http",
      ":authority": `127.0.0.1:${origin.port}`,
      ":path": "/",
    });
    const [headers] = (await once(stream, "response")) as [{ ":status": number }];
    expect(headers[":status"]).toBe(200);
    session.destroy();
  });

  test("[TR3] refuses by name who shows none, in HTTP and in SOCKS, and serves no HTTP/2", async () => {
    expect(await said(secure({}), get())).toContain('"code":"client-certificate-invalid"');
    expect(await said(secure({}), Buffer.from([5, 1, 0]))).toBe("\x05\xff");
    const session = connectHttp2(`https://127.0.0.1:${strict.proxyPort}`, { ca: trusting.ca! });
    const fault = await new Promise((resolve) => {
      session.once("error", resolve);
    });
    expect(String(fault)).toMatch(/protocol|closed|reset/i);
    session.destroy();
  });

  test("[TR3] [TR5] takes nothing outside of TLS, not from this machine either", async () => {
    expect(await exchangeBytes(strict.proxyPort, get())).toContain('"code":"tls-required"');
  });

  test("[TR3] a session ends with the authority that let it in", async () => {
    let shown: PemPair = trusting;
    const other = await Authority.make("another");
    const rig = await startProxyRig({
      egressIp: "127.0.0.13",
      certificate: () => shown,
      needsClientCertificate: true,
    });
    const ask = async (session?: Buffer): Promise<{ text: string; session: Buffer | undefined }> => {
      const socket = connectTls({
        port: rig.proxyPort,
        host: "127.0.0.1",
        ca: trusting.ca!,
        cert: edge.cert,
        key: edge.keyText,
        ...(session === undefined ? {} : { session }),
      });
      let latest: Buffer | undefined;
      socket.on("session", (bytes: Buffer) => (latest = bytes));
      return { text: await said(socket, get()), session: latest };
    };
    const first = await ask();
    expect((await ask(first.session)).text).toMatch(/^HTTP\/1\.1 200 /);
    shown = { ...pair, ca: Buffer.from(await other.text()) };
    expect((await ask(first.session)).text).toContain("client-certificate-invalid");
    await rig.close();
    await other.close();
  });
});

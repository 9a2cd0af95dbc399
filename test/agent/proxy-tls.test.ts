/** TLS to the proxy, and HTTP/2 within it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
} from "node:http2";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { ListenerCertificate } from "../../src/agent/traffic/tls/listener-certificate.ts";
import { eventually, type Origin, startByteOrigin, startOrigin } from "./gateway-rig.ts";
import { type ProxyRig, startProxyRig } from "./proxy-rig.ts";
import { CERTIFICATE, KEY } from "./tls-origin.ts";

let rig: ProxyRig;
let origin: Origin;
let bytes: Origin;
let session: ClientHttp2Session;
let atOrigin: Socket[] = [];
let seen: { line: string; fields: string[]; body: string }[] = [];

beforeAll(async () => {
  const pair = { cert: Buffer.from(CERTIFICATE), key: Buffer.from(KEY) };
  rig = await startProxyRig({ certificate: () => pair });
  origin = await startOrigin((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on("end", () => {
      seen.push({ line: `${request.method} ${request.url}`, fields: request.rawHeaders, body });
      if (request.url === "/early") response.writeEarlyHints({ link: "</a.css>; rel=preload" });
      if (request.url === "/broken") {
        response.write("half");
        setTimeout(() => response.destroy(), 50);
        return;
      }
      response.writeHead(200, ["set-cookie", "a=1", "set-cookie", "b=2", "connection", "keep-alive"]);
      response.end(`${request.method} ${request.url}`);
    });
  });
  bytes = await startByteOrigin((socket) => {
    socket.allowHalfOpen = true;
    atOrigin.push(socket);
  });
  session = connectHttp2(`https://127.0.0.1:${rig.proxyPort}`, { ca: CERTIFICATE });
});
afterAll(async () => {
  session.destroy();
  origin.close();
  bytes.close();
  await rig.close();
});
afterEach(async () => {
  atOrigin = [];
  seen = [];
  await eventually(() => rig.idle.size === 0, "no tunnel left");
  expect(rig.faults).toEqual([]);
});

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
  readonly code: number | undefined;
  readonly interim: number[];
}

async function answerTo(stream: ClientHttp2Stream): Promise<Answer> {
  let headers: Answer["headers"] = {};
  let body = "";
  const interim: number[] = [];
  stream.on("headers", (early) => interim.push(Number(early[":status"])));
  stream.on("response", (got) => {
    headers = got;
  });
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    body += text;
  });
  stream.on("error", () => {});
  await new Promise<void>((resolve) => {
    stream.once("close", resolve);
  });
  return { status: Number(headers[":status"]), headers, body, code: stream.rstCode, interim };
}

function get(path: string, more: Record<string, string> = {}): ClientHttp2Stream {
  return session.request({
    ":method": "GET",
    ":scheme": "http",
    ":authority": `127.0.0.1:${origin.port}`,
    ":path": path,
    ...more,
  });
}

describe("requests over HTTP/2", () => {
  test("[PX12] a whole URL is fetched, and the answer says from where", async () => {
    const answer = await answerTo(get("/x?y", { cookie: "a=1; b=2", "x-odd": "1" }));
    expect([answer.status, answer.body]).toEqual([200, "GET /x?y"]);
    expect(answer.headers["egress-ip"]).toBe("127.0.0.10");
    expect(answer.headers["set-cookie"]).toEqual(["a=1", "b=2"]);
    expect(seen[0]!.fields.join("|")).toContain("x-odd|1");
    expect(seen[0]!.fields.join("|")).not.toMatch(/:method|:path/);
  });

  test("[PX12] a body goes along, and interim answers come", async () => {
    const post = session.request({
      ":method": "POST",
      ":scheme": "http",
      ":authority": `127.0.0.1:${origin.port}`,
      ":path": "/early",
    });
    post.end("hello");
    const answer = await answerTo(post);
    expect([answer.status, answer.interim, seen[0]!.body]).toEqual([200, [103], "hello"]);
  });

  test("[PX12] a head passes as the origin wrote it, however long, and no other stream is concerned", async () => {
    const fields = [
      "date",
      "x",
      "date",
      "y",
      "constructor",
      "c",
      "__proto__",
      "p",
      "x-many",
      "1",
      "x-many",
      "2",
    ];
    const long = Array.from({ length: 1_000 }, (_, at) => [`x-${at}`, "y".repeat(90)]).flat();
    const odd = await startOrigin((_request, response) => {
      response.sendDate = false;
      response.writeHead(200, [...fields, ...long]);
      response.end("odd");
    });
    const client = connectHttp2(`https://127.0.0.1:${rig.proxyPort}`, {
      ca: CERTIFICATE,
      maxHeaderListPairs: 2_000,
      settings: { maxHeaderListSize: 1_000_000 },
    });
    const held = client.request({ ":method": "CONNECT", ":authority": `127.0.0.1:${bytes.port}` });
    held.on("error", () => {});
    await eventually(() => atOrigin.length === 1, "a tunnel");
    const stream = client.request({
      ":method": "GET",
      ":scheme": "http",
      ":authority": `127.0.0.1:${odd.port}`,
      ":path": "/",
    });
    let raw: string[] = [];
    stream.on("response", (...[, , got]: unknown[]) => {
      raw = got as string[];
    });
    expect(await answerTo(stream)).toMatchObject({ status: 200, body: "odd", code: 0 });
    const got = raw.slice(2).join("|");
    expect(got.slice(0, fields.join("|").length)).toBe(fields.join("|"));
    expect(got).toContain("x-999|yyy");
    expect([client.closed, held.closed]).toEqual([false, false]);
    client.destroy();
    odd.close();
  });

  test("[PX12] an upload whose stream is reset does not look whole, not even with NO_ERROR", async () => {
    let received = "";
    let isClosed = false;
    const far = await startByteOrigin((socket) => {
      socket.on("data", (chunk: Buffer) => {
        received += chunk.toString();
      });
      socket.once("close", () => {
        isClosed = true;
      });
    });
    const post = session.request({
      ":method": "POST",
      ":scheme": "http",
      ":authority": `127.0.0.1:${far.port}`,
      ":path": "/",
    });
    post.write("half");
    await eventually(() => received.endsWith("half\r\n"), "half of it");
    post.destroy();
    await eventually(() => isClosed, "its end");
    expect(received).toMatch(/\r\nhalf\r\n$/);
    far.close();
  });

  test("[PX12] an answer that breaks off does not look whole", async () => {
    const answer = await answerTo(get("/broken"));
    expect([answer.status, answer.body, answer.code]).toEqual([
      200,
      "half",
      constants.NGHTTP2_INTERNAL_ERROR,
    ]);
  });

  test("[PX12] refusals have a status, a code and a body", async () => {
    for (const [headers, status, code] of [
      [{ ":authority": "10.0.0.1" }, 403, "destination-prohibited"],
      [{ ":scheme": "ftp" }, 400, "url-scheme-unsupported"],
      [{ "proxy-authorization": "Basic %%%" }, 407, "token-malformed"],
    ] as const) {
      const answer = await answerTo(get("/x", headers));
      expect([answer.status, JSON.parse(answer.body).code]).toEqual([status, code]);
    }
    expect(seen).toEqual([]);
    expect((await answerTo(get("/after"))).status).toBe(200);
  });
});

describe("CONNECT over HTTP/2", () => {
  function openStream(authority = `127.0.0.1:${bytes.port}`): ClientHttp2Stream {
    return session.request({ ":method": "CONNECT", ":authority": authority }, { endStream: false });
  }

  async function arrived(): Promise<Socket> {
    await eventually(() => atOrigin.length === 1, "the connection arrives");
    return atOrigin[0]!;
  }

  test("[PX12] bytes go both ways, and each direction ends by itself", async () => {
    const stream = openStream();
    const answered = answerTo(stream);
    const far = await arrived();
    const { remotePort } = far;
    let got = "";
    far.on("data", (chunk: Buffer) => {
      got += chunk.toString();
    });
    const ended = new Promise<void>((resolve) => {
      far.once("end", resolve);
    });
    stream.end("question");
    await ended;
    far.end("answer");
    const { status, headers, body, code } = await answered;
    expect([got, status, body, code]).toEqual(["question", 200, "answer", constants.NGHTTP2_NO_ERROR]);
    expect(headers["egress-port"]).toBe(String(remotePort));
  });

  test("[PX12] resets pass both ways", async () => {
    const first = openStream();
    const answered = answerTo(first);
    (await arrived()).resetAndDestroy();
    expect((await answered).code).toBe(constants.NGHTTP2_CONNECT_ERROR);
    atOrigin = [];
    const second = openStream();
    second.on("error", () => {});
    const far = await arrived();
    let code: string | undefined;
    far.on("error", (fault: NodeJS.ErrnoException) => {
      code = fault.code;
    });
    far.resume();
    second.close(constants.NGHTTP2_CANCEL);
    // Node looks for a reset behind an end only when it writes.
    const writing = setInterval(() => far.write("x"), 5);
    await eventually(() => code !== undefined, "the origin's reset");
    clearInterval(writing);
    expect(["ECONNRESET", "EPIPE"]).toContain(code);
  });

  test.each<[string, (client: ClientHttp2Session) => void]>([
    ["closes its connection", (client) => client.socket.destroy()],
    ["says goodbye and closes it", (client) => client.destroy()],
  ])("[PX12] a client that %s leaves nothing behind", async (_what, leave) => {
    let hasCome = false;
    let isAborted = false;
    let isWhole = false;
    const slow = await startOrigin((request) => {
      hasCome = true;
      request.resume().once("end", () => {
        isWhole = true;
      });
      request.socket.once("close", () => {
        isAborted = true;
      });
    });
    const client = connectHttp2(`https://127.0.0.1:${rig.proxyPort}`, { ca: CERTIFICATE });
    client.on("error", () => {});
    const tunnel = client.request({ ":method": "CONNECT", ":authority": `127.0.0.1:${bytes.port}` });
    tunnel.on("error", () => {});
    const upload = client.request({
      ":method": "POST",
      ":scheme": "http",
      ":authority": `127.0.0.1:${slow.port}`,
      ":path": "/",
    });
    upload.on("error", () => {});
    upload.write("half");
    const far = (await arrived()).resume();
    await eventually(() => hasCome && rig.idle.size === 1, "both");
    leave(client);
    await eventually(() => far.closed || far.readableEnded, "the tunnel's end");
    await eventually(() => rig.idle.size === 0 && isAborted, "the request's end");
    expect(isWhole).toBe(false);
    slow.close();
  });

  test("[PX12] what nobody reads stops its sender, and other streams go on", async () => {
    const stuck = openStream();
    stuck.on("error", () => {});
    const far = await arrived();
    const piece = Buffer.alloc(64 * 1024);
    let writtenBytes = 0;
    const write = (): void => {
      while (writtenBytes < 256 * 1024 * 1024 && far.write(piece)) writtenBytes += piece.length;
    };
    far.on("drain", write);
    write();
    await new Promise((resolve) => {
      setTimeout(resolve, 300);
    });
    expect(writtenBytes).toBeLessThan(64 * 1024 * 1024);
    expect((await answerTo(get("/meanwhile"))).body).toBe("GET /meanwhile");
    stuck.close(constants.NGHTTP2_CANCEL);
  });

  test("[PX12] a refusal has its status and body", async () => {
    for (const [authority, status, code] of [
      ["127.0.0.1:1", 502, "connection-refused"],
      ["10.0.0.1:443", 403, "destination-prohibited"],
      ["nonsense", 400, "connect-target-invalid"],
    ] as const) {
      const answer = await answerTo(openStream(authority));
      expect([answer.status, JSON.parse(answer.body).code]).toEqual([status, code]);
    }
  });
});

describe("TLS", () => {
  function openSecure(): TLSSocket {
    const socket = connectTls({ port: rig.proxyPort, host: "127.0.0.1", ca: CERTIFICATE });
    socket.on("error", () => {});
    return socket;
  }

  async function answerOn(socket: TLSSocket, question: string | Buffer, isWhole: (text: string) => boolean) {
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
    });
    socket.write(question);
    await eventually(() => isWhole(text), "an answer").catch((fault: unknown) => {
      throw new Error(`after ${JSON.stringify(text)}`, { cause: fault });
    });
    return text;
  }

  test("[PX11] HTTP/1.1, CONNECT and SOCKS5 work within TLS", async () => {
    const http = openSecure();
    const text = await answerOn(http, `GET ${origin.url}/x HTTP/1.1\r\nhost: a\r\n\r\n`, (got) =>
      got.includes("GET /x"),
    );
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    http.destroy();
    const tunnel = openSecure();
    const place = `127.0.0.1:${origin.port}`;
    await answerOn(tunnel, `CONNECT ${place} HTTP/1.1\r\nhost: a\r\n\r\nGET /t HTTP/1.0\r\n\r\n`, (got) =>
      got.includes("GET /t"),
    );
    tunnel.destroy();
    const socks = openSecure();
    const request = Buffer.from([5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, origin.port >> 8, origin.port & 0xff]);
    await answerOn(socks, Buffer.concat([request, Buffer.from("GET /s HTTP/1.0\r\n\r\n")]), (got) =>
      got.includes("GET /s"),
    );
    socks.destroy();
    expect(seen.map(({ line }) => line)).toEqual(["GET /x", "GET /t", "GET /s"]);
  });

  test("[PX12] a client that ends its connection is gone, and so are its tunnels", async () => {
    const { clientCount } = rig.proxy;
    for (const isTunnelOpen of [false, true]) {
      const socket = connectTls({
        port: rig.proxyPort,
        host: "127.0.0.1",
        ca: CERTIFICATE,
        ALPNProtocols: ["h2"],
      });
      const client = connectHttp2(`https://127.0.0.1:${rig.proxyPort}`, { createConnection: () => socket });
      client.on("error", () => {});
      await new Promise<void>((resolve) => {
        client.once("remoteSettings", () => resolve());
      });
      if (isTunnelOpen) {
        const stream = client.request({ ":method": "CONNECT", ":authority": `127.0.0.1:${bytes.port}` });
        stream.on("error", () => {});
        await eventually(() => atOrigin.length === 1, "the tunnel stands");
      }
      expect(rig.proxy.clientCount).toBe(clientCount + 1);
      // Only its side: like a process that has ended, of which the kernel closes what is left.
      socket.end();
      await eventually(() => rig.proxy.clientCount === clientCount, "the client is gone");
    }
    await eventually(() => rig.idle.size === 0, "and its tunnel");
  });

  test("[PX11] a destination's reset ends the client, and the other way round", async () => {
    const first = openSecure();
    await answerOn(first, `CONNECT 127.0.0.1:${bytes.port} HTTP/1.1\r\nhost: a\r\n\r\n`, (got) =>
      got.includes("\r\n\r\n"),
    );
    await eventually(() => atOrigin.length === 1, "the connection arrives");
    atOrigin[0]!.resetAndDestroy();
    await eventually(() => first.closed, "the client's end");
    atOrigin = [];
    const second = openSecure();
    await answerOn(second, `CONNECT 127.0.0.1:${bytes.port} HTTP/1.1\r\nhost: a\r\n\r\n`, (got) =>
      got.includes("\r\n\r\n"),
    );
    await eventually(() => atOrigin.length === 1, "the connection arrives");
    second.destroy();
    const [far] = atOrigin;
    await new Promise<void>((resolve) => {
      far!.resume().once("end", resolve);
    });
    far!.end();
    expect(rig.counts.get("internal-fault")).toBeUndefined();
  });

  test("[PX11] what is no TLS after its first byte ends that connection alone", async () => {
    const { ByteClient } = await import("./proxy-rig.ts");
    const client = new ByteClient(rig.proxyPort);
    const before = rig.counts.get("request-malformed") ?? 0;
    client.write(Buffer.from([0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5]));
    await client.until(({ hasEnded, isClosed }) => hasEnded || isClosed, "its end");
    client.socket.destroy();
    // No refusal without a name, nor one that is not counted. [LAW10]
    expect(rig.counts.get("request-malformed")).toBe(before + 1);
    expect((await answerTo(get("/after"))).status).toBe(200);
  });

  test("[PX11] files that change are read again, and wrong ones change nothing", async () => {
    const directory = await mkdtemp(join(tmpdir(), "ipshard-certificate-"));
    const files = {
      certificate: join(directory, "cert.pem"),
      key: join(directory, "key.pem"),
      clientCa: null,
    };
    await writeFile(files.key, KEY);
    await writeFile(files.certificate, "nonsense");
    await expect(ListenerCertificate.open(files, () => {})).rejects.toThrow(/PEM/i);
    // One that is about to be written.
    await writeFile(files.certificate, "");
    await expect(ListenerCertificate.open(files, () => {})).rejects.toThrow("cert.pem is empty");
    await writeFile(files.certificate, CERTIFICATE);
    await writeFile(files.key, "");
    await expect(ListenerCertificate.open(files, () => {})).rejects.toThrow("key.pem is empty");
    await writeFile(files.key, KEY);
    const faults: unknown[] = [];
    const certificate = await ListenerCertificate.open(files, (fault) => faults.push(fault), 10);
    const first = certificate.pair;
    await writeFile(files.certificate, "nonsense again");
    await eventually(() => faults.length > 0, "a fault is told");
    expect(certificate.pair).toBe(first);
    await writeFile(files.certificate, `${CERTIFICATE}\n`);
    await eventually(() => certificate.pair !== first, "the new certificate");
    certificate.close();
    await rm(directory, { recursive: true });
  });
});

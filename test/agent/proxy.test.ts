/** HTTP through a proxy: who may, whole URLs, CONNECT, and what is refused. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { ProxyAccess } from "../../src/agent/traffic/proxy/proxy-access.ts";
import { eventually, type Origin, startOrigin } from "./gateway-rig.ts";
import { basic, ByteClient, openTunnel, type ProxyRig, readHead, startProxyRig } from "./proxy-rig.ts";

let rig: ProxyRig;
let strict: ProxyRig;
let origin: Origin;
let token: string;
const seen: string[] = [];

beforeAll(async () => {
  rig = await startProxyRig({ records: { "a.test": ["127.0.0.1"] } });
  strict = await startProxyRig({ sources: [{ range: "127.0.0.99/32", name: "desk" }] });
  token = await strict.tokenFor("client");
  origin = await startOrigin((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      seen.push(
        `${request.method} ${request.url} ${request.rawHeaders.join("|")} ${Buffer.concat(chunks).toString()}`,
      );
      if (request.url === "/early") response.writeEarlyHints({ link: "</a.css>; rel=preload; as=style" });
      response.setHeader("x-origin", "yes");
      response.end(`${request.method} ${request.url} from ${request.socket.remotePort}`);
    });
  });
});
afterAll(async () => {
  origin.close();
  await rig.close();
  await strict.close();
});
afterEach(async () => {
  seen.length = 0;
  for (const each of [rig, strict]) {
    each.counts.clear();
    expect(each.faults).toEqual([]);
  }
});

/** Asks and gives the answer, whose body must be as long as it says. */
async function ask(
  port: number,
  lines: readonly string[],
  body = "",
): Promise<ReturnType<typeof readHead> & { client: ByteClient }> {
  const client = new ByteClient(port);
  client.write(`${lines.join("\r\n")}\r\n\r\n${body}`);
  return { ...(await answerOf(client)), client };
}

async function answerOf(client: ByteClient): Promise<ReturnType<typeof readHead>> {
  await client.until(({ text, isClosed }) => {
    if (!text.includes("\r\n\r\n")) return isClosed;
    const { fields, rest } = readHead(text);
    return rest.length >= Number(fields.get("content-length") ?? 0);
  }, "a whole answer");
  const { status, fields, rest } = readHead(client.text);
  client.received = Buffer.alloc(0);
  return { status, fields, rest };
}

describe("who may use a proxy", () => {
  const get = (): string[] => [`GET ${origin.url}/x HTTP/1.1`, "host: a"];

  test("[PX2] a stranger gets 407, and learns nothing of the host", async () => {
    const { status, fields, rest } = await ask(strict.proxyPort, get());
    expect(status).toBe(407);
    expect(fields.get("proxy-authenticate")).toBe('Basic realm="ipshard", charset="UTF-8"');
    expect(fields.get("proxy-status")).toContain('details="token-missing"');
    expect(fields.has("egress-host")).toBe(false);
    expect(JSON.parse(rest)).toMatchObject({ status: 407, code: "token-missing" });
    expect(seen).toEqual([]);
  });

  test.each([
    ["nonsense", "proxy-authorization: Basic %%%", 407, "token-malformed"],
    ["another scheme", "proxy-authorization: Digest a=b", 407, "token-malformed"],
    [
      "no colon",
      `proxy-authorization: Basic ${Buffer.from("abc").toString("base64")}`,
      407,
      "token-malformed",
    ],
    ["a made-up token", basic("pool=main", "a.b.c"), 407, "token-malformed"],
    ["a wrong name and a wrong token", basic("contry=de", "wrong"), 407, "token-malformed"],
  ])("[PX2] %s is refused", async (_what, field, status, code) => {
    const answer = await ask(strict.proxyPort, [...get(), field]);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.rest)).toMatchObject({ code });
    expect(strict.counts.get(code as never)).toBe(1);
  });

  test("[PX2] a client's token does, as a password and as a bearer, with a selection", async () => {
    for (const field of [
      basic("", token),
      basic("pool=main,session=cart-42", token),
      basic("pool%3Dmain%3Bsession%3D42", token),
      basic(`pool=main,token=${token.slice(0, 60)}`, token.slice(60)),
      `proxy-authorization: Bearer ${token}`,
    ]) {
      const { status, fields } = await ask(strict.proxyPort, [...get(), field]);
      expect([status, fields.get("egress-ip")]).toEqual([200, "127.0.0.10"]);
    }
    // Nothing of it goes further.
    expect(seen.join()).not.toMatch(/proxy-authorization|egress/i);
  });

  test("[PX2] what a known client selects wrongly is told by name", async () => {
    for (const [userName, status, code] of [
      ["alice", 400, "selection-malformed"],
      ["contry=de", 400, "selection-key-unknown"],
      ["pool=other", 404, "pool-unknown"],
      ["ip=192.0.2.9", 503, "lease-lost"],
    ] as const) {
      const answer = await ask(strict.proxyPort, [...get(), basic(userName, token)]);
      expect([answer.status, JSON.parse(answer.rest).code]).toEqual([status, code]);
    }
  });

  test("[PX2] who writes a name or no token hears where the selection and the token go", async () => {
    const named = await ask(strict.proxyPort, [...get(), basic("alice", token)]);
    expect(JSON.parse(named.rest).detail).toMatch(/^A proxy reads the selection in the user name/);
    const bare = await ask(strict.proxyPort, get());
    expect([bare.status, JSON.parse(bare.rest).detail]).toEqual([
      407,
      "Send a client's token as the password of the proxy's login.",
    ]);
  });

  test("[PX2] the field egress selects where the user name does not", async () => {
    const other = ["egress: pool=other", basic("", token)];
    expect((await ask(strict.proxyPort, [...get(), ...other])).status).toBe(404);
    const both = ["egress: pool=main", basic("pool=main", token)];
    const answer = await ask(strict.proxyPort, [...get(), ...both]);
    expect([answer.status, JSON.parse(answer.rest).code]).toEqual([400, "selection-malformed"]);
  });

  test("[PX2] a token of another role or for another pool is not enough", async () => {
    for (const [bearer, code] of [
      [await strict.tokenFor("host"), "role-denied"],
      [await strict.tokenFor("gateway"), "role-denied"],
      [await strict.tokenFor("client", ["other"]), "pool-denied"],
    ] as const) {
      const answer = await ask(strict.proxyPort, [...get(), basic("", bearer)]);
      expect([answer.status, JSON.parse(answer.rest).code]).toEqual([403, code]);
    }
  });

  test("[PX3] a source that is listed needs no token, and no other does without", async () => {
    const client = new ByteClient(strict.proxyPort, "127.0.0.1", "127.0.0.99");
    client.write(`GET ${origin.url}/x HTTP/1.1\r\nhost: a\r\n\r\n`);
    expect((await answerOf(client)).status).toBe(200);
    // A token that is wrong is wrong from anywhere.
    client.write(`GET ${origin.url}/x HTTP/1.1\r\nhost: a\r\n${basic("", "a.b.c")}\r\n\r\n`);
    expect((await answerOf(client)).status).toBe(407);
    // It may select all the same.
    client.write(`GET ${origin.url}/x HTTP/1.1\r\nhost: a\r\n${basic("pool=other", "")}\r\n\r\n`);
    expect((await answerOf(client)).status).toBe(404);
    client.socket.destroy();
  });

  test("[PX3] an IPv6 source is no IPv4 one for ending in its address, unless it is mapped", () => {
    const access = new ProxyAccess(strict.admission, [{ range: "127.0.0.0/8", name: "desk" }]);
    const names = ["::ffff:127.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1"].map((ip) => access.clientAt(ip));
    expect(names.map((client) => client?.subject)).toEqual(["desk", undefined, undefined]);
  });
});

describe("whole URLs", () => {
  test("[PX7] a request goes on as it is, but for the fields of the connection", async () => {
    const { status, fields, rest } = await ask(rig.proxyPort, [
      `GET ${origin.url}/x?a=%20b&c HTTP/1.1`,
      "host: elsewhere.test",
      "X-Forwarded-For: 192.0.2.7",
      "X-Odd: 1",
      "x-odd: 2",
      "Proxy-Connection: keep-alive",
      "Connection: x-secret",
      "X-Secret: 1",
    ]);
    expect([status, fields.get("x-origin")]).toEqual([200, "yes"]);
    expect(rest).toContain(`GET /x?a=%20b&c from ${fields.get("egress-port")}`);
    expect(seen[0]).toContain(`host|127.0.0.1:${origin.port}`);
    expect(seen[0]).toContain("x-forwarded-for|192.0.2.7");
    expect(seen[0]).toContain("x-odd|1|x-odd|2");
    expect(seen[0]).not.toMatch(/secret|proxy-connection|elsewhere|via|\|forwarded/i);
  });

  test("[PX7] bodies, expectations and interim answers pass, and the connection goes on", async () => {
    const client = new ByteClient(rig.proxyPort);
    client.write(
      `POST ${origin.url}/p HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n`,
    );
    await client.until(({ text }) => text.startsWith("HTTP/1.1 100 "), "100 Continue");
    client.received = Buffer.alloc(0);
    client.write("hello");
    expect((await answerOf(client)).rest).toContain("POST /p");
    client.write(
      `PUT ${origin.url}/q HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
    );
    expect((await answerOf(client)).rest).toContain("PUT /q");
    client.write(`GET ${origin.url}/early HTTP/1.1\r\nhost: a\r\n\r\n`);
    await client.until(({ text }) => text.includes("GET /early"), "the answer after the hint");
    expect(client.text).toMatch(/^HTTP\/1\.1 103 [^\r]*\r\nlink: <\/a\.css>; rel=preload; as=style\r\n\r\n/i);
    expect(seen.map((line) => line.split(" ").at(-1))).toEqual(["hello", "abc", ""]);
    client.socket.destroy();
  });

  test.each([
    ["/x", 400, "proxy-target-invalid"],
    ["*", 400, "proxy-target-invalid"],
    ["ftp://a.test/x", 400, "url-scheme-unsupported"],
    ["http://user:word@a.test/", 400, "url-credentials"],
    ["http://a.test:0/", 400, "url-port-invalid"],
    ["http://", 400, "url-malformed"],
    ["http://10.0.0.1/", 403, "destination-prohibited"],
    ["http://nowhere.test/", 502, "dns-error"],
  ])("[PX7] the target %s is refused by name", async (target, status, code) => {
    const answer = await ask(rig.proxyPort, [`GET ${target} HTTP/1.1`, "host: a"]);
    expect([answer.status, JSON.parse(answer.rest).code]).toEqual([status, code]);
    answer.client.write(`GET ${origin.url}/after HTTP/1.1\r\nhost: a\r\n\r\n`);
    expect((await answerOf(answer.client)).rest).toContain("GET /after");
    answer.client.socket.destroy();
  });

  test.each([
    ["GET", "/a/../b/./c//d", "/a/../b/./c//d"],
    ["GET", "/%7e/%2e%2e/x?y=%zz'<>|{}", "/%7e/%2e%2e/x?y=%zz'<>|{}"],
    ["GET", "/a\\b", "/a\\b"],
    ["GET", "?q", "/?q"],
    ["GET", "", "/"],
    ["GET", "/x#part", "/x"],
    ["OPTIONS", "", "*"],
    ["OPTIONS", "/", "/"],
    ["OPTIONS", "?q", "/?q"],
  ])("[PX7] %s of the URL with %j asks the destination for %j", async (method, written, asked) => {
    const { status } = await ask(rig.proxyPort, [`${method} ${origin.url}${written} HTTP/1.1`, "host: a"]);
    expect(status).toBe(200);
    expect(seen[0]).toContain(`${method} ${asked} `);
  });

  test.each(["http://a.test\\@b.test/", "http:///a.test/", "http://\\a.test/", "http://a.test/x\ty"])(
    "[PX7] the target %j, whose host readers of URLs know differently, is refused",
    async (target) => {
      const answer = await ask(rig.proxyPort, [`GET ${target} HTTP/1.1`, "host: a"]);
      expect(answer.status).toBe(400);
      answer.client.socket.destroy();
    },
  );

  test("[PX7] a WebSocket passes", async () => {
    const sockets = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    sockets.on("connection", (socket) => {
      socket.on("message", (data: Buffer) => socket.send(`echo ${data.toString()}`));
    });
    await eventually(() => sockets.address() !== null, "the server listens");
    const { port } = sockets.address() as { port: number };
    for (const scheme of ["ws", "http"]) {
      const client = new WebSocket(`ws://127.0.0.1:${rig.proxyPort}/`, {
        finishRequest: (request) => {
          // What clients of proxies write: the whole URL.
          (request as typeof request & { path: string }).path = `${scheme}://127.0.0.1:${port}/chat`;
          request.end();
        },
      });
      client.on("open", () => client.send("hi"));
      const said = await new Promise((resolve, reject) => {
        client.on("message", (data: Buffer) => resolve(data.toString()));
        client.on("error", reject);
      });
      expect(said).toBe("echo hi");
      client.terminate();
    }
    sockets.close();
  });

  test("[PX8] marks are made only if asked for", async () => {
    const marked = await startProxyRig({ marks: { via: "shard", isForwardedTold: true } });
    const { fields } = await ask(marked.proxyPort, [
      `GET ${origin.url}/x HTTP/1.1`,
      "host: a",
      "via: 1.0 fred",
    ]);
    expect(fields.get("via")).toBe("1.1 shard");
    expect(seen[0]).toContain("via|1.0 fred|via|1.1 shard|forwarded|for=127.0.0.1");
    await marked.close();
  });

  test("[PX9] the last proxy of a TRACE or OPTIONS answers itself", async () => {
    const trace = await ask(rig.proxyPort, [
      `TRACE ${origin.url}/x HTTP/1.1`,
      "host: a",
      "max-forwards: 0",
      "cookie: secret",
      "x-odd: 1",
    ]);
    expect([trace.status, trace.fields.get("content-type")]).toEqual([200, "message/http"]);
    expect(trace.rest).toContain("x-odd: 1");
    expect(trace.rest).not.toContain("secret");
    const options = await ask(rig.proxyPort, [
      `OPTIONS ${origin.url}/x HTTP/1.1`,
      "host: a",
      "max-forwards: 0",
    ]);
    expect([options.status, options.rest, seen.length]).toEqual([200, "", 0]);
    const further = await ask(rig.proxyPort, [
      `OPTIONS ${origin.url}/x HTTP/1.1`,
      "host: a",
      "max-forwards: 7",
    ]);
    expect(further.status).toBe(200);
    expect(seen[0]).toContain("max-forwards|6");
    const wrong = await ask(rig.proxyPort, [`TRACE ${origin.url}/x HTTP/1.1`, "host: a", "max-forwards: -1"]);
    expect([wrong.status, JSON.parse(wrong.rest).code]).toEqual([400, "request-malformed"]);
    const get = await ask(rig.proxyPort, [`GET ${origin.url}/x HTTP/1.1`, "host: a", "max-forwards: 0"]);
    expect([get.status, seen.length]).toEqual([200, 2]);
  });
});

describe("CONNECT", () => {
  test("[PX6] the answer says where the tunnel leaves from, and its bytes go both ways", async () => {
    const client = new ByteClient(rig.proxyPort);
    client.write(`CONNECT a.test:${origin.port} HTTP/1.1\r\nhost: a.test\r\n\r\n`);
    await client.until(({ text }) => text.includes("\r\n\r\n"), "an answer");
    const { status, fields } = readHead(client.text);
    expect(status).toBe(200);
    expect(fields.get("egress-ip")).toBe("127.0.0.10");
    expect(fields.get("egress-host")).toBe("h1");
    expect(fields.get("proxy-status")).toBe("ipshard");
    client.received = Buffer.alloc(0);
    client.write("GET /in HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n");
    await client.until(({ hasEnded }) => hasEnded, "the origin's end");
    expect(client.text).toContain(`GET /in from ${fields.get("egress-port")}`);
    client.socket.end();
    await eventually(() => rig.ports.heldCounts().inUse === 0, "the port given back");
  });

  test("[PX5] what is sent early arrives, however the head comes", async () => {
    const place = `127.0.0.1:${origin.port}`;
    const whole = `CONNECT ${place} HTTP/1.1\r\nhost: ${place}\r\n\r\nGET /early-bird HTTP/1.0\r\n\r\n`;
    for (const pieceBytes of [whole.length, 7]) {
      const client = new ByteClient(rig.proxyPort);
      client.socket.setNoDelay(true);
      for (let at = 0; at < whole.length; at += pieceBytes) {
        client.write(whole.slice(at, at + pieceBytes));
        await new Promise((resolve) => {
          setTimeout(resolve, 2);
        });
      }
      await client.until(({ hasEnded }) => hasEnded, "the origin's end");
      expect(client.text).toMatch(/^HTTP\/1\.1 200 Connection established[^]*GET \/early-bird/);
      client.socket.end();
    }
  });

  test.each([
    ["CONNECT nonsense HTTP/1.1", [], 400, "connect-target-invalid"],
    ["CONNECT a.test:0 HTTP/1.1", [], 400, "url-port-invalid"],
    ["CONNECT 10.0.0.1:443 HTTP/1.1", [], 403, "destination-prohibited"],
    ["CONNECT nowhere.test:443 HTTP/1.1", [], 502, "dns-error"],
    ["CONNECT 127.0.0.1:1 HTTP/1.1", [], 502, "connection-refused"],
    ["CONNECT a.test:443 HTTP/1.1", ["content-length: 5"], 400, "request-malformed"],
    ["CONNECT a.test:443 HTTP/1.1", ["transfer-encoding: chunked"], 400, "request-malformed"],
    ["CONNECT a.test:443 HTTP/1.1", ["host: b"], 400, "request-malformed"],
    ["CONNECT a.test:443 HTTP/1.1", [basic("", "x"), basic("", "y")], 400, "request-malformed"],
  ])(
    "[PX6] %s %j is refused with a status, a code and a body, and then the connection ends",
    async (line, more, status, code) => {
      const answer = await ask(rig.proxyPort, [line, "host: a", ...more]);
      expect([answer.status, JSON.parse(answer.rest).code]).toEqual([status, code]);
      expect(answer.fields.get("proxy-status")).toContain(`details="${code}"`);
      expect(answer.fields.get("egress-host")).toBe("h1");
      await answer.client.until(({ hasEnded }) => hasEnded, "its end");
      answer.client.socket.destroy();
    },
  );

  test("[PX6] a CONNECT behind other requests waits for its turn", async () => {
    const client = new ByteClient(rig.proxyPort);
    const place = `127.0.0.1:${origin.port}`;
    client.write(
      `GET ${origin.url}/one HTTP/1.1\r\nhost: a\r\n\r\nCONNECT ${place} HTTP/1.1\r\nhost: ${place}\r\n\r\n`,
    );
    await client.until(({ text }) => text.includes("Connection established\r\n"), "both answers");
    expect(client.text.indexOf("GET /one")).toBeLessThan(client.text.indexOf("Connection established"));
    client.write("GET /two HTTP/1.0\r\n\r\n");
    await client.until(({ text }) => text.includes("GET /two"), "an answer through the tunnel");
    client.socket.destroy();
  });

  test("[PX4] a host that drains takes no new tunnels", async () => {
    const draining = await startProxyRig();
    const tunnel = await openTunnel(draining, `127.0.0.1:${origin.port}`);
    draining.admission.isDraining = true;
    const answer = await ask(draining.proxyPort, [`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, "host: a"]);
    expect([answer.status, JSON.parse(answer.rest).code]).toEqual([503, "draining"]);
    tunnel.write("GET /still HTTP/1.0\r\n\r\n");
    await tunnel.until(({ text }) => text.includes("GET /still"), "an answer through the older tunnel");
    tunnel.socket.destroy();
    await draining.close();
  });
});

describe("what is no request", () => {
  test("[PX1] SOCKS4 is refused in its own words", async () => {
    const client = new ByteClient(rig.proxyPort);
    client.write(Buffer.from([4, 1, 0, 80, 127, 0, 0, 1, 0]));
    expect([...(await client.take(8))]).toEqual([0, 0x5b, 0, 0, 0, 0, 0, 0]);
    await client.until(({ hasEnded }) => hasEnded, "its end");
    expect(rig.counts.get("socks-malformed")).toBe(1);
    client.socket.destroy();
  });

  test.each([
    [
      "GET http://a.test/ HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["GET http://a.test/ HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"],
    ["GET http://a.test/ HTTP/1.1\r\nhost : a\r\n\r\n"],
    ["GET http://a.test/ HTTP/1.1\r\nhost: a\r\nx: a\nb\r\n\r\n"],
    ["GET http://a.test/ HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"],
    ["\x16\x03\x01\x02\x00\x01\x00"],
    ["\0\0\0\0"],
    ["CONNECT a.test:443 HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 5\r\n\r\n"],
    ["CONNECT a.test:443 HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n"],
    ["CONNECT a.test:443 HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n"],
    ["CONNECT a.test:443 HTTP/1.1\r\nhost: a/b\r\n\r\n"],
    ["CONNECT a.test:443 HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n"],
  ])("[PX10] %j is refused, and nothing that follows it is a request", async (bytes) => {
    const client = new ByteClient(rig.proxyPort);
    client.write(`${bytes}GET ${origin.url}/smuggled HTTP/1.1\r\nhost: a\r\n\r\n`);
    await client.until(({ hasEnded, isClosed }) => hasEnded || isClosed, "its end");
    expect(client.text).toMatch(/^HTTP\/1\.1 400 /);
    expect(client.text.match(/^HTTP\/1\.1 /gm)).toHaveLength(1);
    expect(seen).toEqual([]);
    client.socket.destroy();
  });

  test("[PX10] no tunnel is asked for behind what was refused for its framing", async () => {
    const client = new ByteClient(rig.proxyPort);
    client.write(
      `GET ${origin.url}/x HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\nCONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nhost: a\r\n\r\n`,
    );
    await client.until(({ isClosed, hasEnded }) => isClosed || hasEnded, "its end");
    expect(client.text.match(/HTTP\/1\.1 \d+ /g)).toEqual(["HTTP/1.1 400 "]);
    expect([...rig.counts]).toEqual([["request-malformed", 1]]);
    client.socket.destroy();
  });

  test("[PX10] a tunnel behind a request stands though its client has said all it has to say", async () => {
    const client = new ByteClient(rig.proxyPort);
    client.write(
      `GET ${origin.url}/x HTTP/1.1\r\nhost: a\r\n\r\nCONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nhost: a\r\n\r\n`,
    );
    client.socket.end();
    await client.until(({ isClosed, hasEnded }) => isClosed || hasEnded, "its end");
    expect(client.text.match(/HTTP\/1\.1 \d+ /g)).toEqual(["HTTP/1.1 200 ", "HTTP/1.1 200 "]);
  });
});

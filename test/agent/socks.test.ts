/** SOCKS5 as its clients speak it, whole and in pieces. */
import { setTimeout as delay } from "node:timers/promises";
import * as fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { readLogin } from "../../src/agent/traffic/socks/socks-messages.ts";
import { PROBLEM_CODES, problemKind } from "../../src/core/problems.ts";
import { eventually, type Origin, startOrigin } from "./gateway-rig.ts";
import { ByteClient, type ProxyRig, startProxyRig } from "./proxy-rig.ts";

let rig: ProxyRig;
let strict: ProxyRig;
let origin: Origin;
let token: string;

beforeAll(async () => {
  rig = await startProxyRig({ records: { "a.test": ["127.0.0.1"] } });
  strict = await startProxyRig({ sources: [] });
  token = await strict.tokenFor("client");
  origin = await startOrigin((request, response) => {
    response.setHeader("connection", "close");
    response.end(`${request.url} from ${request.socket.remoteAddress} ${request.socket.remotePort}`);
  });
});
afterAll(async () => {
  origin.close();
  await rig.close();
  await strict.close();
});
afterEach(async () => {
  for (const each of [rig, strict]) {
    await eventually(() => each.ports.heldCounts().inUse === 0, "every port given back");
    await eventually(() => each.proxy.clientCount === 0, "no client left");
    each.counts.clear();
    expect(each.faults).toEqual([]);
  }
});

const GREETING = Buffer.from([5, 1, 0]);

function portBytes(port: number): number[] {
  return [port >> 8, port & 0xff];
}

function connectTo(address: readonly number[], port: number, command = 1): Buffer {
  return Buffer.from([5, command, 0, ...address, ...portBytes(port)]);
}

const ipv4 = (...bytes: number[]): number[] => [1, ...bytes];
const name = (text: string): number[] => [3, text.length, ...Buffer.from(text, "latin1")];

function login(userName: string, password: string): Buffer {
  const [user, word] = [Buffer.from(userName), Buffer.from(password)];
  return Buffer.concat([Buffer.from([1, user.length]), user, Buffer.from([word.length]), word]);
}

/** The reply to a request after a greeting without a login. */
async function replyTo(request: Buffer): Promise<number> {
  const client = new ByteClient(rig.proxyPort);
  client.write(Buffer.concat([GREETING, request]));
  expect([...(await client.take(2))]).toEqual([5, 0]);
  const reply = await client.take(10);
  client.socket.destroy();
  return reply[1]!;
}

describe("requests", () => {
  test.each([
    ["an IPv4 address", () => ipv4(127, 0, 0, 1)],
    ["a name", () => name("a.test")],
    ["an IPv4 address as a name", () => name("127.0.0.1")],
  ])("[SX1] %s is connected to, and the reply says from where", async (_what, address) => {
    const client = new ByteClient(rig.proxyPort);
    client.write(GREETING);
    expect([...(await client.take(2))]).toEqual([5, 0]);
    client.write(connectTo(address(), origin.port));
    const reply = await client.take(10);
    expect([...reply.subarray(0, 8)]).toEqual([5, 0, 0, 1, 127, 0, 0, 10]);
    client.write("GET /x HTTP/1.1\r\nhost: a\r\n\r\n");
    await client.until(({ hasEnded }) => hasEnded, "the answer's end");
    expect(client.text).toContain(`/x from 127.0.0.10 ${reply.readUInt16BE(8)}`);
    client.socket.end();
  });

  test("[SX1] the whole handshake may come at once or byte by byte, and the first bytes with it", async () => {
    const whole = Buffer.concat([
      GREETING,
      connectTo(ipv4(127, 0, 0, 1), origin.port),
      Buffer.from("GET /eager HTTP/1.0\r\n\r\n"),
    ]);
    for (const pieceBytes of [whole.length, 1]) {
      const client = new ByteClient(rig.proxyPort);
      client.socket.setNoDelay(true);
      for (let at = 0; at < whole.length; at += pieceBytes) {
        client.write(whole.subarray(at, at + pieceBytes));
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      }
      await client.until(({ hasEnded }) => hasEnded, "the answer's end");
      expect(client.text).toContain("/eager from 127.0.0.10");
      client.socket.end();
    }
  });

  test.each([
    ["BIND", () => connectTo(ipv4(127, 0, 0, 1), 80, 2), 7, "method-unsupported"],
    ["an unknown command", () => connectTo(ipv4(127, 0, 0, 1), 80, 9), 7, "method-unsupported"],
    [
      "an unknown type of address",
      () => Buffer.from([5, 1, 0, 9, 1, 2, 3, 4, 0, 80]),
      8,
      "address-type-unsupported",
    ],
    ["a private destination", () => connectTo(ipv4(10, 0, 0, 1), 80), 2, "destination-prohibited"],
    [
      "a private destination as a name",
      () => connectTo(name("::ffff:10.0.0.1"), 80),
      2,
      "destination-prohibited",
    ],
    ["IPv6 from an IPv4 address", () => connectTo(name("[2001:470::1]"), 80), 3, "address-family-mismatch"],
    ["a name that does not resolve", () => connectTo(name("nowhere.test"), 80), 4, "dns-error"],
    ["a closed port", () => connectTo(ipv4(127, 0, 0, 1), 1), 5, "connection-refused"],
    ["port 0", () => connectTo(ipv4(127, 0, 0, 1), 0), 1, "url-port-invalid"],
    ["an empty name", () => connectTo(name(""), 80), 8, "connect-target-invalid"],
    ["a name that is none", () => connectTo(name("a b"), 80), 8, "connect-target-invalid"],
  ])("[SX2] %s has its own reply", async (_what, request, reply, code) => {
    expect(await replyTo(request())).toBe(reply);
    expect(rig.counts.get(code as never)).toBe(1);
  });

  test("[SX2] every refusal has a reply that says no", () => {
    for (const code of PROBLEM_CODES) {
      expect(problemKind(code).socksReply, code).toBeGreaterThan(0);
      expect(problemKind(code).socksReply, code).toBeLessThan(9);
    }
  });
});

describe("who may", () => {
  test("[PX2] a login with a token, whose beginning may be in the user name", async () => {
    // RFC 1929 has room for 255 bytes.
    expect(token.length).toBeGreaterThan(255);
    const client = new ByteClient(strict.proxyPort);
    client.write(Buffer.from([5, 2, 0, 2]));
    expect([...(await client.take(2))]).toEqual([5, 2]);
    client.write(login(`pool=main,token=${token.slice(0, 90)}`, token.slice(90)));
    expect([...(await client.take(2))]).toEqual([1, 0]);
    client.write(connectTo(ipv4(127, 0, 0, 1), origin.port));
    expect((await client.take(10))[1]).toBe(0);
    client.socket.destroy();
    // Nothing of it is awaited: all at once.
    const eager = new ByteClient(strict.proxyPort);
    eager.write(
      Buffer.concat([
        Buffer.from([5, 1, 2]),
        login(`token=${token.slice(0, 90)}`, token.slice(90)),
        connectTo(ipv4(127, 0, 0, 1), origin.port),
      ]),
    );
    expect([...(await eager.take(5))]).toEqual([5, 2, 1, 0, 5]);
    eager.socket.destroy();
  });

  test("[SX4] lengths that are written as characters, with the whole token as password", async () => {
    const written = (text: string): Buffer =>
      Buffer.from(`${String.fromCodePoint(text.length)}${text}`, "utf8");
    for (const userName of ["pool=main", `session=${"s".repeat(124)}`, "session=a"]) {
      const client = new ByteClient(strict.proxyPort);
      client.write(Buffer.from([5, 2, 0, 2]));
      expect([...(await client.take(2))]).toEqual([5, 2]);
      const message = Buffer.concat([Buffer.from([1]), written(userName), written(token)]);
      // In two pieces, wherever the first ends.
      client.write(message.subarray(0, 2));
      await delay(5);
      client.write(message.subarray(2));
      expect([...(await client.take(2))]).toEqual([1, 0]);
      client.write(connectTo(ipv4(127, 0, 0, 1), origin.port));
      expect((await client.take(10))[1]).toBe(0);
      client.socket.destroy();
    }
  });

  test("[SX4] every login is read as it was written, in either way, and only when all of it has come", () => {
    const text = fc.string({ unit: "grapheme-ascii", maxLength: 255 });
    const asByte = (value: string): Buffer =>
      Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
    const asCharacter = (value: string): Buffer =>
      Buffer.concat([Buffer.from(String.fromCodePoint(value.length)), Buffer.from(value)]);
    fc.assert(
      fc.property(text, text, fc.boolean(), (userName, password, isStrict) => {
        const encode = isStrict ? asByte : asCharacter;
        const message = Buffer.concat([Buffer.from([1]), encode(userName), encode(password)]);
        for (let length = 0; length < message.length; length += 1) {
          expect(readLogin(message.subarray(0, length))).toBe(null);
        }
        const read = readLogin(Buffer.concat([message, Buffer.from([5])]));
        expect(read).toEqual({ message: { userName, password }, byteCount: message.length });
      }),
    );
  });

  test("[PX2] a stranger is refused with its login, and so is a selection that is wrong", async () => {
    for (const [userName, password, code] of [
      ["", "wrong", "token-malformed"],
      ["", "", "token-missing"],
      [`contry=de,token=${token.slice(0, 90)}`, token.slice(90), null],
    ] as const) {
      const client = new ByteClient(strict.proxyPort);
      client.write(Buffer.from([5, 1, 2]));
      await client.take(2);
      client.write(Buffer.concat([login(userName, password), connectTo(ipv4(127, 0, 0, 1), origin.port)]));
      if (code === null) {
        // What is selected is judged with the request.
        expect([...(await client.take(4))].slice(0, 2)).toEqual([1, 0]);
      } else {
        expect([...(await client.take(2))]).toEqual([1, 1]);
        await client.until(({ hasEnded }) => hasEnded, "its end");
        expect(strict.counts.get(code)).toBe(1);
      }
      expect(client.text.length).toBeLessThan(20);
      client.socket.destroy();
    }
  });

  test("[SX1] a client that has said all it has to say is served, also while its token is verified", async () => {
    const client = new ByteClient(strict.proxyPort);
    const fresh = await strict.tokenFor("client");
    const asked = connectTo(ipv4(127, 0, 0, 1), origin.port);
    client.socket.end(
      Buffer.concat([
        Buffer.from([5, 1, 2]),
        login(`token=${fresh.slice(0, 90)}`, fresh.slice(90)),
        asked,
        Buffer.from("GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
      ]),
    );
    expect([...(await client.take(6))]).toEqual([5, 2, 1, 0, 5, 0]);
    await client.until(({ isClosed, hasEnded }) => isClosed || hasEnded, "its end");
  });

  test("[PX3] who offers no login must come from a listed source", async () => {
    const client = new ByteClient(strict.proxyPort);
    client.write(Buffer.concat([GREETING, connectTo(ipv4(127, 0, 0, 1), origin.port)]));
    expect([...(await client.take(2))]).toEqual([5, 0xff]);
    await client.until(({ hasEnded }) => hasEnded, "its end");
    expect(client.received.length).toBe(0);
    client.socket.destroy();
  });
});

describe("what is no SOCKS5", () => {
  test.each([
    ["a login of another version", [5, 1, 2, 9, 1, 65, 1, 65]],
    ["a request of another version", [5, 1, 0, 4, 1, 0, 1, 127, 0, 0, 1, 0, 80]],
    ["a reserved byte", [5, 1, 0, 5, 1, 1, 1, 127, 0, 0, 1, 0, 80]],
  ])("[SX3] %s ends the connection", async (_what, bytes) => {
    const client = new ByteClient(rig.proxyPort);
    client.write(Buffer.from(bytes));
    await client.until(({ hasEnded, isClosed }) => hasEnded || isClosed, "its end");
    expect(rig.counts.get("socks-malformed")).toBe(1);
    client.socket.destroy();
  });

  test("[SX3] whatever comes, the next client is served", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), async (bytes) => {
        const client = new ByteClient(rig.proxyPort);
        client.socket.end(Buffer.from([5, ...bytes]));
        await client.until(({ hasEnded, isClosed }) => hasEnded || isClosed, "its end");
        client.socket.destroy();
      }),
      { numRuns: 150 },
    );
    expect(await replyTo(connectTo(ipv4(127, 0, 0, 1), 1))).toBe(5);
  });
});

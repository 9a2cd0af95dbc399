/** Names to addresses, against a name server that counts. */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { afterEach, expect, it } from "vitest";
import { Resolver } from "../../src/agent/egress/resolver.ts";
import { answerTo, startNameServer } from "../e2e/name-server.ts";
import { eventually } from "./gateway-rig.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** A name server, and how often it was asked. */
async function counted(
  records: Record<string, string[]>,
): Promise<{ readonly address: string; readonly count: () => number }> {
  const server = await startNameServer(records);
  const relay = createSocket("udp4");
  let asked = 0;
  const [ip, port] = server.address.split(":") as [string, string];
  relay.on("message", (query, from) => {
    asked += 1;
    const upstream = createSocket("udp4");
    upstream.once("message", (reply) => {
      relay.send(reply, from.port, from.address);
      upstream.close();
    });
    upstream.send(query, Number(port), ip);
  });
  await new Promise<void>((resolve) => {
    relay.bind(0, "127.0.0.1", resolve);
  });
  closing.push(
    () => relay.close(),
    () => server.close(),
  );
  return { address: `127.0.0.1:${relay.address().port}`, count: () => asked };
}

it("[RS1] keeps an answer for its time to live and then asks again", async () => {
  const server = await counted({ "a.test": ["192.0.2.1", "192.0.2.2"] });
  let nowMs = 0;
  const resolver = new Resolver({ servers: [server.address], now: () => nowMs });
  expect([...(await resolver.resolve("a.test", 4))].toSorted()).toEqual(["192.0.2.1", "192.0.2.2"]);
  nowMs = 29_999;
  await resolver.resolve("a.test.", 4);
  expect(server.count()).toBe(1);
  nowMs = 30_000;
  await resolver.resolve("a.test", 4);
  expect(server.count()).toBe(2);
});

it("[RS1] [RS4] what is remembered is known at once, and nothing is asked for it", async () => {
  const server = await counted({ "a.test": ["192.0.2.1"], "six.test": ["2001:db8::1"] });
  let nowMs = 0;
  const resolver = new Resolver({ servers: [server.address], now: () => nowMs });
  const known = (name: string): unknown => {
    const remembered = resolver.remembered(name, 4);
    if (remembered === null) return "unknown";
    return remembered.ok ? remembered.value : remembered.refusal.code;
  };
  expect(["a.test", "six.test", "none.test", "localhost"].map(known)).toEqual([
    "unknown",
    "unknown",
    "unknown",
    ["127.0.0.1"],
  ]);
  for (const name of ["a.test", "six.test", "none.test"]) {
    await resolver.resolve(name, 4).catch(() => null);
  }
  const askedCount = server.count();
  expect(["a.test.", "six.test", "none.test"].map(known)).toEqual([
    ["192.0.2.1"],
    ["2001:db8::1"],
    "dns-error",
  ]);
  nowMs = 30_000;
  expect(["a.test", "six.test", "none.test"].map(known)).toEqual(["unknown", "unknown", "unknown"]);
  expect(server.count()).toBe(askedCount);
});

it("[RS2] asks one question once, however many wait for it", async () => {
  const server = await counted({ "a.test": ["192.0.2.1"] });
  const resolver = new Resolver({ servers: [server.address] });
  await Promise.all(Array.from({ length: 50 }, () => resolver.resolve("a.test", 4)));
  expect(server.count()).toBe(1);
});

it("[RS1] remembers for a moment that a name does not resolve", async () => {
  const server = await counted({});
  let nowMs = 0;
  const resolver = new Resolver({ servers: [server.address], now: () => nowMs });
  await expect(resolver.resolve("absent.test", 4)).rejects.toMatchObject({ code: "dns-error" });
  const first = server.count();
  await expect(resolver.resolve("absent.test", 4)).rejects.toMatchObject({ code: "dns-error" });
  expect(server.count()).toBe(first);
  nowMs = 2_000;
  await expect(resolver.resolve("absent.test", 4)).rejects.toMatchObject({ code: "dns-error" });
  expect(server.count()).toBeGreaterThan(first);
});

it("[RS1] remembers so many names and no more", async () => {
  const server = await counted({ "a.test": ["192.0.2.1"], "b.test": ["192.0.2.2"], "c.test": ["192.0.2.3"] });
  const resolver = new Resolver({ servers: [server.address], maxNames: 2 });
  for (const name of ["a.test", "b.test", "c.test", "b.test", "a.test"]) await resolver.resolve(name, 4);
  expect(server.count()).toBe(4);
});

it("[RS1] the family is that of the egress address", async () => {
  const server = await counted({ "a.test": ["192.0.2.1", "2001:db8::1"] });
  const resolver = new Resolver({ servers: [server.address] });
  expect(await resolver.resolve("a.test", 4)).toEqual(["192.0.2.1"]);
  expect(await resolver.resolve("a.test", 6)).toEqual(["2001:db8::1"]);
  expect(server.count()).toBe(2);
});

it("[RS4] a name without an address of the family is asked for the other, once, and only then", async () => {
  const server = await counted({ "six.test": ["2001:db8::1"], "none.test": [] });
  const resolver = new Resolver({ servers: [server.address] });
  for (let time = 0; time < 3; time += 1) {
    expect(await resolver.resolve("six.test", 4)).toEqual(["2001:db8::1"]);
    expect(await resolver.resolve("six.test", 6)).toEqual(["2001:db8::1"]);
  }
  expect(server.count()).toBe(2);
  await expect(resolver.resolve("none.test", 4)).rejects.toMatchObject({ code: "dns-error" });
  const before = server.count();
  await expect(resolver.resolve("absent.test", 4)).rejects.toMatchObject({ code: "dns-error" });
  expect(server.count()).toBe(before + 1);
});

it("[RS2] silence has its own name, and so has a name server that is not there", async () => {
  const server = await counted({});
  const silent = new Resolver({ servers: [server.address], timeoutMs: 100 });
  await expect(silent.resolve("silent.test", 4)).rejects.toMatchObject({ code: "dns-timeout" });
  const absent = new Resolver({ servers: ["127.0.0.1:9"], timeoutMs: 100 });
  await expect(absent.resolve("a.test", 4)).rejects.toMatchObject({ code: "dns-timeout" });
});

it("[RS3] localhost is never asked for", async () => {
  const server = await counted({});
  const resolver = new Resolver({ servers: [server.address] });
  expect(await resolver.resolve("localhost", 4)).toEqual(["127.0.0.1"]);
  expect(await resolver.resolve("localhost.", 6)).toEqual(["::1"]);
  expect(await resolver.resolve("app.localhost", 4)).toEqual(["127.0.0.1"]);
  expect(server.count()).toBe(0);
});

it("[RS4] a name server that fails at one family does not hide the other", async () => {
  const server = await startNameServer({ "six.test": ["2001:db8::1"], "four.test": ["192.0.2.1"] });
  closing.push(() => server.close());
  // NOERROR without an answer aside, name servers say SERVFAIL, NOTIMP or REFUSED, or nothing, to what they do not know.
  for (const code of [2, 4, 5, null]) {
    const failing = await failingAt(server.address, code);
    const resolver = new Resolver({ servers: [failing], timeoutMs: 50 });
    expect(await resolver.resolve("four.test", 6), `code ${code}`).toEqual(["192.0.2.1"]);
    expect(await resolver.resolve("four.test", 4)).toEqual(["192.0.2.1"]);
    await expect(resolver.resolve("six.test", 6)).rejects.toMatchObject({
      code: code === null ? "dns-timeout" : "dns-error",
    });
    resolver.close();
  }
});

it.each([
  "a..b.test",
  `${"a".repeat(64)}.test`,
  `${"a.".repeat(127)}test`,
  `${"abcdefghi.".repeat(30)}test`,
  ".",
  "",
])("[RS2] what can be no name is one that does not resolve: %s", async (name) => {
  const server = await counted({});
  const resolver = new Resolver({ servers: [server.address] });
  await expect(resolver.resolve(name, 4)).rejects.toMatchObject({ code: "dns-error" });
});

it("[RS6] an answer with more addresses than anybody needs is refused", async () => {
  const many = (count: number): string[] =>
    Array.from({ length: count }, (_, at) => `10.1.${at >> 8}.${at & 255}`);
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    // By TCP, where there is room for them.
    const header = Buffer.from(query.subarray(0, 12));
    header.writeUInt16BE(0x8380, 2);
    header.fill(0, 6);
    socket.send(Buffer.concat([header, query.subarray(12)]), from.port, from.address);
  });
  await new Promise<void>((resolve) => {
    socket.bind(0, "127.0.0.1", resolve);
  });
  const { port } = socket.address();
  const tcp = createServer((client) => {
    client.on("error", () => {});
    client.on("data", (framed) => {
      const query = framed.subarray(2);
      const count = query.includes("few") ? 256 : 257;
      const reply = answerTo(query, many(count));
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply.length);
      client.write(Buffer.concat([length, reply]));
    });
  });
  await new Promise<void>((resolve) => {
    tcp.listen(port, "127.0.0.1", resolve);
  });
  const resolver = new Resolver({ servers: [`127.0.0.1:${port}`], timeoutMs: 1_000 });
  closing.push(
    () => resolver.close(),
    () => socket.close(),
    () => tcp.close(),
  );
  expect(await resolver.resolve("few.test", 4)).toHaveLength(256);
  await expect(resolver.resolve("many.test", 4)).rejects.toMatchObject({
    code: "dns-error",
    detail: "The answer has 257 addresses, more than 256.",
  });
});

it("[RS5] the families of a name are known at once when both were asked for", async () => {
  const server = await counted({ "four.test": ["192.0.2.1"], "both.test": ["192.0.2.1", "2001:db8::1"] });
  const resolver = new Resolver({ servers: [server.address] });
  expect(await resolver.familiesOf("four.test")).toEqual([4]);
  expect(await resolver.familiesOf("both.test")).toEqual([4, 6]);
  expect(await resolver.familiesOf("absent.test")).toEqual([]);
  expect(resolver.familiesOf("both.test.")).toEqual([4, 6]);
  expect(resolver.familiesOf("localhost")).toEqual([4, 6]);
  const before = server.count();
  expect(await resolver.resolve("four.test", 6)).toEqual(["192.0.2.1"]);
  expect(server.count()).toBe(before);
});

it.each([
  [[0], 1_000],
  [[86_400], 300_000],
  [[60, 20, 40], 20_000],
])("[RS1] an answer with times to live of %j s is kept for %d ms", async (ttls, keptMs) => {
  let asked = 0;
  const address = await answering((query) => {
    asked += 1;
    return withTtls(
      answerTo(
        query,
        ttls.map((_, at) => `192.0.2.${at}`),
      ),
      ttls,
    );
  });
  let nowMs = 5_000;
  const resolver = new Resolver({ servers: [address], now: () => nowMs });
  for (const [atMs, askedCount] of [
    [0, 1],
    [keptMs - 1, 1],
    [keptMs, 2],
  ] as const) {
    nowMs = 5_000 + atMs;
    expect(await resolver.resolve("a.test", 4)).toHaveLength(ttls.length);
    expect(asked, `after ${atMs} ms`).toBe(askedCount);
  }
});

it("[RS1] a refusal is kept for two seconds, silence not at all", async () => {
  let asked = 0;
  let isSilent = false;
  const address = await answering((query) => {
    asked += 1;
    return isSilent ? null : withCode(query, 3);
  });
  let nowMs = 0;
  const resolver = new Resolver({ servers: [address], timeoutMs: 50, now: () => nowMs });
  const code = (): Promise<unknown> =>
    resolver.resolve("a.test", 4).then(
      () => null,
      (fault: { code: unknown }) => fault.code,
    );
  expect(await code()).toBe("dns-error");
  nowMs = 1_999;
  expect(await code()).toBe("dns-error");
  expect(asked).toBe(1);
  nowMs = 2_000;
  isSilent = true;
  expect(await code()).toBe("dns-timeout");
  isSilent = false;
  // It is the same moment still.
  expect(await code()).toBe("dns-error");
});

it("[RS1] what is forgotten first is what was asked for longest ago", async () => {
  const server = await counted({ "a.test": ["192.0.2.1"], "b.test": ["192.0.2.2"], "c.test": ["192.0.2.3"] });
  let nowMs = 0;
  const resolver = new Resolver({ servers: [server.address], maxNames: 2, now: () => nowMs });
  await resolver.resolve("a.test", 4);
  await resolver.resolve("b.test", 4);
  nowMs = 30_000;
  await resolver.resolve("a.test", 4);
  await resolver.resolve("c.test", 4);
  expect(server.count()).toBe(4);
  await resolver.resolve("a.test", 4);
  expect(server.count()).toBe(4);
});

it("[RS2] the fault names what the name servers said", async () => {
  for (const [code, detail] of [
    [2, "ESERVFAIL"],
    [3, "ENOTFOUND"],
    [5, "EREFUSED"],
    [0, "ENODATA"],
  ] as const) {
    const resolver = new Resolver({ servers: [await answering((query) => withCode(query, code))] });
    await expect(resolver.resolve("a.test", 4)).rejects.toMatchObject({ code: "dns-error", detail });
  }
});

it("[RS2] closed, it gives up what it has asked, and asks nothing more", async () => {
  let asked = 0;
  const address = await answering(() => {
    asked += 1;
    return null;
  });
  const resolver = new Resolver({ servers: [address], timeoutMs: 1_000 });
  const given = resolver.resolve("a.test", 4);
  await eventually(() => asked === 1, "the name server was asked");
  resolver.close();
  await expect(given).rejects.toMatchObject({ code: "dns-error", detail: "ECANCELLED" });
  expect(asked).toBe(1);
});

it("[RS2] a name that was asked for in vain is asked for again, and not for ever waited for", async () => {
  let answerCount = 0;
  const address = await answering((query) => {
    answerCount += 1;
    return answerCount === 1 ? withCode(query, 2) : answerTo(query, ["192.0.2.1", "2001:db8::1"]);
  });
  let nowMs = 0;
  const resolver = new Resolver({ servers: [address], timeoutMs: 1_000, now: () => nowMs });
  // The other family answers for it.
  expect(await resolver.resolve("a.test", 4)).toEqual(["2001:db8::1"]);
  nowMs = 2_000;
  expect(await resolver.resolve("a.test", 4)).toEqual(["192.0.2.1"]);
});

it("[RS3] what only ends like localhost is a name as any other", async () => {
  const server = await counted({ mylocalhost: ["192.0.2.1"], "localhost.test": ["192.0.2.2"] });
  const resolver = new Resolver({ servers: [server.address] });
  expect(await resolver.resolve("mylocalhost", 4)).toEqual(["192.0.2.1"]);
  expect(await resolver.resolve("localhost.test", 4)).toEqual(["192.0.2.2"]);
  expect(resolver.familiesOf("app.localhost.")).toEqual([4, 6]);
  expect(server.count()).toBe(2);
});

it("[RS5] while one family is not known both are waited for", async () => {
  const server = await counted({ "four.test": ["192.0.2.1"] });
  const resolver = new Resolver({ servers: [server.address] });
  await resolver.resolve("four.test", 4);
  const found = resolver.familiesOf("four.test");
  expect(found).toBeInstanceOf(Promise);
  expect(await found).toEqual([4]);
});

/** A name server that says what this makes of a query, or nothing. */
async function answering(reply: (query: Buffer) => Buffer | null): Promise<string> {
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const said = reply(query);
    if (said !== null) socket.send(said, from.port, from.address);
  });
  await new Promise<void>((resolve) => {
    socket.bind(0, "127.0.0.1", resolve);
  });
  closing.push(() => socket.close());
  return `127.0.0.1:${socket.address().port}`;
}

/** An answer with this code and without records. */
function withCode(query: Buffer, code: number): Buffer {
  const reply = answerTo(query, []);
  reply.writeUInt16BE(0x8180 | code, 2);
  return reply;
}

/** An answer whose records of 16 bytes, each with an IPv4 address, have these times to live. */
function withTtls(reply: Buffer, ttls: readonly number[]): Buffer {
  for (const [at, ttl] of ttls.entries())
    reply.writeUInt32BE(ttl, reply.length - 16 * (ttls.length - at) + 6);
  return reply;
}

/** A name server that answers questions for IPv6 by this code, or not at all. */
async function failingAt(upstream: string, code: number | null): Promise<string> {
  const [ip, port] = upstream.split(":") as [string, string];
  const relay = createSocket("udp4");
  relay.on("message", (query, from) => {
    const typeAt = query.indexOf(0, 12) + 1;
    if (query.readUInt16BE(typeAt) === 28) {
      if (code === null) return;
      const header = Buffer.from(query.subarray(0, 12));
      header.writeUInt16BE(0x8180 | code, 2);
      header.fill(0, 6);
      relay.send(Buffer.concat([header, query.subarray(12, typeAt + 4)]), from.port, from.address);
      return;
    }
    const forward = createSocket("udp4");
    forward.once("message", (reply) => {
      relay.send(reply, from.port, from.address);
      forward.close();
    });
    forward.send(query, Number(port), ip);
  });
  await new Promise<void>((resolve) => {
    relay.bind(0, "127.0.0.1", resolve);
  });
  closing.push(() => relay.close());
  return `127.0.0.1:${relay.address().port}`;
}

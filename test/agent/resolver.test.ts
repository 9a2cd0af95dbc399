/** Names to addresses, against a name server that counts. */
import { createSocket } from "node:dgram";
import { afterEach, expect, it } from "vitest";
import { Resolver } from "../../src/agent/ports/resolver.ts";
import { startNameServer } from "../e2e/name-server.ts";

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

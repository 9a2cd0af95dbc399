/** Associations on real sockets of loopback, without the connection that they belong to. */
import { createSocket, Socket } from "node:dgram";
import { afterEach, expect, test, vi } from "vitest";
import { AddressRules } from "../../src/policy/address-rules.ts";
import { DestinationPolicy, type PolicyRefusal } from "../../src/policy/destination-policy.ts";
import { destinationOf } from "../../src/agent/egress/destination-key.ts";
import type { UdpAssociation } from "../../src/agent/traffic/socks/udp-association.ts";
import { termFrom } from "../../src/core/lease-term.ts";
import { readClock } from "../../src/process/clock.ts";
import { eventually } from "./gateway-rig.ts";
import { startUdpRig, UdpEnd, type UdpRig, type UdpRigOptions, unwrapped, wrapped } from "./udp-rig.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function rigOf(options?: UdpRigOptions): Promise<UdpRig> {
  const rig = await startUdpRig(options);
  closing.push(rig.close);
  return rig;
}

async function end(ip?: string, port?: number): Promise<UdpEnd> {
  const made = await UdpEnd.bind(ip, port);
  closing.push(() => made.close());
  return made;
}

/** Sends by an association, and waits until it has arrived. */
async function says(client: UdpEnd, by: UdpAssociation, to: UdpEnd, text: string): Promise<void> {
  const count = to.heard.length + 1;
  await client.send(wrapped("127.0.0.1", to.port, text), by.relayPlace);
  await to.hears(count);
}

const dropsOf = ({ tally }: UdpAssociation): Record<string, number> => tally.describe().drops;

/** What was dropped, once it is so much. */
async function dropped(association: UdpAssociation, count: number): Promise<Record<string, number>> {
  const total = (): number => Object.values(dropsOf(association)).reduce((sum, one) => sum + one, 0);
  await eventually(() => total() >= count, `${count} drops are counted`);
  return dropsOf(association);
}

test("[UD1] all destinations of an association see the same leased port, and their answers come back by name", async () => {
  const rig = await rigOf();
  const association = await rig.opened();
  const [client, one, other] = [await end(), await end(), await end("127.0.0.9")];
  await client.send(wrapped("127.0.0.1", one.port, "to one"), association.relayPlace);
  await client.send(wrapped("127.0.0.9", other.port, "to the other"), association.relayPlace);
  const [[atOne], [atOther]] = [await one.hears(1), await other.hears(1)];
  const { ip, port } = association.egressPlace;
  expect(atOne).toEqual({ ip, port, text: "to one" });
  expect(atOther).toEqual({ ip, port, text: "to the other" });
  expect([ip, port >= 24_576 && port < 24_640]).toEqual(["127.0.0.18", true]);
  await one.send("from one", atOne!);
  await client.hears(1);
  await other.send("", atOther!);
  const heard = await client.hears(2);
  expect(heard.map(unwrapped)).toEqual([
    { ip: "127.0.0.1", port: one.port, text: "from one" },
    { ip: "127.0.0.9", port: other.port, text: "" },
  ]);
  expect(heard[0]).toMatchObject(association.relayPlace);
  expect(association.tally.describe()).toEqual({ sent: 2, received: 2, drops: {} });
});

test("[UD1] a port has one association, and counts as a flow of its block until it is over", async () => {
  const rig = await rigOf();
  const all = await Promise.all(Array.from({ length: 64 }, () => rig.opened()));
  expect(new Set(all.map(({ egressPlace: { port } }) => port)).size).toBe(64);
  expect([rig.ports.flowCount(1), rig.ports.capacity().busiestCount]).toEqual([64, 64]);
  expect(await rig.open()).toMatchObject({ ok: false, refusal: { code: "port-block-exhausted" } });
  // Such a place is that of no destination, and nobody is told that it were.
  expect(rig.ports.busiestDestination()).toBe("udp any");
  expect(destinationOf("udp any")).toBeUndefined();
  // A connection to a destination may have any of these ports all the same.
  expect(rig.ports.take("tcp 192.0.2.1 443").ok).toBe(true);
  for (const association of all) association.close();
  expect(rig.ports.flowCount(1)).toBe(1);
});

test("[UD1] a port is held down after its association, and rests while there are others", async () => {
  const rig = await rigOf();
  const first = await rig.opened();
  first.close();
  expect(rig.ports.heldCounts()).toEqual({ inUse: 0, heldDown: 1 });
  await eventually(() => rig.ports.heldCounts().heldDown === 0, "the hold-down is over");
  const others = await Promise.all(Array.from({ length: 63 }, () => rig.opened()));
  expect(others.map(({ egressPlace: { port } }) => port)).not.toContain(first.egressPlace.port);
  const last = await rig.opened();
  expect(last.egressPlace.port).toBe(first.egressPlace.port);
});

test("[UD1] growth is asked for when ports run short", async () => {
  const rig = await rigOf();
  let pressureCount = 0;
  rig.ports.pressureCount = 3;
  rig.ports.onPressure = () => (pressureCount += 1);
  for (let count = 0; count < 4; count += 1) await rig.opened();
  expect(pressureCount).toBe(2);
});

test("[UD1] while a block is on its way an association waits for it", async () => {
  const rig = await rigOf();
  for (let count = 0; count < 64; count += 1) await rig.opened();
  rig.ports.growthOutstanding = true;
  const waiting = rig.opened({ portWaitMs: 10_000 });
  rig.ports.addBlock({ base: 32_768, order: 6, epoch: 2 });
  expect((await waiting).egressPlace.port).toBeGreaterThanOrEqual(32_768);
});

test("[UD1] a port that somebody else has bound is passed over, and never shared", async () => {
  const rig = await rigOf();
  const foreign = new Set<number>();
  for (let port = 24_576; port < 24_640; port += 2) {
    // As a careless neighbour would: with it two sockets could have one port.
    const socket = createSocket({ type: "udp4", reuseAddr: true });
    await new Promise<void>((resolve) => {
      socket.bind({ address: "0.0.0.0", port, exclusive: true }, resolve);
    });
    closing.push(() => socket.close());
    foreign.add(port);
  }
  const opened = await Promise.all(Array.from({ length: 12 }, () => rig.open({ portWaitMs: 0 })));
  const ports = opened.flatMap((each) => (each.ok ? [each.value.egressPlace.port] : []));
  expect(ports.length).toBeGreaterThan(6);
  expect(ports.filter((port) => foreign.has(port))).toEqual([]);
  expect(rig.ports.flowCount(1)).toBe(ports.length);
});

test("[UD1] without any port to be bound it is refused after eight tries", async () => {
  const rig = await rigOf({ egressIp: "192.0.2.77" });
  const refused = await rig.open();
  expect(refused).toMatchObject({ ok: false, refusal: { code: "port-block-exhausted" } });
  const taken = await rigOf({ egressIp: "127.0.0.19" });
  for (let port = 24_576; port < 24_640; port += 1) await end("127.0.0.19", port);
  expect(await taken.open()).toMatchObject({ ok: false, refusal: { code: "port-block-exhausted" } });
  expect([taken.ports.flowCount(1), taken.ports.heldCounts().heldDown]).toEqual([0, 8]);
});

test("[UD2] [LAW2] at the end of the term the socket is closed at once, and with it the association", async () => {
  const rig = await rigOf();
  const association = await rig.opened();
  const [client, echo] = [await end(), await end()];
  await says(client, association, echo, "before");
  rig.ports.setTerm(null);
  expect(rig.ends).toMatchObject([{ code: "lease-lost" }]);
  // Nobody has the port any more: it could be bound.
  await end("127.0.0.18", association.egressPlace.port);
  expect(await rig.open()).toMatchObject({ ok: false, refusal: { code: "lease-lost" } });
  expect(rig.ports.flowCount(1)).toBe(0);
});

test("[UD2] [LAW3] after a pause past the end of the term the first datagram does not leave", async () => {
  let pausedMs = 0;
  const clock = () => {
    const { monotonicMs, wallMs } = readClock();
    return { monotonicMs: monotonicMs + pausedMs, wallMs: wallMs + pausedMs };
  };
  // Timers of a process that has just woken up have not run yet.
  const rig = await rigOf({ clock, timers: { after: () => () => {} } });
  const association = await rig.opened();
  const [client, echo] = [await end(), await end()];
  await says(client, association, echo, "before");
  pausedMs = 3_600_000;
  await client.send(wrapped("127.0.0.1", echo.port, "after"), association.relayPlace);
  expect(await dropped(association, 1)).toEqual({ "lease-lost": 1 });
  expect([echo.heard.length, rig.ends[0]?.code, rig.ports.flowCount(1)]).toEqual([1, "lease-lost", 0]);
});

test("[UD2] a block that is removed ends its associations, one that drains waits for them, two minutes at least", async () => {
  let nowMs = 0;
  const wishes: { dueMs: number; what: () => void }[] = [];
  const timers = {
    after: (delayMs: number, what: () => void) => {
      const wish = { dueMs: nowMs + delayMs, what };
      wishes.push(wish);
      return () => void wishes.splice(wishes.indexOf(wish), 1);
    },
  };
  const pass = (ms: number): void => {
    nowMs += ms;
    for (const wish of wishes.splice(0)) {
      if (wish.dueMs <= nowMs) wish.what();
      else wishes.push(wish);
    }
  };
  const rig = await rigOf();
  const stayed = await rig.opened({ now: () => nowMs, timers });
  pass(60_000);
  rig.ports.drainBlock(1);
  expect([stayed.isOver, rig.ports.flowCount(1)]).toEqual([false, 1]);
  pass(59_999);
  expect(stayed.isOver).toBe(false);
  pass(1);
  expect([stayed.isOver, rig.ports.flowCount(1), rig.ends]).toEqual([true, 0, [null]]);
  rig.ports.resumeBlock(1);
  const removed = await rig.opened();
  rig.ports.removeBlock(1);
  expect([removed.isOver, rig.ends[1]?.code]).toEqual([true, "lease-lost"]);
});

test("[UD2] it ends when the client has sent nothing for five minutes, and what comes in keeps it no longer", async () => {
  let nowMs = 0;
  let look: (() => void) | null = null;
  const timers = {
    after: (_delayMs: number, what: () => void) => {
      look = what;
      return () => (look = null);
    },
  };
  const rig = await rigOf();
  const association = await rig.opened({ now: () => nowMs, timers });
  const [client, echo] = [await end(), await end()];
  nowMs = 200_000;
  await says(client, association, echo, "out");
  nowMs = 499_999;
  await echo.send("in", association.egressPlace);
  await client.hears(1);
  look!();
  expect(association.isOver).toBe(false);
  nowMs = 500_000;
  look!();
  expect([association.isOver, look, rig.ends]).toEqual([true, null, [null]]);
});

test("[UD2] it can be closed as often as one likes and is over then; its end is told once", async () => {
  const rig = await rigOf();
  const association = await rig.opened();
  const client = await end();
  association.close();
  association.close();
  rig.ports.removeBlock(1);
  expect(rig.ends).toEqual([null]);
  await client.send(wrapped("127.0.0.1", 9, "late"), association.relayPlace);
  expect(association.tally.describe()).toEqual({ sent: 0, received: 0, drops: {} });
});

test("[UD2] whoever goes while a port is waited for leaves nothing behind", async () => {
  const rig = await rigOf();
  const gone = new AbortController();
  for (let count = 0; count < 64; count += 1) await rig.opened();
  rig.ports.growthOutstanding = true;
  const waiting = rig.open({ portWaitMs: 10_000, signal: gone.signal });
  gone.abort();
  expect((await waiting).ok).toBe(false);
  rig.ports.addBlock({ base: 32_768, order: 6, epoch: 2 });
  expect((await rig.open({ signal: gone.signal })).ok).toBe(false);
  expect(rig.ports.flowCount(2)).toBe(0);
});

test("[UD3] [UD9] only the client is heard, and only from the port of its first datagram", async () => {
  const rig = await rigOf();
  const association = await rig.opened();
  const [client, second, stranger, echo] = [await end(), await end(), await end("127.0.0.7"), await end()];
  await stranger.send(wrapped("127.0.0.1", echo.port, "no"), association.relayPlace);
  await second.send("not SOCKS", association.relayPlace);
  await says(client, association, echo, "yes");
  await second.send(wrapped("127.0.0.1", echo.port, "no"), association.relayPlace);
  expect(await dropped(association, 3)).toEqual({ "sender-foreign": 2, "datagram-malformed": 1 });
  expect(echo.heard.map(({ text }) => text)).toEqual(["yes"]);
  expect(rig.tally.describe().drops).toEqual(dropsOf(association));
});

test.each([
  ["an unspecified address", "0.0.0.0"],
  ["an unspecified IPv6 address", "::"],
  ["its own address", "127.0.0.1"],
])("[UD3] a client that announces its port with %s is heard from no other", async (_what, ip) => {
  const rig = await rigOf();
  const [client, other, echo] = [await end(), await end(), await end()];
  const association = await rig.opened({ announced: { ip, port: client.port } });
  await other.send(wrapped("127.0.0.1", echo.port, "no"), association.relayPlace);
  expect(await dropped(association, 1)).toEqual({ "sender-foreign": 1 });
  await says(client, association, echo, "yes");
});

test("[UD3] what a client announces from behind another address says nothing", async () => {
  const rig = await rigOf();
  const [client, echo] = [await end(), await end()];
  const association = await rig.opened({ announced: { ip: "10.1.2.3", port: 4_000 } });
  await says(client, association, echo, "yes");
  expect(dropsOf(association)).toEqual({});
});

test("[UD4] a name goes to one address as long as it has it, and is resolved here", async () => {
  const rig = await rigOf({ records: { "two.test": ["127.0.0.3", "127.0.0.1"], "v6.test": ["::1"] } });
  const association = await rig.opened();
  const client = await end();
  const first = await end("127.0.0.3");
  for (let count = 1; count <= 3; count += 1) {
    await client.send(wrapped("Two.Test", first.port, `${count}`), association.relayPlace);
    await first.hears(count);
  }
  await first.send("back", association.egressPlace);
  expect(unwrapped((await client.hears(1))[0]!)).toEqual({ ip: "127.0.0.3", port: first.port, text: "back" });
  await client.send(wrapped("127.0.0.3", first.port, "an address as a name"), association.relayPlace);
  await first.hears(4);
  for (const name of ["v6.test", "none.test", "silent.test"]) {
    await client.send(wrapped(name, 9, "x"), association.relayPlace);
  }
  expect(await dropped(association, 3)).toEqual({
    "address-family-mismatch": 1,
    "dns-error": 1,
    "dns-timeout": 1,
  });
});

test("[UD4] [DE4] every destination is judged, and a name with one prohibited address has none", async () => {
  const policy = new DestinationPolicy({
    addresses: new AddressRules({ allowed: ["127.0.0.0/8"], denied: ["127.0.0.66/32"] }),
  });
  const rig = await rigOf({ policy, records: { "mixed.test": ["127.0.0.1", "127.0.0.66"] } });
  const association = await rig.opened();
  const [client, denied, echo] = [await end(), await end("127.0.0.66"), await end()];
  for (const host of ["127.0.0.66", "10.0.0.1", "mixed.test", "::ffff:10.0.0.1", "fe80::1", "2001:470::1"]) {
    await client.send(wrapped(host, denied.port, "x"), association.relayPlace);
  }
  for (const host of ["0x7f.1", "a..b", "bad name", "[::1]"]) {
    await client.send(wrapped(host, 9, "x"), association.relayPlace);
  }
  expect(await dropped(association, 10)).toEqual({
    "destination-prohibited": 5,
    "address-family-mismatch": 1,
    "connect-target-invalid": 4,
  });
  await says(client, association, echo, "still there");
  expect(denied.heard).toEqual([]);
});

test("[UD4] [DE6] a policy that has to ask is waited for, and one that cannot ask drops", async () => {
  let mayAsk = true;
  const isOwn = (ip: string): Promise<boolean> =>
    mayAsk ? Promise.resolve(ip === "198.51.100.9") : Promise.reject(new Error("no"));
  const ask = new DestinationPolicy();
  const own = { code: "destination-prohibited", reason: "own" } as const;
  // What is global is asked for; these stand for such addresses.
  ask.refusalOf = async () => ((await isOwn("127.0.0.1")) ? own : null);
  const rig = await rigOf({ policy: ask });
  const association = await rig.opened();
  const [client, echo] = [await end(), await end()];
  await says(client, association, echo, "asked");
  mayAsk = false;
  await client.send(wrapped("127.0.0.1", echo.port, "x"), association.relayPlace);
  expect(await dropped(association, 1)).toEqual({ "internal-fault": 1 });
});

test("[UD9] a datagram that still waits when its association ends is counted as well", async () => {
  const waiting: ((refused: PolicyRefusal | null) => void)[] = [];
  const slow = new DestinationPolicy();
  slow.refusalOf = () => new Promise((resolve) => waiting.push(resolve));
  const rig = await rigOf({ policy: slow });
  const association = await rig.opened();
  const [client, echo] = [await end(), await end()];
  for (const payload of ["one", "another"])
    await client.send(wrapped("127.0.0.1", echo.port, payload), association.relayPlace);
  await eventually(() => waiting.length === 2, "both wait");
  association.close();
  waiting[0]!(null);
  waiting[1]!({ code: "destination-prohibited", reason: "own" });
  expect(await dropped(association, 2)).toEqual({ "association-ended": 1, "destination-prohibited": 1 });
  expect(echo.heard).toEqual([]);
});

test("[UD4] at most 32 datagrams wait for a name server; others go on meanwhile", async () => {
  const rig = await rigOf();
  const association = await rig.opened();
  const [client, echo] = [await end(), await end()];
  for (let count = 0; count < 40; count += 1) {
    await client.send(wrapped(`n${count}.silent.test`, 9, "x"), association.relayPlace);
  }
  expect(await dropped(association, 8)).toEqual({ "resolution-backlog": 8 });
  await says(client, association, echo, "meanwhile");
  expect(await dropped(association, 40)).toEqual({ "resolution-backlog": 8, "dns-timeout": 32 });
});

test("[UD5] only an address that was written to may answer, from any of its ports, and only for so long", async () => {
  let nowMs = 0;
  const rig = await rigOf();
  const association = await rig.opened({ now: () => nowMs });
  const [client, asked, neighbour, stranger] = [
    await end(),
    await end(),
    await end(),
    await end("127.0.0.9"),
  ];
  await stranger.send("before anything", association.egressPlace);
  expect(await dropped(association, 1)).toEqual({ "source-unsolicited": 1 });
  await says(client, association, asked, "hello");
  await stranger.send("unasked", association.egressPlace);
  expect(await dropped(association, 2)).toEqual({ "source-unsolicited": 2 });
  await neighbour.send("from another port", association.egressPlace);
  await asked.send("from the port", association.egressPlace);
  const heard = (await client.hears(2)).map(unwrapped);
  expect(heard.map(({ port }) => port)).toEqual([neighbour.port, asked.port]);
  nowMs = 310_000;
  await asked.send("too late", association.egressPlace);
  expect(await dropped(association, 3)).toEqual({ "source-unsolicited": 3 });
});

test("[UD7] what a destination refuses, or the kernel does not send, ends nothing", async () => {
  const rig = await rigOf({
    policy: new DestinationPolicy({ addresses: new AddressRules({ allowed: ["0.0.0.0/0"] }) }),
  });
  const association = await rig.opened();
  const [client, echo, gone] = [await end(), await end(), await UdpEnd.bind()];
  const nobody = gone.port;
  gone.close();
  for (let count = 0; count < 5; count += 1) {
    await client.send(wrapped("127.0.0.1", nobody, "port unreachable"), association.relayPlace);
  }
  // A loopback source towards another network, and a broadcast.
  await client.send(wrapped("198.51.100.1", 9, "x"), association.relayPlace);
  await client.send(wrapped("255.255.255.255", 9, "x"), association.relayPlace);
  expect(await dropped(association, 2)).toEqual({ "destination-unroutable": 2 });
  await says(client, association, echo, "still there");
});

test("[UD8] the largest datagram passes out and in, and one that does not fit is counted", async () => {
  const rig = await rigOf();
  const association = await rig.opened();
  const [client, echo] = [await end(), await end()];
  const largest = Buffer.alloc(65_507 - 10, 7);
  await client.send(wrapped("127.0.0.1", echo.port, largest), association.relayPlace);
  expect((await echo.hears(1))[0]!.text.length).toBe(65_497);
  await echo.send(largest, association.egressPlace);
  expect(unwrapped((await client.hears(1))[0]!).text.length).toBe(65_497);
  await echo.send(Buffer.alloc(65_507), association.egressPlace);
  expect(await dropped(association, 1)).toEqual({ "datagram-too-large": 1 });
});

test("[UD8] what the kernel does not take in time is dropped, each way, and counted", async () => {
  const rig = await rigOf();
  const association = await rig.opened();
  const [client, echo] = [await end(), await end()];
  await says(client, association, echo, "before");
  const queued = vi.spyOn(Socket.prototype, "getSendQueueSize").mockReturnValue(64 * 1024);
  await client.send(wrapped("127.0.0.1", echo.port, "out"), association.relayPlace);
  await echo.send("in", association.egressPlace);
  expect(await dropped(association, 2)).toEqual({ "queue-full": 2 });
  queued.mockRestore();
  await says(client, association, echo, "after");
  expect(echo.heard.map(({ text }) => text)).toEqual(["before", "after"]);
});

test("[GW25] sockets of UDP count until they have closed, and without room there is no association", async () => {
  const rig = await rigOf({ maxSockets: 3 });
  const association = await rig.opened();
  const refused = await rig.open();
  expect(refused).toMatchObject({ ok: false, refusal: { code: "connections-exhausted" } });
  association.close();
  await eventually(() => !rig.sockets.isFull, "they have closed");
  expect((await rig.open()).ok).toBe(true);
});

test("[UD1] IPv6 is sent from an IPv6 address, and to nothing else", async () => {
  const rig = await rigOf({ egressIp: "::1", records: { "six.test": ["::1", "127.0.0.1"] } });
  const association = await rig.opened();
  const [client, echo] = [await end(), await end("::1")];
  await client.send(wrapped("::1", echo.port, "a"), association.relayPlace);
  await echo.hears(1);
  await client.send(wrapped("six.test", echo.port, "b"), association.relayPlace);
  const heard = await echo.hears(2);
  expect(heard.map(({ ip, port, text }) => [ip, port, text])).toEqual([
    ["::1", association.egressPlace.port, "a"],
    ["::1", association.egressPlace.port, "b"],
  ]);
  await echo.send("back", association.egressPlace);
  expect(unwrapped((await client.hears(1))[0]!)).toEqual({ ip: "::1", port: echo.port, text: "back" });
  await client.send(wrapped("127.0.0.1", 9, "x"), association.relayPlace);
  expect(await dropped(association, 1)).toEqual({ "address-family-mismatch": 1 });
});

test("[UD3] a client by IPv6 has its place there, also one that was accepted by IPv4 on such a listener", async () => {
  const rig = await rigOf();
  const echo = await end();
  const six = await rig.opened({ clientIp: "::1", listenIp: "::1", announced: { ip: "::", port: 0 } });
  expect(six.relayPlace.ip).toBe("::1");
  await says(await end("::1"), six, echo, "by IPv6");
  const mapped = await rig.opened({ clientIp: "::ffff:127.0.0.1", listenIp: "::ffff:127.0.0.1" });
  expect(mapped.relayPlace.ip).toBe("127.0.0.1");
  await says(await end(), mapped, echo, "mapped");
});

test("[UD2] a thousand associations end with no port, no socket and no timer", async () => {
  const rig = await rigOf({ order: 10 });
  const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  const sockets = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "UDPWrap").length;
  const before = [timers(), sockets()];
  const all = await Promise.all(Array.from({ length: 1_000 }, () => rig.opened()));
  expect(rig.ports.heldCounts().inUse).toBe(1_000);
  const [client, echo] = [await end(), await end()];
  for (const association of all.slice(0, 100)) await says(client, association, echo, "x");
  for (const [at, association] of all.entries()) if (at % 2 === 0) association.close();
  rig.ports.removeBlock(1);
  expect([rig.ends.length, rig.ports.heldCounts().inUse]).toEqual([1_000, 0]);
  await eventually(() => rig.ports.heldCounts().heldDown === 0, "the hold-down is over");
  client.close();
  echo.close();
  closing.splice(1);
  await eventually(() => sockets() <= before[1]!, "no socket is left");
  expect(timers()).toBeLessThanOrEqual(before[0]! + 1);
});

test("[UD2] a term that is renewed keeps an association", async () => {
  const rig = await rigOf();
  const association = await rig.opened();
  rig.ports.setTerm(termFrom(readClock(), 3_600_000));
  const [client, echo] = [await end(), await end()];
  await says(client, association, echo, "after the renewal");
  expect(association.isOver).toBe(false);
});

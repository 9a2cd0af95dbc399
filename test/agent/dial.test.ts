/** Dials on real sockets: names with many addresses, and what is left when one was given up. */
import { getEventListeners, once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { termFrom } from "../../src/core/lease-term.ts";
import { UNMETERED } from "../../src/agent/egress/flow-use.ts";
import { AddressPorts } from "../../src/agent/egress/address-ports.ts";
import { readClock } from "../../src/process/clock.ts";
import { AddressRules, type OwnMachine } from "../../src/policy/address-rules.ts";
import { DestinationPolicy } from "../../src/policy/destination-policy.ts";
import { destinationKey } from "../../src/agent/egress/destination-key.ts";
import { Dialler } from "../../src/agent/egress/dial.ts";
import { Resolver } from "../../src/agent/egress/resolver.ts";
import { problemOf } from "../../src/agent/egress/faults.ts";
import { startNameServer } from "../e2e/name-server.ts";
import { startDeafServer } from "./deaf-server.ts";
import { eventually } from "./gateway-rig.ts";

/** Public as such. */
const OWN = "8.8.8.8";

const closing: (() => unknown)[] = [];
let ports: AddressPorts;
/** Of the last dialler. */
let policy: DestinationPolicy;
/** An origin on 127.0.0.1; nobody listens on its port at other addresses. */
let port: number;
let accepted: string[];
/** What was tried, and how it ended. */
let tries: string[];

beforeEach(async () => {
  ports = new AddressPorts("127.0.0.17", { holdDownMs: 100 });
  ports.addBlock({ base: 20_480, order: 6, epoch: 1 });
  ports.setTerm(termFrom(readClock(), 3_600_000));
  accepted = [];
  tries = [];
  const server = createServer((socket) => {
    accepted.push(socket.remoteAddress!);
    socket.on("error", () => {});
    socket.resume();
    closing.push(() => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ({ port } = server.address() as AddressInfo);
  closing.push(
    () => server.close(),
    () => ports.close(),
  );
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const close of closing.splice(0)) await close();
});

async function dialler(
  records: Record<string, readonly string[]>,
  connectTimeoutMs = 5_000,
  isOwn?: OwnMachine["isOwn"],
): Promise<Dialler> {
  const nameServer = await startNameServer(records);
  const resolver = new Resolver({ servers: [nameServer.address] });
  const machine = isOwn && { machine: { isOwn } };
  policy = new DestinationPolicy({ addresses: new AddressRules({ allowed: ["127.0.0.0/8"], ...machine }) });
  const made = new Dialler(resolver, { connectTimeoutMs, portWaitMs: 2_000 });
  made.onTry = (from, place) => {
    const at = tries.push(`${from} to ${place.ip}`) - 1;
    return (fault) => (tries[at] += fault === null ? " connected" : ` ${problemOf(fault).code}`);
  };
  closing.push(
    () => resolver.close(),
    () => nameServer.close(),
  );
  // The rotation begins with the first address of the answer.
  vi.spyOn(Math, "random").mockReturnValue(0);
  return made;
}

async function deaf(...ips: string[]): Promise<void> {
  closing.push((await startDeafServer(ips, port)).close);
}

const nothingHeld = (): boolean => ports.heldCounts().inUse === 0 && ports.heldCounts().heldDown === 0;
const numbered = (first: number, count: number): string[] =>
  Array.from({ length: count }, (_, at) => `127.0.1.${first + at}`);

it("[BI11] an address that hangs costs a moment and no more; its port rests at once", async () => {
  await deaf("127.0.1.1");
  const { dial } = bound(await dialler({ "two.test": ["127.0.1.1", "127.0.0.1"] }));
  const startMs = performance.now();
  const { socket, held } = await dial("two.test");
  expect(performance.now() - startMs).toBeGreaterThan(240);
  expect(socket.remoteAddress).toBe("127.0.0.1");
  expect(held.destination.key).toBe(destinationKey("127.0.0.1", port));
  await eventually(() => ports.heldCounts().inUse === 1, "the loser's port is given back");
  expect(tries).toEqual([
    "127.0.0.17 to 127.0.1.1 connection-terminated",
    "127.0.0.17 to 127.0.0.1 connected",
  ]);
  socket.destroy();
  await eventually(nothingHeld, "all is given back");
});

it("[BI11] sixteen addresses of a name are tried", async () => {
  const { dial } = bound(await dialler({ "last.test": [...numbered(1, 15), "127.0.0.1"] }));
  const { socket } = await dial("last.test");
  expect(socket.remoteAddress).toBe("127.0.0.1");
  expect(tries).toHaveLength(16);
  await eventually(() => ports.heldCounts().inUse === 1, "only the winner has a port");
  socket.destroy();
  const none = bound(await dialler({ "none.test": numbered(1, 50) }));
  await expect(none.dial("none.test")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  expect(tries).toHaveLength(32);
});

it("[BI12] addresses that hang take no other's turn, even when they are many", async () => {
  await deaf(...numbered(1, 9));
  const { dial } = bound(await dialler({ "deaf.test": [...numbered(1, 9), "127.0.0.1"] }, 1_500));
  const dialled = dial("deaf.test");
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, ports.heldCounts().inUse)), 5);
  const { socket } = await dialled;
  clearInterval(watch);
  expect(socket.remoteAddress).toBe("127.0.0.1");
  expect(most).toBeLessThanOrEqual(4);
  socket.destroy();
  await eventually(nothingHeld, "all is given back");
});

it("[BI12] no free port towards one address keeps none from the others", async () => {
  const { dial } = bound(await dialler({ "two.test": ["127.0.1.1", "127.0.0.1"] }));
  for (let at = 0; at < 64; at += 1) expect(ports.take(destinationKey("127.0.1.1", port)).ok).toBe(true);
  const { socket } = await dial("two.test");
  expect(socket.remoteAddress).toBe("127.0.0.1");
  socket.destroy();
});

it("[DE4] every address is judged before any is dialled, the last of fifty too", async () => {
  for (const place of [0, 1, 3, 15, 16, 49]) {
    const addresses = ["127.0.0.1", ...numbered(1, 49)];
    addresses[place] = "10.0.0.1";
    const { dial } = bound(await dialler({ "mixed.test": addresses }));
    await expect(dial("mixed.test")).rejects.toMatchObject({ code: "destination-prohibited" });
  }
  expect(accepted).toEqual([]);
  expect(tries).toEqual([]);
});

it("[DE4] also those of a family that cannot be dialled, and mapped ones", async () => {
  const records = {
    "private-six.test": ["2a00::1", "fd00::1"],
    "mapped.test": ["::ffff:127.0.0.1", "::ffff:10.0.0.1"],
  };
  const { dial } = bound(await dialler(records));
  for (const name of Object.keys(records)) {
    await expect(dial(name)).rejects.toMatchObject({ code: "destination-prohibited" });
  }
  expect(tries).toEqual([]);
});

it.each([
  ["at once", (ip: string) => ip === OWN],
  ["later", async (ip: string) => ip === OWN],
])(
  "[DE4] [DE6] one of the machine's own among them is found, when that is known %s",
  async (_when, isOwn) => {
    const { dial } = bound(await dialler({ "own.test": ["127.0.0.1", OWN] }, 1_000, isOwn));
    await expect(dial("own.test")).rejects.toMatchObject({ code: "destination-prohibited" });
    expect(tries).toEqual([]);
  },
);

it("[RS4] a mapped address is dialled as what it maps, and once in whatever form it came", async () => {
  const { dial } = bound(await dialler({ "mapped.test": ["::ffff:127.0.0.1", "::ffff:7f00:1"] }));
  for (const host of ["mapped.test", "::ffff:127.0.0.1", "::ffff:7f00:1"]) {
    const { socket, held } = await dial(host);
    expect(held.destination.key).toBe(destinationKey("127.0.0.1", port));
    socket.destroy();
  }
  expect(tries).toEqual(Array.from({ length: 3 }, () => "127.0.0.17 to 127.0.0.1 connected"));
});

it("[RS4] a name of the other family, and a mapped address in it, are refused by name", async () => {
  const { dial } = bound(
    await dialler({ "six.test": ["2a00::1", "2a00::2"], "both.test": ["2a00::1", "127.0.0.1"] }),
  );
  await expect(dial("six.test")).rejects.toMatchObject({
    code: "address-family-mismatch",
    detail: "six.test has only IPv6 addresses; the egress address 127.0.0.17 is IPv4.",
  });
  const { socket } = await dial("both.test");
  socket.destroy();
  expect(tries).toEqual(["127.0.0.17 to 127.0.0.1 connected"]);
});

it("[BI11] given up in the race, or its lease lost: no port is held and nothing connects later", async () => {
  await deaf("127.0.1.1", "127.0.1.2");
  const { dial } = bound(await dialler({ "deaf.test": ["127.0.1.1", "127.0.1.2"] }));
  const leaving = new AbortController();
  const given = dial("deaf.test", leaving.signal);
  await eventually(() => ports.heldCounts().inUse === 2, "both are tried");
  leaving.abort();
  await expect(given).rejects.toMatchObject({ code: "connection-terminated" });
  await eventually(nothingHeld, "all is given back");
  const lost = dial("deaf.test");
  await eventually(() => ports.heldCounts().inUse === 2, "both are tried");
  ports.removeBlock(1);
  await expect(lost).rejects.toMatchObject({ code: "lease-lost" });
  await eventually(nothingHeld, "all is given back");
});

it("[BI13] each try is told with how it ended, and nothing of what this host itself refused", async () => {
  await deaf("127.0.1.1");
  const { dial } = bound(await dialler({}, 300));
  (await dial("127.0.0.1")).socket.destroy();
  await expect(dial("127.0.1.1")).rejects.toMatchObject({ code: "connection-timeout" });
  await expect(dial("127.0.1.2")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  await expect(dial("silent.test")).rejects.toMatchObject({ code: "dns-timeout" });
  await expect(dial("absent.test")).rejects.toMatchObject({ code: "dns-error" });
  await expect(dial("10.0.0.1")).rejects.toMatchObject({ code: "destination-prohibited" });
  ports.setTerm(null);
  await expect(dial("127.0.0.1")).rejects.toMatchObject({ code: "lease-lost" });
  expect(tries).toEqual([
    "127.0.0.17 to 127.0.0.1 connected",
    "127.0.0.17 to 127.0.1.1 connection-timeout",
    "127.0.0.17 to 127.0.1.2 connection-refused",
  ]);
});

it("[BI11] a dial that is given up during its name's resolution ends at once", async () => {
  const { dial } = bound(await dialler({}));
  const leaving = new AbortController();
  const given = dial("silent.test", leaving.signal);
  leaving.abort();
  await expect(given).rejects.toMatchObject({ code: "connection-terminated" });
});

it("[BI11] the first of a name's addresses is drawn, and then it goes on around", async () => {
  const { dial } = bound(await dialler({ "four.test": ["127.0.0.1", ...numbered(1, 3)] }));
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  const { socket } = await dial("four.test");
  socket.destroy();
  expect(tries).toEqual([
    "127.0.0.17 to 127.0.1.2 connection-refused",
    "127.0.0.17 to 127.0.1.3 connection-refused",
    "127.0.0.17 to 127.0.0.1 connected",
  ]);
});

it("[BI7] of the ports that the kernel refuses eight are tried, and stay held", async () => {
  const { dial } = bound(await dialler({}));
  const taken = Array.from({ length: 64 }, (_, at) => createServer().listen(20_480 + at, "127.0.0.17"));
  closing.push(...taken.map((server) => () => server.close()));
  await Promise.all(taken.map((server) => once(server, "listening")));
  await expect(dial("127.0.0.1")).rejects.toMatchObject({
    code: "port-block-exhausted",
    detail: "The kernel refuses the ports of the block.",
  });
  expect(tries).toHaveLength(8);
  expect(ports.heldCounts()).toEqual({ inUse: 0, heldDown: 8 });
  expect(accepted).toEqual([]);
});

it("[DE4] the refusal of a destination says which address it is, and why", async () => {
  const { dial } = bound(await dialler({ "private.test": ["10.0.0.1"] }));
  const why = "is a private or special address; hosts reach it only if they run with --allow for its range.";
  await expect(dial("private.test")).rejects.toMatchObject({
    code: "destination-prohibited",
    detail: `private.test is 10.0.0.1, which ${why}`,
  });
  await expect(dial("::ffff:10.0.0.1")).rejects.toMatchObject({
    code: "destination-prohibited",
    detail: `10.0.0.1 ${why}`,
  });
});

it("[RS4] an address of the other family is refused as what it is", async () => {
  const { dial } = bound(await dialler({}));
  await expect(dial("2a00::1")).rejects.toMatchObject({
    code: "address-family-mismatch",
    detail: "2a00::1 is an IPv6 address; the egress address 127.0.0.17 is IPv4.",
  });
  const six = new AddressPorts("::1");
  closing.push(() => six.close());
  const made = await dialler({});
  const context = { pool: "main", tenant: "test", address: six, policy, meter: UNMETERED };
  await expect(made.dial(context, "127.0.0.1", port)).rejects.toMatchObject({
    code: "address-family-mismatch",
    detail: "127.0.0.1 is an IPv4 address; the egress address ::1 is IPv6.",
  });
});

it("[BI6] while growth is outstanding a dial waits for a port, for its own time at most", async () => {
  const { dial } = bound(await dialler({}, 300));
  for (let at = 0; at < 64; at += 1) ports.take(destinationKey("127.0.0.1", port));
  await expect(dial("127.0.0.1")).rejects.toMatchObject({
    code: "port-block-exhausted",
    detail: `127.0.0.17 towards 127.0.0.1 port ${port}`,
  });
  ports.growthOutstanding = true;
  await expect(dial("127.0.0.1")).rejects.toMatchObject({ code: "port-block-exhausted" });
  const patient = bound(await dialler({})).dial("127.0.0.1");
  ports.addBlock({ base: 24_576, order: 6, epoch: 2 });
  const { socket, held } = await patient;
  expect(held.block.lease.epoch).toBe(2);
  expect([socket.localAddress, socket.localPort]).toEqual(["127.0.0.17", held.port]);
  socket.destroy();
});

it("[BI11] a dial that has ended listens to its signal no more, nor does one that never began", async () => {
  const { dial } = bound(await dialler({ "two.test": ["127.0.0.1", "127.0.1.1"] }));
  const leaving = new AbortController();
  for (const host of ["127.0.0.1", "two.test"]) (await dial(host, leaving.signal)).socket.destroy();
  await expect(dial("127.0.1.1", leaving.signal)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  await expect(dial("absent.test", leaving.signal)).rejects.toMatchObject({ code: "dns-error" });
  expect(getEventListeners(leaving.signal, "abort")).toEqual([]);
  leaving.abort();
  const before = tries.length;
  for (const host of ["127.0.0.1", "two.test", "silent.test"]) {
    await expect(dial(host, leaving.signal)).rejects.toMatchObject({ code: "connection-terminated" });
  }
  expect(tries.slice(before).filter((one) => one.endsWith(" connected"))).toEqual([]);
});

it("[RS5] the families of a name are those that the name servers know", async () => {
  const made = await dialler({ "six.test": ["2a00::1"] });
  expect(await made.familiesOf("six.test")).toEqual([6]);
  expect(made.familiesOf("localhost")).toEqual([4, 6]);
});

function bound(made: Dialler): { dial: (host: string, signal?: AbortSignal) => ReturnType<Dialler["dial"]> } {
  return {
    dial: (host, signal) =>
      made.dial(
        { pool: "main", tenant: "test", address: ports, policy, meter: UNMETERED },
        host,
        port,
        signal,
      ),
  };
}

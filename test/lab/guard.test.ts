/**
 * The guard, judged by what came by on the wire at the Internet's side. One host, whose
 * leased block is 2048-2111; every other port is foreign to it.
 */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { permissionText, removalText } from "../../src/agent/machine/guard-ruleset.ts";
import type { GuardCount } from "../../src/agent/machine/guard.ts";
import { Lab } from "./lab.ts";
import type { LabProcess } from "./lab-process.ts";
import { echoRequest, frame, packet, type Payload, type Route, tcp, TCP_FLAG, udp } from "./packets.ts";
import { ORIGINS_IPV4, ORIGINS_IPV6, SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";
import { steerStatically } from "./static-steering.ts";

const ORIGIN_PORT = 7000;
const OWN_PORT = 2050;
const FOREIGN_PORT = 2200;
const BLOCK = "2048/6";
/** For what must come, on a machine that may be busy. */
const TIMEOUT = { timeout: 30_000 };
const FAMILIES = [
  { name: "IPv4", shared: SHARED_IPV4, origin: ORIGINS_IPV4[0], filter: `src host ${SHARED_IPV4}` },
  { name: "IPv6", shared: SHARED_IPV6, origin: ORIGINS_IPV6[0], filter: `src host ${SHARED_IPV6}` },
] as const;

let lab: Lab;
let caller: LabProcess;
let keeper: LabProcess;

beforeAll(async () => {
  lab = await Lab.create({ hosts: 1, routers: 1 });
  await steerStatically(lab, "r1", [{ host: 1, first: 1024, last: 65_535 }]);
  // Each stray is to have its answer: the kernel must not save on ICMP errors.
  await lab.exec("h1", ["sysctl", "-q", "-w", "net.ipv4.icmp_ratemask=0", "net.ipv6.icmp.ratelimit=0"]);
  caller = lab.spawnNode("h1", join(import.meta.dirname, "caller.ts"));
  const origin = lab.spawnNode("internet", join(import.meta.dirname, "echo-origin.ts"), [`${ORIGIN_PORT}`]);
  await origin.waitFor("listening");
});

beforeEach(async () => {
  keeper = await startKeeper();
});

afterEach(async () => {
  await keeper.kill();
  await lab.exec("h1", ["nft", "-f", "-"], removalText());
});

afterAll(() => lab?.destroy());

async function startKeeper(): Promise<LabProcess> {
  const started = lab.spawnNode("h1", join(import.meta.dirname, "guard-keeper.ts"));
  await started.waitFor("ready\n");
  return started;
}

/** A datagram from a port of the shared IPv4 address, as a question to the caller. */
function datagramFrom(port: number, count = 1): string {
  return `send ${SHARED_IPV4} ${port} ${ORIGINS_IPV4[0]} ${ORIGIN_PORT} ${count} 8`;
}

function allow(ip: string, blocks = BLOCK, leaseMs = 60_000): Promise<string> {
  return keeper.ask(`allow ${ip} ${leaseMs} ${blocks}`);
}

async function countsOf(ip: string): Promise<GuardCount> {
  const counts = JSON.parse(await keeper.ask("counts")) as GuardCount[];
  return counts.find((count) => count.ip === ip)!;
}

/** Hands packets to the host as if its router had steered them there. */
async function deliver(route: Route, payloads: readonly Payload[]): Promise<void> {
  const [routerMac, hostMac] = [await lab.macOf("r1", "lan0"), await lab.macOf("h1", "lan0")];
  await lab.inject(
    "r1",
    "lan0",
    payloads.map((payload) => frame(routerMac, hostMac, packet(route, payload))),
  );
}

test.each(FAMILIES)(
  "[GU1] a socket outside the block is silent: $name",
  async ({ shared, origin, filter }) => {
    // Without ICMP: the origin's replies find the port closed again, and the host says so.
    const wire = await lab.capture("internet", "eth0", `(tcp or udp) and ${filter}`);
    expect(await allow(shared)).toBe("ok");
    const datagrams = (port: number): string => `send ${shared} ${port} ${origin} ${ORIGIN_PORT} 5 8`;
    expect(await caller.ask(datagrams(OWN_PORT))).toBe("ok 5");
    for (const port of [1024, 2047, 2112, FOREIGN_PORT, 65_535]) {
      // The kernel tells the sender of a datagram that it was dropped.
      expect(await caller.ask(datagrams(port))).toBe("ok 0");
    }
    expect(await caller.ask(`connect ${shared} ${OWN_PORT + 1} ${origin} ${ORIGIN_PORT}`)).toBe(
      `ok ${shared} ${OWN_PORT + 1}`,
    );
    // This one gets no answer and would try again and again, so it has a caller of its own.
    const vain = lab.spawnNode("h1", join(import.meta.dirname, "caller.ts"));
    vain.write(`connect ${shared} ${FOREIGN_PORT} ${origin} ${ORIGIN_PORT}`);
    await vi.waitUntil(async () => (await countsOf(shared)).foreignPortCount >= 26, TIMEOUT);
    await vain.kill();
    expect(await wire.count("udp")).toBe(5);
    expect(await wire.count(`not port ${OWN_PORT} and not port ${OWN_PORT + 1}`)).toBe(0);
  },
);

test.each(FAMILIES)("[GU1] the kernel's own packets are held to the block: $name", async (family) => {
  const { shared, origin, filter } = family;
  const route = { from: origin, to: shared };
  const strays = (port: number): Payload[] => [
    tcp(route, { sourcePort: 4000, destinationPort: port, flags: TCP_FLAG.syn }),
    tcp(route, { sourcePort: 4000, destinationPort: port, flags: TCP_FLAG.ack }),
    udp(route, { sourcePort: 4000, destinationPort: port }),
    echoRequest(route, port),
  ];
  const reset = "(tcp and (ip6[53] & 4 != 0 or tcp[13] & 4 != 0))";

  // Without the guard the kernel would answer for ports that are another host's.
  const before = await lab.capture("internet", "eth0", filter);
  await deliver(route, strays(FOREIGN_PORT));
  await before.reaches(4);
  expect(await before.count(reset)).toBe(2);
  expect(await before.count("icmp or icmp6")).toBe(2);

  expect(await allow(shared)).toBe("ok");
  const after = await lab.capture("internet", "eth0", filter);
  await deliver(route, strays(FOREIGN_PORT));
  // Its own are answered as ever, and come last.
  await deliver(route, strays(OWN_PORT));
  await vi.waitUntil(async () => (await countsOf(shared)).foreignPortCount >= 4, TIMEOUT);
  await after.reaches(4);
  expect((await countsOf(shared)).foreignPortCount).toBe(4);
  expect(await after.count(`${reset} and src port ${OWN_PORT}`)).toBe(2);
  expect(await after.count(`port ${FOREIGN_PORT}`)).toBe(0);
  expect(await after.count("icmp or icmp6")).toBe(2);
});

test("[GU1] other protocols do not leave from a shared address", async () => {
  expect(await allow(SHARED_IPV4)).toBe("ok");
  const route = { from: ORIGINS_IPV4[0], to: SHARED_IPV4 };
  const wire = await lab.capture("internet", "eth0", `src host ${SHARED_IPV4}`);
  // An unknown protocol is answered with an ICMP error, which quotes no port.
  await deliver(route, [{ protocol: 132, bytes: Buffer.alloc(32) }]);
  await vi.waitUntil(async () => (await countsOf(SHARED_IPV4)).foreignPortCount === 1, TIMEOUT);
  expect(await wire.count()).toBe(0);
});

test.each(FAMILIES)("[GU2] fragments are dropped and counted: $name", async ({ shared, origin, filter }) => {
  expect(await allow(shared)).toBe("ok");
  // Not the host's own complaints: the origin's replies find the port closed again.
  const wire = await lab.capture("internet", "eth0", `${filter} and not icmp and not icmp6`);
  expect(await caller.ask(`send ${shared} ${OWN_PORT} ${origin} ${ORIGIN_PORT} 3 4000`)).toMatch(/^ok/);
  expect(await caller.ask(`send ${shared} ${OWN_PORT} ${origin} ${ORIGIN_PORT} 2 1000`)).toBe("ok 2");
  expect(await wire.count()).toBe(2);
  expect((await countsOf(shared)).fragmentCount).toBeGreaterThanOrEqual(3);
});

test("[GU3] a stopped keeper falls silent at the end of the lease", async () => {
  const wire = await lab.capture("internet", "eth0", `udp and src host ${SHARED_IPV4}`);
  const endMs = Number(await keeper.ask(`lend ${SHARED_IPV4} 4000 ${BLOCK}`));
  keeper.signal("SIGSTOP");
  let leftCount = 0;
  while ((await caller.ask(datagramFrom(OWN_PORT))) === "ok 1") leftCount += 1;
  expect(leftCount).toBeGreaterThan(0);
  // And stays so, past the end.
  await vi.waitUntil(() => Date.now() > endMs, TIMEOUT);
  expect(await caller.ask(datagramFrom(OWN_PORT, 20))).toBe("ok 0");
  const packets = await wire.packets();
  expect(packets).toHaveLength(leftCount);
  // tcpdump begins each line with the time, in seconds.
  expect(1000 * Number.parseFloat(packets.at(-1)!)).toBeLessThan(endMs);
  keeper.signal("SIGCONT");
  expect((await countsOf(SHARED_IPV4)).foreignPortCount).toBeGreaterThanOrEqual(21);
});

/** Tells the kernel without a guard, so that its two clocks can be set apart. */
async function tellDirectly(remainingMs: number, wallLeftMs: number): Promise<void> {
  const blocks = [{ base: 2048, order: 6 }];
  const wallEndMs = Date.now() + wallLeftMs;
  const text = permissionText({ ip: SHARED_IPV4, blocks, remainingMs, wallEndMs });
  await lab.exec("h1", ["nft", "-f", "-"], text);
}

test("[GU3] either clock ends what is allowed", async () => {
  await tellDirectly(600_000, 600_000);
  expect(await caller.ask(datagramFrom(OWN_PORT))).toBe("ok 1");
  // As if the agent had slept between its reckoning and its telling.
  await tellDirectly(600_000, 0);
  expect(await caller.ask(datagramFrom(OWN_PORT))).toBe("ok 0");
  // As if the wall clock had been set back.
  await tellDirectly(1500, 600_000);
  expect(await caller.ask(datagramFrom(OWN_PORT))).toBe("ok 1");
  await vi.waitUntil(async () => (await caller.ask(datagramFrom(OWN_PORT))) === "ok 0", TIMEOUT);
});

test.each(FAMILIES)("[GU4] renewal and growth leave no gap: $name", async ({ shared, origin, filter }) => {
  const wire = await lab.capture("internet", "eth0", `udp and ${filter}`);
  expect(await allow(shared)).toBe("ok");
  const renewing = keeper.ask(`renew ${shared} 60000 ${BLOCK},4096/12 5 150`);
  const sending = caller.ask(`send ${shared} ${OWN_PORT} ${origin} ${ORIGIN_PORT} 30000 8`);
  expect(await renewing).toBe("ok");
  expect(await sending).toBe("ok 30000");
  expect(await wire.count()).toBe(30_000);
  expect(await countsOf(shared)).toEqual({ ip: shared, foreignPortCount: 0, fragmentCount: 0 });
});

test("[GU4] a block that is given up is silent at once, the others are not", async () => {
  expect(await allow(SHARED_IPV4, `${BLOCK},4096/7`)).toBe("ok");
  for (const port of [2048, 2111, 4096, 4223]) expect(await caller.ask(datagramFrom(port))).toBe("ok 1");
  expect(await allow(SHARED_IPV4, "4096/7")).toBe("ok");
  for (const port of [2048, 2111]) expect(await caller.ask(datagramFrom(port))).toBe("ok 0");
  for (const port of [4096, 4223]) expect(await caller.ask(datagramFrom(port))).toBe("ok 1");
  expect(await allow(SHARED_IPV4, "-")).toBe("ok");
  for (const port of [4096, 4223]) expect(await caller.ask(datagramFrom(port))).toBe("ok 0");
});

test("[GU5] the guard outlives its agent, and only a removal lifts it", async () => {
  expect(await allow(SHARED_IPV4)).toBe("ok");
  await keeper.kill();
  expect(await caller.ask(datagramFrom(FOREIGN_PORT))).toBe("ok 0");
  keeper = await startKeeper();
  // What was allowed before is still this machine's.
  expect(await caller.ask(datagramFrom(OWN_PORT))).toBe("ok 1");
  expect(await caller.ask(datagramFrom(FOREIGN_PORT))).toBe("ok 0");
  expect(await keeper.ask("close")).toBe("ok");
  expect(await caller.ask(datagramFrom(OWN_PORT))).toBe("ok 0");
  expect(await keeper.ask("remove")).toBe("ok");
  expect(await caller.ask(datagramFrom(FOREIGN_PORT))).toBe("ok 1");
});

test("[GU5] a second agent cannot take the guard", async () => {
  expect(await keeper.ask("open")).toMatch(/^error guard-in-use/);
});

test("[GU8] a guard that another program has taken out of the kernel is put back, with what was allowed", async () => {
  const flush = (): Promise<unknown> => lab.exec("h1", ["nft", "flush", "ruleset"]);
  expect(await allow(SHARED_IPV4)).toBe("ok");
  expect(await keeper.ask("restore")).toBe("ok false");
  await flush();
  expect(await caller.ask(datagramFrom(FOREIGN_PORT))).toBe("ok 1");
  expect(await keeper.ask("restore")).toBe("ok true");
  expect(await caller.ask(datagramFrom(FOREIGN_PORT))).toBe("ok 0");
  expect(await caller.ask(datagramFrom(OWN_PORT))).toBe("ok 1");
  const big = `send ${SHARED_IPV4} ${OWN_PORT} ${ORIGINS_IPV4[0]} ${ORIGIN_PORT} 1 4000`;
  const wire = await lab.capture("internet", "eth0", `udp and src host ${SHARED_IPV4}`);
  await caller.ask(big);
  expect(await wire.count()).toBe(0);
  // Word for another address finds it missing as well, and brings back this one's too.
  await flush();
  expect(await allow(SHARED_IPV6)).toBe("ok");
  expect(await caller.ask(datagramFrom(FOREIGN_PORT))).toBe("ok 0");
  expect(await caller.ask(datagramFrom(OWN_PORT))).toBe("ok 1");
});

test("[GU6] packets of shared addresses are not tracked, and others are left alone", async () => {
  await lab.exec("h1", [
    "nft",
    "add table inet tracking; add chain inet tracking x { type filter hook output priority 0; }; add rule inet tracking x ct state new counter",
  ]);
  expect(await allow(SHARED_IPV4)).toBe("ok");
  const tail = `${ORIGINS_IPV4[0]} ${ORIGIN_PORT}`;
  expect(await caller.ask(`connect ${SHARED_IPV4} ${OWN_PORT} ${tail}`)).toMatch(/^ok/);
  expect(await caller.ask(`connect 203.0.113.81 ${FOREIGN_PORT} ${tail}`)).toMatch(/^ok/);
  const tracked = await lab.trackedConnections("h1");
  expect(tracked.filter((line) => line.includes("203.0.113.81"))).toHaveLength(1);
  expect(tracked.filter((line) => line.includes(SHARED_IPV4))).toEqual([]);
});

/**
 * The guard over packets that its host forwards for a container and gives the shared address: judged by
 * what came by on the wire at the Internet's side. Of the leased block the lower unit, 2048-2111, is
 * for sockets and the upper one, 2112-2175, for translation.
 */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { nameOfAddress, removalText } from "../../src/agent/machine/guard-ruleset.ts";
import type { GuardCount } from "../../src/agent/machine/guard.ts";
import {
  CONTAINER,
  CONTAINER_DEVICE,
  containerWiring,
  SIZE,
  translateNothing,
  translateTo,
} from "./container.ts";
import { Lab } from "./lab.ts";
import type { LabProcess } from "./lab-process.ts";
import { echoRequest, frame, icmp, packet, type Payload, type Route, tcp, TCP_FLAG, udp } from "./packets.ts";
import { ORIGINS_IPV4, ORIGINS_IPV6, type Role, SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";
import { steerStatically } from "./static-steering.ts";

const ORIGIN_PORT = 7000;
const CLOSED_PORT = 7001;
const BLOCK = "2048/7";
const SOCKET_PORT = 2050;
const TRANSLATED_UNIT = 33;
const TRANSLATED_PORT = 2113;
const FOREIGN_PORT = 2200;
const CLIENT_PORT = 5000;
const TIMEOUT = { timeout: 30_000 };
const FAMILIES = [
  {
    name: "IPv4",
    shared: SHARED_IPV4,
    origin: ORIGINS_IPV4[0],
    container: CONTAINER.ipv4,
    echoReply: 0,
  },
  {
    name: "IPv6",
    shared: SHARED_IPV6,
    origin: ORIGINS_IPV6[0],
    container: CONTAINER.ipv6,
    echoReply: 129,
  },
] as const;
type Family = (typeof FAMILIES)[number];

let lab: Lab;
/** On the host and in the container. */
let caller: LabProcess;
let contained: LabProcess;
let keeper: LabProcess;

beforeAll(async () => {
  lab = await Lab.create({ ...SIZE, wiring: containerWiring() });
  await steerStatically(lab, "r1", [{ host: 1, first: 1024, last: 65_535 }]);
  await lab.exec("h1", ["sysctl", "-q", "-w", "net.ipv4.icmp_ratemask=0", "net.ipv6.icmp.ratelimit=0"]);
  caller = lab.spawnNode("h1", join(import.meta.dirname, "caller.ts"));
  contained = lab.spawnNode("inside", join(import.meta.dirname, "caller.ts"));
  const origin = lab.spawnNode("internet", join(import.meta.dirname, "echo-origin.ts"), [`${ORIGIN_PORT}`]);
  await origin.waitFor("listening");
});

beforeEach(async () => {
  keeper = await startKeeper();
});

afterEach(async () => {
  await keeper.kill();
  await lab.exec("h1", ["nft", "-f", "-"], removalText());
  await translateNothing(lab);
});

afterAll(() => lab?.destroy());

async function startKeeper(): Promise<LabProcess> {
  const started = lab.spawnNode("h1", join(import.meta.dirname, "guard-keeper.ts"));
  await started.waitFor("ready\n");
  return started;
}

/** The block with its upper unit for translation, and a host that translates to it. */
async function begin({ shared }: Family, leaseMs = 60_000): Promise<void> {
  expect(await keeper.ask(`allow ${shared} ${leaseMs} ${BLOCK}`)).toBe("ok");
  expect(await keeper.ask(`translate ${shared} ${TRANSLATED_UNIT}`)).toBe("ok");
  await translateTo(lab, 2112, 2175);
}

async function droppedOf({ shared }: Family): Promise<number> {
  const counts = JSON.parse(await keeper.ask("counts")) as GuardCount[];
  return counts.find(({ ip }) => ip === shared)!.foreignPortCount;
}

/** Datagrams of the container; it never hears what became of them. */
async function sendInside({ container, origin }: Family, count: number, port = CLIENT_PORT): Promise<void> {
  expect(await contained.ask(`send ${container} ${port} ${origin} ${ORIGIN_PORT} ${count} 8`)).toBe(
    `ok ${count}`,
  );
}

/** Puts packets on a wire towards h1. */
async function inject(
  from: readonly [Role, string],
  toDevice: string,
  route: Route,
  payloads: readonly Payload[],
): Promise<void> {
  const [fromMac, toMac] = [await lab.macOf(...from), await lab.macOf("h1", toDevice)];
  await lab.inject(
    ...from,
    payloads.map((payload) => frame(fromMac, toMac, packet(route, payload))),
  );
}

/** As if the router had steered them there. */
function deliver(route: Route, payloads: readonly Payload[]): Promise<void> {
  return inject(["r1", "lan0"], "lan0", route, payloads);
}

test.each(FAMILIES)(
  "[GU9] a container's flows leave from translated units, and answers come home: $name",
  async (family) => {
    const { shared, origin, container } = family;
    await begin(family);
    const wire = await lab.capture("internet", "eth0", `src host ${shared} and (tcp or udp)`);
    const tail = `${origin} ${ORIGIN_PORT}`;
    expect(await contained.ask(`ask ${container} ${CLIENT_PORT} ${tail}`)).toMatch(
      new RegExp(`^ok ${shared} 21[1-7]\\d hello$`),
    );
    expect(await contained.ask(`connect ${container} ${CLIENT_PORT} ${tail}`)).toMatch(
      new RegExp(`^ok ${shared} 21[1-7]\\d$`),
    );
    expect(await wire.count()).toBeGreaterThan(1);
    expect(await wire.count("not src portrange 2112-2175")).toBe(0);
    expect(await droppedOf(family)).toBe(0);
    expect((await contained.ask("close")).slice(0, 2)).toBe("ok");
  },
);

test.each(FAMILIES)(
  "[GU6] beside translated units sockets' packets stay untracked: $name",
  async (family) => {
    const { shared, origin, container } = family;
    await begin(family);
    const tail = `${origin} ${ORIGIN_PORT}`;
    expect(await contained.ask(`ask ${container} ${CLIENT_PORT} ${tail}`)).toMatch(/^ok/);
    expect(await caller.ask(`ask ${shared} ${SOCKET_PORT} ${tail}`)).toBe(
      `ok ${shared} ${SOCKET_PORT} hello`,
    );
    expect(await caller.ask(`connect ${shared} ${SOCKET_PORT} ${tail}`)).toBe(`ok ${shared} ${SOCKET_PORT}`);
    const tracked = (await lab.trackedConnections("h1")).filter((line) => line.includes(shared));
    expect(tracked.filter((line) => line.includes(container))).toHaveLength(1);
    expect(tracked.filter((line) => line.includes(`port=${SOCKET_PORT}`))).toEqual([]);
    expect(await caller.ask("close")).toBe("ok");
  },
);

test("[GU6] without translated units the guard makes the kernel track nothing", async () => {
  const family = FAMILIES[0];
  const ownFlow = (port: number): Promise<string> =>
    caller.ask(`ask 203.0.113.81 ${port} ${family.origin} ${ORIGIN_PORT}`);
  expect(await keeper.ask(`allow ${family.shared} 60000 ${BLOCK}`)).toBe("ok");
  expect(await ownFlow(9001)).toMatch(/^ok/);
  expect(await lab.trackedConnections("h1")).toEqual([]);
  expect(await keeper.ask(`translate ${family.shared} ${TRANSLATED_UNIT}`)).toBe("ok");
  expect(await ownFlow(9002)).toMatch(/^ok/);
  expect(await lab.trackedConnections("h1")).toHaveLength(1);
  expect(await keeper.ask(`translate ${family.shared} -`)).toBe("ok");
  await lab.exec("h1", ["conntrack", "-F"]);
  expect(await ownFlow(9003)).toMatch(/^ok/);
  expect(await lab.trackedConnections("h1")).toEqual([]);
});

test.each(FAMILIES)("[GU9] from a unit for sockets no translated packet leaves: $name", async (family) => {
  await begin(family);
  const wire = await lab.capture("internet", "eth0", `udp and src host ${family.shared}`);
  for (const [first, last] of [
    [2048, 2111],
    [FOREIGN_PORT, FOREIGN_PORT],
  ] as const) {
    await translateTo(lab, first, last);
    const before = await droppedOf(family);
    await sendInside(family, 5);
    expect(await droppedOf(family)).toBe(before + 5);
  }
  await translateTo(lab, 2112, 2175);
  await sendInside(family, 3);
  await wire.reaches(3);
  expect(await wire.count()).toBe(3);
});

test.each(FAMILIES)("[GU9] without translated units nothing translated leaves: $name", async (family) => {
  expect(await keeper.ask(`allow ${family.shared} 60000 ${BLOCK}`)).toBe("ok");
  await translateTo(lab, 2048, 2175);
  const wire = await lab.capture("internet", "eth0", `src host ${family.shared}`);
  await sendInside(family, 5);
  expect(await droppedOf(family)).toBe(5);
  expect(await wire.count()).toBe(0);
});

test.each(FAMILIES)(
  "[GU9] a socket in a translated unit is silent, but for the kernel's RST: $name",
  async (family) => {
    const { shared, origin } = family;
    await begin(family);
    const wire = await lab.capture("internet", "eth0", `src host ${shared}`);
    expect(await caller.ask(`send ${shared} ${TRANSLATED_PORT} ${origin} ${ORIGIN_PORT} 5 8`)).toBe("ok 0");
    expect(await droppedOf(family)).toBe(5);
    const route = { from: origin, to: shared };
    // Nobody's: neither a translation's nor a socket's.
    await deliver(route, [
      udp(route, { sourcePort: 4000, destinationPort: TRANSLATED_PORT + 1 }),
      tcp(route, { sourcePort: 4000, destinationPort: TRANSLATED_PORT + 1, flags: TCP_FLAG.syn }),
    ]);
    await wire.reaches(1);
    expect(await droppedOf(family)).toBe(6);
    const packets = await wire.packets();
    expect(packets).toEqual([expect.stringContaining(`${TRANSLATED_PORT + 1} > `) as string]);
    expect(packets[0]).toContain("Flags [R.]");
  },
);

test.each(FAMILIES)("[GU9] errors and echo replies come home to the container: $name", async (family) => {
  const { shared, origin, container, echoReply } = family;
  await begin(family);
  const home = await lab.capture("inside", "eth0", `(icmp or icmp6) and src host ${origin}`);
  expect(await contained.ask(`send ${container} ${CLIENT_PORT} ${origin} ${CLOSED_PORT} 1 8`)).toBe("ok 1");
  await home.reaches(1);
  const out = { from: container, to: origin };
  const wire = await lab.capture("internet", "eth0", `src host ${shared}`);
  await inject(["inside", "eth0"], CONTAINER_DEVICE, out, [echoRequest(out, TRANSLATED_PORT)]);
  await wire.reaches(1);
  const back = { from: origin, to: shared };
  await deliver(back, [echoReplyTo(back, echoReply, TRANSLATED_PORT)]);
  await home.reaches(2);
  expect(await home.count(`dst host ${container}`)).toBe(2);
  expect(await droppedOf(family)).toBe(0);
});

/** An echo request with another type. */
function echoReplyTo(route: Route, type: number, identifier: number): Payload {
  return icmp(route, { type, code: 0, rest: identifier << 16 });
}

test.each(FAMILIES)(
  "[GU10] what is forwarded with a shared source is dropped, but on devices for it: $name",
  async (family) => {
    const { shared, origin, name } = family;
    await begin(family);
    const route = { from: shared, to: origin };
    const forged = [SOCKET_PORT, TRANSLATED_PORT, FOREIGN_PORT].map((port) =>
      udp(route, { sourcePort: port, destinationPort: ORIGIN_PORT }),
    );
    const forge = (): Promise<void> => inject(["inside", "eth0"], CONTAINER_DEVICE, route, forged);
    const setting = `net.ipv4.conf.${CONTAINER_DEVICE}.accept_local`;
    const wire = await lab.capture("internet", "eth0", `udp and src host ${shared}`);
    await forge();
    if (name === "IPv6") await vi.waitUntil(async () => (await droppedOf(family)) === 3, TIMEOUT);
    // As on a router that is itself a host.
    await lab.exec("h1", ["sysctl", "-q", "-w", `${setting}=1`]);
    // IPv4 would not come as far as the guard before.
    await forge();
    await vi.waitUntil(async () => (await droppedOf(family)) === (name === "IPv6" ? 6 : 3), TIMEOUT);
    expect(await keeper.ask("restore")).toBe("ok false");
    await forge();
    await wire.reaches(3);
    expect(await wire.count()).toBe(3);
    await lab.exec("h1", ["sysctl", "-q", "-w", `${setting}=0`]);
    expect(await keeper.ask("restore")).toBe("ok false");
  },
);

test.each(FAMILIES)("[GU3] the kernel by itself ends translation with the lease: $name", async (family) => {
  const { shared } = family;
  const wire = await lab.capture("internet", "eth0", `udp and src host ${shared}`);
  await begin(family, 60_000);
  const endMs = Number(await keeper.ask(`lend ${shared} 3000 ${BLOCK}`));
  keeper.signal("SIGSTOP");
  await sendInside(family, 1);
  await wire.reaches(1);
  await vi.waitUntil(() => Date.now() > endMs, TIMEOUT);
  await sendInside(family, 20);
  const packets = await wire.packets();
  expect(packets).toHaveLength(1);
  keeper.signal("SIGCONT");
  expect(await droppedOf(family)).toBe(20);
});

test.each(FAMILIES)(
  "[GU5] what is translated outlives the agent, and the next one's first word: $name",
  async (family) => {
    const { shared, origin, container } = family;
    const ask = (): Promise<string> =>
      contained.ask(`ask ${container} ${CLIENT_PORT} ${origin} ${ORIGIN_PORT}`);
    expect(await keeper.ask(`found ${shared}`)).toBe("false ");
    await begin(family);
    const first = await ask();
    expect(first).toMatch(/^ok/);
    await keeper.kill();
    expect(await ask()).toBe(first);
    keeper = await startKeeper();
    expect(await keeper.ask(`found ${shared}`)).toBe(`true ${TRANSLATED_UNIT}`);
    // Said before what is allowed, it does not end what an earlier life allowed.
    expect(await keeper.ask(`translate ${shared} ${TRANSLATED_UNIT}`)).toBe("ok");
    expect(await ask()).toBe(first);
    expect(await keeper.ask(`allow ${shared} 60000 ${BLOCK}`)).toBe("ok");
    expect(await ask()).toBe(first);
    expect(await keeper.ask("close")).toBe("ok");
    await sendInside(family, 2);
    keeper = await startKeeperAgain();
    expect(await droppedOf(family)).toBe(2);
  },
);

/** The next agent. */
async function startKeeperAgain(): Promise<LabProcess> {
  await keeper.kill();
  return startKeeper();
}

async function startMachine(): Promise<LabProcess> {
  const machine = lab.spawnNode("h1", join(import.meta.dirname, "machine-keeper.ts"), [lab.directory]);
  await machine.waitFor("ready\n");
  return machine;
}

test("[MA4] an agent that starts shuts what was open, but lets translated flows go on", async () => {
  const [translated, plain] = FAMILIES;
  await begin(translated);
  expect(await keeper.ask(`allow ${plain.shared} 60000 ${BLOCK}`)).toBe("ok");
  await keeper.kill();
  const machine = await startMachine();
  const sendFrom = ({ shared, origin }: Family): Promise<string> =>
    caller.ask(`send ${shared} ${SOCKET_PORT} ${origin} ${ORIGIN_PORT} 1 8`);
  expect(await sendFrom(plain)).toBe("ok 1");
  for (const { shared } of FAMILIES) expect(await machine.ask(shared)).toBe("ok");
  expect(await sendFrom(plain)).toBe("ok 0");
  const { container, origin } = translated;
  expect(await contained.ask(`ask ${container} ${CLIENT_PORT} ${origin} ${ORIGIN_PORT}`)).toMatch(/^ok/);
  await machine.kill();
});

test("[MA4] what has no end is shut even if it is translated: it may be another host's by now", async () => {
  const [family] = FAMILIES;
  await begin(family);
  expect(await keeper.ask(`keep ${family.shared} ${BLOCK}`)).toBe("ok");
  const wire = await lab.capture("internet", "eth0", `udp and src host ${family.shared}`);
  await sendInside(family, 1);
  await wire.reaches(1);
  keeper = await startKeeperAgain();
  expect(await keeper.ask(`found ${family.shared}`)).toBe(`true ${TRANSLATED_UNIT}`);
  await keeper.kill();
  const machine = await startMachine();
  expect(await machine.ask(family.shared)).toBe("ok");
  await sendInside(family, 3);
  expect(await wire.count()).toBe(1);
  await machine.kill();
});

test.each(FAMILIES)(
  "[GU8] a guard that was taken out comes back with its translated units: $name",
  async (family) => {
    await begin(family);
    await lab.exec("h1", ["nft", "flush", "ruleset"]);
    expect(await keeper.ask("restore")).toBe("ok true");
    await translateTo(lab, 2112, 2175);
    const { container, origin, shared } = family;
    const tail = `${origin} ${ORIGIN_PORT}`;
    expect(await contained.ask(`ask ${container} ${CLIENT_PORT} ${tail}`)).toMatch(/^ok/);
    expect(await caller.ask(`send ${shared} ${TRANSLATED_PORT} ${tail} 1 8`)).toBe("ok 0");
    expect(await caller.ask(`send ${shared} ${SOCKET_PORT} ${tail} 1 8`)).toBe("ok 1");
  },
);

test("[GU8] each chain that packets pass is missed when it is gone", async () => {
  const family = FAMILIES[0];
  await begin(family);
  for (const chain of ["output", "arrivals", "forward", "departures", nameOfAddress(family.shared)]) {
    await lab.exec("h1", ["nft", "flush", "chain", "inet", "ipshard_guard", chain]);
    expect(await keeper.ask("restore")).toBe("ok true");
    expect(await keeper.ask("restore")).toBe("ok false");
  }
});

test.each(FAMILIES)("[GU2] a container's fragments are dropped and counted: $name", async (family) => {
  const { shared, container, origin } = family;
  await begin(family);
  const wire = await lab.capture("internet", "eth0", `src host ${shared}`);
  const send = (byteCount: number): Promise<string> =>
    contained.ask(`send ${container} ${CLIENT_PORT} ${origin} ${CLOSED_PORT} 1 ${byteCount}`);
  expect(await send(4000)).toBe("ok 1");
  expect(await send(1000)).toBe("ok 1");
  await wire.reaches(1);
  expect(await wire.count()).toBe(1);
  const counts = JSON.parse(await keeper.ask("counts")) as GuardCount[];
  expect(counts.find(({ ip }) => ip === shared)!.fragmentCount).toBeGreaterThan(0);
});

test.each(FAMILIES)("[GU2] fragments are dropped on a device that has come since: $name", async (family) => {
  const { shared, origin } = family;
  const v = shared.includes(":") ? "-6" : "-4";
  expect(await keeper.ask(`allow ${shared} 60000 ${BLOCK}`)).toBe("ok");
  await lab.exec("h1", ["ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1"]);
  for (const device of ["late0", "late1"]) await lab.exec("h1", ["ip", "link", "set", device, "up"]);
  await lab.exec("h1", ["ip", v, "route", "add", origin, "dev", "late0"]);
  const neighbour = ["neigh", "add", origin, "lladdr", "02:00:00:00:00:01", "dev", "late0"];
  await lab.exec("h1", ["ip", ...neighbour]);
  const before = await lab.capture("h1", "late0", `src host ${shared}`);
  const big = `send ${shared} ${SOCKET_PORT} ${origin} ${ORIGIN_PORT} 1 4000`;
  await caller.ask(big);
  await before.reaches(3);
  expect(await keeper.ask("restore")).toBe("ok false");
  const after = await lab.capture("h1", "late0", `src host ${shared}`);
  await caller.ask(big);
  expect(await after.count()).toBe(0);
  await lab.exec("h1", ["ip", "link", "del", "late0"]);
  // One that has gone is no reason to fail.
  expect(await keeper.ask("restore")).toBe("ok false");
  expect(await keeper.ask(`allow ${shared} 60000 ${BLOCK}`)).toBe("ok");
});

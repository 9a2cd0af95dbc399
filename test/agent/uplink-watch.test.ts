/** Trials of an uplink: real connections on loopback, and a way out that goes and comes back. */
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import type { Place } from "../../src/core/uplink.ts";
import { TIMEOUT_MS, type Wait } from "../../src/core/uplink-health.ts";
import { AddressRules } from "../../src/policy/address-rules.ts";
import { DestinationPolicy } from "../../src/policy/destination-policy.ts";
import { UNMETERED } from "../../src/agent/egress/flow-use.ts";
import { Dialler } from "../../src/agent/egress/dial.ts";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
import { EgressFault } from "../../src/agent/egress/faults.ts";
import { Resolver } from "../../src/agent/egress/resolver.ts";
import { KernelLinkView } from "../../src/agent/uplink/link-view.ts";
import { type Probe, type TrialDialler, UplinkWatch } from "../../src/agent/uplink/uplink-watch.ts";
import { readClock } from "../../src/process/clock.ts";
import { recordingLog, until } from "../link/loopback-edge.ts";

const IP = "127.0.0.10";
/** Never on this machine's networks: what is sent there is not answered. */
const NOWHERE: Place = { ip: "192.0.2.77", port: 9 };

async function listener(): Promise<{ server: Server; place: Place; seen: number[] }> {
  const seen: number[] = [];
  const server = createServer((socket) => {
    seen.push(socket.remotePort!);
    socket.on("error", () => {}).resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return { server, place: { ip: "127.0.0.1", port: (server.address() as AddressInfo).port }, seen };
}

function watching(probes: readonly Probe[] = []) {
  const binder = new PortBinder({ holdDownMs: 0 });
  const ports = binder.addAddress(IP);
  const endMs = readClock().monotonicMs + 600_000;
  ports.setTerm({ monotonicEndMs: endMs, wallEndMs: Date.now() + 600_000 });
  ports.addBlock({ base: 40_000 - (40_000 % 64), order: 6, epoch: 1 });
  const resolver = new Resolver({ servers: ["127.0.0.1:1"] });
  const policy = new DestinationPolicy({
    addresses: new AddressRules({ allowed: ["127.0.0.0/8", "192.0.2.0/24"] }),
  });
  const dialler = new Dialler(resolver, { connectTimeoutMs: 300, portWaitMs: 0 });
  const links = { isLinkUp: true, isUp: async () => links.isLinkUp };
  const waits: { oldest: Wait | null } = { oldest: null };
  const { log, lines } = recordingLog();
  const trialDialler: TrialDialler = {
    dial: (address, host, port) => {
      if (host === NOWHERE.ip) return Promise.reject(new EgressFault("connection-timeout"));
      const trials = new Dialler(resolver, { connectTimeoutMs: 300, portWaitMs: 0 });
      return trials.dial({ pool: "main", tenant: "test", address, policy, meter: UNMETERED }, host, port);
    },
  };
  const watch = new UplinkWatch({
    binder,
    dialler: trialDialler,
    probes,
    links,
    log,
    oldestWait: () => waits.oldest,
  });
  dialler.onTry = watch.onTry;
  let changeCount = 0;
  watch.onChange = () => (changeCount += 1);
  watch.start();
  onTestFinished(() => {
    watch.stop();
    resolver.close();
    binder.removeAddress(IP);
  });
  const dial = async ({ ip, port }: Place): Promise<void> => {
    const { socket } = await dialler.dial(
      { pool: "main", tenant: "test", address: ports, policy, meter: UNMETERED },
      ip,
      port,
    );
    socket.destroy();
  };
  /** As the dialler tells of a place that does not answer. */
  const dialInVain = (): void => watch.onTry(IP, NOWHERE)(new EgressFault("connection-timeout"));
  return { watch, ports, dial, dialInVain, links, waits, lines, changes: () => changeCount };
}

test("[UP1] a dial that fails is followed by a trial from a leased port, which clears the uplink", async () => {
  const { place, seen } = await listener();
  const { watch, dial, dialInVain, ports, changes } = watching();
  await dial(place);
  dialInVain();
  await until("the trial has come", () => seen.length === 2);
  await until("no port is held", () => ports.heldCounts().inUse === 0);
  expect(watch.of(IP)).toMatchObject({ state: "good", destinationCount: 2, failedCount: 1 });
  const { lease } = [...ports.leases()][0]!;
  for (const port of seen) expect(port - lease.base).toBeLessThan(64);
  expect(changes()).toBe(0);
});

test("[UP1] a request that waits for its answer is followed by a trial of its place", async () => {
  const { place, seen } = await listener();
  const { watch, waits } = watching();
  waits.oldest = { place, sinceMs: readClock().monotonicMs - TIMEOUT_MS };
  await until("the trial has come", () => seen.length === 1);
  expect(watch.of(IP).state).toBe("good");
});

test("[UP1] when the trial of what is waited for reaches nothing the address is suspect", async () => {
  const { watch, waits } = watching();
  waits.oldest = { place: NOWHERE, sinceMs: readClock().monotonicMs - TIMEOUT_MS };
  await until("it is suspect", () => watch.of(IP).state === "suspect");
  expect(watch.of(IP).doubts).toEqual([NOWHERE]);
});

test("[UP1] a place that refuses is reached, so the uplink is good", async () => {
  const { server, place } = await listener();
  const { watch, dial, dialInVain } = watching();
  await dial(place);
  server.close();
  await expect(dial(place)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  expect(watch.of(IP)).toMatchObject({ state: "good", failedCount: 0 });
  dialInVain();
  await until("it was tried", () => watch.of(IP).destinationCount === 2);
  expect(watch.of(IP).state).toBe("good");
});

test("[UP1] [UP4] when nothing answers the address is suspect, and good again as soon as something does", async () => {
  const { watch, dial, dialInVain, lines, changes } = watching();
  dialInVain();
  await until("it is suspect", () => watch.of(IP).state === "suspect");
  expect(watch.of(IP).doubts).toEqual([NOWHERE]);
  expect(watch.describe()).toMatchObject([{ uplink: "suspect" }]);
  await until("it is told", () => changes() === 1);
  await dial((await listener()).place);
  expect(watch.of(IP).state).toBe("good");
  await until("that is told as well", () => changes() === 2);
  expect(lines.map(({ msg }) => msg)).toEqual([
    expect.stringContaining("nothing that was tried"),
    expect.stringContaining("answered again"),
  ]);
});

test("[UP2] what others cannot reach is tried once, and only what answers is named", async () => {
  const { place, seen } = await listener();
  const { watch } = watching();
  expect(await watch.tryOut(IP, [place, NOWHERE])).toEqual([place]);
  expect(seen).toHaveLength(1);
  expect(await watch.tryOut("127.0.0.99", [place])).toEqual([]);
});

test("[UP8] probes are tried while nothing else is reached, and a link that goes makes a trial at once", async () => {
  const { place, seen } = await listener();
  const { watch, links } = watching([{ host: place.ip, port: place.port }]);
  await until("the probe was tried", () => seen.length === 1);
  // The next would be due in five seconds.
  links.isLinkUp = false;
  await until("and again", () => seen.length >= 2, 4_000);
  expect(watch.of(IP).state).toBe("good");
});

test("[UP4] the status says what the pool has found", () => {
  const { watch, lines } = watching();
  expect(watch.describe()).toEqual([{ ip: IP, uplink: "good", destinationCount: 0, failedCount: 0 }]);
  watch.ejected([IP]);
  watch.ejected([IP]);
  expect(watch.describe()).toMatchObject([{ uplink: "dead" }]);
  expect(lines).toHaveLength(1);
  watch.ejected([]);
  expect(watch.describe()).toMatchObject([{ uplink: "good" }]);
});

test("[UP8] the kernel says whether there is a route, and sends nothing for it", async () => {
  const view = new KernelLinkView();
  const { place, seen } = await listener();
  expect(await view.isUp(IP, place)).toBe(true);
  expect(await view.isUp(IP, place)).toBe(true);
  expect(seen).toEqual([]);
});

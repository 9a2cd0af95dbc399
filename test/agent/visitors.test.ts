/** Connections on which nobody has shown a token: how many there may be, and whose turn it is to go. */
import { once } from "node:events";
import { Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { RefusalCounts, Refusals } from "../../src/agent/traffic/clients/refusals.ts";
import {
  type Arrival,
  type Visitor,
  Visitors,
  strangerLimits,
} from "../../src/agent/traffic/clients/visitors.ts";
import { OpenSockets } from "../../src/agent/egress/open-sockets.ts";
import { outliveErrors } from "../../src/process/listener.ts";

const counts = new RefusalCounts();
const refusals = new Refusals({ host: null, isProxy: false }, () => {}, counts);

/** A connection from an address, as far as it matters here. */
function arrive(visitors: Visitors, ip: string, more: Partial<Arrival> = {}): Visitor {
  const socket = new Socket();
  outliveErrors(socket);
  Object.defineProperty(socket, "remoteAddress", { value: ip });
  onTestFinished(() => void socket.destroy());
  return visitors.welcome(socket, { refusals, ...more })!;
}

function gone(...visitors: readonly Visitor[]): readonly boolean[] {
  return visitors.map(({ socket }) => socket.destroyed);
}

describe("how many there may be", () => {
  test.each([
    ["an eighth of many", 19_808, { inAll: 2_476, ofAddress: 1_238 }],
    ["no less than come at once from an edge", 3_904, { inAll: 1_024, ofAddress: 512 }],
    ["half of few", 832, { inAll: 416, ofAddress: 208 }],
    ["some, of hardly any", 1, { inAll: 64, ofAddress: 32 }],
    ["and never more than memory is worth", Infinity, { inAll: 8_192, ofAddress: 4_096 }],
  ])("[CN1] [CN2] %s", (_what, maxConnections, limits) => {
    expect(strangerLimits(maxConnections)).toEqual(limits);
    expect(new Visitors(new OpenSockets(maxConnections)).describe()).toEqual({
      open: 0,
      most: limits.inAll,
      mostOfAddress: limits.ofAddress,
      reset: 0,
    });
  });
});

test("[CN1] one too many ends the connection that has been a stranger's for longest, wherever it is from", () => {
  const visitors = new Visitors(undefined, { inAll: 3, ofAddress: 3 });
  const all = [1, 2, 3, 4, 5].map((at) => arrive(visitors, `192.0.2.${at}`));
  expect(gone(...all)).toEqual([true, true, false, false, false]);
  expect(visitors.describe()).toEqual({ open: 3, most: 3, mostOfAddress: 3, reset: 2 });
});

test("[CN1] whoever has shown a token takes no place of a stranger, and none goes for it", () => {
  const visitors = new Visitors(undefined, { inAll: 2, ofAddress: 2 });
  const known = arrive(visitors, "192.0.2.1");
  known.showed(true);
  const all = [2, 3].map((at) => arrive(visitors, `192.0.2.${at}`));
  expect([visitors.describe()["open"], ...gone(known, ...all)]).toEqual([2, false, false, false]);
  arrive(visitors, "192.0.2.4");
  expect(gone(known, ...all)).toEqual([false, true, false]);
});

test("[CN2] one too many of an address ends one of the same address, and of no other", () => {
  const visitors = new Visitors(undefined, { inAll: 10, ofAddress: 2 });
  const other = arrive(visitors, "198.51.100.1");
  const all = [1, 2, 3].map(() => arrive(visitors, "192.0.2.1"));
  expect(gone(other, ...all)).toEqual([false, true, false, false]);
});

test.each([
  ["a /64 of IPv6 is one", "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true],
  ["its neighbour is another", "2001:db8:1:2::1", "2001:db8:1:3::1", false],
  ["IPv4 within IPv6 is IPv4", "192.0.2.1", "::ffff:192.0.2.1", true],
  ["and not all of IPv4", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false],
  ["an address of one link is one", "fe80::1%lo", "fe80::2%lo", true],
])("[CN2] addresses: %s", (_what, first, second, isOne) => {
  const visitors = new Visitors(undefined, { inAll: 10, ofAddress: 1 });
  const before = arrive(visitors, first);
  arrive(visitors, second);
  expect(before.socket.destroyed).toBe(isOne);
});

test("[CN1] a connection that has closed takes no place", async () => {
  const visitors = new Visitors(undefined, { inAll: 1, ofAddress: 1 });
  const first = arrive(visitors, "192.0.2.1");
  first.socket.destroy();
  await once(first.socket, "close");
  expect(visitors.describe()["open"]).toBe(0);
  // Nor if it is heard of afterwards.
  first.showed(true);
  first.showed(false);
  expect(visitors.describe()).toEqual({ open: 0, most: 1, mostOfAddress: 1, reset: 0 });
});

test("[CN4] who shows no token any more is a stranger again, and the newest", () => {
  const visitors = new Visitors(undefined, { inAll: 2, ofAddress: 2 });
  const [fallen, old] = [1, 2].map((at) => arrive(visitors, `192.0.2.${at}`)) as [Visitor, Visitor];
  fallen.showed(true);
  fallen.showed(false);
  expect(visitors.describe()["open"]).toBe(2);
  arrive(visitors, "192.0.2.3");
  expect(gone(old, fallen)).toEqual([true, false]);
  arrive(visitors, "192.0.2.4");
  expect(gone(fallen)).toEqual([true]);
});

test("[CN4] not while something else goes on beside it, and never one from a listed source", () => {
  const visitors = new Visitors(undefined, { inAll: 2, ofAddress: 2 });
  const busy = arrive(visitors, "192.0.2.1");
  busy.carriesMore = () => true;
  busy.showed(true);
  busy.showed(false);
  const clientAt = { role: "client", subject: "local", pools: ["main"], expiresAtMs: Infinity } as const;
  const listed = arrive(visitors, "192.0.2.2", { clientAt });
  listed.showed(false);
  expect([busy.isKnown, listed.isKnown, visitors.describe()["open"]]).toEqual([true, true, 0]);
});

test("[CN5] each is counted by name, and that there are too many is told once a minute", () => {
  counts.clear();
  const told: number[] = [];
  const visitors = new Visitors(undefined, { inAll: 1, ofAddress: 1 });
  visitors.onCrowd = (resetCount) => told.push(resetCount);
  for (let at = 0; at < 20; at += 1) arrive(visitors, "192.0.2.1");
  expect(counts.get("strangers-exhausted")).toBe(19);
  expect(visitors.describe()["reset"]).toBe(19);
  expect(told).toEqual([1]);
});

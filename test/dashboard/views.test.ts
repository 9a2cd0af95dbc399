/** What views make of what the page knows: where one is, what needs attention, what comes of a request. */
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { addressChange, hostChange } from "../../src/dashboard/changes/change.ts";
import { filtered } from "../../src/dashboard/decisions/decision-filter.ts";
import { addressRows, hostRows, newFleetOrder, routerRows } from "../../src/dashboard/fleet/attention.ts";
import { missingOf } from "../../src/dashboard/fleet/missing.ts";
import { RateMeter } from "../../src/dashboard/live/rate-meter.ts";
import { PoolStore } from "../../src/dashboard/live/pool-store.ts";
import { FIRST_WORDS, readPlan } from "../../src/dashboard/plan/plan-words.ts";
import { fragmentOf, POOL_VIEWS, type Route, routeOf } from "../../src/dashboard/shell/route.ts";
import { OTHERS, pastColumns, runningMinute, stacked } from "../../src/dashboard/time/series.ts";
import { type Attempt, wayOf } from "../../src/dashboard/try-it/attempt.ts";
import { MadePool } from "./made-pool.ts";

const NOW_MS = 1_796_000_030_000;

beforeAll(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: NOW_MS });
  vi.stubGlobal("requestAnimationFrame", () => 0);
});

test("[PG5] a view has an address of its own, whatever names there are, and any fragment leads somewhere", () => {
  const name = fc
    .string({ minLength: 1, maxLength: 20, unit: "grapheme" })
    .filter((text) => text.isWellFormed());
  const route: fc.Arbitrary<Route> = fc.oneof(
    fc.record({
      view: fc.constantFrom(...POOL_VIEWS.filter((view) => view !== "map")),
      pool: name,
      ip: fc.constant(null),
    }),
    fc.record({ view: fc.constant("map" as const), pool: name, ip: fc.option(name) }),
    fc.record({ view: fc.constant("who" as const), ip: fc.string(), port: fc.string(), at: fc.string() }),
    fc.constant({ view: "plan" as const }),
  );
  fc.assert(
    fc.property(route, (to) => {
      expect(routeOf(fragmentOf(to))).toEqual(to);
    }),
  );
  fc.assert(
    fc.property(fc.string({ maxLength: 80 }), (text) => {
      expect(["fleet", "map", "time", "log", "try", "who", "plan"]).toContain(routeOf(`#${text}`).view);
    }),
  );
});

afterAll(() => {
  vi.useRealTimers();
});

function madeStore(): PoolStore {
  const pool = new MadePool({ pool: "eu", hostCount: 12, addressCount: 6, nowMs: NOW_MS });
  const store = new PoolStore();
  store.heard({ type: "pool", pool: pool.answer() });
  store.heard({ type: "watched", hosts: pool.watched(NOW_MS) });
  return store;
}

test("[PG6] what needs attention comes first, with its reason, and the rest lies by name as people count", () => {
  const store = madeStore();
  const order = newFleetOrder();
  const hosts = hostRows(store, order, NOW_MS);
  expect(hosts.slice(0, 3).map(({ host, level, why }) => [host.host, level, why])).toEqual([
    ["web-5", "bad", "is not heard"],
    ["web-3", "short", "uplink suspect"],
    ["web-7", "note", "draining, 320 ports left"],
  ]);
  expect(hosts.slice(3).map(({ host }) => host.host)).toEqual(
    [1, 2, 4, 6, 8, 9, 10, 11, 12].map((at) => `web-${at}`),
  );
  const addresses = addressRows(store, order);
  expect([addresses[0]!.ip.ip, addresses[0]!.level]).toEqual(["192.0.2.2", "short"]);
  expect(addresses[0]!.inUseCount).toBeGreaterThan(0);
  expect(routerRows(store, order)[0]!.router.router).toBe("router-2");
  // A host that has come meanwhile takes its place.
  store.heard({ type: "pool-change", ...NOTHING, hosts: [{ ...store.hosts.get("web-1")!, host: "web-0" }] });
  expect(hostRows(store, order, NOW_MS)[3]!.host.host).toBe("web-0");
});

test("[PG6] an address without a live host, a lease that has run out and a late renewal need attention", () => {
  const store = madeStore();
  const order = newFleetOrder();
  const late = hostRows(store, order, NOW_MS + 120_000).find(({ host }) => host.host === "web-1")!;
  expect([late.level, late.why]).toEqual(["short", "a renewal is late"]);
  const ended = hostRows(store, order, NOW_MS + 600_000).find(({ host }) => host.host === "web-1")!;
  expect([ended.level, ended.why]).toEqual(["bad", "a lease of it has run out"]);
  const dead = [...store.hosts.values()].map((host) => Object.assign({}, host, { live: false }));
  store.heard({ type: "pool-change", ...NOTHING, hosts: dead });
  expect(new Set(addressRows(store, order).map(({ why }) => why))).toEqual(
    new Set(["no live host serves it"]),
  );
});

test("[PG7] a change says what it will do, and its path can be led nowhere else by a name", () => {
  const store = madeStore();
  const [row] = hostRows(store, newFleetOrder(), NOW_MS);
  const named = { ...row!, host: { ...row!.host, host: "../../v1/pools/us" } };
  const [address] = addressRows(store, newFleetOrder());
  for (const verb of ["drain", "resume", "remove"] as const) {
    const change = hostChange(verb, "e/u", named);
    expect(change.path).toMatch(
      /^\/v1\/pools\/e%2Fu\/hosts\/\.\.%2F\.\.%2Fv1%2Fpools%2Fus(\/drain|\/resume)?$/,
    );
    expect(change.willDo.length).toBeGreaterThan(0);
    expect(change.typed === null).toBe(verb !== "remove");
    expect(addressChange(verb, "eu", address!).path).toBe(
      `/v1/pools/eu/ips/192.0.2.2${verb === "remove" ? "" : `/${verb}`}`,
    );
  }
});

test("[PG7] a change says when nothing else serves, so that the pool would refuse", () => {
  const pool = new MadePool({ pool: "eu", hostCount: 1, addressCount: 1, nowMs: NOW_MS });
  const store = new PoolStore();
  const whole = pool.answer();
  store.heard({ type: "pool", pool: whole });
  const saidOf = (): string[] => [
    addressChange("drain", "eu", addressRows(store, newFleetOrder())[0]!).willDo.join(" "),
    hostChange("drain", "eu", hostRows(store, newFleetOrder(), NOW_MS)[0]!).willDo.join(" "),
  ];
  expect(saidOf()).toEqual([
    expect.stringContaining("No other address serves"),
    expect.stringContaining("No other host serves"),
  ]);
  const [ip, host] = [whole.ips[0]!, whole.hosts[0]!];
  const rooms = [...host.rooms, { ...host.rooms[0]!, ip: "192.0.2.9" }];
  const ips = [{ ...ip, ip: "192.0.2.9" }];
  store.heard({ type: "pool-change", ...NOTHING, ips, hosts: [host, { ...host, host: "web-2", rooms }] });
  expect(saidOf().join(" ")).not.toContain("No other");
});

test("[PG17] a pool without addresses or hosts says which commands give it some", () => {
  expect(missingOf("eu", 0, 0).map(({ command }) => command)).toEqual([
    "ipshard ip add ADDRESS --pool eu",
    "ipshard host add NAME --pool eu",
  ]);
  expect(missingOf("eu", 1, 2)).toEqual([]);
});

test("[PG11] decisions are found by their kind and by words of any member, in either case", () => {
  const shared = { atMs: 0, host: "web-1", number: 1 };
  const decisions = [
    { ...shared, decision: "refused", code: "draining", tenant: "Shop" },
    { ...shared, decision: "answered", status: 404, tenant: "crawler" },
    { ...shared, decision: "admitted", kind: "websocket", port: 5312 },
  ] as const;
  const found = (decision: "all" | "refused", words: string) =>
    filtered(decisions, { decision, words }).map(({ decision: each }) => each);
  expect(found("all", "")).toHaveLength(3);
  expect(found("refused", "")).toEqual(["refused"]);
  expect(found("all", " WEB-1  shop ")).toEqual(["refused"]);
  expect(found("all", "5312")).toEqual(["admitted"]);
  expect(found("refused", "crawler")).toEqual([]);
});

test("[PG8] the past is drawn in slots up to now; what nobody knows is left empty, and rare codes are put together", () => {
  const codes = Object.fromEntries(Array.from({ length: 9 }, (_, at) => [`code-${at}`, 100 - at]));
  const minute = Math.floor(NOW_MS / 60_000) * 60_000;
  const slot = { atMs: minute - 120_000, requestCount: 600, flowCount: 60, refusals: codes, portCount: 9 };
  const running = runningMinute([
    { atMs: minute, requestCount: 100, flowCount: 0, refusals: { draining: 1 }, portCount: 4 },
    { atMs: minute, requestCount: 200, flowCount: 0, refusals: { draining: 2 }, portCount: 5 },
    { atMs: minute - 60_000, requestCount: 999, flowCount: 0, refusals: {}, portCount: 6 },
  ]);
  const columns = pastColumns({ minutes: [slot], quarters: [] }, "hour", NOW_MS, running);
  expect(columns.atSeconds).toHaveLength(60);
  expect(columns.atSeconds.at(-1)).toBe(minute / 1000);
  expect(columns.requestsPerSecond.slice(-3)).toEqual([10, null, 300 / ((NOW_MS - minute) / 1000)]);
  expect(columns.portCount.slice(-3)).toEqual([9, null, 15]);
  expect(columns.refusals.map(([code]) => code)).toEqual([
    ...Array.from({ length: 6 }, (_, at) => `code-${at}`),
    OTHERS,
  ]);
  expect(columns.refusals.at(-1)![1].slice(-3)).toEqual([94 + 93 + 92, null, 3]);
  expect(
    stacked([
      [1, null],
      [2, null],
      [3, 4],
    ]),
  ).toEqual([
    [1, null],
    [3, null],
    [6, 4],
  ]);
  expect(pastColumns({ minutes: [], quarters: [] }, "day", NOW_MS).atSeconds).toHaveLength(96);
  expect(runningMinute([])).toBeNull();
});

test("[PG8] a host with a wrong clock, or codes that objects have by themselves, spoils nobody's counts", () => {
  const minute = Math.floor(NOW_MS / 60_000) * 60_000;
  const slot = { atMs: minute, requestCount: 5, flowCount: 0, refusals: { draining: 1 }, portCount: 2 };
  const odd = { ...slot, refusals: { constructor: 3 } };
  const lie = { ...odd, atMs: Number.MAX_SAFE_INTEGER, requestCount: 1e15 };
  const running = runningMinute([slot, odd, lie]);
  expect(running).toMatchObject({ atMs: minute, requestCount: 10 });
  const before = { ...slot, atMs: minute - 60_000 };
  const { refusals } = pastColumns({ minutes: [before], quarters: [] }, "hour", NOW_MS, running);
  const lastTwo = refusals.map(([code, counts]) => [code, counts.slice(-2)]);
  expect(Object.fromEntries(lastTwo)).toEqual({ draining: [1, 1], constructor: [0, 3] });
  const meter = new RateMeter();
  const host = { version: "1", startedAtMs: 0, processCount: 1, runningCount: 0, addresses: [] };
  meter.take({ one: { ...host, minute: slot } }, NOW_MS - 2_000);
  meter.take({ one: { ...host, minute: odd } }, NOW_MS - 1_000);
  expect(meter.rates(NOW_MS)?.refusals).toEqual(new Map([["constructor", 3]]));
});

const ATTEMPT: Attempt = {
  requestId: "r",
  tookMs: 40,
  status: 200,
  answered: true,
  refusal: null,
  egress: { ip: "2001:db8::1", advertised: "2001:db8::9", port: 5000, host: "web-1" },
  block: { firstPort: 4992, lastPort: 5055, epoch: 7 },
  routers: [],
  timings: { edgeMs: 1, hostMs: 30, resolveMs: null, dialMs: 4, tlsMs: null, firstByteMs: 9 },
  headers: [],
  body: "",
};

test("[PG9] the way of a request ends where it was refused, and times that nobody tells are left out", () => {
  const states = (attempt: Attempt): string[] =>
    wayOf(attempt, "https://example.com/x", 50).map(({ state }) => state);
  const good = wayOf(ATTEMPT, "https://example.com/x", 50);
  expect(good.map(({ name }) => name)).toEqual([
    "This page",
    "Edge",
    "web-1",
    "[2001:db8::1]:5000",
    "example.com",
  ]);
  expect(good.at(-1)!.times).toEqual([
    ["dial", 4],
    ["first byte", 9],
  ]);
  expect(good[3]!.lines).toEqual(["block 4992–5055", "epoch 7", "seen as 2001:db8::9"]);
  expect(states(ATTEMPT)).toEqual(["passed", "passed", "passed", "passed", "passed"]);
  const refusal = { code: "draining", title: "No.", remedy: "Wait." };
  const refused = { ...ATTEMPT, status: null, answered: false, refusal };
  expect(states(refused)).toEqual(["passed", "passed", "refused", "passed", "unreached"]);
  const closed = {
    ...refused,
    egress: null,
    refusal: { ...refusal, code: "connection-refused" },
    attempts: [
      { host: "web-2", code: "draining" },
      { host: "web-3", code: "connection-refused" },
    ],
  };
  expect(states(closed)).toEqual(["passed", "passed", "passed", "passed", "refused"]);
  const [, edge, host] = wayOf(closed, "https://example.com/x", 50);
  expect([edge!.lines, host!.name]).toEqual([["chooses a host", "web-2 said draining"], "web-3"]);
  const none = { ...ATTEMPT.timings, hostMs: null };
  expect(states({ ...refused, egress: null, timings: none })).toEqual([
    "passed",
    "refused",
    "unreached",
    "unreached",
    "unreached",
  ]);
  expect(states({ ...refused, egress: null })).toEqual([
    "passed",
    "passed",
    "refused",
    "unreached",
    "unreached",
  ]);
});

test("[PG12] a load is read as the command line reads it, or one sentence says what is wrong", () => {
  const sites = readPlan({ ...FIRST_WORDS, hosts: "fra:20, ams:11", addresses: "3", busiestPercent: "50" });
  expect(sites).toMatchObject({
    load: {
      sites: [
        { site: "fra", hostCount: 20 },
        { site: "ams", hostCount: 11 },
      ],
      busiestShare: 0.5,
      lastingMs: 60_000,
    },
    addressCount: 3,
    growth: 0,
  });
  for (const wrong of [
    { hosts: "0" },
    { hosts: "fra:1,fra:2" },
    { hosts: "fra:1:2" },
    { rate: "much" },
    { peakFactor: "0.5" },
    { busiestPercent: "101" },
    { addresses: "1.5" },
    { price: "-1" },
  ])
    expect(readPlan({ ...FIRST_WORDS, ...wrong })).toMatch(/expected/);
  fc.assert(
    fc.property(fc.string(), fc.string(), (hosts, rate) => {
      expect(["string", "object"]).toContain(typeof readPlan({ ...FIRST_WORDS, hosts, rate }));
    }),
  );
});

const NOTHING = { ips: [], goneIps: [], hosts: [], goneHosts: [], routers: [], goneRouters: [] };

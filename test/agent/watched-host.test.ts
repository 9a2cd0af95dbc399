/** A host that somebody looks at, and one that nobody does. */
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { LivePlane } from "../../src/agent/live-plane.ts";
import type { HostToSee } from "../../src/agent/leasing/watch-talk.ts";
import { PoolMember } from "../../src/agent/leasing/pool-member.ts";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
import { SeenProcesses } from "../../src/agent/processes/seen-processes.ts";
import { HostView } from "../../src/agent/watch/host-view.ts";
import { PastRecorder } from "../../src/agent/watch/past-recorder.ts";
import { NO_COUNTS, type PlaneCounts } from "../../src/agent/watch/plane-watch.ts";
import {
  MINUTE_MS,
  MOST_TOLD_BLOCKS,
  type PastCounts,
  type WatchedHost,
  watchFor,
} from "../../src/core/live-view.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { parsePoolRequest } from "../../src/wire/message-parsers.ts";
import { DrivenTimers, drivenLinks } from "../link/driven-world.ts";
import { SILENT_LOG } from "../simulation/silent-log.ts";
import { type Origin, type Rig, startOrigin, startRig } from "./gateway-rig.ts";

const IP = "192.0.2.1";
const EMPTY: PastCounts = { minutes: [], quarters: [] };
const NOW: WatchedHost = {
  version: "1.2.3",
  startedAtMs: 1,
  processCount: 1,
  runningCount: 0,
  addresses: [],
  minute: { atMs: 0, requestCount: 0, flowCount: 0, refusals: {}, portCount: 0 },
};
const TAKES = ["watchable"];

interface Sent {
  readonly type: string;
  readonly [member: string]: unknown;
}

/** A host in a pool that takes this of it, and what it was asked of itself. */
function member(takes: readonly string[] = TAKES) {
  const timers = new DrivenTimers();
  const clock = () => ({ monotonicMs: timers.nowMs, wallMs: 1_790_000_000_000 + timers.nowMs });
  const { openLink, links } = drivenLinks();
  const asked: (number | null)[] = [];
  let decisions = 0;
  const host: HostToSee = {
    now: () => NOW,
    past: () => EMPTY,
    watch: (decisionCount) => void asked.push(decisionCount),
    takeDecisions: () => {
      const taken = Array.from({ length: decisions }, (_, atMs) => ({ atMs, decision: "answered" as const }));
      decisions = 0;
      return { decisions: taken, lostCount: 0 };
    },
  };
  const one = new PoolMember({
    edge: new URL("http://edge.example"),
    pool: "default",
    gateway: "http://203.0.113.1:7001",
    instance: "instance-1",
    token: async () => "the-token",
    binder: new PortBinder({ timers, clock }),
    epochs: { highestEpoch: () => 0, noteEpoch: () => {} },
    drainDeadlineMs: 60_000,
    whyAbsent: async () => null,
    openLink,
    timers,
    clock,
    random: () => 0.5,
    log: SILENT_LOG,
    host,
  });
  onTestFinished(() => one.stop());
  one.start();
  const pool = links[0]!;
  pool.receive({ type: "enlisted", pool: "default", ips: [], takes });
  const sent = (type: string): Sent[] => (pool.sent as Sent[]).filter((message) => message.type === type);
  return { timers, pool, asked, sent, decide: (count: number) => (decisions = count) };
}

describe("a host and its pool", () => {
  test("[ME7] [LV1] says that it can be watched only where that is taken, and tells nothing unasked", async () => {
    const [able, older] = [member(), member([])];
    await able.timers.advance(120_000);
    await older.timers.advance(120_000);
    expect(able.sent("report")[0]).toMatchObject({ watchable: true });
    expect(older.sent("report")[0]!["watchable"]).toBeUndefined();
    // Beyond that each says as much as the other.
    const plain = ({ watchable: _said, ...report }: Sent): Sent => report;
    expect((able.pool.sent as Sent[]).map(plain)).toEqual((older.pool.sent as Sent[]).map(plain));
    expect(able.sent("watched")).toEqual([]);
    expect(able.asked).toEqual([]);
  });

  test("[LV7] tells as often as it is asked to, its past once and by itself, and ends with the time it was given", async () => {
    const { timers, pool, asked, sent } = member();
    pool.receive({ type: "watch", everyMs: 1_000, forMs: 30_000, past: true, decisionCount: 0 });
    await timers.advance(10);
    expect(sent("watched")).toEqual([
      { type: "watched", now: NOW },
      { type: "watched", past: EMPTY },
    ]);
    await timers.advance(10_000);
    expect(sent("watched")).toHaveLength(12);
    expect(sent("watched").filter(({ past }) => past !== undefined)).toHaveLength(1);
    // Asked again, it goes on for as long, and no more often.
    pool.receive({ type: "watch", everyMs: 1_000, forMs: 30_000, past: false, decisionCount: 20 });
    await timers.advance(29_000);
    expect(sent("watched")).toHaveLength(41);
    await timers.advance(60_000);
    expect(sent("watched")).toHaveLength(42);
    expect(asked).toEqual([0, 20, null]);
  });

  test("[LV7] ends when it is told that nobody looks any more, and begins anew when somebody does", async () => {
    const { timers, pool, asked, sent } = member();
    const watch = { type: "watch", ...watchFor(1, false, false) };
    pool.receive(watch);
    await timers.advance(1_500);
    pool.receive({ ...watch, forMs: 0 });
    await timers.advance(60_000);
    expect(sent("watched")).toHaveLength(2);
    pool.receive(watch);
    await timers.advance(10);
    expect(sent("watched")).toHaveLength(3);
    expect(asked).toEqual([0, null, 0]);
  });

  test("[LV7] hosts that are asked rarely begin at moments of their own, and the end of the connection is an end", async () => {
    const { timers, pool, asked, sent } = member();
    pool.receive({ type: "watch", ...watchFor(1_000, false, true) });
    await timers.advance(2_400);
    expect(sent("watched")).toHaveLength(0);
    await timers.advance(200);
    expect(sent("watched")).toHaveLength(1);
    pool.drop();
    pool.reopen();
    pool.receive({ type: "enlisted", pool: "default", ips: [], takes: TAKES });
    await timers.advance(60_000);
    expect(sent("watched")).toHaveLength(1);
    expect(asked).toEqual([1, null]);
  });

  test("[LV7] tells no more decisions than it is asked for, and how many there were beyond", async () => {
    const { timers, pool, sent, decide } = member();
    pool.receive({ type: "watch", everyMs: 1_000, forMs: 30_000, past: false, decisionCount: 2 });
    decide(5);
    await timers.advance(0);
    expect(sent("watched")).toMatchObject([{ decisions: [{ atMs: 0 }, { atMs: 1 }], lostCount: 3 }]);
    await timers.advance(1_000);
    expect(sent("watched")[1]).toEqual({ type: "watched", now: NOW });
  });
});

describe("the past of a host", () => {
  function recorded(kept: PastCounts | null = null) {
    const timers = new DrivenTimers();
    let counts: PlaneCounts = NO_COUNTS;
    const written: PastCounts[] = [];
    const startMs = 1_000 * MINUTE_MS;
    const recorder = new PastRecorder({
      counts: () => counts,
      portCount: () => counts.runningCount,
      kept,
      keep: (past) => void written.push(past),
      timers,
      nowMs: () => startMs + timers.nowMs,
    });
    recorder.start();
    return { timers, recorder, written, startMs, set: (next: PlaneCounts) => (counts = next) };
  }

  test("[LV8] is what was counted anyway, read now and then, and written down rarely and at the end", async () => {
    const { timers, recorder, written, startMs, set } = recorded();
    set({ answeredCount: 3, flowCount: 1, refusals: { draining: 2 }, runningCount: 7 });
    await timers.advance(MINUTE_MS);
    set({ answeredCount: 5, flowCount: 1, refusals: { draining: 2, "url-missing": 1 }, runningCount: 4 });
    await timers.advance(5_000);
    const first = { atMs: startMs, requestCount: 3, flowCount: 1, refusals: { draining: 2 }, portCount: 7 };
    const second = {
      ...first,
      atMs: startMs + MINUTE_MS,
      requestCount: 2,
      flowCount: 0,
      refusals: { "url-missing": 1 },
    };
    expect(recorder.past().minutes).toMatchObject([first, { ...second, portCount: 7 }]);
    expect(written).toEqual([]);
    await timers.advance(10 * MINUTE_MS);
    expect(written).toHaveLength(2);
    recorder.stop();
    expect(written).toHaveLength(3);
    await timers.advance(10 * MINUTE_MS);
    expect(written).toHaveLength(3);
    // The next run goes on with it, and its own counts begin at nothing.
    const next = recorded(written[2]);
    next.set({ answeredCount: 1, flowCount: 0, refusals: {}, runningCount: 0 });
    expect(next.recorder.minute()).toMatchObject({
      atMs: startMs,
      requestCount: 4,
      refusals: { draining: 2 },
    });
    next.recorder.stop();
  });

  test("[LV8] of several processes is the sum, and what one has counted stays when it has ended", () => {
    const seen = new SeenProcesses();
    seen.counted(1, { answeredCount: 4, flowCount: 1, refusals: { draining: 1 }, runningCount: 2 });
    seen.counted(2, { answeredCount: 5, flowCount: 0, refusals: { draining: 2 }, runningCount: 3 });
    const used = (unit: number): [string, [number, number][]] => [IP, [[unit, 9]]];
    const nothing = { decisions: [], lostCount: 0 };
    seen.seen(1, { type: "seen", decisions: nothing, usedPorts: [used(16)] });
    seen.seen(2, { type: "seen", decisions: nothing, usedPorts: [used(17)] });
    expect([...seen.usedPorts(IP)]).toEqual([
      [16, 9],
      [17, 9],
    ]);
    seen.forget(1);
    expect(seen.counts()).toEqual({
      answeredCount: 9,
      flowCount: 1,
      refusals: { draining: 3 },
      runningCount: 3,
    });
    expect([...seen.usedPorts(IP)]).toEqual([[17, 9]]);
    // While nobody looks their ports are counted now and then, and no decision is noted.
    expect(Array.from({ length: 10 }, () => seen.next()).filter(({ ports }) => ports)).toHaveLength(2);
    const made = { decisions: [{ atMs: 1, decision: "answered" as const }], lostCount: 2 };
    seen.seen(2, { type: "seen", decisions: made, usedPorts: [] });
    expect(seen.takeDecisions()).toEqual(nothing);
    seen.watch(20);
    expect(seen.next()).toEqual({ ports: true, decisionCount: 20 });
    seen.seen(2, { type: "seen", decisions: made, usedPorts: [] });
    expect(seen.takeDecisions()).toEqual(made);
  });
});

describe("what carries traffic", () => {
  let rig: Rig;
  let origin: Origin;

  beforeAll(async () => {
    rig = await startRig();
    origin = await startOrigin((_request, response) => response.end("here"));
  });
  afterAll(async () => {
    origin.close();
    await rig.close();
  });
  afterEach(() => {
    expect(rig.faults).toEqual([]);
  });

  test("[LV7] [LV8] counts anyway, and notes decisions only while somebody looks, at no cost before and after", async () => {
    const live = new LivePlane(rig);
    const measured: number[] = [];
    const onFirstByte = (_tookMs: number, _context: unknown, status: number): void =>
      void measured.push(status);
    rig.outgoing.onFirstByte = onFirstByte;
    await (await rig.fetch(`${origin.url}/`)).text();
    await (await rig.fetch("ftp://x")).text();
    expect(live.counts()).toMatchObject({
      answeredCount: 1,
      flowCount: 0,
      refusals: { "url-scheme-unsupported": 1 },
    });
    expect(live.takeDecisions()).toEqual({ decisions: [], lostCount: 0 });
    live.watch(2);
    await (await rig.fetch(`${origin.url}/`)).text();
    await (await rig.fetch("ftp://x")).text();
    await (await rig.fetch("ftp://x")).text();
    const taken = live.takeDecisions();
    expect(taken.lostCount).toBe(1);
    expect(taken.decisions).toMatchObject([
      { decision: "answered", status: 200, client: "test", tenant: "test", ip: rig.ports.ip },
      { decision: "refused", code: "url-scheme-unsupported" },
    ]);
    expect(parsePoolRequest(JSON.stringify({ type: "watched", ...taken }))).toMatchObject({ ok: true });
    live.watch(null);
    expect([rig.outgoing.onFirstByte, rig.admission.onAdmitted, rig.refusalCounts.onRefused]).toEqual([
      onFirstByte,
      null,
      null,
    ]);
    // Whoever measures is told all the while.
    expect(measured).toEqual([200, 200]);
    expect(live.counts()).toMatchObject({ answeredCount: 2, refusals: { "url-scheme-unsupported": 3 } });
  });

  test("[LV7] tells the times of its leases and its ports in use, each once, by the blocks that have them", () => {
    const binder = new PortBinder();
    const ports = binder.addAddress("127.0.0.11");
    ports.addBlock({ base: 20_480, order: 8, epoch: 1 });
    ports.setTerm({ monotonicEndMs: Infinity, wallEndMs: Infinity });
    const held = ["tcp 198.51.100.1 443", "tcp 198.51.100.2 443"].flatMap((to) =>
      Array.from({ length: 200 }, () => ports.take(to)),
    );
    const distinct = new Set(held.map((taken) => (taken.ok ? taken.value.port : -1)));
    const live = new LivePlane({ ...rig, binder });
    const nowMs = 1_790_000_000_000;
    const recorder = new PastRecorder({
      counts: () => live.counts(),
      portCount: () => distinct.size,
      kept: null,
      keep: () => {},
      timers: new DrivenTimers(),
      nowMs: () => nowMs,
    });
    const lease = { base: 20_480, order: 8, epoch: 1 };
    const many = Array.from({ length: MOST_TOLD_BLOCKS }, (_, at) => ({
      base: 64 * (at % 1_000),
      order: 6,
      epoch: at,
    }));
    const view = new HostView({
      version: "1.2.3",
      startedAtMs: nowMs - 5_000,
      processCount: 1,
      plane: live,
      addresses: () => [
        {
          ip: ports.ip,
          leases: [lease],
          lease: { ageMs: 60_000, durationMs: DEFAULT_POOL_SETTINGS.leaseDurationMs },
        },
        { ip: IP, leases: many, lease: null },
      ],
      recorder,
      nowMs: () => nowMs,
    });
    const now = view.now();
    const [own, other] = now.addresses;
    expect(own).toMatchObject({
      ip: ports.ip,
      renewedAtMs: nowMs - 60_000,
      endsAtMs: nowMs - 60_000 + 588_000,
      inUseCount: distinct.size,
      blocks: [[20_480, 256, distinct.size]],
    });
    expect(own!.renewsAtMs).toBeGreaterThan(nowMs - 60_000);
    expect(own!.renewsAtMs).toBeLessThanOrEqual(nowMs + 140_000);
    // More blocks than one message has room for are not told one by one.
    expect(other).toEqual({ ip: IP, renewedAtMs: null, renewsAtMs: null, endsAtMs: null, inUseCount: 0 });
    expect(now.minute.portCount).toBe(distinct.size);
    const told = JSON.stringify({ type: "watched", now, past: view.past() });
    expect(parsePoolRequest(told)).toMatchObject({ ok: true });
    expect(held.every(({ ok }) => ok)).toBe(true);
    expect(distinct.size).toBeLessThan(held.length);
    binder.removeAddress(ports.ip);
  });
});

/** A keeper step by step: what it sends, when it sends it again, and when it wants to be woken. */
import { expect, test } from "vitest";
import type { KeeperEvent, KeeperOptions, RefusalCode } from "../../src/agent/leasing/keeper-options.ts";
import { LeaseKeeper } from "../../src/agent/leasing/lease-keeper.ts";
import type { Lease } from "../../src/core/lease-commands.ts";
import type { LeaseRequest } from "../../src/core/messages.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import { FakePorts } from "./keeper-world.ts";

const LEASE_MS = 600_000;
const FIRST = { base: 4096, order: 8, epoch: 1 };
const SPARE = { base: 4352, order: 8, epoch: 2 };

/** A keeper that is connected, at a time that stands still. */
class Steps {
  nowMs = 1_000_000;
  readonly ports = new FakePorts();
  readonly sent: LeaseRequest[] = [];
  readonly events: KeeperEvent[] = [];
  wakeInMs = 0;
  readonly keeper: LeaseKeeper;

  constructor(options: Partial<KeeperOptions> = {}) {
    this.keeper = new LeaseKeeper({
      instance: "instance-1",
      ports: this.ports,
      clock: () => ({ monotonicMs: this.nowMs, wallMs: 1_790_000_000_000 + this.nowMs }),
      random: () => 0.5,
      send: (request) => this.sent.push(request),
      wakeIn: (delayMs) => (this.wakeInMs = delayMs),
      onEvent: (event) => this.events.push(event),
      renewalPhase: 0,
      highestEpoch: 0,
      ...options,
    });
    this.keeper.connected();
  }

  get last(): LeaseRequest {
    return this.sent.at(-1)!;
  }

  /** Lets time pass; the keeper looks at its end. */
  pass(ms: number): void {
    this.nowMs += ms;
    this.keeper.tick();
  }

  answer(leases: readonly Lease[], granted: Lease | null = null, more: Partial<PoolSettings> = {}): void {
    const settings = { ...DEFAULT_POOL_SETTINGS, ...more };
    const { requestId } = this.last;
    const { leaseDurationMs } = settings;
    this.keeper.message({ type: "answer", requestId, leases, leaseDurationMs, granted, settings });
  }

  refuse(code: RefusalCode): void {
    this.keeper.message({ type: "refused", requestId: this.last.requestId, code });
  }

  /** What is sent from now on. */
  forget(): void {
    this.sent.length = 0;
  }

  types(): string[] {
    return this.sent.map(({ type }) => type);
  }
}

/** One that holds a block and its spare, and has nothing to ask for. */
function settled(options: Partial<KeeperOptions> = {}, more: Partial<PoolSettings> = {}): Steps {
  const steps = new Steps(options);
  steps.answer([FIRST, SPARE], null, more);
  expect(steps.types()).toEqual(["join"]);
  steps.forget();
  return steps;
}

test("[LK3] [LK5] a host joins by its instance, and repeats that under one id every five seconds", () => {
  const steps = new Steps();
  expect(steps.sent).toEqual([
    { type: "join", version: 1, requestId: expect.stringMatching(/^[0-9a-z]+-0$/), instance: "instance-1" },
  ]);
  steps.pass(4_999);
  expect(steps.sent).toHaveLength(1);
  expect(steps.wakeInMs).toBe(1);
  steps.pass(1);
  steps.pass(4_999);
  steps.pass(1);
  expect(steps.sent).toEqual(Array(3).fill(steps.sent[0]));
});

test("[LK5] ids differ from request to request, and from one life of a host to the next", () => {
  const lives = [0.1, 0.9].map((number) => new Steps({ random: () => number }));
  for (const steps of lives) steps.answer([FIRST]);
  const ids = lives.flatMap(({ sent }) => sent.map(({ requestId }) => requestId));
  expect([ids.length, new Set(ids).size]).toEqual([4, 4]);
});

test("[LK5] of a short lease a request is repeated within a sixth of it", () => {
  const steps = settled({}, { leaseDurationMs: 6_000 });
  steps.pass(2_000);
  steps.pass(999);
  expect(steps.types()).toEqual(["renew"]);
  steps.pass(1);
  expect(steps.types()).toEqual(["renew", "renew"]);
});

test.each([0, 0.25, 0.999])(
  "[LK5] it renews at moments that all hosts of its address have in common (phase %d)",
  (renewalPhase) => {
    const steps = settled({ renewalPhase });
    const stepMs = (LEASE_MS / 3) * 0.9;
    const beyondMs = (): number => (1_790_000_000_000 + steps.nowMs - renewalPhase * stepMs) % stepMs;
    let sentAtMs = steps.nowMs;
    for (let count = 1; count <= 3; count += 1) {
      while (steps.sent.length < count) steps.pass(steps.wakeInMs);
      // A timer of whole milliseconds is at most one early.
      expect(Math.min(beyondMs(), stepMs - beyondMs())).toBeLessThanOrEqual(1);
      expect(steps.nowMs - sentAtMs).toBeLessThanOrEqual(LEASE_MS / 3);
      if (count > 1) expect(Math.abs(steps.nowMs - sentAtMs - stepMs)).toBeLessThanOrEqual(1);
      sentAtMs = steps.nowMs;
      steps.answer([FIRST, SPARE]);
    }
    expect(steps.types()).toEqual(["renew", "renew", "renew"]);
  },
);

test("[LK2] it looks each second, for a wall clock may leap, and at the very end of the term", () => {
  const steps = settled();
  expect(steps.wakeInMs).toBe(1_000);
  steps.keeper.disconnected();
  expect(steps.wakeInMs).toBe(1_000);
  steps.pass(LEASE_MS * 0.98 - 400);
  expect(steps.wakeInMs).toBe(400);
  steps.pass(400);
  expect(steps.events.at(-1)).toEqual({ type: "lapsed" });
  expect([steps.ports.term, steps.ports.epochs()]).toEqual([null, []]);
});

test("[LK12] hearing of new settings it renews within a second, drawn at random", () => {
  const steps = settled();
  steps.keeper.message({ type: "changed" });
  expect([steps.types(), steps.wakeInMs]).toEqual([[], 500]);
  steps.pass(499);
  expect(steps.types()).toEqual([]);
  steps.pass(1);
  expect(steps.types()).toEqual(["renew"]);
  steps.answer([FIRST, SPARE]);
  steps.pass(2_000);
  expect(steps.types()).toEqual(["renew"]);
});

test("[HO1] a refused join is tried after ever longer pauses, and at once on a new connection", () => {
  const steps = new Steps();
  // The pauses are drawn between 100 ms and a bound that doubles.
  for (const pauseMs of [150, 250, 450]) {
    steps.refuse("host-already-present");
    expect(steps.wakeInMs).toBe(pauseMs);
    steps.forget();
    steps.pass(pauseMs - 1);
    expect(steps.types()).toEqual([]);
    steps.pass(1);
    expect(steps.types()).toEqual(["join"]);
  }
  steps.refuse("host-already-present");
  steps.keeper.disconnected();
  steps.forget();
  steps.keeper.connected();
  expect(steps.types()).toEqual(["join"]);
  // An answer forgets how often it was refused.
  steps.answer([FIRST, SPARE]);
  steps.keeper.disconnected();
  steps.keeper.connected();
  steps.refuse("host-already-present");
  expect(steps.wakeInMs).toBe(150);
});

test("[LK8] growth that is refused is asked for after a pause of its own, while renewals go on", () => {
  const steps = new Steps();
  steps.answer([FIRST]);
  expect(steps.last).toMatchObject({ type: "acquire", order: 8 });
  expect(steps.ports.growthOutstanding).toBe(true);
  steps.refuse("address-exhausted");
  expect(steps.events.at(-1)).toEqual({ type: "refused", request: "acquire", code: "address-exhausted" });
  expect([steps.ports.growthOutstanding, steps.wakeInMs]).toEqual([false, 750]);
  steps.forget();
  steps.keeper.message({ type: "changed" });
  steps.pass(500);
  expect(steps.types()).toEqual(["renew"]);
  steps.answer([FIRST]);
  steps.pass(249);
  expect(steps.types()).toEqual(["renew"]);
  steps.pass(1);
  expect(steps.types()).toEqual(["renew", "acquire"]);
});

test("[LK4] after a grant from the past it waits before it asks for another", () => {
  const steps = new Steps({ highestEpoch: 9 });
  steps.answer([]);
  const old = { ...FIRST, epoch: 9 };
  steps.answer([old], old);
  expect(steps.events).toEqual([{ type: "epoch-outdated", epoch: 9, highestEpoch: 9 }]);
  expect(steps.last).toMatchObject({ type: "release", base: old.base, epoch: 9 });
  steps.answer([]);
  expect(steps.events.at(-1)).toEqual({ type: "released", epoch: 9 });
  steps.forget();
  steps.pass(749);
  expect(steps.types()).toEqual([]);
  steps.pass(1);
  expect(steps.types()).toEqual(["acquire"]);
});

test("[LK4] the highest epoch is told once, and only when it has risen", () => {
  const steps = new Steps({ highestEpoch: 1 });
  steps.answer([SPARE, FIRST]);
  const seen = () => steps.events.filter(({ type }) => type === "epoch-seen");
  expect(seen()).toEqual([{ type: "epoch-seen", epoch: 2 }]);
  steps.pass(LEASE_MS / 3);
  steps.answer([FIRST, SPARE]);
  expect(seen()).toHaveLength(1);
});

test("[LK5] an answer that names no duration tells nothing of the leases, and it joins again", () => {
  const steps = new Steps();
  const { requestId } = steps.last;
  const settings = DEFAULT_POOL_SETTINGS;
  steps.keeper.message({
    type: "answer",
    requestId,
    leases: [FIRST],
    leaseDurationMs: null,
    granted: null,
    settings,
  });
  expect([steps.ports.term, steps.ports.epochs(), steps.events]).toEqual([null, [], []]);
  expect(steps.types()).toEqual(["join", "join"]);
});

test("[LK5] a refusal without an id is of what cannot be read, and of nothing else", () => {
  const steps = new Steps();
  for (const code of ["stale-session", "host-already-present"] as const) {
    steps.keeper.message({ type: "refused", requestId: "", code });
    expect(steps.events).toEqual([]);
  }
  steps.keeper.message({ type: "refused", requestId: "", code: "message-malformed" });
  expect(steps.events).toEqual([{ type: "refused", request: "join", code: "message-malformed" }]);
});

test("[LK5] a session that is over is joined anew after a pause, whatever was asked", () => {
  const steps = settled();
  steps.pass(LEASE_MS / 3);
  steps.refuse("stale-session");
  steps.forget();
  steps.pass(149);
  expect(steps.types()).toEqual([]);
  steps.pass(1);
  expect(steps.types()).toEqual(["join"]);
  expect(steps.ports.epochs()).toEqual([1]);
});

test("[LK9] a release that is refused is not insisted on, one of an unknown epoch is as good as done", () => {
  const steps = settled();
  steps.keeper.drain(30_000);
  expect(steps.types()).toEqual(["release"]);
  steps.refuse("message-malformed");
  expect(steps.wakeInMs).toBe(150);
  steps.pass(150);
  expect(steps.types()).toEqual(["release", "release"]);
  steps.refuse("stale-epoch");
  expect(steps.events.at(-1)).toEqual({ type: "released", epoch: 1 });
  expect(steps.last).toMatchObject({ type: "release", epoch: 2 });
  steps.answer([]);
  expect(steps.events.at(-1)).toEqual({ type: "drained" });
});

test("[LK9] of two deadlines of a drain the earlier counts, to the millisecond", () => {
  const steps = settled();
  steps.ports.blocks.get(1)!.flows = 3;
  steps.keeper.drain(700);
  steps.answer([FIRST]);
  steps.keeper.drain(5_000);
  expect(steps.wakeInMs).toBe(700);
  steps.pass(699);
  expect(steps.ports.resetFlows).toEqual([]);
  steps.pass(1);
  expect(steps.ports.resetFlows).toEqual([{ epoch: 1, flows: 3 }]);
});

test("[LK9] it waits two seconds for its releases to be answered, and then wants nothing any more", () => {
  const steps = settled();
  steps.keeper.drain(30_000);
  steps.pass(1_999);
  expect(steps.wakeInMs).toBe(1);
  expect(steps.events.at(-1)).not.toEqual({ type: "drained" });
  steps.pass(1);
  expect(steps.events.at(-1)).toEqual({ type: "drained" });
  expect([steps.ports.term, steps.ports.growthOutstanding]).toEqual([null, false]);
  const { length } = steps.events;
  steps.forget();
  steps.pass(LEASE_MS);
  steps.keeper.connected();
  expect([steps.types(), steps.events.length]).toEqual([[], length]);
});

test("[LK8] [LK9] while it drains no flow is told to wait for room", () => {
  const steps = settled();
  expect(steps.ports.growthOutstanding).toBe(true);
  steps.ports.blocks.get(1)!.flows = 1;
  steps.keeper.drain(30_000);
  expect([steps.ports.growthOutstanding, steps.ports.growthEndCount]).toEqual([false, 1]);
  steps.pass(1_000);
  expect(steps.ports.growthEndCount).toBe(1);
});

test("[LK11] what was refused before a drain is asked for at once when that is taken back", () => {
  const steps = new Steps();
  steps.answer([FIRST]);
  steps.ports.blocks.get(1)!.flows = 1;
  for (let time = 0; time < 5; time += 1) {
    steps.refuse("ip-retiring");
    if (time < 4) steps.pass(30_000);
  }
  steps.keeper.drain(300_000);
  steps.forget();
  expect(steps.keeper.resume()).toBe(true);
  expect(steps.types()).toEqual(["acquire"]);
  steps.refuse("address-exhausted");
  expect(steps.wakeInMs).toBe(750);
});

test("[LK7] only an unbroken rest counts", () => {
  const steps = settled();
  const third = { base: 8192, order: 9, epoch: 3 };
  steps.ports.busiestCount = 200;
  steps.ports.report();
  expect(steps.last).toMatchObject({ type: "acquire", order: 9 });
  steps.answer([FIRST, SPARE, third], third);
  const draining = (): number[] =>
    [...steps.ports.blocks.values()].filter(({ isDraining }) => isDraining).map(({ lease }) => lease.epoch);
  steps.ports.busiestCount = 0;
  steps.ports.blocks.get(2)!.flows = 1;
  steps.pass(0);
  steps.pass(179_000);
  steps.ports.busiestCount = 200;
  steps.pass(0);
  steps.ports.busiestCount = 0;
  steps.pass(0);
  steps.pass(179_999);
  expect(draining()).toEqual([]);
  steps.pass(1);
  expect(draining()).toEqual([2]);
});

test("[PM6] one that must not grow renews what it has, and asks for no block", () => {
  let mayGrow = false;
  const steps = new Steps({ mayGrow: () => mayGrow });
  steps.answer([FIRST]);
  expect(steps.types()).toEqual(["join"]);
  expect(steps.ports.growthOutstanding).toBe(false);
  mayGrow = true;
  steps.pass(1_000);
  expect(steps.types()).toEqual(["join", "acquire"]);
});

test("[LK5] a block on its way back is released before what remains is renewed, unless that is due", () => {
  const steps = settled();
  // Two of three are more than it may hold.
  steps.ports.busiestCount = 200;
  steps.ports.report();
  steps.answer([FIRST, SPARE], null, { maxPortsPerHost: 256, minPortsPerHost: 64 });
  steps.pass(0);
  expect(steps.types()).toEqual(["acquire", "release"]);
  steps.pass(LEASE_MS / 3);
  steps.refuse("message-malformed");
  steps.pass(1_000);
  expect(steps.last.type).toBe("renew");
});

test("[AS8] the ports that a host could have are its share, and what it holds once the address has no more", () => {
  const steps = new Steps();
  steps.answer([FIRST], FIRST, { maxPortsPerHost: 4096 });
  expect(steps.keeper.portLimit).toBe(4096);
  expect(steps.last.type).toBe("acquire");
  steps.refuse("address-exhausted");
  expect(steps.keeper.portLimit).toBe(256);
  steps.pass(1_000);
  expect(steps.last.type).toBe("acquire");
  // Who waits for routers may have more.
  steps.refuse("steering-pending");
  expect(steps.keeper.portLimit).toBe(4096);
  steps.pass(2_000);
  steps.refuse("share-exceeded");
  expect(steps.keeper.portLimit).toBe(256);
  steps.pass(4_000);
  steps.answer([FIRST, SPARE], SPARE, { maxPortsPerHost: 4096 });
  expect(steps.keeper.portLimit).toBe(4096);
});

/** One that had a spare of 4,096 ports on an address with little left, and has given it back. */
function content(): Steps {
  const large = { base: 8192, order: 12, epoch: 2 };
  const steps = new Steps();
  const answer = (leases: readonly Lease[]): void => {
    const { requestId } = steps.last;
    const told = { leaseDurationMs: LEASE_MS, granted: null, settings: DEFAULT_POOL_SETTINGS };
    const room = { portCount: 6_400, hostCount: 50 };
    steps.keeper.message({ type: "answer", requestId, leases, room, ...told });
  };
  answer([FIRST, large]);
  expect(steps.last).toMatchObject({ type: "release", epoch: 2 });
  answer([FIRST]);
  steps.forget();
  return steps;
}

test("[LK7] a spare that was too large is not asked for again at once: it would be the same block", () => {
  const steps = content();
  for (let second = 0; second < 29; second += 1) steps.pass(1_000);
  expect(steps.types()).toEqual([]);
  steps.pass(1_000);
  expect(steps.types()).toEqual(["acquire"]);
});

test("[LK7] after it gave a spare back, a host has another as soon as it needs one", () => {
  const steps = content();
  steps.ports.busiestCount = 256;
  steps.ports.report();
  steps.pass(1);
  expect(steps.types()).toEqual(["acquire"]);
});

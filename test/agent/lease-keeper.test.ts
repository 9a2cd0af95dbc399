/** The keeper against the real lease table, through faults and time. */
import { describe, expect, test } from "vitest";
import { portCountOf } from "../../src/core/port-block.ts";
import { World } from "./keeper-world.ts";

const LEASE_MS = 600_000;

describe("taking up", () => {
  test("[LK6] a host begins with one active block and a spare of the same size", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    expect(host.ports.usablePortCount()).toBe(256);
    expect(world.rowsOf("h1").map(({ order }) => order)).toEqual([8, 8]);
    expect(host.sentTypes()).toEqual(["join", "acquire", "acquire"]);
  });

  test("[LK3] after a crash it takes up the same blocks, the same one as spare", () => {
    const world = new World();
    const first = world.start("h1");
    world.advance(1_000);
    const epochs = world.rowsOf("h1").map(({ epoch }) => epoch);
    const active = first.ports.epochs();
    first.crash();
    world.advance(60_000);
    const second = world.start("h1", { highestEpoch: first.highestEpoch });
    world.advance(1_000);
    expect(world.rowsOf("h1").map(({ epoch }) => epoch)).toEqual(epochs);
    expect(second.ports.epochs()).toEqual(active);
    expect(second.sentTypes()).toEqual(["join"]);
  });

  test("[OC3] [LAW3] asked by an edge that has forgotten, it names all that it holds and for how long it counts on it", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    const held = world.rowsOf("h1").map(({ base, order, epoch }) => ({ base, order, epoch }));
    const countedOnMs = world.table.holders.get("h1")!.expiresAtMs;
    host.disconnect();
    world.restore({ leaseDurationMs: 60_000 });
    host.connect();
    world.timeline.advance(1_000);
    expect(world.rowsOf("h1").map(({ base, order, epoch }) => ({ base, order, epoch }))).toEqual(held);
    expect(host.events).not.toContainEqual(expect.objectContaining({ type: "lost" }));
    expect(host.sentTypes().slice(-2)).toEqual(["join", "join"]);
    const { expiresAtMs } = world.table.holders.get("h1")!;
    expect(expiresAtMs).toBeGreaterThan(countedOnMs - 20_000);
    expect(host.sendable().length).toBe(1);
  });

  test("[HO1] a duplicate instance of the host is refused, asks again at leisure, and never sends", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    const duplicate = world.start("h1", { instance: "instance-of-the-twin" });
    world.advance(60_000);
    expect(duplicate.events[0]).toEqual({ type: "refused", request: "join", code: "host-already-present" });
    expect(duplicate.sent.length).toBeLessThan(60);
    expect(duplicate.sendable()).toEqual([]);
    expect(host.sendable().length).toBe(1);
  });

  test("[LK3] blocks that the edge no longer lists are dropped and their flows reset", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    const [epoch] = host.ports.epochs();
    host.ports.blocks.get(epoch!)!.flows = 3;
    host.disconnect();
    const { base } = world.table.rows.get(epoch!)!;
    world.execute({ type: "release", host: "h1", session: host.session!, base, epoch: epoch! });
    host.connect();
    world.timeline.advance(1_000);
    expect(host.ports.resetFlows).toEqual([{ epoch, flows: 3 }]);
    expect(host.events).toContainEqual(expect.objectContaining({ type: "lost" }));
    // The spare stepped in, and a new one was asked for.
    expect(host.ports.usablePortCount()).toBe(256);
    expect(world.rowsOf("h1").length).toBe(2);
  });
});

describe("renewing", () => {
  test("[LK5] a lease is renewed every third of its time, in one message for all blocks", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    host.sent.length = 0;
    world.advance(2 * LEASE_MS);
    expect(new Set(host.sentTypes())).toEqual(new Set(["renew"]));
    expect(host.sent.length).toBeGreaterThanOrEqual(6);
    expect(host.sent.length).toBeLessThanOrEqual(7);
  });

  test("[LK5] the next renewal counts from the request before, not from its late answer", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    world.fateOfReply = (_reply, { type }) => (type === "renew" ? { delayMs: 30_000 } : "deliver");
    // Repetitions are the same request.
    const sentAtMs = new Map<string, number>();
    while (sentAtMs.size < 4) {
      world.advance(100);
      for (const { requestId, type } of host.sent) {
        if (type === "renew" && !sentAtMs.has(requestId)) sentAtMs.set(requestId, host.clock().monotonicMs);
      }
    }
    const [, ...later] = [...sentAtMs.values()];
    const gapsMs = [...sentAtMs.values()].slice(0, -1).map((atMs, index) => later[index]! - atMs);
    for (const gapMs of gapsMs) {
      expect(gapMs).toBeGreaterThan((LEASE_MS / 3) * 0.9 - 200);
      expect(gapMs).toBeLessThanOrEqual(LEASE_MS / 3 + 200);
    }
  });

  test("[LK1] the term counts from before the request was first sent, however late its answer", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    let isSlow = true;
    world.fateOfReply = (_reply, request) => {
      if (request.type !== "renew" || !isSlow) return "deliver";
      return { delayMs: 30_000 };
    };
    while (!host.sentTypes().includes("renew")) world.advance(100);
    const sentAtMs = host.clock().monotonicMs;
    world.advance(35_000);
    isSlow = false;
    expect(host.ports.term!.monotonicEndMs).toBeLessThanOrEqual(sentAtMs + LEASE_MS * 0.98);
    expect(host.ports.term!.monotonicEndMs).toBeGreaterThan(sentAtMs + LEASE_MS * 0.98 - 200);
  });

  test("[LK2] without the edge egress goes on until the term ends, and not a moment longer", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    host.ports.blocks.get(host.ports.epochs()[0]!)!.flows = 5;
    host.disconnect();
    world.advance(LEASE_MS * 0.98 - 3_000);
    expect(host.sendable().length).toBe(1);
    world.advance(4_000);
    expect(host.ports.term).toBe(null);
    expect(host.ports.blocks.size).toBe(0);
    expect(host.ports.resetFlows.length).toBe(1);
    expect(host.eventTypes().at(-1)).toBe("lapsed");
  });

  test("[LK3] when the edge is back after the term, the host serves again by itself", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    const epochs = host.ports.epochs();
    host.disconnect();
    world.advance(LEASE_MS * 0.99);
    host.connect();
    world.advance(1_000);
    expect(host.ports.epochs()).toEqual(epochs);
    host.disconnect();
    world.advance(2 * LEASE_MS);
    host.connect();
    world.advance(1_000);
    expect(host.ports.usablePortCount()).toBe(256);
    expect(Math.min(...host.ports.epochs())).toBeGreaterThan(Math.max(...epochs));
  });

  test("[LK2] a process paused past its term wakes without leases and starts anew", () => {
    const world = new World();
    const paused = world.start("h1");
    world.advance(1_000);
    const epochs = paused.ports.epochs();
    paused.ports.blocks.get(epochs[0]!)!.flows = 9;
    paused.pause();
    world.advance(LEASE_MS + 121_000);
    const other = world.start("h2");
    world.advance(1_000);
    paused.wake();
    world.assertOneSender();
    expect(paused.ports.resetFlows).toEqual([{ epoch: epochs[0], flows: 9 }]);
    world.advance(5_000);
    expect(Math.min(...paused.ports.epochs())).toBeGreaterThan(Math.max(...epochs));
    expect(other.sendable().length).toBe(1);
  });

  test("[LK2] an answer that was slept over gives nothing", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    while (!host.sentTypes().includes("renew")) world.advance(10);
    // The answer arrives while the process sleeps, and is read first on waking.
    host.pause();
    world.advance(LEASE_MS + 121_000);
    world.start("h2");
    world.advance(1_000);
    host.wake();
    expect(host.sendable()).toEqual([]);
    world.assertOneSender();
  });
});

describe("clocks", () => {
  test("[LK2] a wall clock that leaps ahead silences the host until it has renewed", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    const epochs = host.ports.epochs();
    host.disconnect();
    host.wallSkewMs += 3_600_000;
    expect(host.sendable()).toEqual([]);
    world.advance(1_100);
    expect(host.ports.term).toBe(null);
    host.connect();
    world.advance(1_000);
    expect(host.ports.epochs()).toEqual(epochs);
    expect(host.sendable().length).toBe(1);
  });

  test("[LK2] a wall clock that is set back gives no longer term", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    host.wallSkewMs -= 3_600_000;
    host.disconnect();
    world.advance(LEASE_MS);
    expect(host.ports.term).toBe(null);
    host.connect();
    world.advance(1_000);
    host.wallSkewMs += 3_600_000;
    world.advance(5_000);
    expect(host.sendable().length).toBe(1);
  });

  test("[LK2] a machine whose monotonic clock halted in suspend is stopped by its wall clock", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    host.pause();
    world.advance(LEASE_MS + 121_000);
    host.monotonicSkewMs -= LEASE_MS + 121_000;
    host.wake();
    host.keeper.tick();
    expect(host.eventTypes()).toContain("lapsed");
    expect(host.sendable()).toEqual([]);
  });
});

describe("lost, doubled, late", () => {
  test("[LK5] a grant whose answer was lost is asked for again and gives one block", () => {
    const world = new World();
    let lossCount = 0;
    world.fateOfReply = (_reply, request) => {
      if (request.type !== "acquire" || lossCount === 2) return "deliver";
      lossCount += 1;
      return "lose";
    };
    const host = world.start("h1");
    world.advance(30_000);
    expect(lossCount).toBe(2);
    expect(host.ports.usablePortCount()).toBe(256);
    expect(world.rowsOf("h1").length).toBe(2);
  });

  test("[LK3] a grant whose answer was lost with its connection is found again", () => {
    const world = new World();
    const host = world.start("h1");
    world.fateOfReply = (_reply, request) => (request.type === "acquire" ? "lose" : "deliver");
    world.advance(1_000);
    expect(host.ports.blocks.size).toBe(0);
    world.fateOfReply = () => "deliver";
    host.disconnect();
    host.connect();
    world.advance(1_000);
    expect(host.ports.epochs()).toEqual([1]);
    expect(world.rowsOf("h1").map(({ epoch }) => epoch)).toEqual([1, 2]);
  });

  test("[LK5] every message delivered twice changes nothing", () => {
    const world = new World();
    world.fateOfRequest = () => "twice";
    world.fateOfReply = () => "twice";
    const host = world.start("h1");
    world.advance(2 * LEASE_MS);
    expect(world.rowsOf("h1").map(({ epoch }) => epoch)).toEqual([1, 2]);
    expect(host.ports.usablePortCount()).toBe(256);
    expect(host.eventTypes()).not.toContain("lost");
  });

  test("[LK5] an answer to an older request, or of an older connection, is ignored", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    const { term } = host.ports;
    const { settings } = world.table;
    const leaseDurationMs = LEASE_MS;
    for (const { requestId } of host.sent) {
      host.keeper.message({
        type: "answer",
        requestId,
        leases: [],
        leaseDurationMs,
        granted: null,
        settings,
      });
      host.keeper.message({ type: "refused", requestId, code: "stale-session" });
    }
    expect(host.ports.term).toBe(term);
    expect(host.ports.usablePortCount()).toBe(256);
    host.disconnect();
    const { requestId } = host.sent.at(-1)!;
    host.keeper.message({ type: "answer", requestId, leases: [], leaseDurationMs, granted: null, settings });
    expect(host.ports.usablePortCount()).toBe(256);
  });

  test("[LK5] when the edge has taken another connection for the present one, the host joins again", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    world.execute({ type: "join", host: "h1", instance: "instance-of-h1" });
    world.advance(LEASE_MS);
    expect(host.events).toContainEqual({ type: "refused", request: "renew", code: "stale-session" });
    expect(host.sendable().length).toBe(1);
    expect(host.eventTypes()).not.toContain("lapsed");
  });
});

describe("epochs", () => {
  test("[LK4] the highest epoch is told, to be kept", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    expect(host.highestEpoch).toBe(2);
  });

  test("[LK4] a grant from an edge that has forgotten its epochs is not used but released", () => {
    const world = new World();
    const host = world.start("h1", { highestEpoch: 3 });
    world.advance(60_000);
    expect(host.events).toContainEqual({ type: "epoch-outdated", epoch: 1, highestEpoch: 3 });
    const adopted = host.events.flatMap((event) => (event.type === "adopted" ? event.leases : []));
    expect(adopted.map(({ epoch }) => epoch)).toEqual([4, 5]);
    expect(world.rowsOf("h1").map(({ epoch }) => epoch)).toEqual([4, 5]);
  });

  test("[LK4] of two listed leases that overlap, the older is not used", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    host.disconnect();
    host.connect();
    const { requestId } = host.sent.at(-1)!;
    host.keeper.message({
      type: "answer",
      requestId,
      leases: [
        { base: 4096, order: 8, epoch: 7 },
        { base: 4096, order: 6, epoch: 9 },
      ],
      leaseDurationMs: LEASE_MS,
      granted: null,
      settings: world.table.settings,
    });
    expect(host.ports.epochs()).toEqual([9]);
  });
});

describe("growing and shrinking", () => {
  test("[LK6] at 70 % the spare is active at once and the next one doubles the holdings", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    host.ports.busiestCount = 179;
    host.ports.report();
    expect(host.ports.usablePortCount()).toBe(256);
    host.ports.busiestCount = 180;
    host.ports.report();
    expect(host.ports.usablePortCount()).toBe(512);
    world.advance(1_000);
    expect(world.rowsOf("h1").map(({ order }) => order)).toEqual([8, 8, 9]);
    expect(host.ports.usablePortCount()).toBe(512);
  });

  test("[LK6] demand that stays ahead doubles the ports up to the share of a host, no block above 4,096", () => {
    const world = new World({ maxPortsPerHost: 16_384 });
    const host = world.start("h1");
    for (let step = 0; step < 600; step += 1) {
      host.ports.busiestCount = host.ports.usablePortCount();
      host.ports.report();
      world.timeline.advance(50);
    }
    expect(host.ports.usablePortCount()).toBe(16_384);
    expect(Math.max(...world.rowsOf("h1").map(({ order }) => order))).toBe(12);
    expect(host.eventTypes()).not.toContain("refused");
  });

  test("[LK8] flows are told to wait while room may come, and no longer", () => {
    const world = new World({ maxPortsPerHost: 512 });
    const host = world.start("h1");
    expect(host.ports.growthOutstanding).toBe(false);
    world.advance(1_000);
    expect(host.ports.growthOutstanding).toBe(true);
    host.ports.busiestCount = 256;
    host.ports.report();
    expect(host.ports.usablePortCount()).toBe(512);
    expect(host.ports.growthOutstanding).toBe(false);
    expect(host.ports.growthEndCount).toBeGreaterThan(0);
  });

  test("[LK8] a refused growth is tried again, ever more rarely", () => {
    const world = new World({ maxPortsPerHost: 65_536 });
    const host = world.start("h1");
    world.advance(1_000);
    const joined = world.execute({ type: "join", host: "h2", instance: "instance-of-h2" }).outcome;
    const session = joined.ok ? joined.value.session! : 0;
    const takeAll = (requestId: number): void => {
      const acquire = { type: "acquire", host: "h2", session, requestId: `${requestId}`, order: 12 } as const;
      if (world.execute(acquire).outcome.ok) takeAll(requestId + 1);
    };
    takeAll(0);
    host.ports.busiestCount = 256;
    host.ports.report();
    expect(host.ports.growthOutstanding).toBe(true);
    host.sent.length = 0;
    world.advance(190_000);
    const refusals = host.events.filter((event) => event.type === "refused");
    expect(refusals.length).toBeGreaterThan(3);
    expect(refusals.length).toBeLessThan(30);
    expect(refusals[0]).toEqual({ type: "refused", request: "acquire", code: "address-exhausted" });
    expect(host.ports.growthOutstanding).toBe(false);
    expect(host.sendable().length).toBe(2);
  });

  test("[LK7] after a long rest all goes that is not needed, down to the first block and a spare", () => {
    const world = new World({}, { restMs: 60_000 });
    const host = world.start("h1");
    world.advance(1_000);
    for (let step = 0; step < 4; step += 1) {
      host.ports.busiestCount = host.ports.usablePortCount();
      host.ports.report();
      world.advance(1_000);
    }
    expect(host.ports.usablePortCount()).toBe(4_096);
    host.ports.busiestCount = 100;
    world.advance(59_000);
    expect(host.ports.usablePortCount()).toBe(4_096);
    world.advance(3_000);
    // Twice the use, in whole blocks.
    expect(host.ports.usablePortCount()).toBe(256);
    host.ports.busiestCount = 0;
    world.advance(600_000);
    expect(host.ports.usablePortCount()).toBe(256);
    expect(world.rowsOf("h1").map(({ order }) => portCountOf(order))).toEqual([256, 256]);
  });

  test("[LK7] a block is given back only when its last flow has ended", () => {
    const world = new World({}, { restMs: 60_000 });
    const host = world.start("h1");
    world.advance(1_000);
    host.ports.busiestCount = 200;
    host.ports.report();
    world.advance(1_000);
    for (const block of host.ports.blocks.values()) block.flows = 2;
    host.ports.busiestCount = 0;
    world.advance(300_000);
    const draining = [...host.ports.blocks.values()].filter(({ isDraining }) => isDraining);
    expect(draining.length).toBe(1);
    const { epoch } = draining[0]!.lease;
    expect(host.sent).not.toContainEqual(expect.objectContaining({ type: "release", epoch }));
    draining[0]!.flows = 0;
    world.advance(2_000);
    expect(world.table.rows.get(epoch)?.state).not.toBe("leased");
    expect(host.ports.resetFlows).toEqual([]);
  });
});

describe("draining", () => {
  test("[LK9] on drain every block is released once its flows have ended", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    const block = host.ports.blocks.get(host.ports.epochs()[0]!)!;
    block.flows = 1;
    host.keeper.drain(30_000);
    expect(block.isDraining).toBe(true);
    world.advance(10_000);
    expect(world.rowsOf("h1").length).toBe(1);
    expect(host.eventTypes()).not.toContain("drained");
    block.flows = 0;
    world.advance(2_000);
    expect(world.rowsOf("h1")).toEqual([]);
    expect(host.eventTypes().at(-1)).toBe("drained");
    expect(host.ports.resetFlows).toEqual([]);
  });

  test("[MA3] a block of which the kernel still lets something out is not given back", () => {
    const world = new World({}, { farewellMs: 60_000 });
    const host = world.start("h1");
    world.advance(1_000);
    for (const epoch of host.ports.epochs()) host.ports.loud.add(epoch);
    host.keeper.drain(0);
    world.advance(20_000);
    expect(world.rowsOf("h1").length).toBe(1);
    expect(host.eventTypes()).not.toContain("drained");
    host.ports.loud.clear();
    host.keeper.tick();
    world.advance(1_000);
    expect(world.rowsOf("h1")).toEqual([]);
    expect(host.eventTypes().at(-1)).toBe("drained");
  });

  test("[LK9] at the deadline what still flows is reset", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    const [epoch] = host.ports.epochs();
    host.ports.blocks.get(epoch!)!.flows = 4;
    host.keeper.drain(30_000);
    world.advance(29_000);
    expect(host.ports.resetFlows).toEqual([]);
    world.advance(2_000);
    expect(host.ports.resetFlows).toEqual([{ epoch, flows: 4 }]);
    expect(world.rowsOf("h1")).toEqual([]);
    expect(host.eventTypes().at(-1)).toBe("drained");
  });

  test("[LK9] a drain waits for the answer that may still bring a block, and gives it back", () => {
    const world = new World();
    const host = world.start("h1");
    world.timeline.advance(50);
    expect(host.sentTypes()).toEqual(["join", "acquire"]);
    host.keeper.drain(30_000);
    expect(host.eventTypes()).not.toContain("drained");
    world.advance(1_000);
    expect(world.table.lastEpoch).toBe(1);
    expect(world.rowsOf("h1")).toEqual([]);
    expect(host.eventTypes().at(-1)).toBe("drained");
    expect(host.ports.blocks.size).toBe(0);
  });

  test("[LK9] without the edge, or without its answers, a drain ends all the same", () => {
    const world = new World();
    const [gone, unanswered] = [world.start("h1"), world.start("h2")];
    world.advance(1_000);
    gone.disconnect();
    gone.keeper.drain(30_000);
    expect(gone.eventTypes().at(-1)).toBe("drained");
    world.fateOfRequest = () => "lose";
    unanswered.keeper.drain(30_000);
    world.advance(1_900);
    expect(unanswered.eventTypes()).not.toContain("drained");
    world.advance(200);
    expect(unanswered.eventTypes().at(-1)).toBe("drained");
  });
});

test("[LK5] a request that cannot be read is not sent again and again", () => {
  const world = new World();
  const host = world.start("h1");
  for (let count = 0; count < 20; count += 1) {
    host.keeper.message({ type: "refused", requestId: "", code: "version-unsupported" });
    world.timeline.advance(10);
  }
  expect(host.sent.length).toBeLessThan(6);
});

/** No lawful history is condemned, however it went; one wrong step after it always is. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { History, Sighting } from "./history.ts";
import { IP, LEASE_MS, LawfulModel, QUARANTINE_MS, SPARE, type Step } from "./lawful-history.ts";
import { type Verdict, judge } from "./second-opinion.ts";

const steps: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom<Step["kind"][]>(
    ...(["want", "renew", "release", "lose", "echo", "set", "start"] as const),
    ...(["arrive", "arrive", "arrive", "arrive", "send", "send", "send", "reply", "reply"] as const),
  ),
  pick: fc.nat(1000),
  more: fc.nat(1_000_000),
  waitMs: fc.oneof({ weight: 3, arbitrary: fc.nat(50) }, { weight: 1, arbitrary: fc.nat(120_000) }),
});

const lawful = fc
  .tuple(
    fc.array(fc.integer({ min: -10, max: 10 }), { minLength: 4, maxLength: 4 }),
    fc.array(steps, { maxLength: 250, size: "max" }),
  )
  .map(([drifts, all]) => {
    const model = new LawfulModel(drifts);
    for (const step of all) model.do(step);
    return model;
  });

/** What is changed in the lawful end of a history. */
interface Change {
  readonly keptMs?: number;
  readonly sender?: string;
  readonly sentAfterMs?: number;
  readonly epochBy?: number;
  readonly handedTo?: string | null;
}

/**
 * Continues a history with two machines that have one block after the other: the first has it, sends,
 * gets a reply and gives it back; the second has it after the quarantine, sends and gets a reply.
 */
function continued({ sightings, atMs: beganMs }: LawfulModel, change: Change = {}): History {
  const {
    keptMs = QUARANTINE_MS * 1.01,
    sender = "y",
    sentAfterMs = 20,
    epochBy = 1,
    handedTo = "y",
  } = change;
  const epochs = sightings
    .flatMap((seen) => (seen.type === "told" ? seen.blocks : []))
    .map(({ epoch }) => epoch);
  const mine = { ...SPARE, epoch: Math.max(0, ...epochs) + 5 };
  const yours = { ...SPARE, epoch: mine.epoch + epochBy };
  const told = { type: "told", ip: IP, leaseDurationMs: LEASE_MS } as const;
  const port = SPARE.base + 1;
  const keepMs = beganMs + 10 + keptMs;
  const sentMs = keepMs + sentAfterMs;
  const steered = { type: "steered", router: "r1", isAttentive: true, ip: IP, port } as const;
  const end: Sighting[] = [
    { atMs: beganMs, type: "asked", machine: "x", ip: IP, requestId: "x1" },
    { ...told, atMs: beganMs + 5, machine: "x", requestId: "x1", blocks: [mine], granted: mine },
    { atMs: beganMs + 10, type: "sent", machine: "x", ip: IP, port },
    { ...steered, atMs: beganMs + 10, machine: "x" },
    { atMs: beganMs + 10, type: "asked", machine: "x", ip: IP, requestId: "x2" },
    { atMs: keepMs, type: "asked", machine: "y", ip: IP, requestId: "y1" },
    { ...told, atMs: keepMs, machine: "y", requestId: "y1", blocks: [yours], granted: yours },
    { atMs: sentMs, type: "sent", machine: sender, ip: IP, port },
    { ...steered, atMs: sentMs, machine: handedTo },
  ];
  return [...sightings, ...end];
}

function laws(verdicts: readonly Verdict[]): unknown[] {
  return verdicts.map(({ law }) => law);
}

describe("lawful histories", () => {
  test("break no law", () => {
    fc.assert(
      fc.property(lawful, (model) => {
        expect(judge(model.sightings)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test("break no law when all faults end", () => {
    fc.assert(
      fc.property(lawful, (model) => {
        model.calm();
        model.see({ atMs: model.atMs + 10 * LEASE_MS, type: "over" });
        expect(judge(model.sightings)).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  test("are not all alike", () => {
    const seen = new Set<string>();
    for (const model of fc.sample(lawful, { numRuns: 200, seed: 1 })) {
      const senders = new Map<number, string>();
      for (const sighting of model.sightings) {
        if (sighting.type !== "sent") continue;
        const former = senders.get(sighting.port >> 6);
        if (former !== undefined && former !== sighting.machine) seen.add("a block changed hands");
        senders.set(sighting.port >> 6, sighting.machine);
      }
      for (const { type } of model.sightings) seen.add(type);
    }
    expect([...seen].toSorted()).toEqual([
      "a block changed hands",
      "asked",
      "clock-set",
      "ended",
      "promised",
      "sent",
      "started",
      "steered",
      "told",
    ]);
  });
});

describe("a lawful history that goes on", () => {
  test.each<[title: string, change: Change, broken: readonly unknown[]]>([
    ["lawfully breaks no law", {}, []],
    ["lawfully, and rests for a while, breaks no law", { sentAfterMs: 500_000 }, []],
    ["[LAW2] with a sender that was swapped breaks the second law", { sender: "z", handedTo: null }, [2]],
    ["[LAW3] with a packet after the end breaks the third", { sentAfterMs: 612_000, handedTo: null }, [3]],
    ["[LAW3] with a sender that should have stopped does too", { sender: "x", handedTo: null }, [3]],
    ["[LAW4] with a reply to the former sender breaks the fourth", { handedTo: "x" }, [4]],
    ["[LAW4] with a reply to a stranger does too", { handedTo: "z" }, [4]],
    ["[LAW4] with a reply that is dropped does too", { handedTo: null }, [4]],
  ])("%s", (_title, change, broken) => {
    fc.assert(
      fc.property(lawful, (model) => {
        expect(laws(judge(continued(model, change)))).toEqual(broken);
      }),
      { numRuns: 60 },
    );
  });

  test("[LAW1] with the former sender breaks the first law", () => {
    fc.assert(
      fc.property(lawful, (model) => {
        const history = continued(model);
        const { atMs } = history.at(-1)!;
        const again: Sighting = { atMs, type: "sent", machine: "x", ip: IP, port: SPARE.base + 1 };
        expect(laws(judge([...history, again]))).toEqual([1]);
      }),
      { numRuns: 60 },
    );
  });

  test("[LAW5] with an epoch that does not rise breaks the fifth", () => {
    fc.assert(
      fc.property(lawful, fc.integer({ min: -4, max: 0 }), (model, epochBy) => {
        expect(laws(judge(continued(model, { epochBy, handedTo: "x" })))).toContain(5);
      }),
      { numRuns: 60 },
    );
  });

  test("[LAW6] without the quarantine breaks the sixth", () => {
    fc.assert(
      fc.property(lawful, fc.integer({ min: 0, max: Math.floor(QUARANTINE_MS / 1.01) }), (model, keptMs) => {
        expect(laws(judge(continued(model, { keptMs })))).toEqual([6]);
      }),
      { numRuns: 60 },
    );
  });

  test("[CALM] but without a machine that should send breaks the promise of calm", () => {
    fc.assert(
      fc.property(lawful, (model) => {
        model.see({
          atMs: model.atMs,
          type: "calm",
          machines: ["x", "y", "z"],
          leastHosts: 3,
          boundMs: LEASE_MS,
        });
        const over: Sighting = { atMs: model.atMs + LEASE_MS, type: "over" };
        expect(laws(judge([...continued(model), over]))).toEqual(["calm"]);
      }),
      { numRuns: 60 },
    );
  });
});

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  LOOK_LASTS_MS,
  MINUTE_MS,
  MOST_CODES,
  MOST_MINUTES,
  MOST_QUARTERS,
  type PastCounts,
  QUARTER_MS,
  watchFor,
} from "../../src/core/live-view.ts";
import { type Counted, PastRings, PastSum } from "../../src/core/past-counts.ts";
import { parsePastCounts } from "../../src/wire/live-view-schema.ts";

const DAY_MS = 86_400_000;
const counted: fc.Arbitrary<Counted> = fc.record({
  requestCount: fc.nat(1_000),
  flowCount: fc.nat(1_000),
  refusals: fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), fc.nat(50), {
    maxKeys: 40,
    noNullPrototype: true,
  }),
  portCount: fc.nat(64_512),
});
/** Times go forth, rest, and are set back. */
const steps = fc.array(
  fc.tuple(
    fc.oneof(fc.integer({ min: 0, max: 2 * MINUTE_MS }), fc.integer({ min: -DAY_MS, max: DAY_MS })),
    counted,
  ),
  { maxLength: 60 },
);

function total(slots: PastCounts["minutes"]): number {
  return slots.reduce((sum, { requestCount }) => sum + requestCount, 0);
}

function refusalsOf({ refusals }: Pick<Counted, "refusals">): number {
  return Object.values(refusals).reduce((sum, count) => sum + count, 0);
}

describe("the rings of a host", () => {
  test("[LV8] are in order, in their time and bounded, whatever is counted and whatever the clock does", () => {
    fc.assert(
      fc.property(steps, (made) => {
        const rings = new PastRings();
        let nowMs = 100 * DAY_MS;
        for (const [passedMs, more] of made) {
          nowMs = Math.max(0, nowMs + passedMs);
          rings.add(nowMs, more);
          const { minutes, quarters } = rings.past(nowMs);
          expect(minutes.length).toBeLessThanOrEqual(MOST_MINUTES);
          expect(quarters.length).toBeLessThanOrEqual(MOST_QUARTERS);
          for (const [slots, slotMs, most] of [
            [minutes, MINUTE_MS, MOST_MINUTES],
            [quarters, QUARTER_MS, MOST_QUARTERS],
          ] as const) {
            expect(slots.length).toBeGreaterThan(0);
            for (const [at, { atMs, refusals }] of slots.entries()) {
              expect(atMs % slotMs).toBe(0);
              expect(atMs).toBeLessThanOrEqual(nowMs);
              expect(atMs).toBeGreaterThan(nowMs - most * slotMs - 1);
              if (at > 0) expect(atMs).toBeGreaterThan(slots[at - 1]!.atMs);
              expect(Object.keys(refusals).length).toBeLessThanOrEqual(MOST_CODES + 1);
            }
          }
          // What is kept can be read again, and goes on as it was.
          const kept = parsePastCounts(JSON.stringify(rings.past(nowMs)));
          expect(new PastRings(kept).past(nowMs)).toEqual(rings.past(nowMs));
        }
      }),
      { numRuns: 60 },
    );
  });

  test("[LV8] lose nothing within their time, and take the most ports that were in use at a time", () => {
    fc.assert(
      fc.property(fc.array(counted, { minLength: 1, maxLength: 59 }), (all) => {
        const rings = new PastRings();
        const startMs = 100 * DAY_MS;
        for (const [at, more] of all.entries()) {
          rings.add(startMs + at * MINUTE_MS, more);
          rings.add(startMs + at * MINUTE_MS + 1, more);
        }
        const endMs = startMs + all.length * MINUTE_MS - 1;
        const { minutes, quarters } = rings.past(endMs);
        const sum = 2 * all.reduce((told, { requestCount }) => told + requestCount, 0);
        expect([total(minutes), total(quarters)]).toEqual([sum, sum]);
        const refused = 2 * all.reduce((told, more) => told + refusalsOf(more), 0);
        expect(minutes.reduce((told, slot) => told + refusalsOf(slot), 0)).toBe(refused);
        expect(minutes.map(({ portCount }) => portCount)).toEqual(all.map(({ portCount }) => portCount));
        expect(rings.minute(endMs)).toEqual(minutes.at(-1));
      }),
      { numRuns: 40 },
    );
  });

  test("[LV8] leave out a time of which nothing is known", () => {
    const rings = new PastRings();
    const one = { requestCount: 1, flowCount: 0, refusals: {}, portCount: 2 };
    rings.add(0, one);
    rings.add(5 * MINUTE_MS, one);
    expect(rings.past(6 * MINUTE_MS).minutes.map(({ atMs }) => atMs)).toEqual([0, 5 * MINUTE_MS]);
    expect(rings.minute(6 * MINUTE_MS)).toEqual({
      atMs: 6 * MINUTE_MS,
      requestCount: 0,
      flowCount: 0,
      refusals: {},
      portCount: 0,
    });
    expect(rings.past(2 * DAY_MS)).toEqual({ minutes: [], quarters: [] });
  });
});

test("[LV8] the sum of hosts has what each has told, whenever that was", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(120 * MINUTE_MS), counted), { maxLength: 30 }), (told) => {
      const sum = new PastSum();
      for (const [nowMs, more] of told) {
        const rings = new PastRings();
        rings.add(nowMs, more);
        sum.add(rings.past(nowMs), 120 * MINUTE_MS);
      }
      const { minutes, quarters } = sum.sum();
      expect(minutes.length).toBeLessThanOrEqual(MOST_MINUTES);
      expect(total(quarters)).toBe(told.reduce((all, [, { requestCount }]) => all + requestCount, 0));
      expect(minutes.every(({ atMs }, at) => at === 0 || atMs > minutes[at - 1]!.atMs)).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test("[LV8] a host that tells of what is still to come, or of no minute, takes the place of nothing", () => {
  const sum = new PastSum();
  const nowMs = 1_000 * MINUTE_MS;
  const rings = new PastRings();
  rings.add(nowMs, { requestCount: 3, flowCount: 0, refusals: {}, portCount: 1 });
  const lie = { requestCount: 1e15, flowCount: 1e15, refusals: { constructor: 1 }, portCount: 1e15 };
  const minutes = Array.from({ length: MOST_MINUTES }, (_, at) => ({
    ...lie,
    atMs: nowMs + (at + 2) * MINUTE_MS,
  }));
  const quarters = minutes.map((slot, at) => ({ ...slot, atMs: 15 * nowMs * (at + 1) }));
  sum.add({ minutes, quarters }, nowMs);
  sum.add({ minutes: [{ ...lie, atMs: nowMs - 1 }], quarters: [] }, nowMs);
  sum.add(rings.past(nowMs), nowMs);
  expect(sum.sum()).toEqual(rings.past(nowMs));
});

test("[LV7] hosts are asked to tell so rarely that all together stay below 200 messages a second", () => {
  for (const hostCount of [0, 1, 10, 200, 201, 1_000, 10_000]) {
    const { everyMs, forMs, decisionCount } = watchFor(hostCount, false, true);
    expect((hostCount * 1_000) / everyMs).toBeLessThanOrEqual(200);
    expect(everyMs).toBeGreaterThanOrEqual(1_000);
    expect(forMs).toBe(LOOK_LASTS_MS);
    expect((hostCount * decisionCount * 1_000) / everyMs).toBeLessThanOrEqual(Math.max(200, hostCount / 5));
    expect((decisionCount * 1_000) / everyMs).toBeLessThanOrEqual(20);
  }
  expect(watchFor(1, true, false)).toEqual({
    everyMs: 1_000,
    forMs: LOOK_LASTS_MS,
    past: true,
    decisionCount: 0,
  });
});

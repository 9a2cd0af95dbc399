/** What a host makes of its tries to connect. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Place } from "../../src/core/uplink.ts";
import {
  LATE_TRIAL_INTERVAL_MS,
  PATIENCE_MS,
  PROBE_INTERVAL_MS,
  TRIAL_INTERVAL_MS,
  UplinkHealth,
  WINDOW_MS,
} from "../../src/core/uplink-health.ts";

const GOOD: Place = { ip: "198.51.100.1", port: 443 };
const DOWN: Place = { ip: "198.51.100.2", port: 443 };

function placed(number: number): Place {
  return { ip: `203.0.${number >> 8}.${number & 255}`, port: 443 };
}

/** A try that ends at once. */
function tryOnce(health: UplinkHealth, place: Place, isReached: boolean | null, nowMs: number): void {
  health.ended(health.began(place, nowMs), isReached, nowMs);
}

/** A trial of whatever is due, in which these places answer. */
function trial(
  health: UplinkHealth,
  isUp: (place: Place) => boolean | null,
  nowMs: number,
): readonly Place[] {
  const places = health.beginTrial(nowMs);
  health.endTrial(
    places.map((place) => ({ place, isReached: isUp(place) })),
    nowMs,
  );
  return places;
}

test("[UP1] a destination that is down makes a trial, and what is reached in it clears the uplink", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 0);
  tryOnce(health, DOWN, false, 10);
  expect(health.isTrialDue(10)).toBe(true);
  expect(trial(health, ({ ip }) => ip === GOOD.ip, 10)).toEqual([GOOD, DOWN]);
  expect(health.view(10)).toMatchObject({ state: "good", destinationCount: 2, failedCount: 1, doubts: [] });
});

test("[UP1] a flood of tries to one destination that is down, or to a thousand, hides no place that answers", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 0);
  let trialCount = 0;
  for (let number = 0; number < 2_000; number += 1) {
    const nowMs = 10 + number * 5;
    tryOnce(health, number < 1_000 ? DOWN : placed(number), false, nowMs);
    if (!health.isTrialDue(nowMs)) continue;
    trialCount += 1;
    expect(trial(health, ({ ip }) => ip === GOOD.ip, nowMs)[0]).toEqual(GOOD);
    expect(health.view(nowMs).state).toBe("good");
  }
  expect(trialCount).toBeLessThanOrEqual(10_000 / TRIAL_INTERVAL_MS + 1);
});

test("[UP1] a try that hangs is a sign, unless something else was reached since it began", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 0);
  health.began(DOWN, 100);
  expect(health.isTrialDue(100 + PATIENCE_MS - 1)).toBe(false);
  expect(health.isTrialDue(100 + PATIENCE_MS)).toBe(true);
  tryOnce(health, GOOD, true, 200);
  expect(health.isTrialDue(100 + PATIENCE_MS)).toBe(false);
});

test("[UP1] a request that nothing comes of is a sign, also to a place that nobody has dialled for long", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 0);
  const atMs = 700_000;
  const wait = { place: GOOD, sinceMs: atMs };
  health.waits(wait, atMs + PATIENCE_MS - 1);
  expect(health.isTrialDue(atMs + PATIENCE_MS - 1)).toBe(false);
  health.waits(wait, atMs + PATIENCE_MS);
  expect(health.isTrialDue(atMs + PATIENCE_MS)).toBe(true);
  expect(trial(health, () => true, atMs + PATIENCE_MS)).toEqual([GOOD]);
  // The origin is slow, the way is good: that needs no second trial.
  health.waits(wait, atMs + 60_000);
  expect(health.isTrialDue(atMs + 60_000)).toBe(false);
  health.waits({ place: GOOD, sinceMs: atMs + 60_000 }, atMs + 70_000);
  expect(trial(health, () => false, atMs + 70_000)).toEqual([GOOD]);
  expect(health.view(atMs + 70_000)).toMatchObject({ state: "suspect", doubts: [GOOD] });
});

test("[UP1] when nothing is reached the address is suspect and says what it means; one success ends that", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 0);
  health.began(GOOD, 5_000);
  expect(trial(health, () => false, 6_000)).toEqual([GOOD]);
  expect(health.view(7_500)).toEqual({
    state: "suspect",
    destinationCount: 1,
    failedCount: 1,
    doubts: [GOOD],
  });
  tryOnce(health, GOOD, true, 8_000);
  expect(health.view(8_000)).toMatchObject({ state: "good", doubts: [] });
});

test("[UP1] what says nothing of the way changes nothing", () => {
  const health = new UplinkHealth();
  tryOnce(health, DOWN, null, 0);
  expect(health.isTrialDue(60_000)).toBe(false);
  tryOnce(health, DOWN, false, 0);
  trial(health, () => null, 100);
  expect(health.view(100).state).toBe("good");
});

test("[UP1] what was reached while a trial went on speaks against it", () => {
  const health = new UplinkHealth();
  tryOnce(health, DOWN, false, 0);
  const places = health.beginTrial(0);
  tryOnce(health, GOOD, true, 1_000);
  health.endTrial(
    places.map((place) => ({ place, isReached: false })),
    1_500,
  );
  expect(health.view(1_500).state).toBe("good");
});

test("[UP6] a suspect address is tried at a slow rate, and forgotten when nobody wants anything of it", () => {
  const health = new UplinkHealth();
  tryOnce(health, DOWN, false, 0);
  trial(health, () => false, 0);
  const atMs: number[] = [];
  for (let nowMs = 0; nowMs <= 200_000; nowMs += 100) {
    if (!health.isTrialDue(nowMs)) continue;
    atMs.push(nowMs);
    trial(health, () => false, nowMs);
  }
  const gaps = atMs.slice(1).map((one, at) => one - atMs[at]!);
  expect(Math.min(...gaps)).toBe(TRIAL_INTERVAL_MS);
  // Nobody has wanted it for a minute: there is no more reason to doubt.
  expect(atMs.at(-1)!).toBeLessThanOrEqual(60_000 + LATE_TRIAL_INTERVAL_MS);
  expect(health.view(200_000).state).toBe("good");
});

test("[UP6] the first way back is at once, one that comes and goes has to hold ever longer", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 0);
  const waits: number[] = [];
  let nowMs = 0;
  for (let round = 0; round < 7; round += 1) {
    nowMs += 2_000;
    tryOnce(health, GOOD, false, nowMs);
    trial(health, () => false, nowMs);
    expect(health.view(nowMs).state).toBe("suspect");
    const backMs = (nowMs += 100);
    tryOnce(health, GOOD, true, nowMs);
    while (health.view(nowMs).state === "suspect") tryOnce(health, GOOD, true, (nowMs += 100));
    waits.push(nowMs - backMs);
  }
  expect(waits).toEqual([0, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
});

test("[UP8] with probes an address that nobody uses is tried too, and less often than it is used", () => {
  const health = new UplinkHealth(true);
  expect(health.isTrialDue(0)).toBe(true);
  health.beginTrial(0);
  health.endTrial([{ place: GOOD, isReached: true }], 0);
  expect(health.isTrialDue(PROBE_INTERVAL_MS - 1)).toBe(false);
  tryOnce(health, DOWN, true, 4_000);
  expect(health.isTrialDue(PROBE_INTERVAL_MS)).toBe(false);
  expect(health.isTrialDue(4_000 + PROBE_INTERVAL_MS)).toBe(true);
  health.beginTrial(10_000);
  health.endTrial([{ place: GOOD, isReached: false }], 10_000);
  expect(health.view(10_000).state).toBe("suspect");
});

test("[UP8] a doubt from elsewhere makes a trial due at once, also of a suspect address", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 0);
  health.doubt();
  expect(health.isTrialDue(1)).toBe(true);
  trial(health, () => false, 1);
  expect(health.isTrialDue(2)).toBe(false);
  health.doubt();
  expect(health.isTrialDue(2)).toBe(true);
});

const step = fc.record({
  what: fc.constantFrom("reach", "fail", "hang", "nothing", "doubt"),
  place: fc.nat(400),
  afterMs: fc.nat(3_000),
  isUp: fc.boolean(),
});

test("[UP1] [UP6] whatever happens: suspect only after a trial without an answer, bounded, and good when all is", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const health = new UplinkHealth();
      let nowMs = 0;
      let isFailed = false;
      let lastTrialMs = -Infinity;
      for (const { what, place, afterMs, isUp } of steps) {
        nowMs += afterMs;
        const before = health.view(nowMs).state;
        if (what === "doubt") health.doubt();
        else if (what === "hang") health.began(placed(place), nowMs);
        else tryOnce(health, placed(place), what === "nothing" ? null : what === "reach", nowMs);
        // Never by tries alone.
        if (before === "good") expect(health.view(nowMs).state).toBe("good");
        if (health.isTrialDue(nowMs)) {
          if (before === "good") expect(nowMs - lastTrialMs).toBeGreaterThanOrEqual(TRIAL_INTERVAL_MS);
          lastTrialMs = nowMs;
          isFailed = !isUp;
          expect(trial(health, () => isUp, nowMs).length).toBeLessThanOrEqual(4);
        }
        const view = health.view(nowMs);
        if (view.state === "suspect" && before === "good") expect(isFailed).toBe(true);
        const isLosing = view.destinationCount >= 10 && view.failedCount * 2 >= view.destinationCount;
        expect(view.doubts.length > 0).toBe(view.state === "suspect" || isLosing);
        expect(view.failedCount).toBeLessThanOrEqual(view.destinationCount);
        expect(view.destinationCount).toBeLessThanOrEqual(256);
      }
      for (let round = 0; round < 40; round += 1) {
        nowMs += 1_000;
        tryOnce(health, placed(0), true, nowMs);
      }
      expect(health.view(nowMs).state).toBe("good");
      expect(health.view(nowMs + WINDOW_MS + 1).destinationCount).toBe(0);
    }),
  );
});

test("[UP1] whoever has some machines, reached last, cannot make an address suspect by dropping it", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 0);
  for (let number = 1; number <= 20; number += 1) tryOnce(health, placed(number), true, number * 1_000);
  for (let number = 1; number <= 20; number += 1) tryOnce(health, placed(number), false, 30_000);
  expect(health.isTrialDue(30_000)).toBe(true);
  trial(health, ({ ip }) => ip === GOOD.ip, 30_000);
  expect(health.view(30_000).state).toBe("good");
});

test("[UP9] one that loses half of many places names such as it lost last, and is asked about", () => {
  const health = new UplinkHealth();
  for (let number = 0; number < 9; number += 1) tryOnce(health, placed(number), number % 2 === 0, number);
  expect(health.view(9)).toMatchObject({ destinationCount: 9, failedCount: 4, doubts: [] });
  for (let number = 9; number < 12; number += 1) tryOnce(health, placed(number), false, number);
  expect(health.view(12)).toEqual({
    state: "good",
    destinationCount: 12,
    failedCount: 7,
    doubts: [placed(11), placed(10), placed(9), placed(7)],
  });
  tryOnce(health, placed(11), true, 13);
  expect(health.view(13).doubts).toEqual([placed(10), placed(9), placed(7), placed(5)]);
});

test("[UP10] the ports of one machine are one place among those that count and those that are tried", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 0);
  tryOnce(health, placed(1), true, 1);
  const ports = (ip: string, isReached: boolean, atMs: number): void => {
    for (let port = 1; port <= 200; port += 1) tryOnce(health, { ip, port }, isReached, atMs);
  };
  ports("192.0.2.1", true, 2);
  for (let host = 1; host <= 100; host += 1) ports(`2001:db8:1:${host}::1`, true, 3);
  ports("192.0.2.1", false, 4);
  const places = health.beginTrial(5);
  expect(places.map(({ ip }) => ip)).toEqual(["2001:db8:1:100::1", "192.0.2.1", GOOD.ip, "192.0.2.1"]);
  health.endTrial(
    places.map((place) => ({ place, isReached: place.ip === GOOD.ip })),
    6,
  );
  expect(health.view(6)).toMatchObject({ state: "good", doubts: [] });
  ports("2001:db8:1:7::1", false, 7);
  expect(health.view(7).failedCount).toBeLessThanOrEqual(2);
});

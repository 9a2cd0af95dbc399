/** What a host makes of its tries to connect. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Place } from "../../src/core/uplink.ts";
import {
  LATE_TRIAL_INTERVAL_MS,
  TIMEOUT_MS,
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
  expect(health.isTrialDue(100 + TIMEOUT_MS - 1)).toBe(false);
  expect(health.isTrialDue(100 + TIMEOUT_MS)).toBe(true);
  tryOnce(health, GOOD, true, 200);
  expect(health.isTrialDue(100 + TIMEOUT_MS)).toBe(false);
});

test("[UP1] a request that nothing comes of is a sign, also to a place that nobody has dialled for long", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 0);
  const atMs = 700_000;
  const wait = { place: GOOD, sinceMs: atMs };
  health.waits(wait, atMs + TIMEOUT_MS - 1);
  expect(health.isTrialDue(atMs + TIMEOUT_MS - 1)).toBe(false);
  health.waits(wait, atMs + TIMEOUT_MS);
  expect(health.isTrialDue(atMs + TIMEOUT_MS)).toBe(true);
  expect(trial(health, () => true, atMs + TIMEOUT_MS)).toEqual([GOOD]);
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

test("[UP1] a try ends once, and one that never began says nothing", () => {
  const health = new UplinkHealth();
  const number = health.began(GOOD, 0);
  health.ended(number, true, 0);
  health.ended(number, false, 5_000);
  health.ended(number + 1, false, 5_000);
  expect(health.view(5_000)).toMatchObject({ destinationCount: 1, failedCount: 0 });
  expect(health.isTrialDue(60_000)).toBe(false);
});

test("[UP1] a first try is no sign before it has hung for a second, nor one that says nothing of the way", () => {
  const health = new UplinkHealth();
  expect(health.isTrialDue(0)).toBe(false);
  const number = health.began(DOWN, 0);
  expect(health.isTrialDue(TIMEOUT_MS - 1)).toBe(false);
  expect(health.isTrialDue(TIMEOUT_MS)).toBe(true);
  health.ended(number, null, TIMEOUT_MS);
  expect(health.isTrialDue(TIMEOUT_MS)).toBe(false);
});

test("[UP1] what was reached in the moment when a try began speaks for it, and for a trial", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 100);
  health.began(DOWN, 100);
  expect(health.isTrialDue(100 + TIMEOUT_MS)).toBe(false);
  tryOnce(health, DOWN, false, 200);
  const places = health.beginTrial(200);
  tryOnce(health, GOOD, true, 200);
  health.endTrial(
    places.map((place) => ({ place, isReached: false })),
    1_700,
  );
  expect(health.view(1_700).state).toBe("good");
});

test("[UP1] between two trials are two seconds, whatever fails meanwhile", () => {
  const health = new UplinkHealth();
  tryOnce(health, DOWN, false, 0);
  trial(health, () => null, 0);
  tryOnce(health, DOWN, false, 500);
  expect(health.isTrialDue(TRIAL_INTERVAL_MS - 1)).toBe(false);
  expect(health.isTrialDue(TRIAL_INTERVAL_MS)).toBe(true);
  trial(health, () => null, TRIAL_INTERVAL_MS);
  health.doubt();
  expect(health.isTrialDue(2 * TRIAL_INTERVAL_MS - 1)).toBe(false);
  expect(health.isTrialDue(2 * TRIAL_INTERVAL_MS)).toBe(true);
});

test("[UP1] what failed is a sign for a minute after it was last wanted", () => {
  const health = new UplinkHealth();
  tryOnce(health, DOWN, false, 0);
  expect(health.isTrialDue(60_000)).toBe(true);
  expect(health.isTrialDue(60_001)).toBe(false);
});

test("[UP1] a trial is of the four that failed and were wanted last, without what hangs for less than a second", () => {
  const health = new UplinkHealth();
  for (let number = 1; number <= 5; number += 1) tryOnce(health, placed(number), false, number);
  tryOnce(health, placed(2), false, 6);
  expect(health.beginTrial(7)).toEqual([2, 5, 4, 3].map(placed));
  const other = new UplinkHealth();
  other.began(placed(1), 0);
  other.began(placed(2), 1);
  tryOnce(other, placed(3), null, 2);
  expect(other.beginTrial(TIMEOUT_MS)).toEqual([placed(1)]);
  expect(other.beginTrial(TIMEOUT_MS + 1)).toEqual([placed(2), placed(1)]);
});

test("[UP1] a place is tried for ten minutes after it was reached, for one after it failed", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 0);
  tryOnce(health, DOWN, false, 540_000);
  expect(health.beginTrial(599_999)).toEqual([GOOD, DOWN]);
  expect(health.beginTrial(600_000)).toEqual([]);
});

test("[UP1] of 32 networks that were reached the oldest is tried; of one more it is the second", () => {
  const health = new UplinkHealth();
  for (let number = 1; number <= 32; number += 1) tryOnce(health, placed(number), true, number);
  expect(health.beginTrial(40)).toEqual([32, 31, 1].map(placed));
  tryOnce(health, placed(33), true, 50);
  expect(health.beginTrial(60)).toEqual([33, 32, 2].map(placed));
});

test("[UP1] a place that was reached and then fails is tried once, though many others were wanted since", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 0);
  for (let number = 1; number <= 300; number += 1) tryOnce(health, placed(number), null, 1);
  tryOnce(health, GOOD, false, 2);
  expect(health.beginTrial(3)).toEqual([GOOD]);
});

test("[UP4] an outcome counts for thirty seconds, and of at most 256 places", () => {
  const health = new UplinkHealth();
  for (let number = 1; number <= 256; number += 1) tryOnce(health, placed(number), number !== 1, 0);
  expect(health.view(0)).toMatchObject({ destinationCount: 256, failedCount: 1 });
  expect(health.view(WINDOW_MS)).toMatchObject({ destinationCount: 256, failedCount: 1 });
  expect(health.view(WINDOW_MS + 1)).toMatchObject({ destinationCount: 0, failedCount: 0 });
  tryOnce(health, placed(257), true, 0);
  expect(health.view(0)).toMatchObject({ destinationCount: 256, failedCount: 0 });
});

test("[UP4] what a trial reached still counts when the next one begins", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 0);
  health.doubt();
  expect(trial(health, () => true, 100_000)).toEqual([GOOD]);
  health.doubt();
  health.beginTrial(110_000);
  expect(health.view(110_000)).toMatchObject({ destinationCount: 1, failedCount: 0 });
});

test("[UP6] a suspect address is tried every two seconds, after a minute every five, for ten minutes", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 0);
  tryOnce(health, GOOD, false, 1_000);
  const atMs: number[] = [];
  for (let nowMs = 1_000; nowMs <= 700_000; nowMs += 500) {
    if (!health.isTrialDue(nowMs)) continue;
    atMs.push(nowMs - 1_000);
    const isSuspect = trial(health, () => false, nowMs).length > 0;
    expect(health.view(nowMs).state).toBe(isSuspect ? "suspect" : "good");
  }
  const often = Array.from({ length: 31 }, (_, at) => at * TRIAL_INTERVAL_MS);
  const seldom = Array.from({ length: 108 }, (_, at) => 60_000 + (at + 1) * LATE_TRIAL_INTERVAL_MS);
  expect(atMs).toEqual([...often, ...seldom]);
});

/** One that was back once at 100 ms, and is suspect again since 2 s. */
function flapped(): UplinkHealth {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, false, 0);
  trial(health, () => false, 0);
  tryOnce(health, GOOD, true, 100);
  expect(health.view(100).state).toBe("good");
  tryOnce(health, GOOD, false, 2_000);
  trial(health, () => false, 2_000);
  expect(health.view(2_000).state).toBe("suspect");
  return health;
}

test("[UP6] a way back that has to hold begins anew when a trial fails, and is tried often again", () => {
  const health = flapped();
  trial(health, () => false, 70_000);
  expect(health.isTrialDue(72_000)).toBe(false);
  expect(health.isTrialDue(75_000)).toBe(true);
  trial(health, () => true, 75_000);
  expect(health.isTrialDue(77_000)).toBe(true);
  trial(health, () => false, 76_000);
  tryOnce(health, GOOD, true, 77_500);
  expect(health.view(77_500).state).toBe("suspect");
  tryOnce(health, GOOD, true, 79_499);
  expect(health.view(79_499).state).toBe("suspect");
  tryOnce(health, GOOD, true, 79_500);
  expect(health.view(79_500)).toMatchObject({ state: "good", doubts: [] });
});

test("[UP6] a way back is forgotten after two minutes: then the next is at once again", () => {
  const soon = flapped();
  tryOnce(soon, GOOD, true, 120_099);
  expect(soon.view(120_099).state).toBe("suspect");
  const late = flapped();
  tryOnce(late, GOOD, true, 120_100);
  expect(late.view(120_100).state).toBe("good");
});

test("[UP2] no more than four doubts are named, however many probes there are", () => {
  const health = new UplinkHealth(true);
  health.beginTrial(0);
  const trials = [1, 2, 3, 4, 5, 6].map((number) => ({ place: placed(number), isReached: false }));
  health.endTrial([{ place: GOOD, isReached: null }, ...trials], 0);
  expect(health.view(0).doubts).toEqual([1, 2, 3, 4].map(placed));
});

test("[UP8] a probe that fails while something else is reached is no sign: nobody wants it", () => {
  const health = new UplinkHealth(true);
  health.beginTrial(0);
  tryOnce(health, GOOD, true, 1_000);
  health.endTrial([{ place: DOWN, isReached: false }], 1_500);
  expect(health.view(1_500).state).toBe("good");
  expect(health.isTrialDue(3_000)).toBe(false);
  expect(health.isTrialDue(1_000 + PROBE_INTERVAL_MS)).toBe(true);
});

test("[UP10] of a network counts the latest outcome, and its place that failed last is the one in doubt", () => {
  const inNetwork = (host: number): Place => ({ ip: `2001:db8:1::${host}`, port: 443 });
  const health = new UplinkHealth();
  for (let number = 1; number <= 9; number += 1) tryOnce(health, placed(number), number > 4, 0);
  tryOnce(health, inNetwork(1), false, 10);
  tryOnce(health, inNetwork(2), false, 20);
  // Wanted once more, and not ended: the other one is still what failed last.
  health.began(inNetwork(1), 30);
  expect(health.view(30)).toMatchObject({ destinationCount: 10, failedCount: 5 });
  expect(health.view(30).doubts[0]).toEqual(inNetwork(2));
  tryOnce(health, inNetwork(3), true, 20);
  expect(health.view(30)).toMatchObject({ destinationCount: 10, failedCount: 4, doubts: [] });
  tryOnce(health, inNetwork(2), false, 40);
  expect(health.view(40).failedCount).toBe(5);
});

test("[UP1] what failed before something was reached, or before the last trial, is no sign", () => {
  const before = new UplinkHealth();
  tryOnce(before, DOWN, false, 10);
  tryOnce(before, GOOD, true, 10);
  expect(before.isTrialDue(3_000)).toBe(false);
  tryOnce(before, DOWN, false, 3_000);
  tryOnce(before, GOOD, true, 3_100);
  expect(before.isTrialDue(6_000)).toBe(false);
  const tried = new UplinkHealth();
  tryOnce(tried, DOWN, false, 10);
  trial(tried, () => null, 10);
  expect(tried.isTrialDue(3_000)).toBe(false);
  tryOnce(tried, DOWN, false, 3_000);
  trial(tried, () => null, 3_500);
  expect(tried.isTrialDue(6_000)).toBe(false);
});

test("[UP1] is as it was however late it is on the clock", () => {
  const health = new UplinkHealth();
  tryOnce(health, GOOD, true, 900_000);
  tryOnce(health, DOWN, false, 900_001);
  expect(health.isTrialDue(900_001)).toBe(true);
  expect(health.beginTrial(900_001)).toEqual([GOOD, DOWN]);
});

test("[UP1] a request that is answered in time makes no place wanted, nor does none at all", () => {
  const health = new UplinkHealth();
  tryOnce(health, DOWN, false, 0);
  health.waits({ place: DOWN, sinceMs: 50_000 }, 50_000);
  health.waits(null, 50_500);
  expect(health.isTrialDue(100_000)).toBe(false);
});

test("[UP1] of a network that is reached again the trial knows the later time", () => {
  const health = new UplinkHealth();
  for (const number of [1, 2, 3, 1]) tryOnce(health, placed(number), true, number);
  expect(health.beginTrial(10)).toEqual([1, 3, 2].map(placed));
});

test("[UP6] a trial that says nothing of the way leaves a suspect address suspect", () => {
  const health = new UplinkHealth();
  tryOnce(health, DOWN, false, 0);
  trial(health, () => false, 0);
  trial(health, () => null, 2_000);
  expect(health.view(2_000)).toMatchObject({ state: "suspect", doubts: [DOWN] });
});

/** Whom a pool leaves out. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  ASK_INTERVAL_MS,
  ejectedHosts,
  isOpinionDue,
  networkOf,
  OPINION_MS,
  type UplinkStatus,
  uplinkState,
} from "../../src/core/uplink.ts";

const NOW_MS = 1_000_000;
const DOUBTS = [{ ip: "198.51.100.1", port: 443 }];

function status(
  host: string,
  [destinationCount, failedCount]: readonly [number, number],
  reachedByOthersMs: number | null = null,
): UplinkStatus {
  const isSuspect = reachedByOthersMs !== null;
  return {
    host,
    uplink: {
      state: isSuspect ? "suspect" : "good",
      destinationCount,
      failedCount,
      doubts: isSuspect ? DOUBTS : [],
    },
    opinion: isSuspect ? { askedAtMs: NOW_MS, reachedAtMs: reachedByOthersMs } : null,
  };
}

test("[UP3] a suspect host is dead for as long as the opinion of others holds", () => {
  const suspect = status("h1", [1, 1], NOW_MS);
  expect(uplinkState(suspect, NOW_MS)).toBe("dead");
  expect(uplinkState(suspect, NOW_MS + OPINION_MS - 1)).toBe("dead");
  expect(uplinkState(suspect, NOW_MS + OPINION_MS)).toBe("suspect");
  // A clock that was set back must not make it last.
  expect(uplinkState(suspect, NOW_MS - OPINION_MS)).toBe("suspect");
  expect(uplinkState({ ...suspect, opinion: null }, NOW_MS)).toBe("suspect");
  expect(uplinkState({ uplink: null, opinion: suspect.opinion }, NOW_MS)).toBe("unknown");
});

test("[UP2] others are asked when there is something to try, and not too often", () => {
  const suspect = status("h1", [1, 1], NOW_MS);
  expect(isOpinionDue({ ...suspect, opinion: null }, NOW_MS)).toBe(true);
  expect(isOpinionDue(suspect, NOW_MS + ASK_INTERVAL_MS - 1)).toBe(false);
  expect(isOpinionDue(suspect, NOW_MS + ASK_INTERVAL_MS)).toBe(true);
  expect(isOpinionDue(status("h1", [1, 1]), NOW_MS)).toBe(false);
  expect(isOpinionDue({ uplink: null, opinion: null }, NOW_MS)).toBe(false);
});

/** One that reaches something, and loses some of the rest, which others reached a moment ago. */
function losing(host: string, counts: readonly [number, number], reachedByOthersMs = NOW_MS): UplinkStatus {
  const { uplink } = status(host, counts);
  return {
    host,
    uplink: { ...uplink!, doubts: DOUBTS },
    opinion: { askedAtMs: NOW_MS, reachedAtMs: reachedByOthersMs },
  };
}

test("[UP7] one that fails at most of many places, while the others fail at few, goes as well", () => {
  const sound = [status("h2", [10, 0]), status("h3", [20, 2])];
  expect([...ejectedHosts([losing("h1", [20, 12]), ...sound], NOW_MS)]).toEqual(["h1"]);
  expect([...ejectedHosts([losing("h1", [9, 9]), ...sound], NOW_MS)]).toEqual([]);
  expect([...ejectedHosts([losing("h1", [20, 9]), ...sound], NOW_MS)]).toEqual([]);
  expect([...ejectedHosts([losing("h1", [20, 20]), sound[0]!], NOW_MS)]).toEqual([]);
  expect([...ejectedHosts([losing("h1", [20, 20]), losing("h2", [20, 12]), sound[1]!], NOW_MS)]).toEqual([]);
});

/** One that does not watch its uplink. */
const silent = (host: string): UplinkStatus => ({ host, uplink: null, opinion: null });
const leftOut = (...statuses: UplinkStatus[]): string[] => [...ejectedHosts(statuses, NOW_MS)];

test("[UP3] the dead are left out and nobody beside them, unless that would be all", () => {
  const dead = (host: string): UplinkStatus => status(host, [1, 1], NOW_MS);
  const good = status("h3", [40, 0]);
  expect(leftOut(dead("h1"), good)).toEqual(["h1"]);
  expect(leftOut(good, dead("h1"), silent("h4"), dead("h2"))).toEqual(["h1", "h2"]);
  expect(leftOut(dead("h1"), losing("h2", [20, 20]), good, status("h4", [40, 0]))).toEqual(["h1"]);
  expect(leftOut(dead("h1"), dead("h2"))).toEqual([]);
  expect(leftOut()).toEqual([]);
});

test("[UP7] the worst is found wherever it stands, beside a tenth of ten networks that the others lose", () => {
  const lost = losing("h1", [20, 10]);
  const none = status("h3", [0, 0]);
  expect(leftOut(status("h2", [10, 1]), none, lost)).toEqual(["h1"]);
  expect(leftOut(status("h2", [9, 0]), none, lost)).toEqual([]);
  expect(leftOut(status("h2", [19, 2]), none, lost)).toEqual([]);
  expect(leftOut(status("h2", [40, 0]), losing("h3", [30, 29]), lost)).toEqual([]);
});

test("[UP5] [UP7] one that does not tell its uplink counts for nothing, and stays", () => {
  expect(leftOut(silent("h2"), losing("h1", [20, 12]), status("h3", [10, 0]))).toEqual(["h1"]);
  expect(leftOut(silent("h1"), silent("h2"), silent("h3"))).toEqual([]);
});

test("[UP4] an uplink is shown as good while it is, and as suspect when others reached nothing, ever", () => {
  expect(uplinkState(status("h1", [10, 0]), NOW_MS)).toBe("good");
  const suspect = { ...status("h1", [1, 1], NOW_MS), opinion: { askedAtMs: 0, reachedAtMs: null } };
  expect(uplinkState(suspect, 1)).toBe("suspect");
});

test("[UP9] it stays as long as no other host reaches what it cannot: a client may have chosen that", () => {
  const sound = [status("h2", [40, 0]), status("h3", [40, 0])];
  const asked = losing("h1", [256, 250]);
  expect(isOpinionDue({ ...asked, opinion: null }, NOW_MS)).toBe(true);
  expect([...ejectedHosts([{ ...asked, opinion: null }, ...sound], NOW_MS)]).toEqual([]);
  const unreached = { askedAtMs: NOW_MS, reachedAtMs: null };
  expect([...ejectedHosts([{ ...asked, opinion: unreached }, ...sound], NOW_MS)]).toEqual([]);
  expect([...ejectedHosts([asked, ...sound], NOW_MS + OPINION_MS)]).toEqual([]);
  expect([...ejectedHosts([asked, ...sound], NOW_MS + OPINION_MS - 1)]).toEqual(["h1"]);
});

test.each([
  ["198.51.100.7", "198.51.100.7"],
  ["2001:db8:1:2::7", "2001:db8:1"],
  ["2001:db8:1:ffff:a:b:c:d", "2001:db8:1"],
  ["2001:db8::7", "2001:db8:0"],
  ["2001::7", "2001:0:0"],
  ["::7", "0:0:0"],
])("[UP10] %s counts as %s", (ip, network) => {
  expect(networkOf(ip)).toBe(network);
});

test("[UP3] [UP7] never all, never one that neither is suspect nor stands out, and nobody in an outage of all", () => {
  const one = fc.record({
    places: fc.nat(40),
    share: fc.nat(100),
    reachedAgoMs: fc.option(fc.nat(30_000)),
    isGood: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(one, { maxLength: 8 }), (hosts) => {
      const statuses = hosts.map(({ places, share, reachedAgoMs, isGood }, at) => {
        const counts = [places, Math.floor((places * share) / 100)] as const;
        if (isGood && reachedAgoMs !== null) return losing(`h${at}`, counts, NOW_MS - reachedAgoMs);
        return status(`h${at}`, counts, reachedAgoMs === null ? null : NOW_MS - reachedAgoMs);
      });
      const ejected = ejectedHosts(statuses, NOW_MS);
      if (statuses.length > 0) expect(ejected.size).toBeLessThan(statuses.length);
      for (const each of statuses) {
        if (!ejected.has(each.host)) continue;
        const { destinationCount, failedCount } = each.uplink!;
        const isDead = uplinkState(each, NOW_MS) === "dead";
        // Never without another's word.
        expect(NOW_MS - each.opinion!.reachedAtMs!).toBeLessThan(OPINION_MS);
        expect(isDead || (destinationCount >= 10 && failedCount * 2 >= destinationCount)).toBe(true);
      }
      const alike = statuses.map(({ host }) => status(host, [30, 30], NOW_MS));
      expect(ejectedHosts(alike, NOW_MS).size).toBe(0);
    }),
  );
});

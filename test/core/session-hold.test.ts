/** Sessions that keep their address though addresses are added. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rankIps, sessionIps } from "../../src/core/host-choice.ts";
import type { PlacedIp, Placement } from "../../src/core/placement.ts";
import { rendezvousWeight } from "../../src/core/rendezvous.ts";
import { countingIps, heldUntilMs } from "../../src/core/session-hold.ts";

const HOST = { host: "h1", gateway: "http://gateway.example", portCount: 100, busiestCount: 0 };

function placed(number: number, sinceMs?: number): PlacedIp {
  return { ip: `192.0.2.${number}`, hosts: [HOST], ...(sinceMs === undefined ? {} : { sinceMs }) };
}

function placementOf(ips: readonly PlacedIp[], more: Partial<Placement> = {}): Placement {
  return { pool: "eu", ips, resting: [], ...more };
}

function addressOf(placement: Placement, session: string, ttl: number, nowMs: number): string {
  const ranked = rankIps(placement, { session, ttl }, Math.random, null, nowMs);
  return ranked.ok ? ranked.value[0]!.ip : ranked.refusal;
}

function promiseOf(placement: Placement, session: string, ttl: number, nowMs: number): number {
  const ip = addressOf(placement, session, ttl, nowMs);
  const ips = sessionIps(placement, { session, ttl }, null);
  return heldUntilMs(session, ttl, ip, ips, placement.settingUpUntilMs ?? null, nowMs);
}

describe("a session with a ttl", () => {
  test("[PL10] stays as long as it was told, whatever is added when", () => {
    const ages = fc.uniqueArray(fc.integer({ min: 1, max: 400_000 }), { minLength: 0, maxLength: 6 });
    fc.assert(
      fc.property(
        fc.string({ minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 0, max: 3 }),
        ages,
        fc.integer({ min: 0, max: 400_000 }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 5 }),
        (session, ttl, oldCount, added, askedAtMs, laterShares) => {
          const old = Array.from({ length: oldCount }, (_, at) => placed(at + 1));
          const at = (nowMs: number): Placement =>
            placementOf([
              ...old,
              ...added
                .filter((sinceMs) => sinceMs <= nowMs)
                .map((sinceMs, nth) => placed(100 + nth, sinceMs)),
            ]);
          // Names must not depend on what is there yet.
          added.sort((a, b) => a - b);
          if (at(askedAtMs).ips.length === 0) return;
          const ip = addressOf(at(askedAtMs), session, ttl, askedAtMs);
          const untilMs = promiseOf(at(askedAtMs), session, ttl, askedAtMs);
          expect(untilMs).toBeGreaterThan(askedAtMs);
          expect(untilMs).toBeLessThanOrEqual(askedAtMs + ttl * 1_000);
          for (const share of laterShares) {
            const laterMs = askedAtMs + share * (untilMs - 1 - askedAtMs);
            expect(addressOf(at(laterMs), session, ttl, laterMs)).toBe(ip);
          }
        },
      ),
      { numRuns: 3_000 },
    );
  });

  test("[PL10] is told its whole ttl where nothing was added lately", () => {
    expect(promiseOf(placementOf([placed(1), placed(2)]), "cart", 600, 5_000)).toBe(605_000);
  });

  test("[PL10] is told no more than the pool's first minutes while these last", () => {
    const placement = placementOf([placed(1)], { settingUpUntilMs: 60_000 });
    expect(promiseOf(placement, "cart", 600, 5_000)).toBe(60_000);
    expect(promiseOf(placement, "cart", 600, 60_000)).toBe(660_000);
  });

  test("[PL3] a strict one is refused while its address leaves the pool, a soft one moves", () => {
    const ips = [placed(1), placed(2), placed(3)];
    const ip = addressOf(placementOf(ips), "cart", 600, 0);
    const rest = ips.filter((each) => each.ip !== ip);
    const retiring = [{ ip, hosts: [] }];
    const leaving = placementOf(rest, { retiring });
    const strict = rankIps(leaving, { session: "cart", sticky: "strict" }, Math.random);
    expect(strict).toEqual({ ok: true, value: retiring });
    expect(rest.map((each) => each.ip)).toContain(addressOf(leaving, "cart", 600, 0));
  });
});

describe("an address that was added lately", () => {
  const numbersOf = (ips: readonly PlacedIp[]): number[] => ips.map(({ ip }) => Number(ip.split(".")[3]));
  /** The first session that ranks the second address before the first. */
  const session = Array.from({ length: 50 }, (_, at) => `s${at}`).find(
    (name) => rendezvousWeight(name, "192.0.2.2") > rendezvousWeight(name, "192.0.2.1"),
  )!;
  const other = Array.from({ length: 50 }, (_, at) => `s${at}`).find(
    (name) => rendezvousWeight(name, "192.0.2.2") < rendezvousWeight(name, "192.0.2.1"),
  )!;

  test("[PL10] counts from the moment when it has been there for the ttl", () => {
    const ips = [placed(1), placed(2, 10_000)];
    expect(numbersOf(countingIps(ips, 5, 14_999))).toEqual([1]);
    expect(numbersOf(countingIps(ips, 5, 15_000))).toEqual([1, 2]);
    expect(addressOf(placementOf(ips), session, 5, 14_999)).toBe("192.0.2.1");
    expect(addressOf(placementOf(ips), session, 5, 15_000)).toBe("192.0.2.2");
  });

  test("[PL10] counts at once where there is no other, the oldest of them alone", () => {
    expect(
      numbersOf(countingIps([placed(1, 20_000), placed(2, 10_000), placed(3, 10_000)], 50, 21_000)),
    ).toEqual([2, 3]);
  });

  test("[PL10] ends the promise to the sessions that it will draw, and to no others", () => {
    const placement = placementOf([placed(1), placed(2, 10_000)]);
    expect(promiseOf(placement, session, 5, 11_000)).toBe(15_000);
    expect(promiseOf(placement, other, 5, 11_000)).toBe(16_000);
    // Once it counts it draws nobody any more.
    expect(promiseOf(placement, session, 5, 15_000)).toBe(20_000);
    expect(promiseOf(placement, other, 5, 15_000)).toBe(20_000);
  });
});

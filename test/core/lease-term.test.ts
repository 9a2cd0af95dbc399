/** How long a host believes in its leases. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ENDLESS_TERM, isEndless, remainingMs, TERM_MARGIN, termFrom } from "../../src/core/lease-term.ts";

const LEASE = 600_000;

test("[SM3] a slot's term has no end by any clock, and is the same in another process", () => {
  for (const now of [0, 1e12, -1e15, 8.64e15]) {
    expect(remainingMs(ENDLESS_TERM, { monotonicMs: now, wallMs: -now })).toBe(Infinity);
  }
  expect(isEndless(JSON.parse(JSON.stringify(ENDLESS_TERM)))).toBe(true);
  expect(isEndless(termFrom({ monotonicMs: 0, wallMs: 0 }, LEASE))).toBe(false);
  expect(isEndless(null)).toBe(false);
});

describe("a lease's term at its host", () => {
  test("[HO4] counts from before the request was sent and keeps a margin", () => {
    const term = termFrom({ monotonicMs: 1000, wallMs: 5_000_000 }, LEASE);
    expect(remainingMs(term, { monotonicMs: 1000, wallMs: 5_000_000 })).toBe(LEASE * (1 - TERM_MARGIN));
    expect(TERM_MARGIN).toBe(0.02);
  });

  test("[HO4] a suspended machine, whose monotonic clock stood still, finds its leases over", () => {
    const term = termFrom({ monotonicMs: 0, wallMs: 0 }, LEASE);
    expect(remainingMs(term, { monotonicMs: 5, wallMs: LEASE })).toBeLessThanOrEqual(0);
  });

  test("[HO4] a wall clock that was set back lengthens nothing", () => {
    const term = termFrom({ monotonicMs: 0, wallMs: 0 }, LEASE);
    expect(remainingMs(term, { monotonicMs: LEASE, wallMs: -LEASE })).toBeLessThanOrEqual(0);
  });

  test("[HO4] whichever one clock is wrong, the host is silent before the object's end", () => {
    const step = fc.integer({ min: -10 * LEASE, max: 10 * LEASE });
    const flight = fc.nat(60_000);
    fc.assert(
      fc.property(
        step,
        fc.boolean(),
        flight,
        fc.nat(2 * LEASE),
        (wrongMs, wallIsWrong, flightMs, elapsedMs) => {
          const term = termFrom({ monotonicMs: 0, wallMs: 0 }, LEASE);
          const objectEndMs = flightMs + LEASE;
          const now = {
            monotonicMs: wallIsWrong ? elapsedMs : elapsedMs + wrongMs,
            wallMs: wallIsWrong ? elapsedMs + wrongMs : elapsedMs,
          };
          return remainingMs(term, now) <= 0 || elapsedMs < objectEndMs;
        },
      ),
    );
  });
});

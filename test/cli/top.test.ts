/** A pool at a glance: what two looks tell of how much passes, and of what that is a part. */
import { expect, test } from "vitest";
import { glanceOf, glanceText, type Look } from "../../src/cli/administration/top-text.ts";

function look(atMs: number, handedOverOf: Readonly<Record<string, number>>, isWhole = true): Look {
  const edge = { controlPlaneCalls: 1, handedOver: 1_000_000 + atMs, handedOverOf, retries: 0, isWhole };
  return { atMs, pool: { pool: "eu", hosts: [] } as never, edge };
}

test("[OV9] the requests are those of the pool, whatever other pools do meanwhile", () => {
  const glance = glanceOf(look(0, { eu: 10, us: 5 }), look(2_000, { eu: 17, us: 5_000 }));
  expect(glance).toMatchObject({ requestsPerSecond: 3.5, isWholeEdge: true });
  expect(glanceText(glance)).toContain("0 of 0 hosts serve, 3.5 requests/s through the edge");
  expect(glanceOf(look(0, {}), look(2_000, { us: 9 })).requestsPerSecond).toBe(0);
});

test("[OV9] one isolate of many is called that, and nothing is said where another answered", () => {
  const glance = glanceOf(look(0, { eu: 10 }, false), look(1_000, { eu: 12 }, false));
  expect(glance).toMatchObject({ requestsPerSecond: 2, isWholeEdge: false });
  expect(glanceText(glance)).toContain(
    "2 requests/s through the one isolate of the edge that answered, of many",
  );
  const other = glanceOf(look(0, { eu: 10 }, false), look(1_000, { eu: 3 }, false));
  expect(other.requestsPerSecond).toBeNull();
  expect(glanceText(other)).not.toContain("requests/s");
});

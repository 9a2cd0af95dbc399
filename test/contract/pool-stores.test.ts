import * as fc from "fast-check";
import { expect, test } from "vitest";
import { openNodeDatabase } from "./node-database.ts";
import { playPoolHistory, poolHistories } from "./pool-history.ts";

test("[DO3] [ST8] the stores of a pool read back what was written, and the table in pieces", () => {
  let changeCount = 0;
  fc.assert(
    fc.property(poolHistories, (history) => {
      changeCount += playPoolHistory(openNodeDatabase(), history).changeCount;
    }),
    { numRuns: 90 },
  );
  // Histories in which nothing is ever published would prove nothing.
  expect(changeCount).toBeGreaterThan(60);
});

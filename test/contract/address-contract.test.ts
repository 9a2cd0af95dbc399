import * as fc from "fast-check";
import { expect, test } from "vitest";
import { interruptions, playOnKeeper, StoredTable } from "./address-contract.ts";
import { generator, histories } from "./lease-history.ts";
import { openNodeDatabase } from "./node-database.ts";

test("[DO3] a store that is read anew at any moment answers as the core alone", async () => {
  let grantCount = 0;
  await fc.assert(
    fc.asyncProperty(histories, interruptions, async (history, interrupted) => {
      const keeper = new StoredTable(openNodeDatabase(), generator(history.seed));
      grantCount += (await playOnKeeper(keeper, history, interrupted)).grantCount;
    }),
    { numRuns: 60 },
  );
  expect(grantCount).toBeGreaterThan(60);
});

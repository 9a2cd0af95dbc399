/** Tunnels that end in every way leave nothing behind; `npm run fuzz -- tunnels` makes 100,000 of them. */
import { randomInt } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultsOf, SoakedAgent } from "../fuzz/tunnel-soak.ts";

const WARM_UP_COUNT = 3_000;
const TUNNEL_COUNT = 5_000;

let agent: SoakedAgent;
beforeAll(async () => {
  agent = await SoakedAgent.start();
});
afterAll(() => agent?.stop());

test("[TN1] 5,000 tunnels with aborts, resets, half-closes and slow readers hold nothing in the end", async () => {
  const seed = randomInt(2 ** 31);
  const report = await agent.soak(seed, WARM_UP_COUNT, TUNNEL_COUNT);
  const told = `seed ${seed}: ${JSON.stringify(report)}`;
  console.log(told);
  expect(faultsOf(report), told).toEqual([]);
  const { whole, cut, refused } = report.tally.fates;
  expect(Math.min(whole, cut, refused * 10), told).toBeGreaterThan(TUNNEL_COUNT / 4);
});

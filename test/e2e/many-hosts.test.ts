/** More hosts than an address can have, as one edge sees them. */
import { expect, test } from "vitest";
import { runManyHosts } from "./many-hosts.ts";

const MEGABYTE = 2 ** 20;

test("[AS2] [AS3] 200 hosts serve 10 addresses, twenty each, at an edge of moderate size", async () => {
  const { servingCount, mostAddresses, placedCounts, edgeBytes } = await runManyHosts(200, 10, 60_000);
  expect(servingCount).toBe(200);
  expect(mostAddresses).toBe(1);
  expect(placedCounts).toEqual(Array(10).fill(20));
  expect(edgeBytes).toBeLessThan(400 * MEGABYTE);
});

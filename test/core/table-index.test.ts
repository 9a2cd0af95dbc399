/** The counts beside a table, case by case; that they always agree with the rows is the property test's. */
import { expect, test } from "vitest";
import { AddressStory } from "./address-story.ts";
import { leasesOf, nextDeadlineMs, portsHeldBy } from "../../src/core/lease-table.ts";
import { usageByHost } from "../../src/core/share.ts";

const MINUTE = 60_000;

function restingEpochs({ table }: AddressStory): number[] {
  return table.index.quarantined.map(({ epoch }) => epoch);
}

test("[AL10] what rests stands in the order in which it becomes free, of equal times by epoch", () => {
  const address = new AddressStory({ quarantineMs: 10 * MINUTE });
  address.join("anna");
  const [first, second, third, fourth] = Array.from({ length: 4 }, () => address.take("anna", 6));
  address.release("anna", third!);
  address.release("anna", second!);
  address.wait(1_000);
  // Shorter from now on: what is given back later is free sooner.
  address.configure({ quarantineMs: MINUTE });
  address.release("anna", fourth!);
  address.release("anna", first!);
  expect(restingEpochs(address)).toEqual([first, fourth, second, third].map((lease) => lease!.epoch));
  const { freeAtMs } = address.table.index.quarantined[0]!;
  expect(freeAtMs).toBe(address.nowMs + MINUTE);
  expect(nextDeadlineMs(address.table)).toBeLessThanOrEqual(freeAtMs!);
  address.wait(MINUTE);
  expect(restingEpochs(address)).toEqual([second!.epoch, third!.epoch]);
});

test("[AL10] what rests is its host's own only for the instance that held it", () => {
  const address = new AddressStory({ minPortsPerHost: 512 });
  address.join("anna");
  const kept = address.take("anna", 7);
  address.release("anna", address.take("anna", 6));
  const usage = () => usageByHost(address.table).get("anna");
  expect(usage()).toMatchObject({ held: 128, resting: 64 });
  address.release("anna", kept);
  address.join("anna", "another-disk");
  expect(usage()).toMatchObject({ held: 0, resting: 0 });
  address.join("anna");
  expect(usage()).toMatchObject({ held: 0, resting: 192 });
  // What becomes free is not its own any more.
  address.wait(3 * MINUTE);
  expect(usage()).toMatchObject({ held: 0, resting: 0 });
});

test("[AL10] the rows of a host are those that it holds, in the order of their epochs", () => {
  const address = new AddressStory();
  for (const host of ["anna", "bert"]) address.join(host);
  const blocks = [6, 8, 7].map((order) => address.take("anna", order));
  address.take("bert", 9);
  expect(leasesOf(address.table, "anna").map(({ epoch }) => epoch)).toEqual(blocks.map(({ epoch }) => epoch));
  address.release("anna", blocks[1]!);
  expect(portsHeldBy(address.table, "anna")).toBe(192);
  expect(portsHeldBy(address.table, "nobody")).toBe(0);
});

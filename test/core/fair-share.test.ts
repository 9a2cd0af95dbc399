/** What hosts may hold of an address while they want more than there is. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AddressStory, refusal } from "./address-story.ts";
import { levelOf } from "../../src/core/fair-share.ts";
import { leasesOf, portsHeldBy } from "../../src/core/lease-table.ts";

const ALL = 64_512;
const WANT = 90_000;

describe("a level", () => {
  test("[AL7] leaves out nobody who needs less, and gives all others the same", () => {
    expect(levelOf(100, [10, 20, 30])).toBe(Infinity);
    expect(levelOf(100, [50, 50])).toBe(Infinity);
    expect(levelOf(100, [10, 60, 60])).toBe(45);
    expect(levelOf(100, [80, 70, 90, 10])).toBe(30);
  });

  test("[AL7] spends all there is, or covers every need", () => {
    const needs = fc.array(fc.nat(ALL), { minLength: 1, maxLength: 40 });
    const judge = (all: readonly number[]): void => {
      const level = levelOf(ALL, all);
      const given = all.reduce((sum, need) => sum + Math.min(need, level), 0);
      if (level === Infinity) expect(given).toBeLessThanOrEqual(ALL);
      else expect(given).toBeCloseTo(ALL, 3);
    };
    fc.assert(fc.property(needs, judge));
  });
});

/** Two that took everything before the third came, which has its minimum by now. */
function uneven(): AddressStory {
  const address = new AddressStory({ maxPortsPerHost: 32_768, quarantineMs: 0, minPortsPerHost: 512 });
  for (const host of ["anna", "bert", "cleo"]) address.join(host);
  for (const host of ["anna", "bert"]) address.takeAll(host);
  address.take("cleo", 9);
  address.wait(WANT);
  return address;
}

describe("a fair share", () => {
  test("[AL7] is told while a host wants more than there is, and counts that one with four times what it holds", () => {
    const address = uneven();
    expect(address.told("anna")).toBe(32_768);
    expect(refusal(address.acquire("cleo", 9))).toBe("address-exhausted");
    const level = (ALL - 4 * 512) / 2;
    expect(address.told("anna")).toBe(level);
    expect(address.told("cleo")).toBe(level);
    address.wait(WANT - 1);
    expect(address.told("anna")).toBe(level);
    address.wait(1);
    expect(address.told("anna")).toBe(32_768);
  });

  test("[AL7] comes to a host without any port too, where the pool promises no minimum", () => {
    const address = new AddressStory({ maxPortsPerHost: 32_768, quarantineMs: 0, minPortsPerHost: 0 });
    for (const host of ["anna", "bert", "cleo"]) address.join(host);
    for (const host of ["anna", "bert"]) address.takeAll(host);
    expect(refusal(address.acquire("cleo", 9))).toBe("address-exhausted");
    expect(address.told("anna")).toBe((ALL - 4 * 64) / 2);
    expect(address.told("cleo")).toBe((ALL - 4 * 64) / 2);
  });

  test("[AL7] is granted to nobody twice: a host that has it is refused what others wait for", () => {
    const address = uneven();
    expect(refusal(address.acquire("cleo", 9))).toBe("address-exhausted");
    const [smallest] = leasesOf(address.table, "bert").toSorted((a, b) => a.order - b.order);
    address.release("bert", smallest!);
    address.configure({ maxPortsPerHost: 40_000 });
    address.wait(1);
    expect(refusal(address.acquire("anna", 6))).toBe("address-exhausted");
    expect(address.take("cleo", 9)).toMatchObject({ base: smallest!.base });
  });

  test("[AL7] is enough for nearly all: then nobody is told to give back, and nobody is granted more", () => {
    const address = new AddressStory({ quarantineMs: 0 });
    for (const host of ["anna", "bert", "cleo"]) address.join(host);
    for (let time = 0; time < 5; time += 1) {
      for (const host of ["anna", "bert", "cleo"]) address.take(host, 12);
    }
    address.take("anna", 11);
    for (const host of ["anna", "cleo"]) address.takeAll(host);
    const held = (host: string): number => portsHeldBy(address.table, host);
    expect(held("anna")).toBeGreaterThan(ALL / 3);
    expect(held("bert")).toBe(20_480);
    expect(refusal(address.acquire("bert", 9))).toBe("address-exhausted");
    expect(address.told("anna")).toBe(held("anna"));
    expect(address.told("bert")).toBe(ALL / 3);
  });

  test("[AL7] is nothing to a host below its minimum, which has that by other rules", () => {
    const address = uneven();
    address.join("dora");
    const before = address.told("anna");
    expect(refusal(address.acquire("dora", 8))).toBe("address-exhausted");
    expect(address.told("anna")).toBe(before);
  });

  test("[AL7] [LE2] a refusal is written down once in a while, and forgotten with a grant", () => {
    const address = uneven();
    const wanted = () => address.events.filter(({ type }) => type === "wanted").length;
    const before = wanted();
    for (let time = 0; time < 5; time += 1) address.acquire("cleo", 9);
    expect(wanted()).toBe(before + 1);
    address.wait(20_000);
    address.acquire("cleo", 9);
    expect(wanted()).toBe(before + 2);
    expect(address.table.wants.has("cleo")).toBe(true);
    const [first] = address.table.rows.values();
    address.release("anna", first!);
    address.wait(1);
    address.take("cleo", 6);
    expect(address.table.wants.has("cleo")).toBe(false);
  });
});

/** Slots of static pools: the formula, and their lives on one address. */
import { describe, expect, test } from "vitest";
import { AddressStory, granted, refusal } from "./address-story.ts";
import { leasesOf, nextDeadlineMs } from "../../src/core/lease-table.ts";
import { isLeasableBlock, LEASABLE_PORT_COUNT, portCountOf, rangeOf } from "../../src/core/port-block.ts";
import { settingsFor } from "../../src/core/share.ts";
import { slotAt, slotLayout, slotNumberOf, takenSlotCount } from "../../src/core/static-slots.ts";

const SIZES = [64, 128, 256, 512, 1_024, 2_048, 4_096];
const DAY = 86_400_000;
const QUARANTINE = 120_000;

describe("the slots of an address", () => {
  test.each([
    [64, 1_008, 1_024, 0],
    [128, 504, 1_024, 0],
    [256, 252, 1_024, 0],
    [512, 126, 1_024, 0],
    [1_024, 63, 1_024, 0],
    [2_048, 31, 2_048, 1_024],
    [4_096, 15, 4_096, 3_072],
  ])("[SM1] of %d ports are %d, from %d on, and leave over %d", (size, count, firstBase, lost) => {
    expect(slotLayout(size)).toMatchObject({ slotCount: count, firstBase, lostPortCount: lost });
  });

  test("[SM1] are blocks that lie end to end up to the last port, by their number alone", () => {
    for (const size of SIZES) {
      const layout = slotLayout(size);
      let next = layout.firstBase;
      for (let number = 0; number < layout.slotCount; number += 1) {
        const slot = slotAt(layout, number);
        expect(isLeasableBlock(slot) && portCountOf(slot.order) === size).toBe(true);
        expect(slot.base).toBe(next);
        expect(slotNumberOf(layout, slot)).toBe(number);
        next = rangeOf(slot).last + 1;
      }
      expect(next).toBe(65_536);
      expect(layout.slotCount * size + layout.lostPortCount).toBe(LEASABLE_PORT_COUNT);
    }
  });

  test("[SM1] no other block has a number", () => {
    const layout = slotLayout(2_048);
    expect(slotNumberOf(layout, { base: 1_024, order: 10 })).toBeNull();
    expect(slotNumberOf(layout, { base: 0, order: 11 })).toBeNull();
    expect(slotNumberOf(layout, { base: 4_096, order: 12 })).toBeNull();
    expect(slotNumberOf(layout, { base: 3_072, order: 11 })).toBeNull();
  });

  test("[SM8] are taken where any port of them is not free", () => {
    const layout = slotLayout(4_096);
    expect(takenSlotCount(layout, [])).toBe(0);
    expect(takenSlotCount(layout, [{ base: 1_024, order: 10 }])).toBe(0);
    const taken = [
      { base: 4_096, order: 6 },
      { base: 4_160, order: 6 },
      { base: 8_192, order: 12 },
    ];
    expect(takenSlotCount(layout, taken)).toBe(2);
  });
});

function staticStory(staticPortsPerHost = 2_048): AddressStory {
  return new AddressStory({ staticPortsPerHost });
}

describe("a slot", () => {
  test("[SM2] goes to each host by its first acquire, in the order of their coming, whatever it asks for", () => {
    const address = staticStory();
    for (const [at, host] of ["anna", "bert", "cora"].entries()) {
      address.join(host);
      expect(address.take(host, 6 + at)).toMatchObject({ base: 2_048 * (at + 1), order: 11, epoch: at + 1 });
    }
  });

  test("[SM2] is the one of its host, which gets no other, even while its pool gives the address up", () => {
    const address = staticStory();
    address.join("anna");
    const slot = address.take("anna", 11);
    expect(address.take("anna", 6)).toEqual(slot);
    address.retire(true);
    expect(address.take("anna", 6)).toEqual(slot);
    expect(refusal(address.acquire("anna", 13))).toBe("order-out-of-range");
  });

  test("[SM2] is there for as many hosts as the address has slots, and the next is refused by name", () => {
    const address = staticStory(4_096);
    for (let at = 0; at < 15; at += 1) {
      address.join(`h${at}`);
      address.take(`h${at}`, 12);
    }
    address.join("late");
    expect(refusal(address.acquire("late", 12))).toBe("address-exhausted");
  });

  test("[SM2] that was unused for longest goes first, so that one that was given up comes last", () => {
    const address = staticStory(4_096);
    address.join("anna");
    const slot = address.take("anna", 12);
    address.release("anna", slot);
    address.wait(QUARANTINE);
    const bases: number[] = [];
    for (let at = 0; at < 15; at += 1) {
      address.join(`h${at}`);
      bases.push(address.take(`h${at}`, 12).base);
    }
    expect(bases.at(-1)).toBe(slot.base);
    expect(new Set(bases).size).toBe(15);
  });

  test("[SM2] [QU3] that rests is its last holder's alone, who gets that one back", () => {
    const address = staticStory();
    address.join("anna");
    address.join("bert");
    const slot = address.take("anna", 11);
    address.release("anna", slot);
    expect(address.take("bert", 11).base).toBe(4_096);
    expect(address.take("anna", 11)).toMatchObject({ base: slot.base, epoch: 3 });
  });

  test("[SM2] is none that overlaps what rests of other sizes", () => {
    const address = new AddressStory({ minPortsPerHost: 0 });
    address.join("anna");
    const block = address.take("anna", 6);
    address.release("anna", block);
    address.configure({ staticPortsPerHost: 4_096 });
    const bases: number[] = [];
    for (let at = 0; at < 14; at += 1) {
      address.join(`h${at}`);
      bases.push(address.take(`h${at}`, 12).base);
    }
    expect(bases.every((base) => block.base < base || block.base >= base + 4_096)).toBe(true);
  });

  test("[SM3] [LE7] has no end, however long nobody speaks and whatever the clock does, and rings no alarm", () => {
    const address = staticStory();
    address.join("anna");
    const slot = address.take("anna", 11);
    expect(nextDeadlineMs(address.table)).toBeNull();
    for (const leapMs of [400 * DAY, -800 * DAY, 5_000 * DAY]) {
      address.setClockBy(leapMs);
      address.tick();
      address.wait(DAY);
    }
    expect(leasesOf(address.table, "anna")).toMatchObject([slot]);
    expect(granted(address.renew("anna")).leases).toEqual([slot]);
    expect(address.events.filter(({ type }) => type === "ended")).toEqual([]);
  });

  test("[SM3] needs no renewal, and one costs nothing", () => {
    const address = staticStory();
    address.join("anna");
    address.take("anna", 11);
    const count = address.events.length;
    expect(granted(address.renew("anna")).leaseDurationMs).toBe(600_000);
    expect(address.events).toHaveLength(count);
  });

  test("[SM3] [LE6] renewals that are far apart are no leap by which the time of every host is written anew", () => {
    const address = staticStory();
    for (const host of ["anna", "bert"]) {
      address.join(host);
      address.take(host, 11);
    }
    const count = address.events.length;
    address.wait(200_000);
    address.renew("anna");
    expect(address.events.slice(count)).toMatchObject([{ type: "clock-read", shiftMs: 0 }]);
    // Where something has an end, what seems too long is not believed.
    address.release("bert", leasesOf(address.table, "bert")[0]!);
    address.setClockBy(200_000);
    address.tick();
    expect(address.events.at(-1)).toMatchObject({ type: "clock-read", shiftMs: 140_000 });
  });

  test("[SM3] [HO5] a host without one is forgotten when its time is over", () => {
    const address = staticStory();
    address.join("anna");
    address.join("bert");
    address.take("anna", 11);
    address.wait(600_001);
    expect([...address.table.holders.keys()]).toEqual(["anna"]);
    expect(nextDeadlineMs(address.table)).toBeNull();
  });

  test("[SM4] is told as all that its host may hold, ask for and keep", () => {
    const address = staticStory(1_024);
    address.join("anna");
    address.take("anna", 10);
    expect(settingsFor(address.table, "anna", address.nowMs)).toMatchObject({
      firstBlockOrder: 10,
      minPortsPerHost: 1_024,
      maxPortsPerHost: 1_024,
      staticPortsPerHost: 1_024,
    });
  });

  test("[SM5] ends when it is given back, rests, and is free", () => {
    const address = staticStory(4_096);
    address.join("anna");
    const slot = address.take("anna", 12);
    address.release("anna", slot);
    expect(address.table.rows.get(slot.epoch)).toMatchObject({ freeAtMs: address.nowMs + QUARANTINE });
    address.wait(QUARANTINE - 1);
    expect(address.table.rows.size).toBe(1);
    address.wait(1);
    expect(address.table.rows.size).toBe(0);
  });

  test("[SM5] [HO1] stands against another instance of its host until that is removed, then it rests", () => {
    const address = staticStory();
    address.join("anna", "old");
    const slot = address.take("anna", 11);
    address.wait(30 * DAY);
    expect(refusal(address.join("anna", "new"))).toBe("host-already-present");
    address.remove("bert");
    expect(leasesOf(address.table, "anna")).toHaveLength(1);
    address.remove("anna");
    expect(address.table.rows.get(slot.epoch)).toMatchObject({
      state: "quarantined",
      endedAtMs: address.nowMs,
      freeAtMs: address.nowMs + QUARANTINE,
    });
    expect(address.events.findLast(({ type }) => type === "ended")).toMatchObject({ end: "removed" });
    expect(granted(address.join("anna", "new")).leases).toEqual([]);
    expect(address.take("anna", 11).base).not.toBe(slot.base);
  });

  test("[LAW3] [SM5] a removal that comes late ends nothing that its name was granted since", () => {
    const address = staticStory();
    address.join("anna", "old");
    address.take("anna", 11);
    const said = address.epochsOf("anna");
    address.remove("anna", said);
    address.join("anna", "new");
    const slot = address.take("anna", 11);
    address.remove("anna", said);
    expect(leasesOf(address.table, "anna")).toMatchObject([{ epoch: slot.epoch }]);
  });

  test("[SM5] what ends with time is left to it by a removal", () => {
    const address = new AddressStory();
    address.join("anna", "disk");
    address.take("anna", 8);
    address.remove("anna");
    expect(leasesOf(address.table, "anna")).toHaveLength(1);
  });

  test("[SM6] keeps its kind and size while it is leased, whatever the pool wants; all else follows", () => {
    const address = staticStory();
    address.join("anna");
    const slot = address.take("anna", 11);
    for (const staticPortsPerHost of [null, 1_024]) {
      address.configure({ staticPortsPerHost, quarantineMs: 7_000 });
      expect(address.table.settings).toMatchObject({ staticPortsPerHost: 2_048, quarantineMs: 7_000 });
    }
    address.release("anna", slot);
    address.configure({ staticPortsPerHost: null });
    expect(address.table.settings.staticPortsPerHost).toBeNull();
  });

  test("[SM6] no lease that ends with time becomes a slot", () => {
    const address = new AddressStory();
    address.join("anna");
    address.take("anna", 11);
    address.configure({ staticPortsPerHost: 2_048 });
    expect(address.table.settings.staticPortsPerHost).toBeNull();
    address.wait(600_000);
    expect(leasesOf(address.table, "anna")).toEqual([]);
    address.configure({ staticPortsPerHost: 2_048 });
    expect(address.table.settings.staticPortsPerHost).toBe(2_048);
  });
});

describe("time on a static address", () => {
  const settings = { staticPortsPerHost: 2_048 };

  test("[SM3] [LE7] where every host has its slot nothing is waited for", () => {
    const address = new AddressStory(settings);
    address.join("anna");
    expect(nextDeadlineMs(address.table)).not.toBeNull();
    address.take("anna", 11);
    expect(nextDeadlineMs(address.table)).toBeNull();
    address.join("bert");
    expect(nextDeadlineMs(address.table)).not.toBeNull();
  });

  test("[SM3] [LE7] what rests is waited for, and a host without a slot is forgotten at its time", () => {
    const address = new AddressStory(settings);
    for (const host of ["anna", "bert"]) {
      address.join(host);
      address.take(host, 11);
    }
    address.remove("bert");
    expect(nextDeadlineMs(address.table)).toBeLessThanOrEqual(address.nowMs + QUARANTINE);
    address.wait(DAY);
    expect([...address.table.holders.keys()]).toEqual(["anna"]);
    expect(nextDeadlineMs(address.table)).toBeNull();
  });

  test("[LE6] [SM3] set back, the clock takes the ends of hosts along, whose slots may go later", () => {
    const address = new AddressStory(settings);
    address.setClockBy(DAY);
    address.join("anna");
    address.take("anna", 11);
    const { expiresAtMs } = address.table.holders.get("anna")!;
    address.setClockBy(-DAY);
    address.tick();
    const moved = address.table.holders.get("anna")!.expiresAtMs;
    expect(moved).toBeLessThan(expiresAtMs - DAY + 2 * QUARANTINE);
    // Forward nothing moves: no alarm looks at the clock, and each look would be taken for a leap.
    address.setClockBy(DAY);
    address.tick();
    expect(address.table.holders.get("anna")!.expiresAtMs).toBe(moved);
  });
});

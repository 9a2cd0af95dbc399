/** What a wrong clock of the object can do: nothing that makes two hosts senders. */
import { describe, expect, test } from "vitest";
import { AddressStory, granted, refusal } from "./address-story.ts";
import { leasesOf, longestGapMs, nextDeadlineMs } from "../../src/core/lease-table.ts";

const LEASE = 600_000;
const QUARANTINE = 120_000;
const HOUR = 3_600_000;

describe("the object's clock", () => {
  test("[LE6] set forward by hours, it ends no lease that its host still counts on", () => {
    const address = new AddressStory();
    address.join("anna");
    const block = address.take("anna", 8);
    address.setClockBy(24 * HOUR);
    address.tick();
    expect(leasesOf(address.table, "anna")).toMatchObject([block]);
    address.wait(LEASE - longestGapMs(address.table.settings) - 1);
    expect(leasesOf(address.table, "anna")).toMatchObject([block]);
  });

  test("[LE6] set forward by hours, it cuts no quarantine short by more than the longest gap", () => {
    const address = new AddressStory({ maxPortsPerHost: 64_512, minPortsPerHost: 0 });
    address.join("anna");
    for (;;) if (!address.acquire("anna", 12).ok) break;
    address.release("anna", leasesOf(address.table, "anna")[0]!);
    address.join("bert");
    address.setClockBy(HOUR);
    address.wait(QUARANTINE / 2 - 1);
    expect(refusal(address.acquire("bert", 12))).toBe("address-exhausted");
    address.wait(1);
    granted(address.acquire("bert", 12));
  });

  test("[LE6] going to and fro within the gap, however often, it takes nothing from a lease or its quarantine", () => {
    const address = new AddressStory({ maxPortsPerHost: 64_512, minPortsPerHost: 0 });
    address.join("anna");
    for (;;) if (!address.acquire("anna", 12).ok) break;
    const step = longestGapMs(address.table.settings) - 2_000;
    const seconds = (LEASE + QUARANTINE) / 1_000 - step / 1_000 - 2;
    for (let second = 0; second < seconds; second += 1) {
      if (second % 10 === 0) address.setClockBy((second / 10) % 2 === 0 ? step : -step);
      address.wait(1_000);
      address.tick();
    }
    address.join("bert");
    expect(refusal(address.acquire("bert", 12))).toBe("address-exhausted");
  });

  test("[LE6] is taken for set by no change of the quarantine", () => {
    const address = new AddressStory({ quarantineMs: HOUR });
    address.join("anna");
    address.take("anna", 8);
    address.wait(LEASE - 60_000);
    address.renew("anna");
    address.configure({ quarantineMs: 10_000 });
    const endsAtMs = address.table.holders.get("anna")!.expiresAtMs;
    address.tick();
    address.wait(1_000);
    expect(address.table.holders.get("anna")!.expiresAtMs).toBe(endsAtMs);
  });

  test("[LE6] set back by hours, it does not keep the blocks of a dead host for hours", () => {
    const address = new AddressStory();
    address.join("anna");
    address.take("anna", 8);
    address.setClockBy(-5 * HOUR);
    address.tick();
    address.wait(LEASE + longestGapMs(address.table.settings));
    expect(leasesOf(address.table, "anna")).toEqual([]);
    address.wait(QUARANTINE);
    expect(address.table.rows.size).toBe(0);
  });

  test("[LE6] set back and forth while hosts renew, it leaves everything as it was", () => {
    const address = new AddressStory();
    address.join("anna");
    const block = address.take("anna", 8);
    for (const stepMs of [HOUR, -HOUR, -7 * HOUR, 9 * HOUR, -2 * HOUR]) {
      address.setClockBy(stepMs);
      expect(granted(address.renew("anna")).leases).toEqual([block]);
      address.wait(LEASE / 3);
    }
    expect(granted(address.join("anna")).leases).toEqual([block]);
  });

  test("[LE6] an outage is doubted like a leap: leases get the time again in which none could renew", () => {
    const address = new AddressStory();
    address.join("anna");
    const block = address.take("anna", 8);
    address.setClockBy(2 * LEASE);
    expect(granted(address.join("anna")).leases).toEqual([block]);
  });

  test("[LE6] ordinary time is believed to the millisecond, whether or not anything happens", () => {
    const address = new AddressStory();
    address.join("anna");
    address.take("anna", 8);
    const { expiresAtMs } = address.table.holders.get("anna")!;
    address.wait(LEASE - 1);
    expect(address.table.holders.get("anna")!.expiresAtMs).toBe(expiresAtMs);
  });

  test("[LE6] is written down after half a gap, or when it went back, and not at every command", () => {
    const address = new AddressStory();
    const looks = (stepMs: number): number => {
      address.setClockBy(stepMs);
      const before = address.events.length;
      address.tick();
      return address.events.length - before;
    };
    address.join("anna");
    expect([looks(0), looks(29_999), looks(1), looks(0)]).toEqual([0, 0, 1, 0]);
    expect([looks(-1), looks(29_999), looks(1)]).toEqual([1, 0, 1]);
  });

  test.each([
    [0, 60_000],
    [1, 60_001],
    [3_540_000, HOUR],
    [0, -60_000],
    [-1, -60_001],
    [-3_540_000, -HOUR],
  ])("[LE6] every deadline moves by %i ms when it seems to have gone %i ms", (shiftMs, stepMs) => {
    const address = new AddressStory({ quarantineMs: QUARANTINE });
    address.join("anna");
    address.join("bert");
    address.release("anna", address.take("anna", 8));
    address.take("anna", 8);
    address.release("anna", address.take("anna", 9));
    const before = structuredClone(address.table);
    address.setClockBy(stepMs);
    address.tick();
    const { holders, rows } = address.table;
    for (const [host, holder] of before.holders) {
      expect(holders.get(host)).toEqual({ ...holder, expiresAtMs: holder.expiresAtMs + shiftMs });
    }
    for (const [epoch, row] of before.rows) {
      const freeAtMs = row.freeAtMs === null ? null : row.freeAtMs + shiftMs;
      expect(rows.get(epoch)).toEqual({ ...row, freeAtMs });
    }
    expect([holders.size, rows.size]).toEqual([2, 2]);
    expect(address.table.seenAtMs).toBe(address.nowMs);
  });

  test("[LE6] of an address that nobody uses is taken as it is", () => {
    const address = new AddressStory();
    address.tick();
    address.setClockBy(HOUR);
    address.tick();
    address.setClockBy(-5 * HOUR);
    address.tick();
    const shifts = address.events.map((event) => event.type === "clock-read" && event.shiftMs);
    expect(shifts).toEqual([0, 0, 0]);
  });

  test("[LE6] the longest gap is half the quarantine, and a second at least", () => {
    const { settings } = new AddressStory().table;
    expect(longestGapMs(settings)).toBe(60_000);
    expect(longestGapMs({ ...settings, quarantineMs: 0 })).toBe(1000);
    expect(longestGapMs({ ...settings, quarantineMs: 2003 })).toBe(1001);
  });
});

describe("the alarm", () => {
  test("[LE7] is not needed for an address without hosts", () => {
    const address = new AddressStory();
    expect(nextDeadlineMs(address.table)).toBeNull();
    address.join("anna");
    address.wait(LEASE);
    expect(nextDeadlineMs(address.table)).toBeNull();
  });

  test("[LE7] rings for the end of a host that has no block, and not for one whose last block rests", () => {
    const address = new AddressStory({ quarantineMs: 2 * LEASE });
    address.join("anna");
    expect(nextDeadlineMs(address.table)).toBe(address.nowMs + 500_000);
    address.wait(400_000);
    const endMs = address.table.holders.get("anna")!.expiresAtMs;
    expect(nextDeadlineMs(address.table)).toBe(endMs);
    address.release("anna", address.take("anna", 8));
    address.wait(LEASE);
    const { rows, seenAtMs } = address.table;
    const [row] = rows.values();
    expect(row!.freeAtMs! - address.nowMs).toBe(LEASE);
    expect(nextDeadlineMs(address.table)).toBe(Math.min(seenAtMs + 500_000, row!.freeAtMs!));
  });

  test("[LE7] rings for the earliest of several hosts and blocks", () => {
    const address = new AddressStory({ leaseDurationMs: 40_000, quarantineMs: 200_000 });
    address.join("anna");
    address.take("anna", 8);
    const firstMs = address.nowMs + 40_000;
    address.wait(10_000);
    address.join("bert");
    address.take("bert", 8);
    address.join("cleo");
    expect(nextDeadlineMs(address.table)).toBe(firstMs);
    address.renew("anna");
    address.wait(5_000);
    address.renew("anna");
    address.renew("bert");
    expect(nextDeadlineMs(address.table)).toBe(firstMs + 10_000);
  });

  test("[LE7] rings for the end of leases, of quarantines, and in between to look at the clock", () => {
    const address = new AddressStory();
    address.join("anna");
    address.take("anna", 8);
    expect(nextDeadlineMs(address.table)).toBe(address.nowMs + 50_000);
    const endMs = address.nowMs + LEASE;
    address.wait(LEASE - 30_000);
    expect(nextDeadlineMs(address.table)).toBe(endMs);
    address.wait(30_000);
    address.wait(QUARANTINE - 20_000);
    expect(nextDeadlineMs(address.table)).toBe(endMs + QUARANTINE);
  });
});

/** The life of blocks on one address, told as stories. Times are in the object's milliseconds. */
import { describe, expect, test } from "vitest";
import { AddressStory, granted, refusal } from "./address-story.ts";
import { freeBlocks, portTotal } from "../../src/core/buddy-allocator.ts";
import { leasesOf, portsHeldBy } from "../../src/core/lease-table.ts";
import { blocksOverlap } from "../../src/core/port-block.ts";

const LEASE = 600_000;
const QUARANTINE = 120_000;

describe("a lease", () => {
  test("[LE1] all blocks of a host end together, and one renewal extends them all", () => {
    const address = new AddressStory();
    address.join("anna");
    address.take("anna", 8);
    address.wait(LEASE / 2);
    address.take("anna", 8);
    address.wait(LEASE - 1);
    expect(leasesOf(address.table, "anna")).toHaveLength(2);
    granted(address.renew("anna"));
    address.wait(LEASE - 1);
    expect(leasesOf(address.table, "anna")).toHaveLength(2);
    address.wait(1);
    expect(leasesOf(address.table, "anna")).toHaveLength(0);
  });

  test("[LE3] the instant of its end lies outside it", () => {
    const address = new AddressStory();
    address.join("anna");
    const block = address.take("anna", 8);
    address.wait(LEASE - 1);
    expect(leasesOf(address.table, "anna")).toMatchObject([block]);
    address.wait(1);
    expect(leasesOf(address.table, "anna")).toEqual([]);
  });

  test("[LE4] what has ended is over before a command is judged, though the alarm never rang", () => {
    const address = new AddressStory({ quarantineMs: 2 * LEASE });
    address.join("anna");
    address.take("anna", 8);
    address.setClockBy(LEASE);
    expect(granted(address.renew("anna")).leases).toEqual([]);
  });

  test("[LE5] a duplicate instance that comes between takes nothing from the time that the first was told", () => {
    const address = new AddressStory();
    address.join("anna", "first");
    address.configure({ leaseDurationMs: 1000 });
    address.join("anna", "twin");
    expect(granted(address.join("anna", "first")).leaseDurationMs).toBe(1000);
    address.take("anna", 8);
    address.wait(LEASE - 1);
    expect(leasesOf(address.table, "anna")).toHaveLength(1);
    address.wait(1);
    expect(leasesOf(address.table, "anna")).toHaveLength(0);
  });

  test("[LE4] when one host's time is over the leases of others go on, and what it gave back rests no longer", () => {
    const address = new AddressStory({ quarantineMs: LEASE });
    address.join("anna");
    const [given, kept] = [address.take("anna", 8), address.take("anna", 8)];
    address.wait(LEASE / 2);
    address.join("bert");
    const other = address.take("bert", 8);
    address.release("anna", given);
    const givenMs = address.nowMs;
    address.wait(LEASE / 2);
    expect(address.table.rows.get(given.epoch)).toMatchObject({
      endedAtMs: givenMs,
      freeAtMs: givenMs + LEASE,
    });
    expect(address.table.rows.get(kept.epoch)).toMatchObject({
      endedAtMs: address.nowMs,
      freeAtMs: address.nowMs + LEASE,
    });
    expect(leasesOf(address.table, "bert")).toMatchObject([other]);
    expect(address.events.filter(({ type }) => type === "ended")).toHaveLength(2);
  });

  test("[LE5] a shorter lease time cuts no lease short that its host already counts on", () => {
    const address = new AddressStory();
    address.join("anna");
    const block = address.take("anna", 8);
    address.configure({ leaseDurationMs: 1000 });
    expect(granted(address.renew("anna")).leaseDurationMs).toBe(1000);
    expect(granted(address.join("anna")).leaseDurationMs).toBe(1000);
    address.wait(LEASE - 1);
    expect(leasesOf(address.table, "anna")).toMatchObject([block]);
    address.wait(1);
    expect(leasesOf(address.table, "anna")).toEqual([]);
  });

  test("[LE8] every yes but that to a release extends the leases; a no extends nothing", () => {
    const address = new AddressStory({ maxPortsPerHost: 256 });
    expect(granted(address.join("anna")).leaseDurationMs).toBe(LEASE);
    const block = granted(address.acquire("anna", 8));
    expect(block.leaseDurationMs).toBe(LEASE);
    const { expiresAtMs } = address.table.holders.get("anna")!;
    address.wait(1000);
    expect(refusal(address.acquire("anna", 8))).toBe("share-exceeded");
    expect(address.table.holders.get("anna")!.expiresAtMs).toBe(expiresAtMs);
    expect(granted(address.release("anna", block.granted!)).leaseDurationMs).toBeNull();
    expect(address.table.holders.get("anna")!.expiresAtMs).toBe(expiresAtMs);
  });
});

describe("an epoch", () => {
  test("[EP1] rises with every grant, also when a block is taken up again or all were forgotten", () => {
    const address = new AddressStory();
    address.join("anna");
    const first = address.take("anna", 8);
    address.release("anna", first);
    const second = address.take("anna", 8);
    expect(second).toMatchObject({ base: first.base, epoch: first.epoch + 1 });
    address.wait(LEASE + QUARANTINE);
    expect(address.table.rows.size).toBe(0);
    address.join("bert");
    expect(address.take("bert", 8).epoch).toBe(second.epoch + 1);
  });

  test("[EP2] a release is refused under any epoch but that of the host's own lease", () => {
    const address = new AddressStory();
    address.join("anna");
    address.join("bert");
    const old = address.take("anna", 8);
    address.release("anna", old);
    const again = address.take("anna", 8);
    expect(refusal(address.release("anna", old))).toBe("stale-epoch");
    expect(refusal(address.release("bert", again))).toBe("stale-epoch");
    expect(refusal(address.release("anna", { ...again, base: again.base + 256 }))).toBe("stale-epoch");
    expect(refusal(address.release("anna", { ...again, epoch: 99 }))).toBe("stale-epoch");
    expect(leasesOf(address.table, "anna")).toMatchObject([again]);
  });
});

describe("quarantine", () => {
  test("[QU1] nobody else gets a block within it, and anybody may afterwards", () => {
    const address = new AddressStory({ maxPortsPerHost: 64_512, minPortsPerHost: 0 });
    address.join("anna");
    for (;;) if (!address.acquire("anna", 12).ok) break;
    const given = leasesOf(address.table, "anna")[3]!;
    address.release("anna", given);
    address.join("bert");
    address.wait(QUARANTINE - 1);
    expect(refusal(address.acquire("bert", 12))).toBe("address-exhausted");
    address.wait(1);
    expect(address.take("bert", 12)).toMatchObject({ base: given.base, order: given.order });
  });

  test("[QU2] counts from the end of the lease, however late that is noticed", () => {
    const address = new AddressStory();
    address.join("anna");
    address.take("anna", 8);
    address.wait(QUARANTINE / 2);
    address.renew("anna");
    const endMs = address.nowMs + LEASE;
    address.wait(LEASE - 10);
    address.setClockBy(30_010);
    address.tick();
    expect([...address.table.rows.values()][0]).toMatchObject({
      state: "quarantined",
      endedAtMs: endMs,
      freeAtMs: endMs + QUARANTINE,
    });
  });

  test("[QU3] the last holder takes its own block up again at once", () => {
    const address = new AddressStory();
    address.join("anna");
    const first = address.take("anna", 8);
    address.release("anna", first);
    expect(address.take("anna", 8)).toMatchObject({ base: first.base, order: 8 });
    expect(address.table.rows.size).toBe(1);
  });

  test("[QU3] when nothing is free it gets one of its own even of another size, never part of one", () => {
    const address = new AddressStory({ maxPortsPerHost: 64_512, minPortsPerHost: 0 });
    address.join("anna");
    for (;;) if (!address.acquire("anna", 12).ok) break;
    const [small, , large] = leasesOf(address.table, "anna").toSorted((a, b) => a.order - b.order);
    address.release("anna", large!);
    expect(address.take("anna", 6)).toMatchObject({ base: large!.base, order: large!.order });
    address.release("anna", small!);
    expect(address.take("anna", 12)).toMatchObject({ base: small!.base, order: small!.order });
  });

  test("[QU3] of several of its own it gets the exact size, else the largest below, else the smallest above", () => {
    const address = new AddressStory({ maxPortsPerHost: 64_512, minPortsPerHost: 0 });
    address.join("anna");
    const given = [6, 7, 11, 10, 9].map((order) => address.take("anna", order));
    address.takeAll("anna");
    for (const lease of given) address.release("anna", lease);
    const orders = given.map(() => address.take("anna", 9).order);
    expect(orders).toEqual([9, 7, 6, 10, 11]);
  });

  test("[QU3] it gets one of another size only when nothing is free", () => {
    const address = new AddressStory();
    address.join("anna");
    const given = address.take("anna", 7);
    address.release("anna", given);
    for (const order of [6, 8]) {
      const other = address.take("anna", order);
      expect(other.order).toBe(order);
      expect(blocksOverlap(other, given)).toBe(false);
    }
  });

  test("[QU3] it gets none that is larger than what is left of its share", () => {
    const address = new AddressStory({ maxPortsPerHost: 64_512, minPortsPerHost: 0 });
    address.join("anna");
    const given = address.take("anna", 12);
    address.takeAll("anna");
    address.release("anna", given);
    address.configure({ maxPortsPerHost: 64_512 - 1 });
    expect(refusal(address.acquire("anna", 6))).toBe("address-exhausted");
    address.configure({ maxPortsPerHost: 64_512 });
    expect(address.take("anna", 6)).toMatchObject({ base: given.base, order: 12 });
  });

  test("[QU3] a block rests for the host and for its disk: neither alone gets it back", () => {
    const address = new AddressStory({ maxPortsPerHost: 64_512, minPortsPerHost: 0 });
    address.join("anna", "one-disk");
    address.join("bert", "one-disk");
    address.takeAll("anna");
    for (const lease of leasesOf(address.table, "anna")) address.release("anna", lease);
    expect(refusal(address.acquire("bert", 8))).toBe("address-exhausted");
    address.join("anna", "another-disk");
    expect(refusal(address.acquire("anna", 8))).toBe("address-exhausted");
  });

  test("[QU3] a host that was set up anew is somebody else", () => {
    const address = new AddressStory({ maxPortsPerHost: 64_512, minPortsPerHost: 0 });
    address.join("anna");
    for (;;) if (!address.acquire("anna", 12).ok) break;
    for (const lease of leasesOf(address.table, "anna")) address.release("anna", lease);
    granted(address.join("anna", "another-disk"));
    expect(refusal(address.acquire("anna", 12))).toBe("address-exhausted");
    address.wait(QUARANTINE);
    granted(address.acquire("anna", 12));
  });
});

describe("a share", () => {
  test("[AL4] ends at the maximum, down to a smaller block that still fits", () => {
    const address = new AddressStory({ maxPortsPerHost: 256 + 64 });
    address.join("anna");
    expect(address.take("anna", 8).order).toBe(8);
    expect(address.take("anna", 8).order).toBe(6);
    expect(refusal(address.acquire("anna", 6))).toBe("share-exceeded");
    expect(portsHeldBy(address.table, "anna")).toBe(320);
  });

  test("[AL5] a greedy host leaves the minimum of every present host, and they get it", () => {
    const address = new AddressStory({ maxPortsPerHost: 64_512, minPortsPerHost: 512 });
    for (const host of ["anna", "bert", "cleo"]) address.join(host);
    for (;;) if (!address.acquire("anna", 12).ok) break;
    expect(portsHeldBy(address.table, "anna")).toBe(64_512 - 1024);
    for (const host of ["bert", "cleo"]) {
      while (portsHeldBy(address.table, host) < 512) granted(address.acquire(host, 9));
      expect(portsHeldBy(address.table, host)).toBe(512);
    }
    expect(portTotal(freeBlocks(address.table.rows.values()))).toBe(0);
  });

  test("[AL5] a host that gives its minimum back can have it again at once, in other sizes too", () => {
    const address = new AddressStory({ maxPortsPerHost: 64_512, minPortsPerHost: 512 });
    address.join("anna");
    address.join("bert");
    const block = address.take("bert", 9);
    for (;;) if (!address.acquire("anna", 12).ok) break;
    address.release("bert", block);
    expect(refusal(address.acquire("anna", 6))).toBe("address-exhausted");
    expect(address.take("bert", 6)).toMatchObject({ base: block.base, order: 9 });
  });

  test("[AL5] what a host may take up again itself is not kept for it once more", () => {
    const address = new AddressStory({ maxPortsPerHost: 64_512, minPortsPerHost: 512 });
    address.join("anna");
    address.join("bert");
    address.release("bert", address.take("bert", 9));
    for (;;) if (!address.acquire("anna", 12).ok) break;
    expect(portsHeldBy(address.table, "anna")).toBe(64_512 - 512);
  });

  test("[AL5] with more hosts than minimums the first come are served, not nobody", () => {
    const address = new AddressStory({ minPortsPerHost: 4096 });
    const hosts = Array.from({ length: 30 }, (_, at) => `host-${at}`);
    for (const host of hosts) address.join(host);
    const served = hosts.filter((host) => address.acquire(host, 12).ok);
    expect(served).toHaveLength(17);
    expect(portTotal(freeBlocks(address.table.rows.values()))).toBe(0);
  });

  test("[AL5] a host whose time is over is kept nothing", () => {
    const address = new AddressStory({ maxPortsPerHost: 64_512, minPortsPerHost: 4096 });
    address.join("bert");
    address.wait(LEASE);
    address.join("anna");
    for (;;) if (!address.acquire("anna", 12).ok) break;
    expect(portsHeldBy(address.table, "anna")).toBe(64_512);
  });

  test("[PB1] no other sizes are leased", () => {
    const address = new AddressStory();
    address.join("anna");
    for (const order of [5, 13, 6.5, -1, Number.NaN, Infinity]) {
      expect(refusal(address.acquire("anna", order))).toBe("order-out-of-range");
    }
  });
});

describe("a host", () => {
  test("[HO1] its duplicate instance is refused while it holds leases, and taken once they are over", () => {
    const address = new AddressStory();
    address.join("anna", "first-disk");
    const block = address.take("anna", 8);
    address.wait(LEASE - 1);
    expect(refusal(address.join("anna", "second-disk"))).toBe("host-already-present");
    expect(leasesOf(address.table, "anna")).toMatchObject([block]);
    address.wait(1);
    expect(granted(address.join("anna", "second-disk")).leases).toEqual([]);
    const other = address.take("anna", 8);
    expect(blocksOverlap(block, other)).toBe(false);
  });

  test("[HO1] set up anew after it gave everything back, it need not wait", () => {
    const address = new AddressStory();
    address.join("anna", "first-disk");
    address.release("anna", address.take("anna", 8));
    expect(granted(address.join("anna", "second-disk")).leases).toEqual([]);
  });

  test("[HO2] its newest connection speaks for it; late messages of an older one change nothing", () => {
    const address = new AddressStory();
    address.join("anna");
    const old = address.sessionOf("anna");
    const block = address.take("anna", 8);
    expect(granted(address.join("anna")).session).toBe(old + 1);
    expect(granted(address.join("anna")).session).toBe(old + 2);
    expect(refusal(address.release("anna", block, old))).toBe("stale-session");
    expect(refusal(address.renew("anna", old))).toBe("stale-session");
    expect(refusal(address.acquire("anna", 8, "late", old))).toBe("stale-session");
    expect(leasesOf(address.table, "anna")).toMatchObject([block]);
  });

  test("[HO2] who has not joined is refused", () => {
    const address = new AddressStory();
    expect(refusal(address.renew("anna", 1))).toBe("stale-session");
    expect(refusal(address.acquire("anna", 8, "early", 0))).toBe("stale-session");
  });

  test("[HO3] after a restart it is told of all it holds, so it takes the same blocks up", () => {
    const address = new AddressStory();
    address.join("anna");
    const blocks = [address.take("anna", 8), address.take("anna", 9)];
    address.wait(LEASE / 2);
    expect(granted(address.join("anna")).leases).toEqual(blocks);
  });

  test("[HO3] after its leases are over it is told so, and starts anew", () => {
    const address = new AddressStory();
    address.join("anna");
    const lost = address.take("anna", 8);
    address.wait(LEASE);
    expect(granted(address.renew("anna")).leases).toEqual([]);
    expect(address.take("anna", 8)).toMatchObject({ base: lost.base, epoch: lost.epoch + 1 });
  });

  test("[HO5] is forgotten when its time is over and its blocks are free, and must join again", () => {
    const address = new AddressStory();
    address.join("anna");
    const session = address.sessionOf("anna");
    address.take("anna", 8);
    address.wait(LEASE + QUARANTINE - 1);
    expect(address.table.holders.has("anna")).toBe(true);
    address.wait(1);
    expect(address.table.holders.size).toBe(0);
    expect(refusal(address.renew("anna"))).toBe("stale-session");
    expect(granted(address.join("anna")).session).toBe(session + 1);
  });

  test("[ME2] a repeated acquire gets the block of the first, and only that", () => {
    const address = new AddressStory();
    address.join("anna");
    const first = granted(address.acquire("anna", 8, "once"));
    const again = granted(address.acquire("anna", 8, "once"));
    expect(again.granted).toEqual(first.granted);
    expect(again.leases).toEqual([first.granted]);
    address.release("anna", first.granted!);
    expect(granted(address.acquire("anna", 8, "once")).granted!.epoch).toBe(first.granted!.epoch + 1);
  });
});

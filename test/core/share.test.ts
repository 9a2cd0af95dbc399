/** Who may hold how much once an address is full: hosts that come late, and those that were first. */
import { describe, expect, test } from "vitest";
import { AddressStory, refusal } from "./address-story.ts";
import { leasesOf, portsHeldBy } from "../../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { minimumOf } from "../../src/core/share.ts";

const LEASE = 600_000;
const QUARANTINE = 120_000;
const ALL = 64_512;

/** An address that is full of hosts which came before, of the same size to a block. */
function fullOf(hosts: readonly string[], minPortsPerHost = 512): AddressStory {
  const address = new AddressStory({ maxPortsPerHost: ALL, minPortsPerHost });
  for (const host of hosts) address.join(host);
  for (let round = 0; round < 64; round += 1) for (const host of hosts) address.acquire(host, 11);
  for (const host of hosts) address.takeAll(host);
  // By then it is forgotten that they wanted more. [AL7]
  address.wait(90_000);
  return address;
}

function releaseSome(address: AddressStory, host: string, portCount: number): void {
  for (const lease of leasesOf(address.table, host).toSorted((a, b) => a.order - b.order)) {
    if (portCount <= 0) return;
    address.release(host, lease);
    portCount -= 2 ** lease.order;
  }
}

describe("what a host may hold", () => {
  test("[AL6] is the pool's maximum while there is room for everybody's minimum, to the last port", () => {
    const address = new AddressStory({ maxPortsPerHost: 63_999 });
    address.join("anna");
    address.takeAll("anna");
    expect(portsHeldBy(address.table, "anna")).toBe(63_936);
    expect(address.told("anna")).toBe(63_999);
    address.join("bert");
    address.join("cleo");
    expect(address.told("anna")).toBe(63_936 - 448);
    expect(address.told("bert")).toBe(512);
  });

  test("[AL6] is less by twice each one's part of what a newcomer lacks that was refused", () => {
    const address = fullOf(["anna", "bert", "cleo"]);
    address.join("dora");
    expect(refusal(address.acquire("dora", 8))).toBe("address-exhausted");
    const held = (host: string): number => portsHeldBy(address.table, host);
    const above = ALL - 3 * 512;
    for (const host of ["anna", "bert", "cleo"]) {
      const part = Math.ceil((2 * 512 * (held(host) - 512)) / above);
      expect(part).toBeLessThan(400);
      expect(address.told(host)).toBe(held(host) - part);
    }
    expect(address.told("dora")).toBe(512);
  });

  test("[AL6] is asked for no more than is missing: what rests in quarantine counts as given back", () => {
    const address = fullOf(["anna", "bert"], 2048);
    address.join("cleo");
    address.join("dora");
    const [first, second] = leasesOf(address.table, "anna").filter(({ order }) => order === 11);
    const held = portsHeldBy(address.table, "bert");
    // Of the two it holds a little less, and is asked for so much less than all that is missing.
    expect(address.told("bert")).toBe(held - Math.ceil((2 * 4096 * (held - 2048)) / (ALL - 2 * 2048)));
    address.release("anna", first!);
    expect(address.told("bert")).toBe(held - 2048);
    address.release("anna", second!);
    expect(address.told("bert")).toBe(ALL);
    expect(address.told("anna")).toBe(ALL);
  });

  test("[AL6] is at once no less than half of what it holds, and never less than the minimum", () => {
    const address = fullOf(["anna", "bert"], 4096);
    for (let at = 0; at < 12; at += 1) address.join(`late-${at}`);
    for (const host of ["anna", "bert"]) {
      const held = portsHeldBy(address.table, host);
      expect(held).toBeGreaterThan(8192 + 64);
      expect(address.told(host)).toBe(Math.floor(held / 128) * 64);
      releaseSome(address, host, held - 4608);
      expect(address.told(host)).toBeGreaterThanOrEqual(4096);
    }
  });

  test("[AL6] is nothing but the minimum where there are more hosts than minimums", () => {
    const address = new AddressStory({ minPortsPerHost: 4096 });
    for (let at = 0; at < 16; at += 1) address.join(`host-${at}`);
    for (let at = 0; at < 16; at += 1) expect(address.told(`host-${at}`)).toBe(4096);
  });

  test("[AL6] is not lowered for a host whose time is over, though its blocks still rest", () => {
    const address = new AddressStory({ maxPortsPerHost: ALL, minPortsPerHost: 64 });
    address.join("anna");
    address.join("dora");
    address.take("dora", 6);
    address.takeAll("anna");
    address.configure({ minPortsPerHost: 512 });
    expect(address.told("anna")).toBe(ALL - 512);
    address.wait(LEASE / 2);
    address.renew("anna");
    address.wait(LEASE / 2);
    expect(address.table.holders.has("dora")).toBe(true);
    expect(address.told("anna")).toBe(ALL);
  });

  test("[AL6] is what the operator says, when he lowers the maximum", () => {
    const address = fullOf(["anna", "bert"]);
    address.configure({ maxPortsPerHost: 1024 });
    expect(address.told("anna")).toBe(1024);
    address.join("cleo");
    expect(address.told("anna")).toBe(1024);
    expect(portsHeldBy(address.table, "anna")).toBeGreaterThan(1024);
  });
});

describe("a minimum", () => {
  test.each([
    [512, 32_768, 512],
    [500, 32_768, 512],
    [513, 32_768, 576],
    [1, 64, 64],
    [512, 512, 512],
    [512, 511, 448],
    [512, 63, 0],
    [0, 32_768, 0],
  ])("[AL5] of %i ports, where a host may hold %i, is %i", (minPortsPerHost, maxPortsPerHost, minimum) => {
    expect(minimumOf({ ...DEFAULT_POOL_SETTINGS, minPortsPerHost, maxPortsPerHost })).toBe(minimum);
  });

  test("[AL5] bounds no host that finds more free which nobody else needs", () => {
    const address = new AddressStory({ maxPortsPerHost: ALL - 1024, minPortsPerHost: 512 });
    address.join("anna");
    address.takeAll("anna");
    address.join("bert");
    expect(address.take("bert", 10).order).toBe(10);
  });

  test("[AL5] is kept for nobody from the instant when its time is over, though its blocks still rest", () => {
    const address = new AddressStory({ maxPortsPerHost: ALL, minPortsPerHost: 4096 });
    for (const host of ["anna", "bert"]) address.join(host);
    address.take("bert", 6);
    address.wait(LEASE / 2);
    address.renew("anna");
    address.wait(LEASE / 2 - 1);
    address.takeAll("anna");
    expect(portsHeldBy(address.table, "anna")).toBe(ALL - 4096);
    address.wait(1);
    expect(address.table.holders.get("bert")).toMatchObject({ expiresAtMs: address.nowMs });
    address.takeAll("anna");
    expect(portsHeldBy(address.table, "anna")).toBe(ALL - 64);
  });

  test("[AL5] is kept whole for a host that was set up anew: what its old self gave back is not its own", () => {
    const address = new AddressStory({ maxPortsPerHost: ALL, minPortsPerHost: 512 });
    for (const host of ["anna", "bert"]) address.join(host);
    address.release("anna", address.take("anna", 9));
    address.join("anna", "another-disk");
    address.takeAll("bert");
    expect(portsHeldBy(address.table, "bert")).toBe(ALL - 1024);
    expect(address.take("anna", 9).order).toBe(9);
  });
});

describe("what was given up for another", () => {
  test("[QU3] does not go back to the host that gave it up, and the newcomer gets its minimum", () => {
    const address = fullOf(["anna", "bert"]);
    address.join("dora");
    releaseSome(address, "anna", portsHeldBy(address.table, "anna") - address.told("anna"));
    for (const host of ["anna", "bert"]) expect(address.told(host)).toBe(ALL);
    for (const host of ["anna", "bert"]) {
      for (const order of [6, 9, 12]) expect(refusal(address.acquire(host, order))).toBe("address-exhausted");
    }
    address.wait(QUARANTINE);
    for (const host of ["anna", "bert"]) address.takeAll(host);
    address.takeAll("dora");
    expect(portsHeldBy(address.table, "dora")).toBe(512);
  });

  test("[QU3] goes back as far as it was more than the others lack", () => {
    const address = fullOf(["anna", "bert"]);
    address.join("dora");
    const given = leasesOf(address.table, "anna")
      .filter(({ order }) => order === 11)
      .slice(0, 2);
    for (const lease of given) address.release("anna", lease);
    expect(address.take("anna", 11)).toMatchObject({ order: 11 });
    expect(refusal(address.acquire("anna", 11))).toBe("address-exhausted");
    expect(address.told("bert")).toBeGreaterThanOrEqual(portsHeldBy(address.table, "bert"));
  });

  test("[QU3] goes back to a host below its minimum, however many others are below theirs", () => {
    const address = new AddressStory({ minPortsPerHost: 4096 });
    for (let at = 0; at < 30; at += 1) address.join(`host-${at}`);
    const block = address.take("host-0", 12);
    address.release("host-0", block);
    expect(address.take("host-0", 12)).toMatchObject({ base: block.base, order: 12 });
  });

  test("[QU3] goes back whole to a host that holds nothing else, unless others then lack theirs", () => {
    const address = new AddressStory({ maxPortsPerHost: ALL, minPortsPerHost: 512 });
    address.join("anna");
    address.join("bert");
    const block = address.take("anna", 12);
    address.takeAll("bert");
    address.release("anna", block);
    expect(address.take("anna", 12)).toMatchObject({ base: block.base, order: 12 });
    const again = leasesOf(address.table, "anna")[0]!;
    address.release("anna", again);
    address.join("cleo");
    expect(refusal(address.acquire("anna", 12))).toBe("address-exhausted");
    address.wait(QUARANTINE);
    address.takeAll("cleo");
    address.takeAll("anna");
    for (const host of ["anna", "cleo"]) expect(portsHeldBy(address.table, host)).toBeGreaterThanOrEqual(512);
  });
});

test("[AL6] a host that was away and comes back to a full address has its minimum again", () => {
  const address = fullOf(["anna", "bert", "cleo"]);
  // All of its time, and the quarantine of its blocks: the others take everything.
  for (let at = 0; at < 8; at += 1) {
    address.wait(LEASE / 4);
    for (const host of ["anna", "bert"]) address.renew(host);
  }
  for (const host of ["anna", "bert"]) address.takeAll(host);
  address.join("cleo");
  expect(refusal(address.acquire("cleo", 6))).toBe("address-exhausted");
  releaseSome(address, "bert", portsHeldBy(address.table, "bert") - address.told("bert"));
  address.wait(QUARANTINE);
  address.takeAll("cleo");
  expect(portsHeldBy(address.table, "cleo")).toBeGreaterThanOrEqual(512);
});

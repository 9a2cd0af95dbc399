/** What an address tells hosts of the ports that it has left. */
import { describe, expect, test } from "vitest";
import { portsLeased } from "../../src/core/lease-table.ts";
import { roomFor } from "../../src/core/share.ts";
import { Shortage } from "../../src/core/shortage.ts";
import { AddressStory } from "./address-story.ts";

const ALL = 64_512;

function roomOf(address: AddressStory, host: string) {
  return roomFor(address.table, host, address.nowMs);
}

describe("the room of an address", () => {
  test("[AL8] is what nobody leases, without what the others still have a claim to", () => {
    const address = new AddressStory({ maxPortsPerHost: ALL, minPortsPerHost: 512 });
    address.join("anna");
    expect(roomOf(address, "anna")).toEqual({ portCount: ALL, hostCount: 1 });
    address.join("bert");
    address.take("bert", 8);
    expect(roomOf(address, "anna")).toEqual({ portCount: ALL - 256 - 256, hostCount: 2 });
    expect(roomOf(address, "bert")).toEqual({ portCount: ALL - 256 - 512, hostCount: 2 });
  });

  test("[AL8] counts what rests in quarantine, and no host whose time is over", () => {
    const address = new AddressStory({ maxPortsPerHost: ALL, minPortsPerHost: 64, leaseDurationMs: 600_000 });
    address.join("anna");
    address.join("bert");
    address.release("bert", address.take("bert", 12));
    expect(roomOf(address, "anna")).toEqual({ portCount: ALL, hostCount: 2 });
    address.wait(400_000);
    address.renew("anna");
    address.wait(250_000);
    expect(roomOf(address, "anna").hostCount).toBe(1);
  });

  test("[AL8] is never below nothing", () => {
    const address = new AddressStory({ minPortsPerHost: 4096 });
    for (let at = 0; at < 30; at += 1) address.join(`h${at}`);
    expect(roomOf(address, "h0")).toEqual({ portCount: 0, hostCount: 30 });
  });
});

describe("hosts are told that an address is short", () => {
  /** An address of which so many ports are leased, in blocks of 64. */
  function leased(portCount: number): AddressStory {
    const address = new AddressStory({ maxPortsPerHost: ALL, minPortsPerHost: 0 });
    address.join("anna");
    while (portsLeased(address.table) < portCount) {
      const missing = portCount - portsLeased(address.table);
      address.take("anna", Math.min(12, Math.floor(Math.log2(missing))));
    }
    return address;
  }

  test("[AL9] once, when less than a sixteenth is left, and again after an eighth was so", () => {
    const shortage = new Shortage();
    const isNews = (portCount: number): boolean => shortage.isNews(leased(portCount).table, false, 1_000);
    expect(isNews(ALL - 4096)).toBe(false);
    expect(isNews(ALL - 4032)).toBe(false);
    expect(isNews(ALL - 3968)).toBe(true);
    expect(isNews(ALL - 64)).toBe(false);
    expect(isNews(ALL - 8000)).toBe(false);
    expect(isNews(ALL - 3968)).toBe(false);
    expect(isNews(ALL - 8064)).toBe(false);
    expect(isNews(ALL - 3968)).toBe(true);
  });

  test("[AL9] [SM4] not where each has a slot, which nobody gives back for another", () => {
    const address = new AddressStory({ staticPortsPerHost: 4_096 });
    for (let at = 0; at < 15; at += 1) {
      address.join(`h${at}`);
      address.take(`h${at}`, 12);
    }
    expect(new Shortage().isNews(address.table, true, 100_000)).toBe(false);
  });

  /** Until hosts are told, when one is refused in each second. */
  function pauseOf(shortage: Shortage, table: AddressStory["table"], fromMs: number): number {
    for (let seconds = 1; seconds < 1_000; seconds += 1) {
      if (shortage.isNews(table, true, fromMs + seconds * 1_000)) return seconds;
    }
    throw new Error("nobody is told any more");
  }

  test("[AL9] while hosts are refused, each time after twice as long, up to 160 s", () => {
    const shortage = new Shortage();
    const { table } = leased(1024);
    let nowMs = 100_000;
    expect(shortage.isNews(table, true, nowMs)).toBe(true);
    const pauses: number[] = [];
    for (let time = 0; time < 6; time += 1) {
      pauses.push(pauseOf(shortage, table, nowMs));
      nowMs += pauses.at(-1)! * 1_000;
    }
    expect(pauses).toEqual([20, 40, 80, 160, 160, 160]);
    expect(shortage.isNews(table, false, nowMs + 500_000)).toBe(false);
    // Whichever way the clock goes.
    expect(shortage.isNews(table, true, nowMs - 200_000)).toBe(true);
  });

  test("[AL9] soon again when ports were given back, or a host has come", () => {
    const shortage = new Shortage();
    const address = leased(1024);
    for (let atMs = 0; atMs <= 600_000; atMs += 10_000) shortage.isNews(address.table, true, atMs);
    address.join("bert");
    expect(pauseOf(shortage, address.table, 600_000)).toBeLessThanOrEqual(20);
    const patient = new Shortage();
    for (let atMs = 0; atMs <= 600_000; atMs += 10_000) patient.isNews(address.table, true, atMs);
    const [block] = address.table.rows.values();
    address.release("anna", block!);
    expect(pauseOf(patient, address.table, 600_000)).toBeLessThanOrEqual(10);
  });
});

/** What of a host's room is worth a message to its pool, and how soon. */
import { expect, test } from "vitest";
import { type CapacityReport, urgencyOf } from "../../src/agent/leasing/capacity-report.ts";

const IP = "192.0.2.1";

function report(portCount: number, busiestCount: number, draining = false, ip = IP): CapacityReport {
  return { draining, rooms: [{ ip, portCount, busiestCount }] };
}

test("[PM3] losing and gaining all room is told at once, lesser changes later, trifles never", () => {
  expect(urgencyOf(report(256, 0), report(0, 0))).toBe("now");
  expect(urgencyOf(report(0, 0), report(256, 0))).toBe("now");
  expect(urgencyOf(report(256, 0), report(256, 0, true))).toBe("now");
  expect(urgencyOf(report(256, 0), { draining: false, rooms: [] })).toBe("now");
  expect(urgencyOf(report(256, 0), report(256, 0, false, "192.0.2.2"))).toBe("now");
  expect(urgencyOf(report(256, 0), report(512, 0))).toBe("soon");
  // An eighth, and one less.
  expect(urgencyOf(report(256, 0), report(256, 32))).toBe("soon");
  expect(urgencyOf(report(256, 0), report(256, 31))).toBe("never");
  expect(urgencyOf(report(256, 0), report(256, 40))).toBe("soon");
  expect(urgencyOf(report(256, 0), report(256, 10))).toBe("never");
  expect(urgencyOf(report(256, 10), report(256, 10))).toBe("never");
});

test("[PM3] the last port that is taken and the first that is free are told at once, and what is left when it is little", () => {
  expect(urgencyOf(report(256, 255), report(256, 256))).toBe("now");
  expect(urgencyOf(report(256, 256), report(256, 255))).toBe("now");
  expect(urgencyOf(report(256, 256), report(256, 100))).toBe("now");
  // Of eight free ports four are half; of two hundred they are nothing.
  expect(urgencyOf(report(256, 248), report(256, 252))).toBe("soon");
  expect(urgencyOf(report(256, 252), report(256, 248))).toBe("soon");
  expect(urgencyOf(report(256, 248), report(256, 243))).toBe("soon");
  expect(urgencyOf(report(256, 56), report(256, 60))).toBe("never");
});

test("[PM3] [UP1] that an address has become suspect is told at once, its figures when they are of note", () => {
  const withUplink = (state: "good" | "suspect", failedCount: number, port = 443): CapacityReport => {
    const doubts = state === "suspect" ? [{ ip: "198.51.100.1", port }] : [];
    const uplink = { state, destinationCount: 20, failedCount, doubts };
    return { draining: false, rooms: [{ ip: IP, portCount: 256, busiestCount: 0, uplink }] };
  };
  expect(urgencyOf(withUplink("good", 1), withUplink("suspect", 1))).toBe("now");
  expect(urgencyOf(withUplink("suspect", 1), withUplink("good", 1))).toBe("now");
  expect(urgencyOf(withUplink("good", 1), withUplink("good", 4))).toBe("soon");
  expect(urgencyOf(withUplink("good", 1), withUplink("good", 2))).toBe("never");
  expect(urgencyOf(withUplink("good", 5), withUplink("good", 5))).toBe("never");
  expect(urgencyOf(withUplink("good", 5), withUplink("good", 2))).toBe("soon");
  expect(urgencyOf(withUplink("suspect", 1), withUplink("suspect", 1, 80))).toBe("soon");
});

test("[PM9] that another destination is the busiest is told some time, where much is in use", () => {
  const towards = (port: number, busiestCount: number): CapacityReport => {
    const busiestDestination = { protocol: "tcp", ip: "198.51.100.1", port } as const;
    return { draining: false, rooms: [{ ip: IP, portCount: 256, busiestCount, busiestDestination }] };
  };
  expect(urgencyOf(towards(443, 32), towards(80, 32))).toBe("later");
  expect(urgencyOf(towards(443, 31), towards(80, 31))).toBe("never");
  expect(urgencyOf(towards(443, 32), towards(443, 32))).toBe("never");
  expect(urgencyOf(report(256, 0), report(256, 0))).toBe("never");
  // With what is told sooner it goes along.
  expect(urgencyOf(towards(443, 32), towards(80, 96))).toBe("soon");
});

test("[PM3] [AS7] what is left of an address is told soon when it is of note, and its end at once", () => {
  const withLeft = (flowCount: number, portCount = 256, ip = IP): CapacityReport => ({
    draining: false,
    rooms: [],
    leaving: [{ ip, portCount, flowCount }],
  });
  const nothing = { draining: false, rooms: [], leaving: [] };
  expect(urgencyOf(nothing, withLeft(3))).toBe("now");
  expect(urgencyOf(withLeft(0), nothing)).toBe("now");
  expect(urgencyOf(withLeft(3), withLeft(3, 256, "192.0.2.2"))).toBe("now");
  expect(urgencyOf(withLeft(3), withLeft(3))).toBe("never");
  expect(urgencyOf(withLeft(3), withLeft(2))).toBe("soon");
  // Of eighty an eighth, and one less.
  expect(urgencyOf(withLeft(80), withLeft(70))).toBe("soon");
  expect(urgencyOf(withLeft(80), withLeft(71))).toBe("never");
  expect(urgencyOf(withLeft(3), withLeft(3, 512))).toBe("soon");
});

/** What goes into the program's maps comes out again, and what bpftool prints is read. */
import { expect, test } from "vitest";
import { readMapDump } from "../../src/linux/map-dump.ts";
import { HopNumbers } from "../../src/router/xdp/hop-numbers.ts";
import {
  type Hop,
  hopBytes,
  MOST_HOPS,
  readHop,
  readOwner,
  settingsBytes,
} from "../../src/router/xdp/map-layout.ts";

const NEAR: Hop = {
  kind: "neighbour",
  family: 4,
  device: "lan0",
  ifindex: 7,
  ip: "203.0.113.81",
  isRedirected: true,
};
const NEAR6: Hop = { ...NEAR, family: 6, ip: "2001:db8::1", isRedirected: false };
const AWAY: Hop = { kind: "stack", mark: 0x6900_0001 };

test("[RT15] a hop is read as it was written", () => {
  for (const hop of [NEAR, NEAR6, AWAY]) expect(readHop(hopBytes(hop, 1), () => "lan0")).toEqual(hop);
  expect(readHop(hopBytes(null, 1), () => "lan0")).toBeNull();
  expect(readOwner(settingsBytes(100, 2, 0x697f_1000))).toBe(0x697f_1000);
});

test("[RT15] a hop keeps its number, and a number that is free rests behind the others", () => {
  const hops = new HopNumbers(new Map([[2, NEAR]]), new Set(["lan0"]));
  expect(hops.numberOf(NEAR)).toBe(2);
  expect(hops.numberOf(NEAR6)).toBe(1);
  expect(hops.takeWrites()).toEqual(new Map([[1, { ...NEAR6, isRedirected: true }]]));
  hops.keepOnly(new Set([1]));
  expect(hops.takeWrites()).toEqual(new Map([[2, null]]));
  expect(hops.numberOf(AWAY)).toBe(3);
  // A device that is another one now, and one to which the kernel does not redirect any more.
  expect(hops.numberOf({ ...NEAR6, ifindex: 8 })).toBe(1);
  hops.setRedirectable(new Set());
  expect(hops.takeWrites()).toEqual(
    new Map<number, Hop>([
      [3, AWAY],
      [1, { ...NEAR6, ifindex: 8, isRedirected: false }],
    ]),
  );
});

test("[RT15] more next hops than there are places for is said", () => {
  const hops = new HopNumbers(new Map(), new Set());
  for (let mark = 1; mark < MOST_HOPS; mark += 1) hops.numberOf({ kind: "stack", mark });
  expect(() => hops.numberOf({ kind: "stack", mark: MOST_HOPS })).toThrow("XDP has place for 4095 next hops");
});

test("[RT5] a map is read as bpftool prints it, on one line or on several", () => {
  const read = (text: string) =>
    readMapDump(Buffer.from(text)).map(({ key, value }) => [[...key], [...value]]);
  expect(read("Found 0 elements\n")).toEqual([]);
  expect(read("key: 00 00 00 00  value: 0a ff\nkey: 01 00 00 00  value: 00 01\nFound 2 elements\n")).toEqual([
    [
      [0, 0, 0, 0],
      [10, 255],
    ],
    [
      [1, 0, 0, 0],
      [0, 1],
    ],
  ]);
  const long =
    "key:\nc6 12 1f a1\nvalue:\n01 00 00 00 02 00 00 00  03 00 00 00 04 00 00 00\n05 00 00 00\nFound 1 element\n";
  expect(read(long)).toEqual([
    [
      [198, 18, 31, 161],
      [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0],
    ],
  ]);
});

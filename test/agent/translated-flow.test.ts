/** What the kernel translates, read and counted, and what follows for new flows. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { UNIT_PORT_COUNT } from "../../src/core/port-block.ts";
import { entryMark, marksOfUnits } from "../../src/agent/translation/entry-mark.ts";
import { FlowCounts, readFlow, type TranslatedFlow } from "../../src/agent/translation/translated-flow.ts";
import { weigh } from "../../src/agent/translation/unit-weights.ts";

function flow(port: number, destination = "198.51.100.20", destinationPort = 80): TranslatedFlow {
  const ip = "192.0.2.1";
  const source = { source: "10.0.0.2", sourcePort: 999 };
  return { protocol: "tcp", ...source, destination, destinationPort, ip, port, isOver: false };
}

test("[SN4] flows are read from lines of the tracking table", () => {
  expect(
    readFlow(
      "tcp      6 116 TIME_WAIT src=10.88.1.2 dst=198.51.100.20 sport=51562 dport=8080 src=198.51.100.20 dst=192.0.2.1 sport=8080 dport=1794 [ASSURED] mark=17235968 use=1",
    ),
  ).toEqual({
    protocol: "tcp",
    source: "10.88.1.2",
    sourcePort: 51_562,
    destination: "198.51.100.20",
    destinationPort: 8080,
    ip: "192.0.2.1",
    port: 1794,
    isOver: true,
  });
  expect(
    readFlow(
      "udp      17 28 src=fd00::2 dst=2001:db8::20 sport=35264 dport=53 [UNREPLIED] src=2001:db8::20 dst=2001:db8:1::1 sport=53 dport=1946 mark=0 use=1",
    ),
  ).toMatchObject({ protocol: "udp", ip: "2001:db8:1::1", port: 1946, destinationPort: 53, isOver: false });
  expect(
    readFlow(
      "icmp     1 27 src=10.88.1.2 dst=198.51.100.20 type=8 code=0 id=15064 src=198.51.100.20 dst=192.0.2.1 type=0 code=0 id=1938 mark=0 use=1",
    ),
  ).toMatchObject({ protocol: "icmp", sourcePort: 15_064, port: 1938, ip: "192.0.2.1" });
});

test.each([
  "",
  "conntrack v1.4.7 (conntrack-tools): 3 flow entries have been shown.",
  // As it is, untranslated.
  "tcp      6 431995 ESTABLISHED src=198.51.100.151 dst=198.51.100.129 sport=33838 dport=8787 src=198.51.100.129 dst=198.51.100.151 sport=8787 dport=33838 [ASSURED] mark=0 use=1",
  "sctp     132 3 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=192.0.2.1 sport=2 dport=1",
  "tcp      6 1 ESTABLISHED src=10.0.0.1",
])("[SN4] a line that is no translated flow says nothing: %s", (line) => {
  expect(readFlow(line)).toBeNull();
});

test("[SN5] units alike are chosen alike, and where a destination takes notable use by their free ports", () => {
  expect(weigh([32, 33], new FlowCounts([flow(2048)]))).toEqual([
    { unit: 32, weight: 1 },
    { unit: 33, weight: 1 },
  ]);
  const many = Array.from({ length: 40 }, (_, at) => flow(2048 + at));
  const few = [flow(2112)];
  expect(weigh([32, 33], new FlowCounts([...many, ...few]))).toEqual([
    { unit: 32, weight: 24 },
    { unit: 33, weight: 63 },
  ]);
});

test("[SN5] a full unit is left out, unless all are full", () => {
  const full = (unit: number): TranslatedFlow[] =>
    Array.from({ length: UNIT_PORT_COUNT }, (_, at) => flow(unit * UNIT_PORT_COUNT + at));
  expect(weigh([32, 33], new FlowCounts(full(32)))).toEqual([{ unit: 33, weight: 64 }]);
  expect(weigh([32, 33], new FlowCounts([...full(32), ...full(33)]))).toEqual([
    { unit: 32, weight: 1 },
    { unit: 33, weight: 1 },
  ]);
});

test("[SN5] of several busy destinations the one counts that leaves a unit least", () => {
  const towards = (destination: string, unit: number, count: number): TranslatedFlow[] =>
    Array.from({ length: count }, (_, at) => flow(unit * UNIT_PORT_COUNT + at, destination));
  const counts = new FlowCounts([
    ...towards("198.51.100.20", 32, 50),
    ...towards("198.51.100.21", 33, 60),
    ...towards("198.51.100.22", 32, 5),
  ]);
  expect(weigh([32, 33], counts)).toEqual([
    { unit: 32, weight: 14 },
    { unit: 33, weight: 4 },
  ]);
});

test("[SN6] the marks of units fit these and no others, whatever the address", () => {
  const units = fc.uniqueArray(fc.integer({ min: 16, max: 1023 }), { maxLength: 200 });
  fc.assert(
    fc.property(units, fc.integer({ min: 1, max: 63 }), (list, address) => {
      const marks = marksOfUnits(address, new Set(list));
      const isEnded = (mark: number): boolean =>
        marks.some(({ value, mask }) => (mark & mask) >>> 0 === (value & mask) >>> 0);
      for (let unit = 0; unit < 1024; unit += 1) {
        expect(isEnded(entryMark(address, unit).value)).toBe(list.includes(unit));
        expect(isEnded(entryMark((address % 63) + 1, unit).value)).toBe(false);
      }
      // Nor any entry of somebody else, who leaves our bits alone.
      expect(isEnded(0)).toBe(false);
    }),
    { numRuns: 50 },
  );
});

test("[SN6] an aligned block is one mark", () => {
  const block = Array.from({ length: 64 }, (_, at) => 64 + at);
  expect(marksOfUnits(2, new Set(block))).toHaveLength(1);
  expect(marksOfUnits(2, new Set([...block, 200]))).toHaveLength(2);
});

/** Lines that are written as differences come to what the table says, and no packet meets anything between. */
import { array, assert, constant, constantFrom, integer, nat, oneof, property, record } from "fast-check";
import { expect, test } from "vitest";
import { fineNumberOf, type Line, LINE_ENTRIES } from "../../src/router/xdp/map-layout.ts";
import { fill, noUnits, SteeringLines, type Units } from "../../src/router/xdp/steering-lines.ts";

const CAPACITY = 4096;
const IPS = ["192.0.2.1", "2001:db8::1"] as const;

/** What the kernel has, and what a packet finds there. */
class Kernel {
  readonly lines = new Map<string, Line>();
  readonly fine = new Map<number, Line>();

  hopOf(ip: string, unit: number): number | null {
    const entry = this.lines.get(ip)?.[Math.floor(unit / LINE_ENTRIES)];
    if (entry === undefined) return null;
    const number = fineNumberOf(entry);
    return number === null ? entry : this.fine.get(number)![unit % LINE_ENTRIES]!;
  }

  unitsOf(ip: string): Units {
    return noUnits().map((_, unit) => this.hopOf(ip, unit) ?? 0);
  }
}

const BLOCK = record({ ip: constantFrom(...IPS), order: integer({ min: 6, max: 12 }), at: nat(1023) }).map(
  ({ ip, order, at }) => ({ ip, block: { base: (at * 64) & ~(2 ** order - 1), order } }),
);
const STEP = oneof(
  { weight: 8, arbitrary: record({ kind: constant("put" as const), put: BLOCK, hop: nat(5) }) },
  {
    weight: 1,
    arbitrary: record({
      kind: constantFrom("add" as const, "remove" as const),
      ip: constantFrom(...IPS),
    }),
  },
);

test("[RT2] [RT15] after each step the kernel has what is wanted, and at each write a packet meets before or after", () => {
  assert(
    property(array(array(STEP, { maxLength: 4 }), { maxLength: 30 }), (changes) => {
      const kernel = new Kernel();
      const lines = new SteeringLines(new Map(), () => undefined, CAPACITY);
      const wanted = new Map<string, Units>();
      for (const change of changes) {
        for (const step of change) {
          if (step.kind === "put") {
            const { ip, block } = step.put;
            lines.put(ip, block, step.hop);
            if (step.hop !== 0 || wanted.has(ip)) {
              const units = wanted.get(ip) ?? noUnits();
              fill(units, block, step.hop);
              wanted.set(ip, units);
            }
          } else if (step.kind === "add") {
            lines.addIp(step.ip);
            if (!wanted.has(step.ip)) wanted.set(step.ip, noUnits());
          } else {
            lines.removeIp(step.ip);
            wanted.delete(step.ip);
          }
        }
        const before = new Map(IPS.map((ip) => [ip, kernel.unitsOf(ip)]));
        const { fine, addresses } = lines.takeWrites();
        for (const { number, line } of fine) kernel.fine.set(number, line);
        // New fine lines alone change nothing for any packet.
        for (const ip of IPS) expect(kernel.unitsOf(ip)).toEqual(before.get(ip));
        for (const [ip, line] of addresses) {
          if (line === null) kernel.lines.delete(ip);
          else kernel.lines.set(ip, line);
        }
        expect([...kernel.lines.keys()].toSorted()).toEqual([...wanted.keys()].toSorted());
        for (const [ip, units] of wanted) expect(kernel.unitsOf(ip)).toEqual(units);
      }
      // A router that starts again finds all of it, and writes nothing.
      const again = new SteeringLines(kernel.lines, (number) => kernel.fine.get(number), CAPACITY);
      for (const [ip, units] of wanted) expect(again.replace(ip, units)).toEqual({ removed: 0, added: 0 });
      expect(again.takeWrites()).toEqual({ fine: [], addresses: new Map() });
    }),
  );
});

test("[RT15] a table that has more small blocks than there is place for is said", () => {
  const lines = new SteeringLines(new Map(), () => undefined, 1);
  lines.put("192.0.2.1", { base: 2048, order: 6 }, 1);
  lines.takeWrites();
  lines.put("192.0.2.1", { base: 4096, order: 6 }, 1);
  expect(() => lines.takeWrites()).toThrow("no place is left");
});

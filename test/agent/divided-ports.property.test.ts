/** Whatever happens to the processes of a host and to what they tell each other, no two use one port towards one destination. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Chance } from "../simulation/chance.ts";
import { block, DivisionRig, portCountIn, type RigPart, type Weather } from "./division-rig.ts";

const DESTINATIONS = ["tcp 203.0.113.1 443", "tcp 203.0.113.2 443"];
const BASES = [4_096, 4_224, 8_192, 8_320];
const ORDER = 7;

type Step =
  | {
      readonly what: "open" | "close" | "pause" | "resume" | "kill";
      readonly at: number;
      readonly count: number;
    }
  | { readonly what: "begin" | "ask" | "lapse" | "renew" }
  | { readonly what: "add" | "remove" | "drain"; readonly base: number }
  | { readonly what: "pass"; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      what: fc.constant("open" as const),
      at: fc.nat(7),
      count: fc.integer({ min: 1, max: 60 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      what: fc.constant("close" as const),
      at: fc.nat(7),
      count: fc.integer({ min: 1, max: 60 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      what: fc.constantFrom("pause" as const, "resume" as const, "kill" as const),
      at: fc.nat(7),
      count: fc.constant(0),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      what: fc.constantFrom("begin" as const, "ask" as const, "lapse" as const, "renew" as const),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      what: fc.constantFrom("add" as const, "add" as const, "remove" as const, "drain" as const),
      base: fc.constantFrom(...BASES),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ what: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 3_000 }) }),
  },
);

const weather: fc.Arbitrary<Weather> = fc.record({
  longestWayMs: fc.constantFrom(1, 5, 200),
  mayOvertake: fc.boolean(),
  mayRepeat: fc.boolean(),
});

/** No port is used towards one destination by two, and no unit can be chosen from by two. */
function expectApart(rig: DivisionRig): void {
  const users = new Map<string, number>();
  const holders = new Map<number, number>();
  for (const { number, flows, ports } of rig.living) {
    for (const { held, destination } of flows) {
      const key = `${held.port} ${destination}`;
      expect(users.get(key), `who uses ${key} beside ${number}`).toBeUndefined();
      users.set(key, number);
    }
    for (const { lease } of ports.leases()) {
      expect(holders.get(lease.base), `who has ${lease.base} beside ${number}`).toBeUndefined();
      holders.set(lease.base, number);
    }
  }
}

/** What the keeper was told is so: no flow is outside of its blocks, and flows are counted. */
function expectInForce(rig: DivisionRig): void {
  if (rig.report.number < rig.number) return;
  const bases = new Set(rig.content.blocks.map(({ lease }) => lease.base));
  for (const { flows } of rig.living) {
    for (const { held } of flows) {
      const base = held.port - (held.port % 128);
      expect(bases.has(base), `a flow from ${held.port}`).toBe(true);
    }
  }
}

class History {
  readonly rig: DivisionRig;
  #epoch = 0;

  constructor(seed: number, how: Weather) {
    this.rig = new DivisionRig(new Chance(seed).below, how);
    this.rig.begin();
    this.rig.begin();
  }

  async take(taken: Step): Promise<void> {
    const { rig } = this;
    const { blocks } = rig.content;
    switch (taken.what) {
      case "pass":
        return rig.pass(taken.ms);
      case "begin":
        if (rig.living.length < 4) rig.begin();
        return;
      case "ask":
        return rig.ask();
      case "lapse":
        return rig.keep({ term: null, blocks: [] });
      case "renew":
        return rig.keep({ term: rig.term(20_000) });
      case "add":
        if (blocks.some(({ lease }) => lease.base === taken.base)) return;
        this.#epoch += 1;
        return rig.keep({
          term: rig.term(20_000),
          blocks: [...blocks, block(taken.base, ORDER, this.#epoch)],
        });
      case "remove":
        return rig.keep({ blocks: blocks.filter(({ lease }) => lease.base !== taken.base) });
      case "drain":
        return rig.keep({
          blocks: blocks.map(({ lease, isDraining }) => ({
            lease,
            isDraining: isDraining || lease.base === taken.base,
          })),
        });
      case "open":
      case "close":
      case "pause":
      case "resume":
      case "kill":
        return this.#ofPart(taken, rig.living[taken.at % Math.max(1, rig.living.length)]);
    }
  }

  #ofPart({ what, count }: Step & { count: number }, part: RigPart | undefined): void {
    const { rig } = this;
    if (part === undefined) return;
    if (what === "pause") part.isPaused = true;
    else if (what === "resume") rig.resume(part);
    else if (what === "kill") rig.kill(part);
    else if (part.isPaused) return;
    else if (what === "close") for (const flow of [...part.flows].slice(0, count)) rig.close(part, flow);
    else {
      for (let opened = 0; opened < count; opened += 1) {
        void rig.openWithin(part, DESTINATIONS[opened % 3 === 0 ? 1 : 0]!);
      }
    }
  }
}

test("[MP1] [MP3] [MP5] units, loans and flows of processes stay apart under any delay, pause, death and change of leases", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat(),
      weather,
      fc.array(step, { minLength: 10, maxLength: 60 }),
      async (seed, how, steps) => {
        const history = new History(seed, how);
        const { rig } = history;
        for (const taken of steps) {
          await history.take(taken);
          expectApart(rig);
          expectInForce(rig);
        }
        // Who does not answer is ended, and then everything is somebody's, and all is told.
        for (const part of rig.living) if (part.isPaused) rig.kill(part);
        const last = rig.begin();
        const blocks = BASES.slice(0, 2).map((base, at) => block(base, ORDER, 1_000 + at));
        rig.keep({ term: rig.term(3_600_000), blocks });
        await rig.pass(5_000);
        for (const part of rig.living) for (const flow of part.flows) rig.close(part, flow);
        await rig.pass(10_000);
        rig.ask();
        await rig.pass(1_000);
        expectApart(rig);
        expect(rig.report).toMatchObject({ number: rig.number, flows: [], busiestCount: 0 });
        const given = rig.living.flatMap(({ ports }) => [...ports.leases()]);
        expect(given.length * 64).toBe(portCountIn(blocks));
        // Nothing is refused before all of them are taken, whoever asks.
        let openCount = 0;
        for (let isFull = false; !isFull;) {
          const opening = Array.from({ length: 24 }, (_, at) =>
            rig.openWithin(at % 3 === 0 ? rig.living[at % rig.living.length]! : last, DESTINATIONS[0]!),
          );
          await rig.pass(2_100);
          const opened = await Promise.all(opening);
          openCount += opened.filter((result) => result === "open").length;
          isFull = opened.some((result) => result !== "open");
        }
        expect(openCount).toBe(portCountIn(blocks));
      },
    ),
    { numRuns: Number(process.env["DIVISION_RUNS"] ?? 60) },
  );
}, 120_000);

/** Random histories of a steered pool, with its objects evicted and woken between any two moments. */
import * as fc from "fast-check";
import { afterEach, expect, it, vi } from "vitest";
import { START_MS } from "../contract/address-contract.ts";
import { commandFor, generator } from "../contract/lease-history.ts";
import { drawFrom } from "./object-address.ts";
import { settings } from "./objects.ts";
import { SteeredPool, type Target } from "./steered-pool.ts";

/** Deadlines of real time that no run comes near, leases that end by the clock that is set. */
const SETTINGS = {
  ...settings,
  leaseDurationMs: 60_000,
  quarantineMs: 40_000,
  minPortsPerHost: 64,
  hostSilenceMs: 600_000,
  routerSilenceMs: 600_000,
  steeringDeadlineMs: 60_000,
};

const plain = { noNullPrototype: true } as const;
const at = fc.nat({ max: 3 });
const target: fc.Arbitrary<Target> = fc.constantFrom("pool", "address");
const router = fc.constantFrom("r1", "r2");
const command = fc.record(
  {
    type: fc.constantFrom(
      ...(["join", "renew", "release", "release", "tick"] as const),
      ...(["acquire", "acquire", "acquire", "acquire"] as const),
    ),
    host: fc.nat({ max: 1 }),
    choice: fc.nat({ max: 20 }),
  },
  plain,
);
const happening = fc.oneof(
  { weight: 12, arbitrary: command },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("enroll" as const), router }, plain) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("leave" as const), router }, plain) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("resync" as const), router }, plain) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant("enlist" as const), place: fc.nat({ max: 3 }) }, plain),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant("configure" as const), choice: fc.nat({ max: 2 }) }, plain),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("address" as const) }, plain) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("break" as const), target }, plain) },
);
const interruption = fc.record({ type: fc.constantFrom("evict", "ring"), target }, plain);
const step = fc.record(
  {
    happening,
    at,
    // All of them together are less than the silence after which a router is not waited for.
    elapsedMs: fc.oneof(
      { weight: 4, arbitrary: fc.nat({ max: 2_000 }) },
      { weight: 1, arbitrary: fc.nat({ max: 19_000 }) },
    ),
    interruptions: fc.array(interruption, { maxLength: 3 }),
  },
  plain,
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** The limit is for shrinking what has failed, which else may take minutes. */
const RUNS = { numRuns: 12, interruptAfterTimeLimit: 90_000 } as const;
const MOST_ADDRESSES = 3;
let poolCount = 0;

async function play(steps: readonly Step[], seed: number): Promise<number> {
  poolCount += 1;
  vi.useFakeTimers({ toFake: ["Date"], now: START_MS });
  drawFrom(generator(seed));
  const pool = new SteeredPool(`history-${poolCount}`, SETTINGS, generator(seed));
  await pool.configure({});
  await pool.addIp(ipOf(0));
  for (const [count, current] of steps.entries()) {
    vi.setSystemTime(Date.now() + current.elapsedMs);
    for (const { type, target: whom } of current.interruptions) {
      await (type === "evict" ? pool.evict(whom, current.at) : pool.ring(whom, current.at));
    }
    await take(pool, current, `r${count}`);
    await pool.expectSettled();
  }
  return pool.grantCount;
}

function ipOf(number: number): string {
  return `10.${poolCount}.0.${number + 1}`;
}

async function take(pool: SteeredPool, { happening: what, at: where }: Step, requestId: string) {
  switch (what.type) {
    case "enroll":
      return pool.enroll(what.router);
    case "leave":
      return pool.leave(what.router);
    case "resync":
      return pool.resync(what.router);
    case "enlist":
      return pool.enlist(`h${where}`, { ipv4: what.place === 0 ? null : `10.0.0.${what.place}`, ipv6: null });
    case "configure":
      return pool.configure({ quarantineMs: 40_000 + what.choice * 1_000 });
    case "address":
      if (pool.addressCount < MOST_ADDRESSES) await pool.addIp(ipOf(pool.addressCount));
      return;
    case "break":
      return pool.breakOff(what.target, where);
    case "join":
    case "renew":
    case "acquire":
    case "release":
    case "tick": {
      const { type, host, choice } = what;
      const wanted = { command: type, host, choice, isStale: false, elapsedMs: 0 };
      return pool.perform(where, commandFor(pool.table(where), wanted, requestId));
    }
  }
}

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

it(
  "[ST4] [ST5] [DO3] routers know every block before its host, whichever object is evicted in between",
  { timeout: 110_000 },
  async () => {
    let grantCount = 0;
    const steps = fc.array(step, { minLength: 10, maxLength: 30, size: "max" });
    await fc.assert(
      fc.asyncProperty(steps, fc.nat(), async (history, seed) => {
        grantCount += await play(history, seed);
      }),
      RUNS,
    );
    expect(grantCount).toBeGreaterThan(12);
  },
);

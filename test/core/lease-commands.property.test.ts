/** The laws of an address under random commands, losses, pauses and clocks. */
import * as fc from "fast-check";
import { describe, test } from "vitest";
import { ORDER } from "./arbitraries.ts";
import { HostsAndAddress, type Step } from "./hosts-and-address.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Few large minimums and generous shares, so that the address is contended. */
const CROWDED: PoolSettings = {
  ...DEFAULT_POOL_SETTINGS,
  minPortsPerHost: 8192,
  maxPortsPerHost: 32_768,
};

/** Mostly the five hosts as they are, sometimes one that was set up anew or an old one come back. */
const agent = fc.oneof({ weight: 4, arbitrary: fc.nat(4) }, { weight: 1, arbitrary: fc.nat(9) });
const isAnswerLost = fc.boolean();
const settings = fc.record(
  {
    leaseDurationMs: fc.constantFrom(MINUTE, 5 * MINUTE, 10 * MINUTE),
    quarantineMs: fc.constantFrom(2 * MINUTE, 3 * MINUTE),
    firstBlockOrder: fc.constant(8),
    minPortsPerHost: fc.constantFrom(0, 512, 8192),
    maxPortsPerHost: fc.constantFrom(16_384, 32_768, 64_512),
    staticPortsPerHost: fc.constant(null),
    hostSilenceMs: fc.constant(50_000),
    routerSilenceMs: fc.constant(5000),
    steeringDeadlineMs: fc.constant(2000),
    minHostsPerIp: fc.constant(3),
    published: fc.constant(false),
    historyDays: fc.constant(90),
  },
  { noNullPrototype: true },
);

const join = fc.record({ type: fc.constant("join" as const), agent, isAnswerLost });
const renew = fc.record({ type: fc.constant("renew" as const), agent, isAnswerLost });
const order = fc.oneof(fc.constant(12), ORDER);
const times = fc.integer({ min: 1, max: 8 });
const acquire = fc.record({ type: fc.constant("acquire" as const), agent, order, times, isAnswerLost });
const release = fc.record({ type: fc.constant("release" as const), agent, at: fc.nat(99), isAnswerLost });
const replay = fc.record({ type: fc.constant("replay" as const), at: fc.nat(999) });
const wait = fc.record({
  type: fc.constant("wait" as const),
  durationMs: fc.oneof(fc.nat(2 * MINUTE), fc.nat(15 * MINUTE)),
  isAsleep: fc.boolean(),
});
const alertWait = wait.map((step) => ({ ...step, isAsleep: false }));
const configure = fc.record({ type: fc.constant("configure" as const), settings });
const leap = fc.record({
  type: fc.constant("leap" as const),
  byMs: fc
    .constantFrom(MINUTE, 10 * MINUTE, 5 * HOUR)
    .chain((mostMs) => fc.integer({ min: -mostMs, max: mostMs })),
});

const ordinary: fc.WeightedArbitrary<Step>[] = [
  { weight: 3, arbitrary: join },
  { weight: 3, arbitrary: renew },
  { weight: 12, arbitrary: acquire },
  { weight: 4, arbitrary: release },
  { weight: 2, arbitrary: replay },
  { weight: 1, arbitrary: configure },
];

function play(steps: readonly Step[], seed: number): void {
  const world = new HostsAndAddress(CROWDED, 5, seed);
  for (let at = 0; at < 5; at += 1) world.take({ type: "join", agent: at, isAnswerLost: false });
  for (const step of steps) {
    world.take(step);
    world.checkMinimums();
  }
}

/** The limit is for shrinking what has failed, which else may take minutes. */
const RUNS = { numRuns: 120, interruptAfterTimeLimit: 50_000 } as const;
const many = { minLength: 20, maxLength: 90, size: "max" } as const;

describe("an address and its hosts", () => {
  test(
    "[LE2] [LE7] [QU1] [AL4] [AL5] keep the laws while the object's clock is right",
    { timeout: 60_000 },
    () => {
      const steps = fc.array(fc.oneof(...ordinary, { weight: 4, arbitrary: alertWait }), many);
      fc.assert(fc.property(steps, fc.nat(), play), RUNS);
    },
  );

  test(
    "[LE6] [EP1] [HO2] keep one sender while it sleeps and its clock leaps by hours",
    { timeout: 60_000 },
    () => {
      const steps = fc.array(
        fc.oneof(...ordinary, { weight: 3, arbitrary: wait }, { weight: 2, arbitrary: leap }),
        many,
      );
      fc.assert(fc.property(steps, fc.nat(), play), RUNS);
    },
  );
});

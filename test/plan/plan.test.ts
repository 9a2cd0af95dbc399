/** What the planner says of loads whose answer can be worked out by hand. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { LEASABLE_PORT_COUNT } from "../../src/core/port-block.ts";
import { demandsOf, type PlannedLoad, USUAL_LOAD } from "../../src/plan/load.ts";
import { addressesAt, planFor, type PlanOptions } from "../../src/plan/plan.ts";

const LOAD: PlannedLoad = {
  ...USUAL_LOAD,
  sites: [{ site: null, hostCount: 100 }],
  connectionsPerSecond: 4_000,
};
const OPTIONS: PlanOptions = {
  settings: DEFAULT_POOL_SETTINGS,
  addressPrice: 3.65,
  growth: 0,
  addressCount: null,
};

function hosts(hostCount: number): Pick<PlannedLoad, "sites"> {
  return { sites: [{ site: null, hostCount }] };
}

test("[PN3] the table of addresses in docs/operating/sizing.md is what the planner says", async () => {
  const page = await readFile(join(import.meta.dirname, "../../docs/operating/sizing.md"), "utf8");
  const rows = Array.from(page.matchAll(/^\| [\d,]+ \|.*\|$/gm), ([row]) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => Number(cell.replaceAll(",", ""))),
  );
  expect(rows.length).toBeGreaterThan(5);
  for (const [hostCount, connectionsPerSecond, atOnce, ...counts] of rows) {
    const load = { ...USUAL_LOAD, ...hosts(hostCount!), connectionsPerSecond: connectionsPerSecond! };
    const { addresses } = planFor({ ...load, lastingMs: 30_000, peakFactor: 1 }, OPTIONS);
    const { minimum, tight, recommended, onePerHost } = addresses;
    expect([minimum, tight, recommended, onePerHost]).toEqual(counts);
    expect(connectionsPerSecond! * 30).toBeCloseTo(atOnce!, -2);
  }
});

describe("demand", () => {
  test("[PN1] connections at once are those that begin in the time that one lasts, at the peak, to the busiest destination", () => {
    const load = { ...LOAD, lastingMs: 30_000, busiestShare: 0.4, peakFactor: 1.5 };
    const [demand] = demandsOf(load);
    expect(demand!.connectionCount).toBeCloseTo(4_000 * 1.5 * 0.4 * 30);
    expect(demand!.portCount).toBeCloseTo(4_000 * 1.5 * 0.4 * 31.5);
  });

  test("[PN1] sites have a part of the load for each of their hosts", () => {
    const sites = [
      { site: "fra", hostCount: 75 },
      { site: "ams", hostCount: 25 },
    ];
    const [fra, ams] = demandsOf({ ...LOAD, sites });
    const [all] = demandsOf(LOAD);
    expect(fra!.portCount).toBeCloseTo(all!.portCount * 0.75);
    expect(ams!.portCount).toBeCloseTo(all!.portCount * 0.25);
  });
});

describe("addresses", () => {
  test("[PN3] never less than the theoretical minimum, and more the less may wait", () => {
    for (const times of [0, 0.01, 0.3, 1, 3, 30]) {
      const { minimum, tight, recommended } = addressesAt(LOAD, times, DEFAULT_POOL_SETTINGS);
      const connections = 4_000 * 2 * 60 * times;
      expect(minimum).toBe(Math.max(1, Math.ceil(connections / LEASABLE_PORT_COUNT)));
      expect(tight).toBeGreaterThanOrEqual(minimum);
      expect(recommended).toBeGreaterThanOrEqual(tight);
    }
  });

  test("[PN3] more load never needs fewer", () => {
    const counts = Array.from(
      { length: 200 },
      (_, at) => addressesAt(LOAD, at / 20, DEFAULT_POOL_SETTINGS).tight,
    );
    expect(counts.toSorted((a, b) => a - b)).toEqual(counts);
    expect(counts.at(-1)).toBeGreaterThan(counts[0]!);
  });

  test.each([
    [126, 1],
    [127, 2],
    [10_000, 80],
  ])("[PN3] %i hosts that do next to nothing need their minimums: on %i addresses", (hostCount, expected) => {
    const load = { ...LOAD, ...hosts(hostCount), connectionsPerSecond: 0.01 };
    expect(addressesAt(load, 1, DEFAULT_POOL_SETTINGS)).toMatchObject({
      minimum: 1,
      tight: expected,
      recommended: expected,
    });
  });

  test("[PN3] a host alone has half of an address at most", () => {
    const load = { ...LOAD, spread: 0, wavesPerDay: 0, peakFactor: 1, connectionsPerSecond: 1_000 };
    const alone = addressesAt({ ...load, ...hosts(1) }, 1, DEFAULT_POOL_SETTINGS);
    const two = addressesAt({ ...load, ...hosts(2) }, 1, DEFAULT_POOL_SETTINGS);
    expect([alone.minimum, two.minimum]).toEqual([1, 1]);
    expect([alone.tight, two.tight]).toEqual([2, 1]);
  });

  test("[PN3] more waves need more, and so does a longer quarantine, in which ports are nobody's", () => {
    const calm = addressesAt({ ...LOAD, wavesPerDay: 0 }, 10, DEFAULT_POOL_SETTINGS);
    const usual = addressesAt(LOAD, 10, DEFAULT_POOL_SETTINGS);
    const long = addressesAt(LOAD, 10, { ...DEFAULT_POOL_SETTINGS, quarantineMs: 480_000 });
    expect(usual.recommended).toBeGreaterThan(calm.recommended);
    expect(long.recommended).toBeGreaterThan(usual.recommended);
  });

  test("[PN3] sites share no address, so each has whole ones", () => {
    const sites = Array.from({ length: 10 }, (_, at) => ({ site: `s${at}`, hostCount: 1 }));
    const { addresses, sites: planned } = planFor({ ...LOAD, sites, connectionsPerSecond: 1 }, OPTIONS);
    expect(addresses).toMatchObject({ minimum: 10, tight: 10, recommended: 10 });
    expect(planned.map(({ site }) => site)).toEqual(sites.map(({ site }) => site));
  });

  test("[PN3] a thousand times as many waves is a matter of the same arithmetic", () => {
    const load = { ...LOAD, ...hosts(1_000_000), connectionsPerSecond: 40_000_000 };
    const { tight, recommended } = addressesAt(load, 1, DEFAULT_POOL_SETTINGS);
    expect(recommended).toBeGreaterThan(tight);
    expect(recommended).toBeLessThan(tight * 1.01);
  });
});

describe("what a host has", () => {
  test("[PN2] at the peak it leases more than it uses, and the sum fits the addresses", () => {
    const { blocks, addresses, hostCount } = planFor(LOAD, OPTIONS);
    expect(blocks.used).toBeCloseTo((4_000 * 2 * 61.5) / 100);
    expect(blocks.leased).toBeGreaterThan(blocks.used);
    expect(blocks.leased * hostCount).toBeLessThan(addresses.recommended * LEASABLE_PORT_COUNT);
    expect(blocks).toMatchObject({ first: 256, minimum: 512 });
    expect([64, 128, 256, 512, 1024, 2048, 4096]).toContain(blocks.spare);
  });

  test("[PN3] an address has three hosts, and a host one address", () => {
    const few = planFor({ ...LOAD, ...hosts(4) }, { ...OPTIONS, addressCount: 10 });
    expect([few.pairCount, few.edgeConnectionCount]).toEqual([30, 34]);
    const many = planFor(LOAD, { ...OPTIONS, addressCount: 10 });
    expect([many.pairCount, many.edgeConnectionCount]).toEqual([100, 200]);
  });
});

describe("running out", () => {
  test("[PN5] the load that is named is the largest that still fits", () => {
    for (const addressCount of [1, 9, 11, 40]) {
      const { runningOut } = planFor(LOAD, { ...OPTIONS, addressCount });
      const at = (times: number): number => addressesAt(LOAD, times, DEFAULT_POOL_SETTINGS).tight;
      expect(runningOut.connectionsPerSecond).toBeCloseTo(4_000 * runningOut.times);
      expect(at(runningOut.times)).toBeLessThanOrEqual(addressCount);
      expect(at(runningOut.times * 1.001)).toBeGreaterThan(addressCount);
    }
  });

  test("[PN5] months are as long as growth takes to that load; without growth there are none", () => {
    const { times, months } = planFor(LOAD, { ...OPTIONS, growth: 0.05, addressCount: 40 }).runningOut;
    expect(1.05 ** months!).toBeCloseTo(times);
    expect(planFor(LOAD, OPTIONS).runningOut.months).toBeNull();
    expect(planFor(LOAD, { ...OPTIONS, growth: 0.05, addressCount: 1 }).runningOut.months).toBe(0);
  });
});

describe("savings", () => {
  test("[PN7] one address for each host, until one is too few for it", () => {
    const even = { ...LOAD, spread: 0, wavesPerDay: 0, peakFactor: 1 };
    expect(addressesAt(even, 1, DEFAULT_POOL_SETTINGS).onePerHost).toBe(100);
    const large = { ...even, ...hosts(2), connectionsPerSecond: (2 * 64_513) / 61.5 };
    expect(addressesAt(large, 1, DEFAULT_POOL_SETTINGS).onePerHost).toBe(4);
  });

  test.each([
    [31, 2_047, 1],
    [32, 2_047, 2],
    [31, 2_049, 2],
    [62, 4_097, 6],
  ])("[PN7] %i hosts with %i ports each: slices on %i addresses", (hostCount, ports, expected) => {
    const load = { ...LOAD, ...hosts(hostCount), spread: 0, wavesPerDay: 0, peakFactor: 1 };
    const rate = (hostCount * ports) / 61.5;
    const { fixedSlices } = addressesAt({ ...load, connectionsPerSecond: rate }, 1, DEFAULT_POOL_SETTINGS);
    expect(fixedSlices).toBe(expected);
  });

  test("[PN7] a fixed slice must hold its host's own peak", () => {
    const calm = addressesAt({ ...LOAD, wavesPerDay: 0 }, 1, DEFAULT_POOL_SETTINGS);
    const usual = addressesAt(LOAD, 1, DEFAULT_POOL_SETTINGS);
    expect(usual.fixedSlices).toBeGreaterThan(calm.fixedSlices * 1.4);
  });

  test("[PN7] saved is the price of the addresses less what the leases cost at the edge", () => {
    const { savings, addresses, edgeCost, addressDollars } = planFor(LOAD, OPTIONS);
    const { onePerHost } = savings;
    expect(onePerHost.addressCount).toBe(addresses.onePerHost - addresses.recommended);
    expect(onePerHost.addressDollars).toBeCloseTo(onePerHost.addressCount * 3.65);
    expect(onePerHost.dollars).toBeCloseTo(onePerHost.addressDollars - edgeCost.leaseDollars);
    expect(addressDollars).toBeCloseTo(addresses.recommended * 3.65);
    expect(savings.fixedSlices.addressCount).toBe(addresses.fixedSlices - addresses.recommended);
  });
});

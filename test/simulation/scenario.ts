/**
 * What a run is about: how many of everything, with which settings, and how bad it gets. Drawn
 * from the seed; times are short beside those of production, so that a run sees many leases.
 */
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import { LEASABLE_PORT_COUNT, UNIT_PORT_COUNT } from "../../src/core/port-block.ts";
import { Chance } from "./chance.ts";
import type { Weather } from "./network.ts";

/** One run's parameters. */
export interface Scenario {
  readonly ips: readonly string[];
  readonly hostCount: number;
  readonly routerCount: number;
  readonly settings: PoolSettings;
  /** Units of 64 ports of each address that hosts can get: few, so that they change hands. */
  readonly roomUnits: number;
  readonly badWeather: Weather;
  /** Mean time between two faults. */
  readonly faultEveryMs: number;
  /** Share of each kind of fault, by its name. */
  readonly faultWeights: ReadonlyMap<string, number>;
  /** By host: what its containers draw from; null where its kernel translates for nobody. */
  readonly translators: readonly (Chance | null)[];
}

const MOST_HOSTS = 4;
/** No seeds of runs are so far from each other. */
const TRANSLATORS_APART = 2 ** 50;
const LEASABLE_UNITS = LEASABLE_PORT_COUNT / UNIT_PORT_COUNT;
const IPS = ["192.0.2.1", "192.0.2.2"];

/** Draws one; `faults` are the names of all kinds there are. */
export function drawScenario(chance: Chance, faults: readonly string[]): Scenario {
  const hostCount = 2 + chance.below(3);
  const firstBlockOrder = chance.pick([6, 6, 7]);
  const minPortsPerHost = chance.pick([64, 64, 128]);
  const maxPortsPerHost = chance.pick([128, 256]);
  // Less than all hosts may have together, but no less than that each can keep one block: nobody
  // halves a block that is its only one.
  const neededUnits = (hostCount * chance.pick([128, maxPortsPerHost])) / UNIT_PORT_COUNT;
  return {
    ips: IPS.slice(0, chance.pick([1, 1, 2])),
    hostCount,
    routerCount: chance.pick([0, 1, 2, 2]),
    settings: {
      ...DEFAULT_POOL_SETTINGS,
      leaseDurationMs: chance.pick([3_000, 5_000, 8_000, 15_000]),
      quarantineMs: chance.pick([2_000, 3_000, 6_000]),
      firstBlockOrder,
      minPortsPerHost,
      maxPortsPerHost,
      hostSilenceMs: chance.pick([1_500, 30_000]),
      routerSilenceMs: chance.pick([1_500, 3_000]),
      steeringDeadlineMs: chance.pick([300, 1_000, 2_000]),
      minHostsPerIp: chance.pick([1, 2, 3, 3]),
    },
    // Only an address in which all is free can be seen to leave its pool.
    roomUnits: chance.isLikely(0.15) ? LEASABLE_UNITS : neededUnits + chance.below(3),
    badWeather: {
      shortestMs: 1,
      longestMs: chance.pick([10, 50, 200]),
      lateChance: chance.pick([0, 0.02, 0.1]),
      latestMs: chance.pick([1_000, 5_000]),
      lossChance: chance.pick([0, 0.01, 0.1]),
      repeatChance: chance.pick([0, 0.02, 0.1]),
    },
    faultEveryMs: chance.pick([150, 400, 1_000]),
    // Runs that know few kinds of trouble find what runs that know all of them drown.
    faultWeights: new Map(faults.map((name) => [name, chance.pick([0, 0, 1, 1, 3])])),
    translators: [],
  };
}

/**
 * Which hosts translate: in a third of all runs each may. It is drawn apart from all else, so that the other runs are
 * what they would be without.
 */
export function drawTranslators(seed: number): (Chance | null)[] {
  const chance = new Chance(seed + TRANSLATORS_APART);
  if (!chance.isLikely(1 / 3)) return [];
  return Array.from({ length: MOST_HOSTS }, () => (chance.isLikely(0.5) ? chance.fork() : null));
}

/** The same in a static pool. */
export function inStaticPool(scenario: Scenario): Scenario {
  const { settings, hostCount, translators } = scenario;
  // One unit is for sockets alone.
  const unitsPerSlot = translators.length > 0 ? 2 : 1;
  return {
    ...scenario,
    settings: { ...settings, staticPortsPerHost: unitsPerSlot * UNIT_PORT_COUNT },
    // For each host, its duplicate, and a few that rest: who gets one gets the one unused for longest, so with more
    // none would change hands.
    roomUnits: unitsPerSlot * (hostCount + 1 + (scenario.roomUnits % 3)),
  };
}

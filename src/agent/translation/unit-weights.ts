/**
 * How often each unit is chosen for a new flow. The kernel takes a port of the unit that it is given, and does not look
 * into another when that one is full; so a unit comes as often as it has free ports, and not at all without. [SN5]
 */
import { UNIT_PORT_COUNT } from "../../core/port-block.ts";
import type { FlowCounts } from "./translated-flow.ts";

/** A unit, and how many of all choices fall on it. */
export interface WeightedUnit {
  readonly unit: number;
  readonly weight: number;
}

/** Destinations by which units are judged: those that nothing is short of do not matter. */
const MAX_DESTINATIONS = 4;
/** Part of the ports that a destination must use to be one of them. Below it all units are alike. */
const NOTABLE_SHARE = 1 / 4;

/** Weighs units for new flows; one without a free port is left out, unless all are so. */
export function weigh(units: readonly number[], counts: FlowCounts): WeightedUnit[] {
  const notable = counts
    .busiestFirst(new Set(units), MAX_DESTINATIONS)
    .filter(({ count }) => count >= units.length * UNIT_PORT_COUNT * NOTABLE_SHARE)
    .map(({ destination }) => counts.towards(destination));
  const alike = units.map((unit) => ({ unit, weight: 1 }));
  if (notable.length === 0) return alike;
  const weighed = units.map((unit) => {
    const used = Math.max(...notable.map((towards) => towards.get(unit) ?? 0));
    return { unit, weight: Math.max(0, UNIT_PORT_COUNT - used) };
  });
  const open = weighed.filter(({ weight }) => weight > 0);
  return open.length > 0 ? open : alike;
}

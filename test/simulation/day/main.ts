/**
 * `npm run day`: a day of a pool under load, beside what fixed slices and an address for each host
 * would have done with the same load.
 *
 *     npm run day                            1,000 hosts, 100 addresses: 40 min on one processor
 *     npm run day -- --hosts 50 --addresses 5
 *     npm run day -- --share 0.65            peak of the load, as a part of all ports
 *     npm run day -- --faults                hosts crash, and the edge is away twice
 */
import { parseArgs } from "node:util";
import { LEASABLE_PORT_COUNT } from "../../../src/core/port-block.ts";
import { NO_FAULTS, runDay } from "./day.ts";
import { oneAddressEach, oneSliceEach, slicesByPeak, type SlicedDay } from "./fixed-slices.ts";
import { DayLoad } from "./load.ts";

const text = { type: "string" } as const;
const { values } = parseArgs({
  options: {
    hosts: text,
    addresses: text,
    share: text,
    seconds: text,
    hold: text,
    seed: text,
    faults: { type: "boolean", default: false },
  },
});
const hostCount = Number(values.hosts ?? 1_000);
const addressCount = Number(values.addresses ?? 100);
const share = Number(values.share ?? 0.82);
const seconds = Number(values.seconds ?? 86_400);
const load = new DayLoad({
  hostCount,
  seconds,
  meanHoldSeconds: Number(values.hold ?? 60),
  peakCount: share * addressCount * LEASABLE_PORT_COUNT,
  seed: Number(values.seed ?? 1),
});
const faults = {
  crashesPerHostAndDay: 2,
  outages: [
    { from: 0.3 * seconds, to: 0.3 * seconds + 300 },
    { from: 0.7 * seconds, to: 0.7 * seconds + 120 },
  ],
};
const result = runDay(load, {
  addressCount,
  faults: values.faults ? faults : NO_FAULTS,
  onHour: (hour, { counts, flowCount, leased }) =>
    console.log(
      `${String(hour).padStart(2)} h: ${flowCount} connections on ${leased} leased ports, ${counts.waited} waited and ${counts.refused} were refused so far`,
    ),
});
const minimum = result.peakCount / LEASABLE_PORT_COUNT;
console.log(result);
console.log(`theoretical minimum: ${minimum.toFixed(1)} addresses`);
const rows = [
  row("ipshard", { ...result, addressCount }, percent(result.waited, result.offered)),
  row("one slice of 2,048 each", oneSliceEach(load)),
  row("slices of 2,048 by each host's own peak", slicesByPeak(load)),
  row("one address each", oneAddressEach(load)),
];
console.table(rows);
process.exitCode = result.overlaps.length === 0 ? 0 : 1;

function row(how: string, day: SlicedDay, waited = "none") {
  return {
    how,
    addresses: day.addressCount,
    "of the minimum": (day.addressCount / minimum).toFixed(2),
    refused: percent(day.refused, day.offered),
    waited,
  };
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(4)} %`;
}

/** `npm run day`: a day of a pool under load, beside fixed slices and one address for each host. */
import { parseArgs } from "node:util";
import { LEASABLE_PORT_COUNT } from "../../../src/core/port-block.ts";
import { DayLoad } from "./load.ts";
import { runDay } from "./day.ts";

const text = { type: "string" } as const;
const { values } = parseArgs({
  options: {
    hosts: text,
    addresses: text,
    share: text,
    seconds: text,
    hold: text,
    seed: text,
    faults: { type: "boolean" },
  },
});
const hostCount = Number(values.hosts ?? 1_000);
const addressCount = Number(values.addresses ?? 100);
const share = Number(values.share ?? 1 / 1.15);
const seconds = Number(values.seconds ?? 86_400);
const peakCount = share * addressCount * LEASABLE_PORT_COUNT;
const load = new DayLoad({
  hostCount,
  seconds,
  meanHoldSeconds: Number(values.hold ?? 60),
  peakCount,
  seed: Number(values.seed ?? 1),
});
const startMs = performance.now();
const result = runDay(load, {
  addressCount,
  onHour: (hour, { counts, flowCount, leased }) =>
    console.log(
      hour,
      JSON.stringify(counts),
      flowCount,
      leased,
      Math.round((performance.now() - startMs) / 1000),
    ),
});
console.log(result);
console.log({
  minimum: result.peakCount / LEASABLE_PORT_COUNT,
  ratio: addressCount / (result.peakCount / LEASABLE_PORT_COUNT),
  waitedShare: result.waited / result.offered,
  refusedShare: result.refused / result.offered,
  seconds: (performance.now() - startMs) / 1000,
});

/** A plan as text for people: tables of plain words, and what they do not say. */
import { PRICES } from "./edge-cost.ts";
import type { PlannedLoad } from "./load.ts";
import type { AddressCounts, Plan, Saving } from "./plan.ts";

/** More months than this are not told apart. */
const MOST_MONTHS = 120;
/** More times the load than this are not told apart. */
const MOST_TIMES = 100;

/** The plan; `addressPrice` in dollars a month, `growth` as a part. */
export function textOf(
  plan: Plan,
  load: PlannedLoad,
  { addressPrice, growth }: { readonly addressPrice: number; readonly growth: number },
): string {
  const { addresses, blocks, runningOut, edgeCost, savings } = plan;
  const peak = load.connectionsPerSecond * load.peakFactor;
  const sections = [
    [
      `${whole(plan.hostCount)} hosts, ${whole(load.connectionsPerSecond)} connections a second on average, ${whole(peak)} at the peak.`,
      `They last ${whole(load.lastingMs / 1000)} s; ${percent(load.busiestShare)} go to the busiest destination: ${whole(plan.connectionCount)} at once,`,
      `which take ${whole(plan.portCount)} ports with those that are held down for 1.5 s afterwards.`,
    ],
    [
      "Addresses",
      ...table([
        ["", "hosts", "ports", "minimum", "tight", "recommended", "one per host", "fixed slices"],
        ...(plan.sites.length > 1 ? plan.sites.map((site) => addressRow(site.site ?? "", site)) : []),
        addressRow("in all", { ...plan, ...addresses }),
      ]),
      "  Minimum: nothing can do with less. Tight: about 99.9 % start without waiting. Recommended: none waits.",
      "  The last two are what the same load needs without leases: an address, or slices of 2,048 ports, for each host.",
    ],
    [
      "Ports of a host at the peak",
      `  ${whole(blocks.used)} in use of ${whole(blocks.leased)} leased; a first block of ${whole(blocks.first)}, a spare of ${whole(blocks.spare)}, never refused up to ${whole(blocks.minimum)}.`,
      `  ${whole(plan.pairCount)} pairs of host and address, ${whole(plan.edgeConnectionCount)} connections to the edge.`,
    ],
    ["When it runs out", `  ${runningOutText(plan, growth)}`],
    [
      `The edge in a month, at ${addressesText(runningOut.addressCount)} (published prices of ${PRICES.asOf})`,
      ...table([
        ...edgeCost.lines.map(({ name, count, unit, dollars: cost }) => [
          name,
          `${millions(count)} million ${unit}`,
          dollars(cost),
        ]),
        ["in all", "", dollars(edgeCost.dollars)],
        ["of that the leases", "", dollars(edgeCost.leaseDollars)],
      ]),
    ],
    [
      `What it saves in a month, at ${dollars(addressPrice)} an address`,
      ...table([
        ["", "addresses", "for them", "less the edge's leases"],
        savingRow("against one address per host", savings.onePerHost),
        savingRow("against fixed slices of 2,048 ports", savings.fixedSlices),
      ]),
    ],
  ];
  return sections.map((lines) => lines.join("\n")).join("\n\n");
}

function addressRow(
  name: string,
  counts: AddressCounts & { readonly hostCount: number; readonly portCount: number },
): string[] {
  const { hostCount, portCount, minimum, tight, recommended, onePerHost, fixedSlices } = counts;
  return [name, ...[hostCount, portCount, minimum, tight, recommended, onePerHost, fixedSlices].map(whole)];
}

function runningOutText({ runningOut }: Plan, growth: number): string {
  const { addressCount, times, connectionsPerSecond, months } = runningOut;
  const have = addressesText(addressCount);
  if (times < 1)
    return `${have}: too few already, enough for ${whole(connectionsPerSecond)} connections a second on average.`;
  if (times > MOST_TIMES) return `${have}: enough for more than ${MOST_TIMES} times this load.`;
  const until = `${have}: enough for ${whole(connectionsPerSecond)} connections a second on average, ${times.toFixed(2)} times this load`;
  if (months === null) return `${until}.`;
  const when = months > MOST_MONTHS ? `more than ${MOST_MONTHS}` : months.toFixed(1);
  return `${until}; that is ${when} months away, if it grows by ${percent(growth)} in each.`;
}

function addressesText(count: number): string {
  return count === 1 ? "1 address" : `${whole(count)} addresses`;
}

function savingRow(name: string, saving: Saving): string[] {
  return [name, whole(saving.addressCount), dollars(saving.addressDollars), dollars(saving.dollars)];
}

/** Columns, the first to the left and the others to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, at) => Math.max(...rows.map((row) => row[at]!.length)));
  return rows.map((row) =>
    `  ${row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join("  ")}`.trimEnd(),
  );
}

function whole(count: number): string {
  return count.toLocaleString("en", { maximumFractionDigits: count !== 0 && Math.abs(count) < 10 ? 1 : 0 });
}

function millions(count: number): string {
  return (count / 1e6).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

function percent(part: number): string {
  return `${(part * 100).toLocaleString("en", { maximumFractionDigits: 1 })} %`;
}

function dollars(amount: number): string {
  const digits = amount !== 0 && Math.abs(amount) < 1 ? 3 : 2;
  const size = Math.abs(amount).toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  return `${amount < 0 ? "-" : ""}$${size}`;
}

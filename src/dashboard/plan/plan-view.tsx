/** How many addresses a load needs: the planner of the command line, in the browser. It asks nobody. */
import { useMemo, useState } from "preact/hooks";
import { DEFAULT_POOL_SETTINGS } from "../../core/pool-settings.ts";
import { type Plan, planFor, type Saving } from "../../plan/plan.ts";
import { Figure, Field, Trouble } from "../parts/bits.tsx";
import { type PlainColumn, PlainTable } from "../parts/plain-table.tsx";
import { useTheme } from "../parts/theme.ts";
import { counted, percent, whole } from "../parts/words.ts";
import { PlanPicture } from "./plan-picture.tsx";
import { FIRST_WORDS, type PlanField, type PlanWords, type ReadPlan, readPlan } from "./plan-words.ts";

const FIELDS: readonly (readonly [field: PlanField, title: string, note: string])[] = [
  ["hosts", "Hosts", "or by sites: fra:20,ams:11"],
  ["rate", "Connections a second", "of all hosts, on average"],
  ["peakFactor", "Peak", "compared with the average"],
  ["lastingSeconds", "Duration, s", "of a connection, on average"],
  ["busiestPercent", "Busiest, %", "of them to the busiest destination"],
  ["growthPercent", "Growth, %", "a month; 0 for none"],
  ["addresses", "Addresses", "that there are; empty: as recommended"],
  ["price", "Price, $", "of an address in a month"],
  ["spread", "Spread", "of hosts: deviation by the mean"],
  ["waves", "Waves a day", "of a host's own load"],
];

/** The view. */
export function PlanView() {
  const [words, setWords] = useState<PlanWords>(FIRST_WORDS);
  const read = useMemo(() => readPlan(words), [words]);
  return (
    <>
      <div class="view-head">
        <h1>Plan</h1>
        <p class="faint">
          How many addresses a load needs, worked out here. With the usual settings of a pool.
        </p>
      </div>
      <form class="card plan-form" aria-label="The load" onSubmit={(event) => event.preventDefault()}>
        {FIELDS.map(([field, title, note]) => (
          <Field key={field} title={title} note={note}>
            <input
              name={field}
              value={words[field]}
              inputMode={field === "hosts" ? "text" : "decimal"}
              autocomplete="off"
              onInput={(event) => setWords({ ...words, [field]: event.currentTarget.value })}
            />
          </Field>
        ))}
      </form>
      {typeof read === "string" ? <Trouble>{read}</Trouble> : <Made read={read} />}
    </>
  );
}

function Made({ read }: { readonly read: ReadPlan }) {
  const theme = useTheme();
  const settings = DEFAULT_POOL_SETTINGS;
  const { load, growth, addressCount, addressPrice } = read;
  const plan = useMemo(() => planFor(load, { settings, growth, addressCount, addressPrice }), [read]);
  const { addresses, blocks, edgeCost } = plan;
  return (
    <>
      <dl class="figures" data-testid="plan-figures">
        <Figure title="Recommended" value={whole(addresses.recommended)} note="no connection waits" />
        <Figure title="Tight" value={whole(addresses.tight)} note="99.9 % start without waiting" />
        <Figure title="Minimum" value={whole(addresses.minimum)} note="nothing can do with less" />
        <Figure
          title="Ports at the peak"
          value={whole(plan.portCount)}
          note={`${whole(plan.connectionCount)} connections at once`}
        />
        <Figure
          title="The edge a month"
          value={dollars(edgeCost.dollars)}
          note={`${dollars(edgeCost.leaseDollars)} of it for leases`}
        />
      </dl>
      <p class="card">{runningOutText(plan, growth)}</p>
      <PlanPicture load={load} settings={settings} theme={theme} />
      <div class="plan-tables">
        <Needs plan={plan} />
        <Savings plan={plan} />
      </div>
      <p class="faint">
        A host at the peak: {whole(blocks.used)} ports in use of {whole(blocks.leased)} leased; a first block
        of {whole(blocks.first)}, a spare of {whole(blocks.spare)}.{" "}
        {counted(plan.edgeConnectionCount, "connection")} to the edge.
      </p>
    </>
  );
}

const NEED_COLUMNS = [
  { name: "Site" },
  ...numbers("Hosts", "Minimum", "Tight", "Recommended", "One per host", "Fixed slices"),
];
const SAVING_COLUMNS = [{ name: "Compared" }, ...numbers("Addresses", "For them", "Less the leases")];

function numbers(...names: readonly string[]): PlainColumn[] {
  return names.map((name) => ({ name, kind: "number" }));
}

function Needs({ plan }: { readonly plan: Plan }) {
  const rows = [
    ...(plan.sites.length > 1 ? plan.sites.map((site) => ({ name: site.site ?? "", ...site })) : []),
    { name: "in all", hostCount: plan.hostCount, portCount: plan.portCount, ...plan.addresses },
  ];
  return (
    <PlainTable
      caption="Addresses that are needed"
      columns={NEED_COLUMNS}
      rows={rows.map(({ name, hostCount, minimum, tight, recommended, onePerHost, fixedSlices }) => [
        name,
        whole(hostCount),
        whole(minimum),
        whole(tight),
        whole(recommended),
        whole(onePerHost),
        whole(fixedSlices),
      ])}
    />
  );
}

function Savings({ plan: { savings } }: { readonly plan: Plan }) {
  const rows: readonly (readonly [string, Saving])[] = [
    ["against one address per host", savings.onePerHost],
    ["against fixed slices of 2,048 ports", savings.fixedSlices],
  ];
  return (
    <PlainTable
      caption="What it saves in a month"
      columns={SAVING_COLUMNS}
      rows={rows.map(([name, saving]) => [
        name,
        whole(saving.addressCount),
        dollars(saving.addressDollars),
        dollars(saving.dollars),
      ])}
    />
  );
}

function runningOutText({ runningOut }: Plan, growth: number): string {
  const { addressCount, times, connectionsPerSecond, months } = runningOut;
  const have = counted(addressCount, "address", "addresses");
  if (times < 1)
    return `${have}: too few already, enough for ${whole(connectionsPerSecond)} connections a second on average.`;
  if (times > 100) return `${have}: enough for more than 100 times this load.`;
  const until = `${have}: enough for ${whole(connectionsPerSecond)} connections a second on average, ${times.toFixed(2)} times this load`;
  if (months === null) return `${until}.`;
  const when = months > 120 ? "more than 120" : months.toFixed(1);
  return `${until}; that is ${when} months away, if it grows by ${percent(growth)} in each.`;
}

function dollars(amount: number): string {
  const digits = amount !== 0 && Math.abs(amount) < 1 ? 3 : 2;
  const size = Math.abs(amount).toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  return `${amount < 0 ? "−" : ""}$${size}`;
}

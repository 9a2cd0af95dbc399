/** The three questions of an operator, answered before any table. */
import { LEASABLE_PORT_COUNT } from "../../core/port-block.ts";
import type { CountSlot } from "../../core/live-view.ts";
import { useEdgePast } from "../live/use-edge-past.ts";
import type { PoolStore } from "../live/pool-store.ts";
import { Bar, Mark } from "../parts/bits.tsx";
import type { Level } from "../parts/level.ts";
import { refusalTitle } from "../parts/refusal-title.ts";
import { useSignalsSlowly } from "../parts/use-signals.ts";
import { counted, percent, short, whole } from "../parts/words.ts";
import { runningMinute } from "../time/series.ts";
import { fragmentOf } from "../shell/route.ts";
import { missingOf } from "./missing.ts";
import type { AddressRow, HostRow, RouterRow } from "./attention.ts";

interface GlanceProps {
  readonly pool: string;
  readonly store: PoolStore;
  readonly addresses: readonly AddressRow[];
  readonly hosts: readonly HostRow[];
  readonly routers: readonly RouterRow[];
}

const MOST_SHOWN = 5;
const MOST_SHOWN_OF_EDGE = 3;

/** The cards. */
export function Glance(props: GlanceProps) {
  return (
    <div class="glance">
      <Holding {...props} />
      <Lacking {...props} />
      <Refusing {...props} />
    </div>
  );
}

function Holding({ addresses, hosts }: GlanceProps) {
  const there = addresses.length * LEASABLE_PORT_COUNT;
  const held = addresses.reduce((sum, { heldCount }) => sum + heldCount, 0);
  const most = hosts.filter(({ heldCount }) => heldCount > 0).toSorted((a, b) => b.heldCount - a.heldCount);
  return (
    <section class="card" aria-labelledby="glance-held">
      <h2 id="glance-held">Who holds what</h2>
      <p>
        <strong>{whole(held)}</strong> of {whole(there)} ports
        {there > 0 && ` (${percent(held / there)})`}, on {counted(addresses.length, "address", "addresses")},
        by {counted(most.length, "host")}.
      </p>
      <ul class="bars">
        {most.slice(0, MOST_SHOWN).map(({ host, heldCount }) => (
          <li key={host.host}>
            <span class="bars-name" title={host.host}>
              {host.host}
            </span>
            <Bar part={heldCount / Math.max(1, held)} label={`${whole(heldCount)} ports`} />
          </li>
        ))}
      </ul>
      {most.length > MOST_SHOWN && (
        <p class="faint">
          and {counted(most.length - MOST_SHOWN, "other host")}, none with more than{" "}
          {whole(most[MOST_SHOWN]!.heldCount)}.
        </p>
      )}
    </section>
  );
}

function Lacking({ pool, addresses, hosts, routers }: GlanceProps) {
  const missing = missingOf(pool, addresses.length, hosts.length);
  const needy = [
    ...addresses.map((row) => ({ name: row.ip.ip, level: row.level, why: row.why })),
    ...hosts.map((row) => ({ name: row.host.host, level: row.level, why: row.why })),
    ...routers.map((row) => ({ name: row.router.router, level: row.level, why: row.why })),
  ].filter(({ level }) => level === "bad" || level === "short");
  const worst = needy.toSorted((a, b) => rank(a.level) - rank(b.level));
  const paused = [...addresses, ...hosts].filter(({ level }) => level === "note").length;
  return (
    <section class="card" aria-labelledby="glance-short" data-testid="attention">
      <h2 id="glance-short">What is short</h2>
      {missing.map(({ what, command }) => (
        <p key={what}>
          <Mark level="bad">{what}</Mark> <code>{command}</code>
        </p>
      ))}
      {worst.length === 0 && missing.length === 0 && (
        <p>
          <Mark level="good">Nothing needs attention.</Mark>
        </p>
      )}
      {worst.length > 0 && (
        <ul class="needs">
          {worst.slice(0, MOST_SHOWN).map(({ name, level, why }) => (
            <li key={name}>
              <Mark level={level}>
                <strong>{name}</strong> {why}
              </Mark>
            </li>
          ))}
        </ul>
      )}
      {worst.length > MOST_SHOWN && <p class="faint">and {whole(worst.length - MOST_SHOWN)} more below.</p>}
      {paused > 0 && (
        <p class="faint">
          {paused === 1
            ? "1 drains, retires or waits for something: see below."
            : `${whole(paused)} drain, retire or wait for something: see below.`}
        </p>
      )}
    </section>
  );
}

function Refusing({ pool, store }: GlanceProps) {
  useSignalsSlowly(store.pastChanged, store.watchedChanged);
  const rates = store.meter.rates(Date.now());
  const minutes = lastHour(store);
  const answered = minutes.reduce((sum, { requestCount, flowCount }) => sum + requestCount + flowCount, 0);
  const byHosts = refusalsIn(minutes);
  const byEdge = refusalsIn(useEdgePast()?.minutes ?? []);
  const refused = sumOf(byHosts);
  return (
    <section class="card" aria-labelledby="glance-refused">
      <h2 id="glance-refused">Why was it refused</h2>
      <p>
        {rates === null ? (
          "Hosts have told nothing yet."
        ) : (
          <>
            Now <strong>{short(rates.requestsPerSecond + rates.flowsPerSecond)}</strong> a second served,{" "}
            <strong>{short(rates.refusalsPerSecond)}</strong> refused.
          </>
        )}{" "}
        {store.past !== null &&
          (refused + answered === 0
            ? "In the last hour nothing was asked of them."
            : `In the last hour ${whole(refused)} of ${whole(refused + answered)} refused.`)}
      </p>
      <Reasons counts={byHosts} />
      {byEdge.length > 0 && (
        <>
          <h3>By the edge itself, for all pools</h3>
          <Reasons counts={byEdge.slice(0, MOST_SHOWN_OF_EDGE)} />
        </>
      )}
      {byHosts.length > 0 && (
        <p>
          <a href={fragmentOf({ view: "log", pool, ip: null })}>See them as they are made</a>
        </p>
      )}
    </section>
  );
}

type Counts = readonly (readonly [code: string, count: number])[];

function Reasons({ counts }: { readonly counts: Counts }) {
  const all = sumOf(counts);
  return (
    <ul class="bars">
      {counts.slice(0, MOST_SHOWN).map(([code, count]) => (
        <li key={code} title={refusalTitle(code)}>
          <span class="bars-name">
            <code>{code}</code>
          </span>
          <Bar part={count / all} label={`${whole(count)}: ${refusalTitle(code)}`} level="short" />
          <span class="bars-note faint">{refusalTitle(code)}</span>
        </li>
      ))}
    </ul>
  );
}

/** By codes, the most frequent first. */
function refusalsIn(slots: readonly CountSlot[]): Counts {
  const sums = new Map<string, number>();
  for (const { refusals } of slots)
    for (const [code, count] of Object.entries(refusals)) sums.set(code, (sums.get(code) ?? 0) + count);
  return [...sums].filter(([, count]) => count > 0).toSorted(([, a], [, b]) => b - a);
}

function sumOf(counts: Counts): number {
  return counts.reduce((sum, [, count]) => sum + count, 0);
}

/** The minutes that hosts remember, and the one that runs. */
function lastHour({ past, watched }: PoolStore): readonly CountSlot[] {
  const running = runningMinute([...watched.values()].map(({ minute }) => minute));
  const minutes = past?.past.minutes ?? [];
  if (running === null) return minutes;
  return [...minutes.filter(({ atMs }) => atMs < running.atMs), running];
}

function rank(level: Level): number {
  return level === "bad" ? 0 : 1;
}

/** The last hour and day of a pool, as its hosts remember them. */
import { useState } from "preact/hooks";
import type { PastCounts } from "../../core/live-view.ts";
import { useEdgePast } from "../live/use-edge-past.ts";
import type { PoolStore } from "../live/pool-store.ts";
import { refusalTitle } from "../parts/refusal-title.ts";
import { useNow, useSignals } from "../parts/use-signals.ts";
import { useTheme } from "../parts/theme.ts";
import { counted } from "../parts/words.ts";
import { Chart } from "./chart.tsx";
import { pastColumns, type Reach, runningMinute } from "./series.ts";

const NOTHING: PastCounts = { minutes: [], quarters: [] };
const REDRAW_MS = 2000;

/** The view. */
export function TimeView({ store }: { readonly store: PoolStore }) {
  useSignals(store.pastChanged);
  const nowMs = useNow(REDRAW_MS) + store.clocks.usualOffsetMs();
  const theme = useTheme();
  const [reach, setReach] = useState<Reach>("hour");
  const edgePast = useEdgePast();
  const running = runningMinute([...store.watched.values()].map(({ minute }) => minute));
  const columns = pastColumns(store.past?.past ?? NOTHING, reach, nowMs, running);
  const edge = edgePast === null ? null : pastColumns(edgePast, reach, nowMs);
  const shared = { atSeconds: columns.atSeconds, theme };
  return (
    <>
      <div class="view-head">
        <h1>Time</h1>
        <fieldset class="choices">
          <legend class="only-heard">How far back</legend>
          {(["hour", "day"] as const).map((each) => (
            <label key={each}>
              <input type="radio" name="reach" checked={reach === each} onChange={() => setReach(each)} />
              <span>Last {each}</span>
            </label>
          ))}
        </fieldset>
        <p class="faint">{sourceText(store)}</p>
      </div>
      <div class="charts">
        <Chart
          {...shared}
          title="Served"
          unit="a second"
          empty="Nothing was served in this time."
          series={[
            { name: "requests", counts: columns.requestsPerSecond },
            { name: "tunnels and sockets", counts: columns.flowsPerSecond },
          ]}
        />
        <Chart
          {...shared}
          title="Refused"
          unit={reach === "hour" ? "a minute, by code" : "a quarter of an hour, by code"}
          isStacked
          empty="Nothing was refused in this time."
          series={columns.refusals.map(([name, counts]) => ({ name, counts, about: refusalTitle(name) }))}
        />
        <Chart
          {...shared}
          title="Ports in use"
          unit="at most at a time, of all hosts"
          empty="No port was in use in this time."
          series={[{ name: "ports", counts: columns.portCount }]}
        />
        {edge !== null && edge.refusals.length > 0 && (
          <Chart
            {...shared}
            title="Refused by the edge itself"
            unit="of all pools, by code"
            isStacked
            empty=""
            series={edge.refusals.map(([name, counts]) => ({ name, counts, about: refusalTitle(name) }))}
          />
        )}
      </div>
    </>
  );
}

function sourceText({ past }: PoolStore): string {
  if (past === null) return "Hosts are being asked for what they remember …";
  const { hostCount, silentHosts } = past;
  if (hostCount === 0 && silentHosts.length === 0) return "No host is there that remembers anything.";
  const told = `As ${counted(hostCount, "host")} ${hostCount === 1 ? "remembers" : "remember"} it.`;
  if (silentHosts.length === 0) return told;
  const named = silentHosts.slice(0, 3).join(", ");
  const more = silentHosts.length > 3 ? ` and ${silentHosts.length - 3} more` : "";
  return `${told} Not told by ${named}${more}.`;
}

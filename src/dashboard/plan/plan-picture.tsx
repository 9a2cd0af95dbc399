/** Addresses over load, drawn. */
import { useMemo } from "preact/hooks";
import type { PoolSettings } from "../../core/pool-settings.ts";
import type { PlannedLoad } from "../../plan/load.ts";
import { type AddressCounts, addressesAt } from "../../plan/plan.ts";
import { cssColour, hostColour, type Theme } from "../port-map/colours.ts";
import { short, whole } from "../parts/words.ts";

interface PlanPictureProps {
  readonly load: PlannedLoad;
  readonly settings: PoolSettings;
  readonly theme: Theme;
}

interface Curve {
  readonly key: keyof AddressCounts;
  readonly label: string;
  readonly hueIndex: number;
  readonly dashes: string;
}

const CURVES: readonly Curve[] = [
  { key: "fixedSlices", label: "fixed slices of 2,048", hueIndex: 5, dashes: "8 4" },
  { key: "onePerHost", label: "one for each host", hueIndex: 0, dashes: "2 4" },
  { key: "recommended", label: "recommended", hueIndex: 2, dashes: "none" },
  { key: "tight", label: "tight", hueIndex: 1, dashes: "none" },
  { key: "minimum", label: "theoretical minimum", hueIndex: 3, dashes: "2 3" },
];
const PLOT = { width: 640, height: 300, left: 52, top: 22, right: 628, bottom: 258 };
const MOST_TIMES = 2;
const POINTS = 48;
/** Alternatives that need more are cut off, so that the lines of the pool stay readable. */
const CUT_AT = 1.5;

/** What is drawn, and where. */
interface Drawn {
  readonly points: readonly { readonly times: number; readonly counts: AddressCounts }[];
  readonly theme: Theme;
  readonly x: (times: number) => number;
  readonly y: (count: number) => number;
}

/** The picture, with its legend as text. */
export function PlanPicture({ load, settings, theme }: PlanPictureProps) {
  const points = useMemo(
    () =>
      Array.from({ length: POINTS + 1 }, (_, at) => {
        const times = (MOST_TIMES * at) / POINTS;
        return { times, counts: addressesAt(load, times, settings) };
      }),
    [load, settings],
  );
  const { recommended, tight, minimum, onePerHost, fixedSlices } = points.at(-1)!.counts;
  const ours = Math.max(recommended, tight, minimum);
  const up = scaleFor(Math.max(ours, Math.min(Math.max(onePerHost, fixedSlices), ours * CUT_AT)));
  const drawn: Drawn = {
    points,
    theme,
    x: (times) => PLOT.left + (times / MOST_TIMES) * (PLOT.right - PLOT.left),
    y: (count) => PLOT.bottom - (count / up.most) * (PLOT.bottom - PLOT.top),
  };
  return (
    <figure class="card plan-picture">
      <figcaption>
        <h2>Addresses over load</h2>
        <Key counts={points.find(({ times }) => times >= 1)!.counts} theme={theme} />
      </figcaption>
      <svg
        viewBox={`0 0 ${PLOT.width} ${PLOT.height}`}
        role="img"
        aria-label="Addresses over load, as the table below tells them for the planned load"
      >
        <Axes {...drawn} up={up} perSecond={load.connectionsPerSecond} />
        <Curves {...drawn} />
      </svg>
    </figure>
  );
}

/** What each line is, with its number at the planned load. */
function Key({ counts, theme }: { readonly counts: AddressCounts; readonly theme: Theme }) {
  return (
    <ul class="chart-legend">
      {CURVES.map(({ key, label, hueIndex, dashes }) => (
        <li key={key}>
          <svg width="26" height="10" aria-hidden="true">
            <path
              d="M1 5h24"
              stroke={cssColour(hostColour(hueIndex, theme))}
              stroke-width="2.5"
              stroke-dasharray={dashes}
            />
          </svg>
          {label} <strong>{whole(counts[key])}</strong>
        </li>
      ))}
    </ul>
  );
}

function Axes({ x, y, up, perSecond }: Drawn & { readonly up: Scale; readonly perSecond: number }) {
  const along = scaleFor(perSecond * MOST_TIMES);
  return (
    <>
      {ticksOf(up.step, up.most).map((count) => (
        <g key={count}>
          <path class="plot-grid" d={`M${PLOT.left} ${y(count)}H${PLOT.right}`} />
          <text class="plot-text" x={PLOT.left - 8} y={y(count) + 4} text-anchor="end">
            {short(count)}
          </text>
        </g>
      ))}
      {ticksOf(along.step, perSecond * MOST_TIMES).map((each) => (
        <text key={each} class="plot-text" x={x(each / perSecond)} y={PLOT.bottom + 18} text-anchor="middle">
          {short(each)}
        </text>
      ))}
      <path class="plot-now" d={`M${x(1)} ${PLOT.top}V${PLOT.bottom}`} />
      <text class="plot-text" x={x(1)} y={PLOT.top - 8} text-anchor="middle">
        planned
      </text>
      <text class="plot-text" x={(PLOT.left + PLOT.right) / 2} y={PLOT.bottom + 36} text-anchor="middle">
        connections a second, on average
      </text>
    </>
  );
}

function Curves({ points, theme, x, y }: Drawn) {
  return (
    <>
      <clipPath id="plan-plot">
        <rect x={PLOT.left} y={PLOT.top} width={PLOT.right - PLOT.left} height={PLOT.bottom - PLOT.top} />
      </clipPath>
      {CURVES.map(({ key, hueIndex, dashes }) => (
        <path
          key={key}
          fill="none"
          clip-path="url(#plan-plot)"
          stroke={cssColour(hostColour(hueIndex, theme))}
          stroke-width="2.5"
          stroke-dasharray={dashes}
          d={points
            .map(
              ({ times, counts }, at) =>
                `${at === 0 ? "M" : "L"}${x(times).toFixed(1)} ${y(counts[key]).toFixed(1)}`,
            )
            .join(" ")}
        />
      ))}
    </>
  );
}

interface Scale {
  readonly most: number;
  readonly step: number;
}

/** Marks in steps of 1, 2 or 5 times a power of ten, about five of them. */
function scaleFor(most: number): Scale {
  const rough = Math.max(most, 1) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough)!;
  return { step, most: Math.ceil(Math.max(most, 1) / step) * step };
}

function ticksOf(step: number, most: number): number[] {
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, at) => at * step);
}

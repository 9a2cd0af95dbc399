/** A chart over time, drawn by uPlot; its numbers are in a table too, for those who do not see it. */
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { cssColour, hostColour, type Theme } from "../port-map/colours.ts";
import { PlainTable } from "../parts/plain-table.tsx";
import { clock, short } from "../parts/words.ts";
import { stacked } from "./series.ts";

/** A line or a layer. */
export interface ChartSeries {
  readonly name: string;
  readonly counts: readonly (number | null)[];
  /** For those who point at its name. */
  readonly about?: string;
}

interface ChartProps {
  readonly title: string;
  readonly unit: string;
  readonly atSeconds: readonly number[];
  readonly series: readonly ChartSeries[];
  /** Layers upon each other, as bars; else lines. */
  readonly isStacked?: boolean;
  readonly theme: Theme;
  readonly empty: string;
}

const INK: Readonly<Record<Theme, { readonly text: string; readonly grid: string }>> = {
  light: { text: "#4a5563", grid: "#e3e7ec" },
  dark: { text: "#a5b0bd", grid: "#2a323c" },
};
const HEIGHT = 190;

/** The chart with its legend. */
export function Chart(props: ChartProps) {
  const { title, unit, atSeconds, series, isStacked = false, theme, empty } = props;
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const names = series.map(({ name }) => name).join("\n");
  const layers = isStacked
    ? stacked(series.map(({ counts }) => counts))
    : series.map(({ counts }) => [...counts]);
  // The tallest layer is drawn first, so that those below it lie before it.
  const data = [[...atSeconds], ...(isStacked ? layers.toReversed() : layers)] as uPlot.AlignedData;
  useLayoutEffect(() => {
    const element = box.current!;
    const made = new uPlot(optionsOf(props, element.clientWidth, setAt), data, element);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [names, theme, isStacked]);
  useEffect(() => plot.current?.setData(data), [atSeconds, series]);
  const isEmpty = series.every(({ counts }) => counts.every((count) => count === null || count === 0));
  return (
    <section class="card chart" aria-labelledby={id}>
      <div class="chart-head">
        <h2 id={id}>
          {title} <span class="faint">{unit}</span>
        </h2>
        <span class="faint" aria-hidden="true">
          {at === null ? "" : clock((atSeconds[at] ?? 0) * 1000)}
        </span>
      </div>
      <ul class="chart-legend">
        {series.map(({ name, counts, about }, index) => (
          <li key={name} title={about}>
            <span
              class="swatch"
              style={{ background: cssColour(hostColour(index, theme)) }}
              aria-hidden="true"
            />
            {name} <strong>{valueText(counts[at ?? counts.length - 1])}</strong>
          </li>
        ))}
      </ul>
      {isEmpty && <p class="faint chart-empty">{empty}</p>}
      <div ref={box} class="chart-box" aria-hidden="true" />
      <Numbers {...props} />
    </section>
  );
}

/** The same as a table, drawn only when it is opened. */
function Numbers({ title, atSeconds, series }: ChartProps) {
  const [isOpen, setOpen] = useState(false);
  const rows = isOpen ? atSeconds.map((seconds, at) => ({ seconds, at })).toReversed() : [];
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>As a table</summary>
      {isOpen && (
        <PlainTable
          caption={title}
          columns={[{ name: "Time" }, ...series.map(({ name }) => ({ name, kind: "number" as const }))]}
          rows={rows.map(({ seconds, at }) =>
            [clock(seconds * 1000)].concat(series.map(({ counts }) => valueText(counts[at]))),
          )}
        />
      )}
    </details>
  );
}

function optionsOf(
  { series, isStacked = false, theme }: ChartProps,
  width: number,
  pointed: (at: number | null) => void,
): uPlot.Options {
  const { text, grid } = INK[theme];
  const lines = series.map((_, index): uPlot.Series => {
    const colour = cssColour(hostColour(index, theme));
    return isStacked
      ? {
          stroke: colour,
          fill: colour,
          width: 0,
          points: { show: false },
          paths: uPlot.paths.bars!({ size: [0.8, 14] }),
        }
      : { stroke: colour, width: 2, points: { show: false }, spanGaps: false };
  });
  return {
    width,
    height: HEIGHT,
    padding: [10, 24, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: "time" }, drag: { setScale: false }, points: { show: !isStacked } },
    scales: { y: { range: (_plot, _least, most) => [0, Math.max(1, most * 1.1)] } },
    axes: [
      {
        stroke: text,
        grid: { show: false },
        ticks: { stroke: grid },
        size: 34,
        values: (_plot, seconds) => seconds.map((each) => clock(each * 1000).slice(0, 5)),
      },
      {
        stroke: text,
        grid: { stroke: grid, width: 1 },
        ticks: { show: false },
        size: 52,
        values: (_plot, counts) => counts.map(short),
      },
    ],
    series: [{}, ...(isStacked ? lines.toReversed() : lines)],
    hooks: { setCursor: [({ cursor }) => pointed(cursor.idx ?? null)] },
  };
}

function valueText(count: number | null | undefined): string {
  return count === null || count === undefined ? "–" : short(count);
}

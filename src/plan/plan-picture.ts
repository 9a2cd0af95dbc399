/**
 * A plan as a picture: addresses over load, as SVG. Drawn by hand, since it is one picture of a few
 * lines; its colours are chosen by whoever shows it, in the light or in the dark. [PN8]
 */
import type { PoolSettings } from "../core/pool-settings.ts";
import type { PlannedLoad } from "./load.ts";
import { type AddressCounts, addressesAt } from "./plan.ts";

interface Curve {
  readonly key: keyof AddressCounts;
  readonly label: string;
  readonly style: string;
  readonly colour: string;
  readonly dashes: string;
}

interface Scale {
  readonly most: number;
  readonly step: number;
}

const INK = "#1f2328";

const CURVES: readonly Curve[] = [
  { key: "fixedSlices", label: "fixed slices of 2,048", style: "slices", colour: "#cf222e", dashes: "8 4" },
  { key: "onePerHost", label: "one for each host", style: "own", colour: "#0969da", dashes: "2 4" },
  { key: "recommended", label: "recommended", style: "recommended", colour: "#1a7f37", dashes: "none" },
  { key: "tight", label: "tight", style: "tight", colour: "#9a6700", dashes: "none" },
  { key: "minimum", label: "theoretical minimum", style: "minimum", colour: INK, dashes: "2 3" },
];

const SIZE = { width: 760, height: 440 };
const PLOT = { left: 64, top: 48, right: 560, bottom: 384 };
/** The load of the right edge, compared with the planned one. */
const MOST_TIMES = 2;
const POINTS = 80;
/** Alternatives that need more are cut off, so that the lines of the pool stay readable. */
const CUT_AT = 3;
const LINE_HEIGHT = 16;

/** The light colours are attributes of what is drawn, so that every viewer knows them; these take their place. */
const DARK = `@media (prefers-color-scheme: dark) {
  .paper { fill: #0d1117; } text { fill: #e6edf3; } .grid { stroke: #30363d; } .axis, .now { stroke: #e6edf3; }
  .minimum { stroke: #e6edf3; } .tight { stroke: #d29922; } .recommended { stroke: #3fb950; } .own { stroke: #58a6ff; } .slices { stroke: #ff7b72; }
}`;
/** The picture, as the text of an SVG file. */
export function pictureOf(load: PlannedLoad, settings: PoolSettings): string {
  const points = Array.from({ length: POINTS + 1 }, (_, at) => {
    const times = (MOST_TIMES * at) / POINTS;
    return { times, counts: addressesAt(load, times, settings) };
  });
  const { recommended, tight, minimum } = points.at(-1)!.counts;
  const ours = Math.max(recommended, tight, minimum);
  const others = Math.max(points.at(-1)!.counts.onePerHost, points.at(-1)!.counts.fixedSlices);
  const upward = scaleFor(Math.max(ours, Math.min(others, ours * CUT_AT)));
  const along = scaleFor(load.connectionsPerSecond * MOST_TIMES);
  const x = (perSecond: number): number =>
    PLOT.left + (perSecond / (load.connectionsPerSecond * MOST_TIMES)) * (PLOT.right - PLOT.left);
  const y = (count: number): number => PLOT.bottom - (count / upward.most) * (PLOT.bottom - PLOT.top);
  const pathOf = ({ key }: Curve): string =>
    points
      .map(({ times, counts }, at) => {
        const place = `${round(x(times * load.connectionsPerSecond))} ${round(y(counts[key]))}`;
        return `${at === 0 ? "M" : "L"}${place}`;
      })
      .join(" ");
  const now = round(x(load.connectionsPerSecond));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="12" viewBox="0 0 ${SIZE.width} ${SIZE.height}" role="img" aria-labelledby="title">`,
    `<title id="title">Addresses over load</title>`,
    `<style>${DARK}</style>`,
    `<clipPath id="plot"><rect x="${PLOT.left}" y="${PLOT.top}" width="${PLOT.right - PLOT.left}" height="${PLOT.bottom - PLOT.top}"/></clipPath>`,
    `<rect class="paper" width="${SIZE.width}" height="${SIZE.height}" fill="#ffffff"/>`,
    text(PLOT.left, 26, "Addresses over load", "start"),
    ...ticksOf(upward, upward.most).flatMap((count) => [
      line("grid", PLOT.left, y(count), PLOT.right, y(count)),
      text(PLOT.left - 8, y(count) + 4, shown(count), "end"),
    ]),
    ...ticksOf(along, load.connectionsPerSecond * MOST_TIMES).flatMap((perSecond) => [
      line("axis", x(perSecond), PLOT.bottom, x(perSecond), PLOT.bottom + 5),
      text(x(perSecond), PLOT.bottom + 20, shown(perSecond), "middle"),
    ]),
    line("axis", PLOT.left, PLOT.bottom, PLOT.right, PLOT.bottom),
    line("axis", PLOT.left, PLOT.top, PLOT.left, PLOT.bottom),
    line("now", now, PLOT.top, now, PLOT.bottom),
    text(now, PLOT.top - 6, "planned", "middle"),
    text((PLOT.left + PLOT.right) / 2, PLOT.bottom + 42, "connections a second, on average", "middle"),
    ...CURVES.map((curve) => curvePath(curve, `clip-path="url(#plot)" d="${pathOf(curve)}"`)),
    ...legendOf(points.find(({ times }) => times >= 1)!.counts),
    "</svg>",
    "",
  ].join("\n");
}

/** What each line is, with its number at the planned load. */
function legendOf(counts: AddressCounts): string[] {
  return CURVES.flatMap((curve, at) => {
    const { key, label } = curve;
    const top = PLOT.top + 8 + at * LINE_HEIGHT * 2.5;
    return [
      curvePath(curve, `d="M${PLOT.right + 16} ${top} h24"`),
      text(PLOT.right + 48, top + 4, label, "start"),
      text(PLOT.right + 48, top + 4 + LINE_HEIGHT, `${shown(counts[key])} as planned`, "start"),
    ];
  });
}

/** Marks in steps of 1, 2 or 5 times a power of ten, about five of them. */
function scaleFor(most: number): Scale {
  const rough = Math.max(most, 1) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough)!;
  return { step, most: Math.ceil(Math.max(most, 1) / step) * step };
}

function ticksOf({ step }: Scale, most: number): number[] {
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, at) => at * step);
}

function curvePath({ style, colour, dashes }: Curve, rest: string): string {
  return `<path class="${style}" fill="none" stroke="${colour}" stroke-width="2" stroke-dasharray="${dashes}" ${rest}/>`;
}

function line(style: "axis" | "grid" | "now", x1: number, y1: number, x2: number, y2: number): string {
  const dashes = style === "now" ? ' stroke-dasharray="3 4"' : "";
  const place = `x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"`;
  return `<line class="${style}" stroke="${style === "grid" ? "#d0d7de" : INK}"${dashes} ${place}/>`;
}

function text(x: number, y: number, words: string, anchor: "start" | "middle" | "end"): string {
  return `<text fill="${INK}" x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${words}</text>`;
}

function shown(count: number): string {
  return count.toLocaleString("en", { maximumFractionDigits: 2 });
}

function round(place: number): number {
  return Math.round(place * 10) / 10;
}

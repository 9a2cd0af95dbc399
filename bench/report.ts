/** What every bench returns, and how it is shown. */

/** One comparison; a ratio above 1 means that ours is better. */
export interface Row {
  readonly case: string;
  readonly unit: string;
  readonly ours: number;
  readonly peer: number | null;
  readonly peerName: string | null;
  readonly ratio: number | null;
  readonly goal: number | null;
  readonly met: boolean | null;
}

/** Whether more or less of the unit is better. */
export type Better = "more" | "less";

/** Ours beside a peer's, with the goal that the ratio should reach (null: for information). */
export function compared(options: {
  case: string;
  unit: string;
  better: Better;
  ours: number;
  peer: number;
  peerName: string;
  goal: number | null;
}): Row {
  const { better, ours, peer, goal, ...rest } = options;
  const ratio = better === "more" ? ours / peer : peer / ours;
  return { ...rest, ours, peer, ratio, goal, met: goal === null ? null : ratio >= goal };
}

/** A figure with nothing beside it. */
export function plain(name: string, unit: string, ours: number): Row {
  return { case: name, unit, ours, peer: null, peerName: null, ratio: null, goal: null, met: null };
}

/** Milliseconds of the clock that all processes of a machine share. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** The figure that this share of the figures does not exceed. */
export function quantile(figures: readonly number[], share: number): number {
  const sorted = figures.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

/** The middle of these figures. */
export function median(figures: readonly number[]): number {
  const sorted = figures.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Prints rows for people. */
export function printTable(name: string, rows: readonly Row[]): void {
  const shown = (figure: number | null): string =>
    figure === null ? "-" : figure >= 100 ? figure.toFixed(0) : figure.toPrecision(3);
  const lines = rows.map((row) => [
    row.case,
    row.unit,
    shown(row.ours),
    shown(row.peer),
    row.peerName ?? "-",
    row.ratio === null ? "-" : row.ratio.toFixed(2),
    row.goal === null ? "-" : row.goal.toFixed(2),
    row.met === null ? "-" : row.met ? "met" : "MISSED",
  ]);
  const head = ["case", "unit", "ours", "peer", "peer is", "ratio", "goal", ""];
  const widths = head.map((title, at) => Math.max(title.length, ...lines.map((line) => line[at]!.length)));
  console.log(`\n${name}: a ratio above 1 means ours is better`);
  for (const line of [head, ...lines]) {
    console.log(
      line
        .map((cell, at) => cell.padEnd(widths[at]!))
        .join("  ")
        .trimEnd(),
    );
  }
}

/** The routers of a pool, row by row. */
import { type Column, VirtualTable } from "../parts/virtual-table.tsx";
import { counted, span, whole } from "../parts/words.ts";
import type { RouterRow } from "./attention.ts";
import { BY_ATTENTION, stateColumn } from "./columns.tsx";

interface RouterTableProps {
  readonly rows: readonly RouterRow[];
  /** Number of the last change. */
  readonly sequence: number;
  readonly nowMs: number;
}

const COLUMNS: readonly Column<RouterRow>[] = [
  {
    key: "router",
    title: "Router",
    isHeader: true,
    weight: 1.6,
    narrowWeight: 1,
    cell: ({ router }) => router.router,
  },
  stateColumn(),
  {
    key: "acknowledged",
    title: "Acknowledged",
    narrowWeight: 1.7,
    isNumber: true,
    cell: ({ router }) => (router.acknowledged === null ? "nothing" : whole(router.acknowledged)),
    order: (a, b) => (a.router.acknowledged ?? -1) - (b.router.acknowledged ?? -1),
  },
  {
    key: "lag",
    title: "Lag",
    isNumber: true,
    isWideOnly: true,
    cell: ({ behindCount }) => (behindCount === null ? "–" : counted(behindCount, "change")),
    order: (a, b) => (a.behindCount ?? Infinity) - (b.behindCount ?? Infinity),
  },
];

/** The table. */
export function RouterTable({ rows, sequence, nowMs }: RouterTableProps) {
  const seen: Column<RouterRow> = {
    key: "seen",
    title: "Last heard",
    isNumber: true,
    isWideOnly: true,
    cell: ({ router }) => `${span(nowMs - router.seenAtMs)} ago`,
    order: (a, b) => a.router.seenAtMs - b.router.seenAtMs,
  };
  return (
    <VirtualTable
      caption={
        rows.length === 0
          ? "Routers (0)"
          : `Routers (${whole(rows.length)}), the last change is number ${whole(sequence)}`
      }
      columns={[...COLUMNS, seen]}
      rows={rows}
      keyOf={({ router }) => router.router}
      rowClass={({ level }) => `row-${level}`}
      empty="No router steers what comes back: this pool does without."
      usualOrder={BY_ATTENTION}
      heightRows={6}
      testId="routers"
    />
  );
}

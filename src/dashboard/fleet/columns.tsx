/** Columns that several tables of the fleet have. */
import { Mark } from "../parts/bits.tsx";
import type { Column } from "../parts/virtual-table.tsx";
import type { Standing } from "./attention.ts";

/** How rows lie when nobody has chosen otherwise. */
export const BY_ATTENTION = "what needs attention first";
/** Compares names as people do. */
export const byText = new Intl.Collator("en", { numeric: true }).compare;

const LEVELS = ["bad", "short", "note", "good"];

/** How a row stands, and why. */
export function stateColumn<Row extends Standing>(): Column<Row> {
  return {
    key: "state",
    title: "State",
    weight: 2.4,
    narrowWeight: 1.7,
    cell: ({ level, why }) => (
      <Mark level={level}>
        <span title={why}>{why}</span>
      </Mark>
    ),
    order: (a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level),
  };
}

/** A name that opens its details. */
export function Opener({ name, open }: { readonly name: string; readonly open: (name: string) => void }) {
  return (
    <button type="button" class="link" onClick={() => open(name)} title={`Details of ${name}`}>
      {name}
    </button>
  );
}

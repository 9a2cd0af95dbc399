/** A table that is drawn as a whole; of many rows `virtual-table.tsx` draws those that are seen. */
import type { ComponentChildren } from "preact";

/** What stands in a column: words, long words that may break, or numbers. */
export interface PlainColumn {
  readonly name: string;
  readonly kind?: "long" | "number";
}

interface PlainTableProps {
  readonly caption: string;
  /** What is seen says already what the table is. */
  readonly isCaptionHidden?: boolean;
  readonly columns: readonly PlainColumn[];
  /** One entry for each column; the first names the row. */
  readonly rows: readonly (readonly ComponentChildren[])[];
}

/** The table, which scrolls by itself where it is too wide. */
export function PlainTable({ caption, isCaptionHidden = false, columns, rows }: PlainTableProps) {
  return (
    <div class="table-box" role="region" aria-label={`${caption}, scrollable`} tabIndex={0}>
      <table class="numbers">
        <caption class={isCaptionHidden ? "only-heard" : undefined}>{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ name, kind }) => (
              <th scope="col" class={kind === "number" ? kind : undefined} key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, ...cells], at) => (
            <tr key={at}>
              <th scope="row">{name}</th>
              {cells.map((cell, index) => (
                <td class={columns[index + 1]?.kind} key={index}>
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

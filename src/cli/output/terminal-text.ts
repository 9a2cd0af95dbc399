/** Text for people: what comes from elsewhere cannot control the terminal, and colours are for terminals only. [OV4] */
import { styleText } from "node:util";
import { printable } from "../../process/printable.ts";

export { printable, printableLines } from "../../process/printable.ts";

/** As `styleText` names them. */
export type Style = Parameters<typeof styleText>[0];

/** A cell of a table; one of no text is shown as a dash. */
export type Cell = string | { readonly text: string; readonly style: Style };

/** The text in this style, if standard output is a terminal that shows it and `NO_COLOR` is not set. */
export function styled(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

/** Rows below their heads, each column as wide as its widest. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const texts = rows.map((row) =>
    row.map((cell) => printable(typeof cell === "string" ? cell : cell.text) || "-"),
  );
  const widths = head.map((title, at) => Math.max(title.length, ...texts.map((row) => row[at]!.length)));
  const line = (row: readonly string[], styleOf: (at: number) => Style | null): string =>
    row
      .map((text, at) => {
        const style = styleOf(at);
        // The last column is as wide as it is.
        const blank = at === row.length - 1 ? "" : " ".repeat(widths[at]! - text.length);
        return `${style === null ? text : styled(style, text)}${blank}`;
      })
      .join("  ");
  return [
    line(head, () => "bold"),
    ...texts.map((row, number) =>
      line(row, (at) => {
        const cell = rows[number]![at]!;
        return typeof cell === "string" ? null : cell.style;
      }),
    ),
  ].join("\n");
}

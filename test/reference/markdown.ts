/** What all references are written with. */

/** A table with these headings; blanks and pipes in a cell are harmless. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(inCell).join(" | ")} |`;
  return [line(headings), `|${"---|".repeat(headings.length)}`, ...rows.map(line)].join("\n");
}

/** Words as they are typed. */
export function code(text: string): string {
  return `\`${text}\``;
}

/** A document that nobody edits by hand. */
export function document(title: string, introduction: string, parts: readonly string[]): string {
  const note = "<!-- Written by `npm run docs` from the code. Do not edit it by hand. -->";
  return `${[note, `# ${title}`, introduction, ...parts].join("\n\n")}\n`;
}

function inCell(text: string): string {
  // Outside of code a name in angle brackets would be taken for HTML.
  const parts = text.replaceAll("\n", " ").replaceAll("|", "\\|").split("`");
  return parts.map((part, at) => (at % 2 === 0 ? part.replaceAll("<", "&lt;") : part)).join("`");
}

/** Text that comes from elsewhere, such that it cannot control a terminal. [OV4] */

/** The same, with `?` for whatever would control a terminal. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}|\p{Cf}/gu, "?");
}

/** The same of several lines. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

/** A value as JSON, which says the same to a program: what would control a terminal is spelled out. */
export function printableJson(value: unknown, indent?: number): string {
  // Below U+0020 JSON spells out everything by itself; the line breaks between values are to stay.
  return JSON.stringify(value, null, indent).replaceAll(/[\u007f-\u009f]|\p{Cf}/gu, spelledOut);
}

function spelledOut(character: string): string {
  return Array.from(
    { length: character.length },
    (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`,
  ).join("");
}

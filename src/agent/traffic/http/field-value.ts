/**
 * The value of a field without the blanks around it (RFC 9110 section 5.5). By hand, since peers
 * choose the value: a pattern for blanks at the end tries each run of them anew from each of its
 * blanks, and 30,000 in the middle of a value halt the process for seconds. [GW21]
 */

/** The part of a line from `from` on without the blanks around it; no other character is a blank here. */
export function trimmed(line: string, from = 0): string {
  let start = from;
  let end = line.length;
  while (start < end && isBlank(line.charCodeAt(start))) start += 1;
  while (end > start && isBlank(line.charCodeAt(end - 1))) end -= 1;
  return line.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

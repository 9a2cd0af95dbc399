/** Points in time as people and programs write them. */

const UNIX_MS = /^\d{1,15}$/;
/** RFC 3339 section 5.6. */
const RFC_3339 = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/;

/** A time as it was written: whoever writes no fraction of a second means all of that second. [AT9] */
export interface InstantSpan {
  readonly fromMs: number;
  /** The last millisecond that is meant. */
  readonly throughMs: number;
}

/** What an RFC 3339 time covers, or Unix milliseconds, which are exact; null for anything else. */
export function parseInstantSpan(text: string): InstantSpan | null {
  const fromMs = parseInstant(text);
  if (fromMs === null) return null;
  const isWholeSecond = !UNIX_MS.test(text) && !text.includes(".");
  return { fromMs, throughMs: isWholeSecond ? fromMs + 999 : fromMs };
}

/** Unix milliseconds of an RFC 3339 time, or of such milliseconds themselves; null for anything else. */
export function parseInstant(text: string): number | null {
  if (UNIX_MS.test(text)) return Number(text);
  const [, day, time, fraction = "", zone] = RFC_3339.exec(text) ?? [];
  if (day === undefined) return null;
  const atMs = Date.parse(`${day}T${time}${fraction}${zone!.toUpperCase()}`);
  // Some would take the 30th of February for the 2nd of March.
  const dayMs = Date.parse(`${day}T00:00:00Z`);
  const isDay = !Number.isNaN(dayMs) && new Date(dayMs).toISOString().startsWith(day);
  return isDay && atMs >= 0 ? atMs : null;
}

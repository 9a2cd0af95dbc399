/**
 * A line of the edge's log, of the same shape as those of hosts and routers: JSON with `level`, `time`, what it
 * is about, a fault as `err`, and the sentence as `msg`. [MT12]
 */

const LEVELS = { info: 30, warn: 40, error: 50 } as const;

/** How bad it is. */
export type LogLevel = keyof typeof LEVELS;

/** What is said beside the sentence; what is undefined is not said. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Makes the line, as of this time (Unix milliseconds). */
export function logLine(
  level: LogLevel,
  msg: string,
  fields: LogFields,
  timeMs: number,
  fault?: unknown,
): string {
  const err = fault === undefined ? undefined : errOf(fault);
  return JSON.stringify({ level: LEVELS[level], time: timeMs, ...fields, err, msg });
}

function errOf(fault: unknown): object {
  if (!(fault instanceof Error)) return { type: typeof fault, message: String(fault) };
  const { name, message, stack } = fault;
  return { type: name, message, stack };
}

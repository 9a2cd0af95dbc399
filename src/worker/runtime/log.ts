/** The log of the Worker: each line is JSON, which Cloudflare's log takes apart, and goes out as console calls do. */
import { type LogFields, type LogLevel, logLine } from "../../wire/log-line.ts";

/** Says something, and of a fault what it was. */
export function say(level: LogLevel, msg: string, fields: LogFields = {}, fault?: unknown): void {
  const line = logLine(level, msg, fields, Date.now(), fault);
  if (level === "error") console.error(line);
  else if (level === "warn") console.warn(line);
  else console.log(line);
}

/** A log that nobody reads, in the shape of the real one. */
import type { Logger } from "pino";

const nothing = (): void => {};

/** For parts that want to be given a log. */
export const SILENT_LOG = {
  info: nothing,
  warn: nothing,
  error: nothing,
  debug: nothing,
  child: () => SILENT_LOG,
} as unknown as Logger;

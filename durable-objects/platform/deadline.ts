/** Waits that end. */
import type { ObjectPlatform } from "./object-platform.ts";

/** Returned in place of a result that did not come in time. */
export const TIMED_OUT: unique symbol = Symbol("timed out");

/** The result, or `TIMED_OUT`; what was waited for goes on all the same. */
export async function within<Result>(
  platform: Pick<ObjectPlatform, "wait">,
  timeoutMs: number,
  result: Promise<Result>,
): Promise<Result | typeof TIMED_OUT> {
  // A timer left behind would keep the object from being put to sleep.
  const done = new AbortController();
  const over = platform.wait(timeoutMs, done.signal).then(
    (): typeof TIMED_OUT => TIMED_OUT,
    (): typeof TIMED_OUT => TIMED_OUT,
  );
  try {
    return await Promise.race([result, over]);
  } finally {
    done.abort();
  }
}

/**
 * Happy Eyeballs (RFC 8305) over the addresses of one name and one family: the next attempt
 * begins a moment after the last, or at once when one has failed; the first that connects wins
 * and the others are given up.
 *
 *     a ──────────────────────────╳
 *        250 ms  b ──╳
 *                    c ───● wins
 *
 * An attempt occupies a port, so only a few run at a time, and while more addresses wait than
 * may run, each gets its share of the time: one that hangs takes no other's turn. [BI11] [BI12]
 */
import { isHostRefusal } from "../../core/problems.ts";
import { EgressFault, problemOf } from "./faults.ts";
import { givenUp } from "./connect-from.ts";
import { monotonicMs } from "../../process/clock.ts";

/** Addresses of one name that one dial tries. */
export const MAX_ADDRESSES = 16;
/** Attempts of one dial at the same time. */
export const MAX_AT_ONCE = 4;
/** RFC 8305 section 8: the recommended delay, and the least that is recommended. */
export const ATTEMPT_DELAY_MS = 250;
const MIN_ATTEMPT_DELAY_MS = 100;

/** Tries one address for so long; must give up when the signal says so. */
export type Attempt<Won> = (address: string, timeoutMs: number, signal: AbortSignal) => Promise<Won>;

/** What a race is told. */
export interface RaceOptions<Won> {
  /** When all of it is over, by the monotonic clock. */
  readonly endMs: number;
  /** Ends what connected too late to win. */
  readonly discard: (late: Won) => void;
  readonly signal?: AbortSignal | undefined;
}

/** The first of the addresses that connects, in this order. Rejects when none did. */
export function raceAddresses<Won>(
  addresses: readonly string[],
  attempt: Attempt<Won>,
  { endMs, discard, signal }: RaceOptions<Won>,
): Promise<Won> {
  const leftMs = endMs - monotonicMs();
  const shareMs = leftMs / Math.ceil(addresses.length / MAX_AT_ONCE);
  const delayMs = Math.max(MIN_ATTEMPT_DELAY_MS, Math.min(ATTEMPT_DELAY_MS, leftMs / addresses.length));
  return new Promise((resolve, reject) => {
    const losers = new AbortController();
    let begunCount = 0;
    let running = 0;
    let isOver = false;
    let timer: NodeJS.Timeout | undefined;
    let fault: unknown = new EgressFault("connection-timeout");

    const end = (): void => {
      isOver = true;
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      losers.abort();
    };
    const abort = (): void => {
      end();
      reject(givenUp());
    };
    const begin = (): void => {
      clearTimeout(timer);
      const timeLeftMs = endMs - monotonicMs();
      const mayBegin = begunCount < addresses.length && timeLeftMs > 0;
      if (!mayBegin && running === 0) {
        end();
        reject(fault);
      }
      if (isOver || !mayBegin || running === MAX_AT_ONCE) return;
      const address = addresses[begunCount]!;
      begunCount += 1;
      running += 1;
      attempt(address, Math.min(shareMs, timeLeftMs), losers.signal).then(onConnected, onFailed);
      timer = setTimeout(begin, delayMs);
    };
    const onConnected = (won: Won): void => {
      if (isOver) {
        discard(won);
        return;
      }
      end();
      resolve(won);
    };
    const onFailed = (failed: unknown): void => {
      running -= 1;
      if (isOver) return;
      fault = moreTelling(fault, failed);
      begin();
    };

    if (signal?.aborted) {
      abort();
      return;
    }
    signal?.addEventListener("abort", abort, { once: true });
    begin();
  });
}

/** The later one, unless the earlier says that another host may do better, or is ours. */
function moreTelling(earlier: unknown, later: unknown): unknown {
  const { code } = problemOf(earlier);
  return isHostRefusal(code) || code === "internal-fault" ? earlier : later;
}

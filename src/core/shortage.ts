/**
 * When the hosts of an address should hear that it runs short of ports.
 *
 * What is left is told with each answer, and a host that rests asks for nothing until its next
 * renewal, minutes later. So when an address becomes short, and while hosts are refused on it, all
 * of them are told to renew: whoever keeps more ahead than is left for it then gives that back. [AL9]
 */
import { type LeaseTable, portsLeased } from "./lease-table.ts";
import { LEASABLE_PORT_COUNT } from "./port-block.ts";
import { isStatic } from "./static-slots.ts";

/** An address with fewer ports than this part of them to lease is short, */
const SHORT_SHARE = 1 / 16;
/** until it has this part again. */
const AMPLE_SHARE = 1 / 8;
/** While hosts are refused, all are told again after so long, */
const FIRST_PAUSE_MS = 10_000;
/** and each time after twice as long, up to this, as long as it brings nothing. */
const LONGEST_PAUSE_MS = 160_000;

/** One per address; it may be forgotten at any time, and then tells once more. */
export class Shortage {
  #isShort = false;
  #pauseMs = FIRST_PAUSE_MS;
  /** As hosts were told last. */
  #told = { atMs: -Infinity, leasedCount: 0, hostCount: 0 };

  /** Whether hosts should be told, after a command that may have been refused for lack of ports. */
  isNews(table: LeaseTable, isRefused: boolean, nowMs: number): boolean {
    // A slot is not given back for the sake of others. [SM4]
    if (isStatic(table.settings)) return false;
    const leasedCount = portsLeased(table);
    const share = 1 - leasedCount / LEASABLE_PORT_COUNT;
    const wasShort = this.#isShort;
    this.#isShort = wasShort ? share < AMPLE_SHARE : share < SHORT_SHARE;
    // Ports were given back, or there is somebody who has not heard it.
    const hostCount = table.holders.size;
    if (leasedCount < this.#told.leasedCount || hostCount > this.#told.hostCount) {
      this.#pauseMs = FIRST_PAUSE_MS;
    }
    // Whichever way the clock was set meanwhile.
    const isDue = Math.abs(nowMs - this.#told.atMs) >= this.#pauseMs;
    if (!(this.#isShort && !wasShort) && !(isRefused && isDue)) return false;
    this.#told = { atMs: nowMs, leasedCount, hostCount };
    if (isRefused) this.#pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs);
    return true;
  }
}

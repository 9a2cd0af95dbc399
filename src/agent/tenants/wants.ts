/**
 * How much of each limited thing a tenant wants here: what it uses, and what it was refused of late. The
 * pool shares the tenant's limits out by that. [LI12]
 */
import type { Amounts, Limited } from "../../core/tenant-limits.ts";

/** For so long a refusal says that more is wanted. */
const REFUSED_MS = 3_000;
/** Nobody has given more for so long: there is none. */
const OLD_MS = 5_000;
/** Bytes are wanted ahead of their use: what passes in so many seconds. */
const AHEAD_SECONDS = 10;

interface Refused {
  /** In the present span of time, and in the one before. */
  count: number;
  before: number;
  sinceMs: number;
  firstAtMs: number;
  lastAtMs: number;
}

/** Of one tenant in one process. */
export class Wants {
  readonly #refused = new Map<Limited, Refused>();
  #second = 0;
  #inSecond = 0;
  #inSecondBefore = 0;
  #bytes = 0;
  #bytesPerSecond = 0;
  #readAtMs = -Infinity;

  /** A flow asks to be admitted. */
  asked(nowMs: number): void {
    this.#turn(nowMs);
    this.#inSecond += 1;
  }

  /** There was none for one that asked. */
  refused(thing: Limited, nowMs: number): void {
    let refused = this.#refused.get(thing);
    if (refused === undefined || nowMs - refused.lastAtMs > REFUSED_MS) {
      refused = { count: 0, before: 0, sinceMs: nowMs, firstAtMs: nowMs, lastAtMs: nowMs };
      this.#refused.set(thing, refused);
    }
    if (nowMs - refused.sinceMs > 1_000) {
      refused.before = refused.count;
      refused.count = 0;
      refused.sinceMs = nowMs;
    }
    refused.count += 1;
    refused.lastAtMs = nowMs;
  }

  /** There is more now. */
  given(thing: Limited): void {
    this.#refused.delete(thing);
  }

  /** Whether more of it has been wanted in vain for a while. */
  isOld(thing: Limited, nowMs: number): boolean {
    const refused = this.#refused.get(thing);
    return refused !== undefined && nowMs - refused.firstAtMs > OLD_MS;
  }

  /** Flows that asked in a second: in the present one, or the one before. */
  rateOf(nowMs: number): number {
    this.#turn(nowMs);
    return Math.max(this.#inSecond, this.#inSecondBefore);
  }

  /** With what is used. */
  of(used: Amounts, nowMs: number): Amounts {
    const bytes = used.bytesPerDay ?? 0;
    const passedMs = nowMs - this.#readAtMs;
    if (passedMs >= 1_000) {
      this.#bytesPerSecond = Math.max(0, ((bytes - this.#bytes) * 1_000) / passedMs);
      this.#bytes = bytes;
      this.#readAtMs = nowMs;
    }
    return {
      requestsPerSecond: used.requestsPerSecond,
      requestsInFlight: (used.requestsInFlight ?? 0) + this.#lately("requestsInFlight", nowMs),
      tunnels: (used.tunnels ?? 0) + this.#lately("tunnels", nowMs),
      ports: (used.ports ?? 0) + this.#lately("ports", nowMs),
      bytesPerDay: Math.ceil(bytes + this.#bytesPerSecond * AHEAD_SECONDS),
    };
  }

  #lately(thing: Limited, nowMs: number): number {
    const refused = this.#refused.get(thing);
    if (refused === undefined || nowMs - refused.lastAtMs > REFUSED_MS) return 0;
    return Math.max(refused.count, refused.before);
  }

  #turn(nowMs: number): void {
    const second = Math.floor(nowMs / 1_000);
    if (second === this.#second) return;
    this.#inSecondBefore = second === this.#second + 1 ? this.#inSecond : 0;
    this.#inSecond = 0;
    this.#second = second;
  }
}

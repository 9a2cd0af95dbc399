/**
 * Copies of what pools published, so that a request in steady state asks no object [LAW9],
 * and so that losing the control plane stops no request [LAW8].
 *
 * A copy is fresh, then stale: still used at once while one request renews it behind its
 * response. Past that, or doubted because a host said it lost its lease, the next request
 * waits for the renewal; if that fails the old copy serves on until the end of its lifetime.
 * Copies are plain data: no promise is ever shared between requests. [WK4] [WK5]
 */
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import type { Placement } from "../../core/placement.ts";
import type { Background } from "../runtime/environment.ts";

/** Age up to which the copy is used without asking the pool. */
export const FRESH_MS = 3_000;
/** Age up to which a request does not wait for the renewal. */
export const STALE_MS = 30_000;
/** Age up to which a copy serves while the control plane is lost: as long as leases may run. */
export const LIFETIME_MS = 600_000;
/** How long an unknown pool stays unknown. */
const UNKNOWN_MS = 1_000;
/** The least time between two questions about one pool, unless the answer has simply aged. */
export const RENEWAL_INTERVAL_MS = 500;
/** How long a failed renewal is not repeated. */
const PAUSE_AFTER_FAILURE_MS = 2_000;
/** Pools that are remembered at once; beyond it the oldest is forgotten. */
const REMEMBERED_POOLS = 1_024;

/** The placement of a pool, or why there is none. */
export type Found = Outcome<Placement, "pool-unknown" | "control-plane-unavailable">;

/** Asks the pool's object. */
export type LoadPlacement = (pool: string) => Promise<Found>;

interface Copy {
  found: Found;
  /** When that was asked for. */
  asOfMs: number;
  /** When the pool was asked last, answered or not. */
  askedAtMs: number;
  endsAtMs: number;
  freshUntilMs: number;
  staleUntilMs: number;
}

/** The copies of one isolate. */
export class PlacementCache {
  readonly #copies = new Map<string, Copy>();

  /** The placement to use now; a promise only when it must be waited for. */
  find(pool: string, nowMs: number, load: LoadPlacement, background: Background): Found | Promise<Found> {
    const copy = this.#copyAt(pool, nowMs);
    if (copy === undefined) return this.#renew(pool, nowMs, load);
    if (nowMs < copy.freshUntilMs) return copy.found;
    const isUsable = nowMs < copy.staleUntilMs;
    // While this request renews it the others take the copy as fresh.
    copy.freshUntilMs = nowMs + RENEWAL_INTERVAL_MS;
    const renewal = this.#renew(pool, nowMs, load);
    if (!isUsable) return renewal;
    background.waitUntil(renewal);
    return copy.found;
  }

  /** Asks the pool again, unless that was done a moment ago: for when the copy leaves no host. */
  reconsider(
    pool: string,
    nowMs: number,
    load: LoadPlacement,
    intervalMs: number = RENEWAL_INTERVAL_MS,
  ): Found | Promise<Found> {
    const copy = this.#copyAt(pool, nowMs);
    if (copy !== undefined && nowMs - copy.askedAtMs < intervalMs) return copy.found;
    return this.#renew(pool, nowMs, load);
  }

  /** Whether the copy was asked for at this time or later. */
  isAsOf(pool: string, sinceMs: number): boolean {
    return (this.#copies.get(pool)?.asOfMs ?? -Infinity) >= sinceMs;
  }

  /** A host said that it lost its lease: the next request asks the pool again. */
  doubt(pool: string): void {
    const copy = this.#copies.get(pool);
    if (copy === undefined) return;
    copy.freshUntilMs = 0;
    copy.staleUntilMs = 0;
  }

  /** The copy. After the clock was set back it counts as new, or it would last for that much longer. */
  #copyAt(pool: string, nowMs: number): Copy | undefined {
    const copy = this.#copies.get(pool);
    if (copy === undefined || nowMs >= copy.askedAtMs) return copy;
    const aheadMs = copy.askedAtMs - nowMs;
    copy.asOfMs -= aheadMs;
    copy.askedAtMs -= aheadMs;
    copy.endsAtMs -= aheadMs;
    copy.freshUntilMs -= aheadMs;
    copy.staleUntilMs -= aheadMs;
    return copy;
  }

  async #renew(pool: string, nowMs: number, load: LoadPlacement): Promise<Found> {
    const before = this.#copies.get(pool);
    if (before !== undefined) before.askedAtMs = nowMs;
    const found = await load(pool);
    if (found.ok || found.refusal === "pool-unknown") {
      this.#remember(pool, found, nowMs);
      return found;
    }
    const copy = this.#copies.get(pool);
    if (copy === undefined) return found;
    if (nowMs >= copy.endsAtMs) {
      this.#copies.delete(pool);
      return found;
    }
    // An answer to a later question may have come already: this failure does not replace it.
    if (copy.asOfMs > nowMs) return copy.found;
    copy.freshUntilMs = Math.max(copy.freshUntilMs, nowMs + PAUSE_AFTER_FAILURE_MS);
    copy.staleUntilMs = Math.max(copy.staleUntilMs, nowMs + STALE_MS);
    return copy.found;
  }

  #remember(pool: string, found: Found, nowMs: number): void {
    const present = this.#copies.get(pool);
    // Two renewals may cross; what was asked later is the better answer.
    if (present !== undefined && present.asOfMs > nowMs) return;
    if (present === undefined && this.#copies.size >= REMEMBERED_POOLS) {
      this.#copies.delete(this.#copies.keys().next().value!);
    }
    this.#copies.set(pool, {
      found: found.ok ? ok(found.value) : refuse(found.refusal),
      asOfMs: nowMs,
      askedAtMs: Math.max(nowMs, present?.askedAtMs ?? nowMs),
      endsAtMs: nowMs + (found.ok ? LIFETIME_MS : UNKNOWN_MS),
      freshUntilMs: nowMs + (found.ok ? FRESH_MS : UNKNOWN_MS),
      staleUntilMs: nowMs + (found.ok ? STALE_MS : UNKNOWN_MS),
    });
  }
}

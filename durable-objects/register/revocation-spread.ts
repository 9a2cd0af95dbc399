/**
 * Brings revocations to the pools in which the tokens may be shown, and to all pools which keys were
 * retired: at once, and again until each has taken them. Each is brought a second time when no part of
 * the edge has an older copy any more, since somebody may have been let in by such a copy meanwhile. [TK6] [TK7]
 */
import { EVERY_POOL } from "../../src/core/identity.ts";
import type { PoolRevocation, RevokingPool } from "../calls/register-calls.ts";
import type { ObjectPlatform } from "../platform/object-platform.ts";
import type { KeyStore } from "./key-store.ts";
import type { TokenStore } from "./token-store.ts";

/** How the register reaches pools. */
export interface Pools {
  /** The names of all of them. */
  list(): Promise<readonly string[]>;
  pool(name: string): RevokingPool;
}

/** By then every copy of what was before is out of use. [TK4] */
const SETTLED_MS = 15_000;
const RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 10_000;
/** In one message. */
const MOST_AT_ONCE = 1_000;

/** One per register. */
export class RevocationSpread {
  readonly #platform: ObjectPlatform;
  readonly #store: TokenStore;
  readonly #keys: KeyStore;
  readonly #pools: Pools;
  #failures = 0;

  constructor(platform: ObjectPlatform, store: TokenStore, keys: KeyStore, pools: Pools) {
    this.#platform = platform;
    this.#store = store;
    this.#keys = keys;
    this.#pools = pools;
  }

  /** Tells all pools what they have not been told for good; answers those that have not taken it. */
  async push(): Promise<readonly string[]> {
    const nowMs = this.#platform.nowMs();
    const pending = this.#store.revocationsAfter(this.#store.toldSequence(), nowMs);
    const keys = this.#keys.untold();
    if (pending.length === 0 && keys.length === 0) return [];
    // Should this be cut off, it is begun again.
    await this.#platform.setAlarm(nowMs + LONGEST_RETRY_MS);
    const isSettled = (sinceMs: number): boolean => Math.abs(nowMs - sinceMs) >= SETTLED_MS;
    const settled = pending.filter(({ revokedAtMs }) => isSettled(revokedAtMs));
    const settledKeys = keys.filter(({ retiredAtMs }) => isSettled(retiredAtMs));
    const kids = keys.map(({ kid }) => kid);
    const failed = await this.#tell(pending, kids);
    if (failed === null || failed.length > 0) {
      this.#failures += 1;
      const delayMs = Math.min(RETRY_MS * 2 ** (this.#failures - 1), LONGEST_RETRY_MS);
      await this.#platform.setAlarm(this.#platform.nowMs() + delayMs);
      return failed ?? [EVERY_POOL];
    }
    this.#failures = 0;
    const last = settled.at(-1);
    if (last !== undefined) this.#store.noteTold(last.sequence);
    this.#keys.noteTold(settledKeys.map(({ kid }) => kid));
    const isDone = settled.length === pending.length && settledKeys.length === keys.length;
    if (!isDone) await this.#platform.setAlarm(this.#platform.nowMs() + SETTLED_MS);
    else await this.#platform.deleteAlarm();
    return [];
  }

  /** A pool that has just been made has heard nothing yet. */
  async tellNew(pool: string): Promise<void> {
    const all = this.#store.revocationsAfter(0, this.#platform.nowMs());
    await this.#tellPool(pool, all, []);
  }

  /** The pools that did not take it; null when it is not even known which pools there are. */
  async #tell(
    pending: ReturnType<TokenStore["revocationsAfter"]>,
    kids: readonly string[],
  ): Promise<readonly string[] | null> {
    let pools: readonly string[];
    try {
      pools = await this.#pools.list();
    } catch (fault) {
      this.#platform.report("the pools could not be listed", fault);
      return null;
    }
    const told = await Promise.all(
      pools.map(async (pool) => ({ pool, ok: await this.#tellPool(pool, pending, kids) })),
    );
    return told.filter(({ ok }) => !ok).map(({ pool }) => pool);
  }

  async #tellPool(
    pool: string,
    pending: ReturnType<TokenStore["revocationsAfter"]>,
    kids: readonly string[],
  ): Promise<boolean> {
    const concerned = pending.filter(({ spread }) => spread.includes(pool) || spread.includes(EVERY_POOL));
    const revoked = concerned.map(({ tokenId, expiresAtMs, role, isSession }): PoolRevocation => ({
      tokenId,
      expiresAtMs,
      role,
      isSession,
    }));
    try {
      for (let from = 0; from < revoked.length; from += MOST_AT_ONCE) {
        await this.#pools.pool(pool).takeRevocations(revoked.slice(from, from + MOST_AT_ONCE));
      }
      if (kids.length > 0) await this.#pools.pool(pool).takeRetiredKeys(kids);
      return true;
    } catch (fault) {
      this.#platform.report(`pool ${pool} could not be told of revoked tokens or keys`, fault);
      return false;
    }
  }
}

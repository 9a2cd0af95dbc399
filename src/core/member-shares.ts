/** What one member goes by, of the limits that are shared out among several. [LI11] [LI13] */
import type { TenantLimits } from "./pool-policy.ts";
import { baseShareOf, UNTOLD_MEMBERS } from "./share-ledger.ts";
import type { ShareMessage } from "./share-messages.ts";
import { type Amounts, LIMITED, type Limited } from "./tenant-limits.ts";

/** From its start: a member that begins anew knows nothing. */
export class MemberShares {
  #number = 0;
  #members = UNTOLD_MEMBERS;
  #isLapsed = false;
  readonly #shares = new Map<string, Amounts>();
  readonly #hasBase: boolean;

  /** `hasBase`: without a word there is a base; else there is nothing. */
  constructor(hasBase = true) {
    this.#hasBase = hasBase;
  }

  /** Up to which message it knows; to be repeated to whoever shares out. */
  get number(): number {
    return this.#number;
  }

  /** Goes by a message from now on. */
  take({ number, members, tenants }: ShareMessage): void {
    this.#number = number;
    // With another base all is said anew.
    if (members !== this.#members) this.#shares.clear();
    this.#members = members;
    this.#isLapsed = false;
    for (const { tenant, share } of tenants) this.#shares.set(tenant, share);
  }

  /** Nobody has been heard who shares out: what was told beyond the base may be another's by now. */
  lapse(): void {
    this.#isLapsed = true;
  }

  /** What it may have of a tenant's limits. */
  of(tenant: string, limits: TenantLimits): Amounts {
    const base = baseShareOf(limits, this.#hasBase ? this.#members : Infinity);
    const told = this.#shares.get(tenant);
    if (told === undefined) return base;
    const share: { [Thing in Limited]?: number } = {};
    for (const thing of LIMITED) {
      const own = base[thing];
      if (own === undefined) continue;
      share[thing] = this.#isLapsed ? Math.min(told[thing] ?? own, own) : (told[thing] ?? own);
    }
    return share;
  }
}

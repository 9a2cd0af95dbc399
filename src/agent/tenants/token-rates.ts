/**
 * The rates of tokens that have one of their own, beside their tenants' limits. All identities that were
 * made from one token have its rate in common, and it is shared out as a limit of a tenant is. [LI3]
 */
import type { Identity } from "../../core/identity.ts";
import type { MemberShares } from "../../core/member-shares.ts";
import { NO_LIMITS, type TenantLimits } from "../../core/pool-policy.ts";
import { type LocalUse, tokenKey } from "../../core/share-messages.ts";
import { TokenBucket } from "./token-bucket.ts";
import { Wants } from "./wants.ts";

/** Of one token. */
export class TokenRate {
  readonly key: string;
  readonly limits: TenantLimits;
  readonly bucket: TokenBucket;
  readonly #wants = new Wants();

  constructor(key: string, perSecond: number, nowMs: number) {
    this.key = key;
    this.limits = { ...NO_LIMITS, requestsPerSecond: perSecond };
    this.bucket = new TokenBucket(perSecond, nowMs);
  }

  /** A flow with this token asks. */
  asked(nowMs: number): void {
    this.#wants.asked(nowMs);
  }

  /** What is told of it; null while it sends nothing. */
  use(nowMs: number): LocalUse | null {
    const requestsPerSecond = this.#wants.rateOf(nowMs);
    if (requestsPerSecond === 0) return null;
    const amounts = { requestsPerSecond };
    const { key: tenant, limits } = this;
    return { tenant, used: amounts, wanted: amounts, rate: limits.requestsPerSecond!, limits };
  }
}

/** Of all tokens, for as long as anybody has one of their identities. */
export class TokenRates {
  readonly #rates = new Map<string, WeakRef<TokenRate>>();

  /** The rate of an identity's token; null where it has none. */
  of(
    { tokenId, subject, restrictions }: Identity,
    nowMs: number,
    shares: MemberShares | null,
  ): TokenRate | null {
    const perSecond = restrictions?.requestsPerSecond;
    if (perSecond === undefined) return null;
    const key = tokenKey(tokenId ?? null, subject, perSecond);
    let rate = this.#rates.get(key)?.deref();
    if (rate === undefined) {
      rate = new TokenRate(key, perSecond, nowMs);
      this.#rates.set(key, new WeakRef(rate));
      follow(rate, shares, nowMs);
    }
    return rate;
  }

  /** Those that send. */
  uses(nowMs: number): LocalUse[] {
    const uses: LocalUse[] = [];
    for (const rate of this.#live()) {
      const use = rate.use(nowMs);
      if (use !== null) uses.push(use);
    }
    return uses;
  }

  /** Goes by other shares from now on. */
  change(shares: MemberShares | null, nowMs: number): void {
    for (const rate of this.#live()) follow(rate, shares, nowMs);
  }

  *#live(): Iterable<TokenRate> {
    for (const [key, reference] of this.#rates) {
      const rate = reference.deref();
      if (rate === undefined) this.#rates.delete(key);
      else yield rate;
    }
  }
}

function follow({ key, limits, bucket }: TokenRate, shares: MemberShares | null, nowMs: number): void {
  const perSecond = limits.requestsPerSecond!;
  bucket.change(shares?.of(key, limits).requestsPerSecond ?? perSecond, nowMs);
}

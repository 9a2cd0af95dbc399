/**
 * A host's shares of the tenants' limits, between its pool and its processes: what the pool gives it is
 * shared out among them as the pool shares among hosts, and what they use is told in one.
 *
 *     pool ──shares──▶ this ──shares──▶ processes
 *          ◀──use─────      ◀──uses────
 *
 * Until the processes together go by no more than the share, the pool hears either that it is not known
 * yet, or, of what lasts, that so much may be in use. [LI10] [LI11]
 */
import { MemberShares } from "../../core/member-shares.ts";
import { NO_LIMITS, type TenantLimits } from "../../core/pool-policy.ts";
import { ShareLedger } from "../../core/share-ledger.ts";
import type { LocalUse, ShareMessage, TenantUse } from "../../core/share-messages.ts";
import { type Amounts, LIMITED, type Limited } from "../../core/tenant-limits.ts";
import { monotonicMs } from "../../process/clock.ts";

/** For the pool. */
export interface HostUse {
  readonly number: number;
  readonly tenants: readonly TenantUse[];
}

/** What goes on for as long as it lasts, and what is gone at once. */
const LASTING = ["requestsInFlight", "tunnels", "ports"] as const satisfies Limited[];
const PASSING = ["requestsPerSecond", "bytesPerDay"] as const satisfies Limited[];
/** Of a share so much must be wanted to be worth a word. */
const NEARLY = 0.75;
/** Less is told when it is less than half, and not often. */
const LESS_EVERY_MS = 5_000;
const MOST_TENANTS = 256;

/** One per host, in its agent. */
export class HostShares {
  /** Called when the pool should be told at once. */
  onWant: (() => void) | null = null;
  /** Tells a process what it may have. */
  send: (part: number, message: ShareMessage) => void = () => {};
  readonly #shares = new MemberShares();
  /** Called when the pool has not been heard for long, where one process has all. */
  onLapse: (() => void) | null = null;
  readonly #ledger = new ShareLedger((tenant) => this.#limitsOf(tenant), false);
  /** Without several processes there is nothing to share out: the one goes by what the pool says. */
  readonly #isDivided: boolean;
  readonly #limits = new Map<string, TenantLimits>();
  readonly #uses = new Map<number, readonly LocalUse[]>();
  #knownNumber = 0;
  #isDue = false;
  #isTelling = false;
  #told: { readonly use: HostUse; readonly atMs: number } | null = null;

  constructor(processCount: number) {
    this.#isDivided = processCount > 1;
  }

  /** A process begins. */
  addPart(part: number): void {
    if (!this.#isDivided) return;
    this.#ledger.join(String(part));
    this.#review();
  }

  /** A process has ended, and with it all that it had. */
  removePart(part: number): void {
    this.#ledger.leave(String(part));
    this.#uses.delete(part);
    this.#review();
  }

  /** A process says what it uses, and up to which message it knows. */
  reported(part: number, number: number, uses: readonly LocalUse[]): void {
    for (const { tenant, limits } of uses) this.#limits.set(tenant, limits);
    this.#uses.set(part, uses);
    if (this.#isDivided) {
      this.#ledger.report(String(part), number, uses);
      this.#review();
    } else {
      this.#knownNumber = number;
    }
    if (this.#isWanting()) this.onWant?.();
  }

  /** Goes by this share of the pool's from now on. */
  take(message: ShareMessage): void {
    this.#shares.take(message);
    if (this.#isDivided) this.#review();
    else this.send(0, message);
  }

  /** The pool has not been heard for long. */
  lapse(): void {
    this.#shares.lapse();
    if (this.#isDivided) this.#review();
    else this.onLapse?.();
  }

  /** The pool knows nothing of what was told. */
  forgetTold(): void {
    this.#told = null;
  }

  /** What the pool is to be told now; null for nothing. */
  due(nowMs = monotonicMs()): HostUse | null {
    const use = { number: this.#known(), tenants: this.#total() };
    const isNothing = use.tenants.length === 0 && use.number === 0;
    if (this.#told === null && isNothing) return null;
    if (this.#told !== null && !this.#isWorthTelling(this.#told.use, use, nowMs - this.#told.atMs))
      return null;
    this.#told = { use, atMs: nowMs };
    return use;
  }

  #limitsOf(tenant: string): TenantLimits | null {
    const limits = this.#limits.get(tenant);
    if (limits === undefined) return null;
    return { ...NO_LIMITS, ...this.#shares.of(tenant, limits) } as TenantLimits;
  }

  /** A process may answer while the others are still told: what follows from that is told after it, never before. */
  #review(): void {
    this.#isDue = true;
    if (this.#isTelling) return;
    this.#isTelling = true;
    try {
      while (this.#isDue) {
        this.#isDue = false;
        for (const [part, message] of this.#ledger.review(this.#limits.keys()))
          this.send(Number(part), message);
      }
    } finally {
      this.#isTelling = false;
    }
  }

  /** Up to which message the processes together go by no more than the share, of what does not last. */
  #known(): number {
    const { number } = this.#shares;
    if (number === this.#knownNumber || !this.#isDivided) return this.#knownNumber;
    for (const tenant of this.#ledger.tenants()) {
      const limits = this.#limitsOf(tenant);
      for (const thing of PASSING) {
        const most = Math.max(limits?.[thing] ?? Infinity, this.#usedOf(tenant, thing));
        if (this.#ledger.committed(tenant, thing) > most) return this.#knownNumber;
      }
    }
    this.#knownNumber = number;
    return number;
  }

  #usedOf(tenant: string, thing: Limited): number {
    let sum = 0;
    for (const uses of this.#uses.values()) {
      for (const use of uses) if (use.tenant === tenant) sum += use.used[thing] ?? 0;
    }
    return sum;
  }

  #total(): TenantUse[] {
    const total = new Map<string, TenantUse>();
    for (const uses of this.#uses.values()) {
      for (const { tenant, used, wanted, rate } of uses) {
        const before = total.get(tenant);
        const sum = { used: added(before?.used, used), wanted: added(before?.wanted, wanted) };
        total.set(tenant, { tenant, ...sum, ...(rate === undefined ? {} : { rate }) });
      }
    }
    for (const tenant of this.#limits.keys()) if (!total.has(tenant)) this.#limits.delete(tenant);
    const uses = [...total.values()].slice(0, MOST_TENANTS);
    return this.#isDivided ? uses.map((use) => this.#withHeld(use)) : uses;
  }

  /** What a process uses may have become more since it told, up to what it may have. */
  #withHeld(use: TenantUse): TenantUse {
    const limits = this.#limitsOf(use.tenant);
    const used = { ...use.used };
    for (const thing of LASTING) {
      const share = limits?.[thing] ?? null;
      if (share === null) continue;
      const committed = this.#ledger.committed(use.tenant, thing);
      if (committed > share) used[thing] = committed;
    }
    return { ...use, used };
  }

  #isWanting(): boolean {
    return this.#told === null || this.#isMore(this.#told.use, this.#total());
  }

  #isWorthTelling(told: HostUse, now: HostUse, sinceMs: number): boolean {
    if (told.number !== now.number || this.#isMore(told, now.tenants)) return true;
    if (this.#isRelief(told.tenants, now.tenants)) return true;
    return sinceMs >= LESS_EVERY_MS && isMuchLess(told.tenants, now.tenants);
  }

  /** Whether less is used beyond the share, which others wait for. */
  #isRelief(told: readonly TenantUse[], now: readonly TenantUse[]): boolean {
    const present = new Map(now.map((use) => [use.tenant, use.used]));
    return told.some(({ tenant, used }) => {
      const limits = this.#limitsOf(tenant);
      return LASTING.some((thing) => {
        const before = used[thing] ?? 0;
        return before > (limits?.[thing] ?? Infinity) && (present.get(tenant)?.[thing] ?? 0) < before;
      });
    });
  }

  /** Whether more is wanted than was told, and nearly all there is. */
  #isMore({ tenants: told }: HostUse, now: readonly TenantUse[]): boolean {
    const before = new Map(told.map((use) => [use.tenant, use.wanted]));
    return now.some(({ tenant, wanted }) => {
      const limits = this.#limits.get(tenant);
      const share = limits === undefined ? {} : this.#shares.of(tenant, limits);
      return LIMITED.some((thing) => {
        const want = Math.min(wanted[thing] ?? 0, limits?.[thing] ?? 0);
        const said = Math.min(before.get(tenant)?.[thing] ?? 0, limits?.[thing] ?? 0);
        return want > said && want >= (share[thing] ?? Infinity) * NEARLY;
      });
    });
  }
}

function added(before: Amounts = {}, more: Amounts): Amounts {
  const sum: { [Thing in Limited]?: number } = {};
  for (const thing of LIMITED) {
    if (before[thing] !== undefined || more[thing] !== undefined) {
      sum[thing] = Math.round((before[thing] ?? 0) + (more[thing] ?? 0));
    }
  }
  return sum;
}

function isMuchLess(told: readonly TenantUse[], now: readonly TenantUse[]): boolean {
  const present = new Map(now.map((use) => [use.tenant, use.wanted]));
  return told.some(({ tenant, wanted }) =>
    LIMITED.some((thing) => {
      const before = wanted[thing] ?? 0;
      return before > 0 && (present.get(tenant)?.[thing] ?? 0) < before / 2;
    }),
  );
}

/**
 * A host's shares of the tenants' limits, between its pool and its processes: what the pool gives it is
 * shared out among them as the pool shares among hosts, and what they use is told in one.
 *
 *     pool ──shares──▶ this ──shares──▶ processes
 *          ◀──use─────      ◀──uses────
 *
 * The pool hears that a share is known when the processes together go by no more. [LI10] [LI11]
 */
import { MemberShares } from "../../core/member-shares.ts";
import { NO_LIMITS, type TenantLimits } from "../../core/pool-policy.ts";
import { type LocalUse, ShareLedger, type ShareMessage, type TenantUse } from "../../core/share-ledger.ts";
import { type Amounts, LIMITED, type Limited } from "../../core/tenant-limits.ts";
import { monotonicMs } from "../../process/clock.ts";

/** For the pool. */
export interface HostUse {
  readonly number: number;
  readonly tenants: readonly TenantUse[];
}

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
  readonly #ledger = new ShareLedger((tenant) => this.#limitsOf(tenant));
  readonly #limits = new Map<string, TenantLimits>();
  readonly #uses = new Map<number, readonly LocalUse[]>();
  #knownNumber = 0;
  #told: { readonly use: HostUse; readonly atMs: number } | null = null;

  /** A process begins. */
  addPart(part: number): void {
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
    this.#ledger.report(String(part), number, uses);
    this.#review();
    if (this.#isWanting()) this.onWant?.();
  }

  /** Goes by this share of the pool's from now on. */
  take(message: ShareMessage): void {
    this.#shares.take(message);
    this.#review();
  }

  /** The pool has not been heard for long. */
  lapse(): void {
    this.#shares.lapse();
    this.#review();
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
    if (this.#told !== null && !this.#isWorthTelling(this.#told.use, use, nowMs - this.#told.atMs)) return null;
    this.#told = { use, atMs: nowMs };
    return use;
  }

  #limitsOf(tenant: string): TenantLimits | null {
    const limits = this.#limits.get(tenant);
    if (limits === undefined) return null;
    return { ...NO_LIMITS, ...this.#shares.of(tenant, limits) } as TenantLimits;
  }

  #review(): void {
    for (const [part, message] of this.#ledger.review(this.#limits.keys())) this.send(Number(part), message);
  }

  /** Up to which message the processes together go by no more than the share. */
  #known(): number {
    const { number } = this.#shares;
    if (number === this.#knownNumber) return number;
    for (const tenant of this.#ledger.tenants()) {
      const limits = this.#limitsOf(tenant);
      for (const thing of LIMITED) {
        // What is used beyond it is told as that.
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
    return [...total.values()].slice(0, MOST_TENANTS);
  }

  #isWanting(): boolean {
    return this.#told === null || this.#isMore(this.#told.use, this.#total());
  }

  #isWorthTelling(told: HostUse, now: HostUse, sinceMs: number): boolean {
    if (told.number !== now.number || this.#isMore(told, now.tenants)) return true;
    return sinceMs >= LESS_EVERY_MS && isMuchLess(told.tenants, now.tenants);
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

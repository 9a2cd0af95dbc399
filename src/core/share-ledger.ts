/**
 * Tenants' limits shared out among many: a pool's among its hosts, a host's among its processes. [LI10]
 *
 * A share is lowered by telling so, and counts as before until its member has said that it knows. Only
 * then is another raised, so what all may have together never exceeds the limit, however messages
 * cross. [LI11]
 */
import { NO_LIMITS, type TenantLimits } from "./pool-policy.ts";
import { baseOf, commitmentOf, divide, type Holding } from "./share-division.ts";
import { rateInKey, type ShareMessage, type TenantUse } from "./share-messages.ts";
import { type Amounts, LIMITED, type Limited } from "./tenant-limits.ts";

type Holdings = { [Thing in Limited]?: Holding };

/** One member, as it is kept. */
export interface LedgerMember {
  /** Of the last message to it. */
  number: number;
  /** Among how many it was last told that the base is divided, and the fewest that it may go by. */
  toldMembers: number;
  knownMembers: number;
  readonly tenants: Map<string, Holdings>;
}

/** A member that was told nothing yet goes by a base as if there were so many. [LI13] */
export const UNTOLD_MEMBERS = 64;
/** Members of which it is found out in one review whether there is room for their base. */
const MOST_AWAITED = 8;

/** The base of all limits of a tenant. */
export function baseShareOf(limits: TenantLimits, members: number): Amounts {
  const share: { [Thing in Limited]?: number } = {};
  for (const thing of LIMITED) {
    const limit = limits[thing];
    if (limit !== null) share[thing] = baseOf(limit, members);
  }
  return share;
}

/** One per pool, and one per host. */
export class ShareLedger {
  readonly #limitsOf: (tenant: string) => TenantLimits | null;
  /** Of tokens that have told of themselves. */
  readonly #rates = new Map<string, TenantLimits | null>();
  readonly #members = new Map<string, LedgerMember>();
  /** The members that have told of a tenant. */
  readonly #users = new Map<string, Set<string>>();
  /** How many members go by each base. */
  readonly #known = new Map<number, number>();
  /** Of bytes: what those had used of a tenant's day who are gone. */
  readonly #spent = new Map<string, number>();
  #size = 1;
  readonly #hasBase: boolean;

  /**
   * `limitsOf` says what a tenant may have in all now; null for a tenant that has no limits. `hasBase`: members
   * know it, too, and so go by a base without a word.
   */
  constructor(limitsOf: (tenant: string) => TenantLimits | null, hasBase = true) {
    this.#hasBase = hasBase;
    this.#limitsOf = (tenant) => {
      const known = this.#rates.get(tenant);
      if (known !== undefined) return known;
      const rate = rateInKey(tenant);
      return rate === undefined ? limitsOf(tenant) : limitsAt(rate);
    };
  }

  /** Among how many the base is divided. */
  get size(): number {
    return this.#size;
  }

  /** All that has to be kept of a member; null for none. */
  member(name: string): LedgerMember | null {
    return this.#members.get(name) ?? null;
  }

  /** Takes up what was kept. */
  restore(name: string, member: LedgerMember): void {
    this.#members.set(name, member);
    this.#countKnown(member.knownMembers, 1);
    for (const tenant of member.tenants.keys()) this.#usersOf(tenant).add(name);
    this.#resize();
  }

  /**
   * A member begins, or comes back: it is told again what it may have. One that is new goes by the base of
   * many until there is room for its own, which a later `review` tells it.
   */
  join(name: string): ShareMessage | null {
    const present = this.#members.get(name);
    if (present !== undefined) return this.#tell(present, [...present.tenants.keys()], present.toldMembers);
    this.restore(name, {
      number: 0,
      toldMembers: UNTOLD_MEMBERS,
      knownMembers: UNTOLD_MEMBERS,
      tenants: new Map(),
    });
    return null;
  }

  /** A member has ended and uses nothing any more. */
  leave(name: string): void {
    const member = this.#members.get(name);
    if (member === undefined) return;
    this.#members.delete(name);
    this.#countKnown(member.knownMembers, -1);
    for (const [tenant, { bytesPerDay }] of member.tenants) {
      this.#forget(tenant, name);
      if (bytesPerDay !== undefined) this.spend(tenant, bytesPerDay.used);
    }
    this.#resize();
  }

  /** Notes bytes of today that no member will tell of. */
  spend(tenant: string, byteCount: number): void {
    if (byteCount > 0) this.#spent.set(tenant, (this.#spent.get(tenant) ?? 0) + byteCount);
  }

  /** A new day: nothing of it is used. */
  turnDay(): void {
    this.#spent.clear();
    for (const { tenants } of this.#members.values()) {
      for (const { bytesPerDay } of tenants.values()) if (bytesPerDay !== undefined) bytesPerDay.used = 0;
    }
  }

  /**
   * A member has not been heard for so long that it goes by its base by now: more of what it had can be had
   * by others. [LI13]
   */
  lapse(name: string): void {
    const member = this.#members.get(name);
    for (const [tenant, holdings] of member?.tenants ?? []) {
      const limits = this.#limitsOf(tenant);
      for (const thing of LIMITED) {
        const holding = holdings[thing];
        const limit = limits?.[thing] ?? null;
        if (holding === undefined || limit === null) continue;
        holding.told = Math.min(holding.told, baseOf(limit, member!.knownMembers));
        holding.peak = holding.told;
        holding.wanted = 0;
        if (thing !== "bytesPerDay") holding.used = 0;
      }
    }
  }

  /** A member says what it uses, and up to which message it knows. Of tenants that it leaves out it uses nothing. */
  report(name: string, number: number, uses: readonly TenantUse[]): void {
    const member = this.#members.get(name);
    if (member === undefined) return;
    const isUpToDate = number === member.number;
    if (isUpToDate) this.#know(member, member.toldMembers);
    const said = new Map(uses.map((use) => [use.tenant, use]));
    for (const tenant of member.tenants.keys()) {
      if (!said.has(tenant)) said.set(tenant, { tenant, used: {}, wanted: {} });
    }
    for (const use of said.values()) {
      const rate = rateInKey(use.tenant);
      if (rate !== undefined) this.#rates.set(use.tenant, limitsAt(rate));
      const limits = this.#limitsOf(use.tenant);
      if (limits === null) {
        member.tenants.delete(use.tenant);
        this.#forget(use.tenant, name);
        continue;
      }
      let holdings = member.tenants.get(use.tenant);
      if (holdings === undefined) member.tenants.set(use.tenant, (holdings = {}));
      this.#usersOf(use.tenant).add(name);
      for (const thing of LIMITED) {
        const limit = limits[thing];
        if (limit === null) {
          delete holdings[thing];
          continue;
        }
        const holding = (holdings[thing] ??= this.#fresh(limit, member));
        this.#note(thing, holding, use);
        if (isUpToDate) holding.peak = holding.told;
      }
      if (isUpToDate && this.#isAtRest(holdings, limits, member.toldMembers)) {
        member.tenants.delete(use.tenant);
        this.#forget(use.tenant, name);
      }
    }
  }

  /** Judges the shares of these tenants anew: what is to be told now, by member. */
  review(tenants: Iterable<string>): Map<string, ShareMessage> {
    const changed = new Map<string, Set<string>>();
    for (const tenant of new Set(tenants)) {
      const limits = this.#limitsOf(tenant);
      for (const thing of LIMITED) {
        const limit = limits?.[thing] ?? null;
        if (limit === null) continue;
        for (const name of this.#divide(tenant, thing, limit)) {
          changed.set(name, (changed.get(name) ?? new Set()).add(tenant));
        }
      }
    }
    const messages = new Map<string, ShareMessage>();
    let awaitedCount = 0;
    for (const [name, member] of this.#members) {
      const isRaise = this.#size < member.toldMembers;
      const isAwaited = isRaise && (awaitedCount += 1) <= MOST_AWAITED;
      const members = !isRaise || (isAwaited && this.#hasRoomFor(member)) ? this.#size : member.toldMembers;
      const those = changed.get(name);
      if (those === undefined && members === member.toldMembers) continue;
      messages.set(name, this.#tell(member, [...(those ?? [])], members));
    }
    return messages;
  }

  /** What all may be using of a limit together. */
  committed(tenant: string, thing: Limited): number {
    const limit = this.#limitsOf(tenant)?.[thing] ?? null;
    if (limit === null) return 0;
    const spent = thing === "bytesPerDay" ? (this.#spent.get(tenant) ?? 0) : 0;
    let sum = spent;
    for (const [members, count] of this.#known) sum += count * this.#untoldOf(limit, members);
    for (const { member, holding } of this.#holdingsOf(tenant, thing)) {
      sum += commitmentOf(holding) - this.#untoldOf(limit, member.knownMembers);
    }
    return sum;
  }

  /** All members. */
  names(): Iterable<string> {
    return this.#members.keys();
  }

  /** Of today's bytes, by tenant, what those had used who are gone. */
  spentBytes(): Iterable<readonly [tenant: string, byteCount: number]> {
    return this.#spent;
  }

  /** Tenants of which any member has told. */
  tenants(): Iterable<string> {
    return this.#users.keys();
  }

  /** Whether a member may go by a larger base: the others know that theirs is no larger, and there is room. */
  #hasRoomFor(member: LedgerMember): boolean {
    for (const [members, count] of this.#known) {
      const others = members === member.knownMembers ? count - 1 : count;
      if (others > 0 && members < this.#size) return false;
    }
    for (const tenant of this.tenants()) {
      const limits = this.#limitsOf(tenant);
      for (const thing of LIMITED) {
        const limit = limits?.[thing] ?? null;
        if (limit === null) continue;
        const isTold = member.tenants.get(tenant)?.[thing] !== undefined;
        const now = this.#untoldOf(limit, member.knownMembers);
        const more = isTold ? 0 : this.#untoldOf(limit, this.#size) - now;
        if (this.committed(tenant, thing) + more > limit) return false;
      }
    }
    return true;
  }

  /** Whether it has and wants no more than it would have without a word. */
  #isAtRest(holdings: Holdings, limits: TenantLimits, members: number): boolean {
    return LIMITED.every((thing) => {
      const holding = holdings[thing];
      const limit = limits[thing];
      if (holding === undefined || limit === null) return true;
      return holding.used === 0 && holding.wanted === 0 && holding.told === this.#untoldOf(limit, members);
    });
  }

  /** What a member goes by of which it was told nothing. */
  #untoldOf(limit: number, members: number): number {
    return this.#hasBase ? baseOf(limit, members) : 0;
  }

  #fresh(limit: number, { toldMembers, knownMembers }: LedgerMember): Holding {
    const [told, peak] = [this.#untoldOf(limit, toldMembers), this.#untoldOf(limit, knownMembers)];
    return { told, peak, used: 0, wanted: 0 };
  }

  #resize(): void {
    this.#size = sizeFor(this.#members.size, this.#size);
  }

  #know(member: LedgerMember, members: number): void {
    this.#countKnown(member.knownMembers, -1);
    member.knownMembers = members;
    this.#countKnown(members, 1);
  }

  #countKnown(members: number, change: number): void {
    const count = (this.#known.get(members) ?? 0) + change;
    if (count === 0) this.#known.delete(members);
    else this.#known.set(members, count);
  }

  #usersOf(tenant: string): Set<string> {
    let users = this.#users.get(tenant);
    if (users === undefined) this.#users.set(tenant, (users = new Set()));
    return users;
  }

  #forget(tenant: string, name: string): void {
    const users = this.#users.get(tenant);
    users?.delete(name);
    if (users?.size !== 0) return;
    this.#users.delete(tenant);
    this.#rates.delete(tenant);
  }

  #note(thing: Limited, holding: Holding, { tenant, used, wanted }: TenantUse): void {
    // A rate is not held: who knows of a lower one goes by that.
    const now = thing === "requestsPerSecond" ? 0 : (used[thing] ?? 0);
    // A day's bytes only become more: whoever tells of fewer has forgotten some.
    if (thing === "bytesPerDay" && now < holding.used) this.spend(tenant, holding.used - now);
    holding.used = now;
    holding.wanted = Math.max(wanted[thing] ?? 0, now);
  }

  #holdingsOf(
    tenant: string,
    thing: Limited,
  ): { readonly name: string; readonly member: LedgerMember; readonly holding: Holding }[] {
    const found: { name: string; member: LedgerMember; holding: Holding }[] = [];
    for (const name of this.#users.get(tenant) ?? []) {
      const member = this.#members.get(name)!;
      const holding = member.tenants.get(tenant)?.[thing];
      if (holding !== undefined) found.push({ name, member, holding });
    }
    return found;
  }

  /** The members whose share changes. */
  #divide(tenant: string, thing: Limited, limit: number): string[] {
    const held = this.#holdingsOf(tenant, thing);
    const base = baseOf(limit, this.#size);
    const isUsedUp = thing === "bytesPerDay";
    const spent = isUsedUp ? (this.#spent.get(tenant) ?? 0) : 0;
    // Also those that may still come are to find their base.
    const untold = this.#untoldOf(limit, this.#size);
    const total = limit - spent - (this.#members.size - held.length) * untold;
    const changed = divide(
      held.map(({ holding }) => holding),
      { total, base, isUsedUp },
      limit - this.committed(tenant, thing),
    );
    return changed.map((at) => held[at]!.name);
  }

  /** With another base all is said anew, so that nothing hangs on which base a share once was. */
  #tell(member: LedgerMember, tenants: readonly string[], members: number): ShareMessage {
    const those = members === member.toldMembers ? tenants : [...member.tenants.keys()];
    member.number += 1;
    member.toldMembers = members;
    if (members < member.knownMembers) this.#know(member, members);
    return {
      number: member.number,
      members,
      tenants: those.map((tenant) => ({ tenant, share: toldOf(member.tenants.get(tenant)) })),
    };
  }
}

function limitsAt(perSecond: number | null): TenantLimits | null {
  return perSecond === null ? null : { ...NO_LIMITS, requestsPerSecond: perSecond };
}

function toldOf(holdings: Holdings = {}): Amounts {
  const share: { [Thing in Limited]?: number } = {};
  for (const thing of LIMITED) {
    const holding = holdings[thing];
    if (holding !== undefined) share[thing] = holding.told;
  }
  return share;
}

/** A power of two, so that it changes rarely, and falls only when it is much too large. */
function sizeFor(count: number, present: number): number {
  let size = present;
  while (size < count) size *= 2;
  while (isMuchTooLarge(size, count)) size /= 2;
  return size;
}

function isMuchTooLarge(size: number, count: number): boolean {
  return size === 2 ? count <= 1 : size > 2 && count * 3 <= size;
}

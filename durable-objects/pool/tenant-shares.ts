/**
 * Tenants' limits shared out among the hosts of a pool, by what they say that they use. A host takes part
 * from the first time that it says so; one that falls silent keeps what it may be going by. [LI10] to [LI13]
 */
import type { PoolReply, PoolRequest } from "../../src/core/messages.ts";
import { type LedgerMember, ShareLedger } from "../../src/core/share-ledger.ts";
import type { ShareMessage } from "../../src/core/share-messages.ts";
import type { TenantLimits } from "../../src/core/pool-policy.ts";
import { isLimited } from "../../src/core/tenant-limits.ts";
import { type ObjectSocket, sendTo } from "../platform/object-platform.ts";
import type { ShareStore } from "./share-store.ts";

/** What is needed of the pool. */
export interface TenantSharesOptions {
  readonly store: ShareStore;
  readonly nowMs: () => number;
  readonly limitsOf: (tenant: string) => TenantLimits;
  /** The hosts that are there. */
  readonly live: () => ReadonlySet<string>;
  readonly socketOf: (host: string) => ObjectSocket | undefined;
  /** Whether a host can have no ports any more when it was silent for so long; null for never. */
  readonly leaseMs: () => number | null;
}

const DAY_MS = 86_400_000;
/** A host goes by its base alone when it has not heard its pool for half of this. */
export const LAPSED_MS = 60_000;
/** Beyond its lease: clocks, and what it takes to notice. */
const LEASE_MARGIN_MS = 60_000;
const LOOK_EVERY_MS = 5_000;

/** One per pool object. */
export class TenantShares {
  readonly #options: TenantSharesOptions;
  readonly #ledger: ShareLedger;
  readonly #goneSinceMs = new Map<string, number>();
  #isLoaded = false;
  #day = 0;
  #keptSpent = "";
  #lookedAtMs = -Infinity;

  constructor(options: TenantSharesOptions) {
    this.#options = options;
    this.#ledger = new ShareLedger((tenant) => {
      const limits = options.limitsOf(tenant);
      return isLimited(limits) ? limits : null;
    });
  }

  /** A host has enlisted: what it was told may have been lost. */
  enlisted(host: string): void {
    this.#load();
    if (this.#ledger.member(host) === null) return;
    this.#goneSinceMs.delete(host);
    const message = this.#ledger.join(host);
    this.#keep([host]);
    if (message !== null) this.#send(host, message);
  }

  /** A host says what it uses. */
  used(host: string, { number, tenants }: PoolRequest & { type: "use" }): void {
    this.#load();
    this.#turnDay();
    if (this.#ledger.member(host) === null) this.#ledger.join(host);
    const before = this.#ledger.member(host)?.tenants.keys() ?? [];
    const concerned = new Set([...before, ...tenants.map(({ tenant }) => tenant)]);
    this.#ledger.report(host, number, tenants);
    if (this.#lookForGone()) for (const tenant of this.#ledger.tenants()) concerned.add(tenant);
    this.#review(concerned, host);
  }

  /** The limits are others. */
  limitsChanged(): void {
    this.#load();
    this.#review(this.#ledger.tenants(), null);
  }

  #review(tenants: Iterable<string>, reporter: string | null): void {
    const messages = this.#ledger.review(tenants);
    this.#keep(reporter === null ? messages.keys() : new Set([reporter, ...messages.keys()]));
    for (const [host, message] of messages) this.#send(host, message);
  }

  #send(host: string, message: ShareMessage): void {
    const socket = this.#options.socketOf(host);
    // One that is away is told all when it is back.
    if (socket !== undefined) sendTo(socket, { type: "shares", ...message } satisfies PoolReply);
  }

  #load(): void {
    if (this.#isLoaded) return;
    this.#isLoaded = true;
    const { store } = this.#options;
    for (const [host, { member, goneSinceMs }] of store.sharers()) {
      this.#ledger.restore(host, member);
      if (goneSinceMs !== null) this.#goneSinceMs.set(host, goneSinceMs);
    }
    const spent = store.spent();
    this.#day = spent?.day ?? this.#today;
    for (const [tenant, byteCount] of spent?.spent ?? []) this.#ledger.spend(tenant, byteCount);
    this.#turnDay();
  }

  get #today(): number {
    return Math.floor(this.#options.nowMs() / DAY_MS);
  }

  #turnDay(): void {
    if (this.#today <= this.#day) return;
    this.#day = this.#today;
    this.#ledger.turnDay();
  }

  /** Whether any host's share is less than before, since it is not there. */
  #lookForGone(): boolean {
    const { nowMs, live, leaseMs } = this.#options;
    if (nowMs() - this.#lookedAtMs < LOOK_EVERY_MS) return false;
    this.#lookedAtMs = nowMs();
    const present = live();
    const leasedMs = leaseMs();
    let isLess = false;
    for (const host of this.#ledger.names()) {
      if (present.has(host)) {
        if (this.#goneSinceMs.delete(host)) this.#keep([host]);
        continue;
      }
      const sinceMs = this.#goneSinceMs.get(host);
      if (sinceMs === undefined) {
        this.#goneSinceMs.set(host, nowMs());
        this.#keep([host]);
        continue;
      }
      const goneMs = nowMs() - sinceMs;
      if (leasedMs !== null && goneMs > leasedMs + LEASE_MARGIN_MS) this.#leave(host);
      else if (goneMs > LAPSED_MS) this.#ledger.lapse(host);
      else continue;
      isLess = true;
    }
    return isLess;
  }

  /** It has no ports any more, or is none of the pool's. */
  #leave(host: string): void {
    this.#ledger.leave(host);
    this.#goneSinceMs.delete(host);
    this.#options.store.forget(host);
  }

  #keep(hosts: Iterable<string>): void {
    const { store } = this.#options;
    for (const host of hosts) {
      const member: LedgerMember | null = this.#ledger.member(host);
      if (member !== null) store.put(host, { member, goneSinceMs: this.#goneSinceMs.get(host) ?? null });
    }
    const spent = { day: this.#day, spent: [...this.#ledger.spentBytes()] };
    const text = JSON.stringify(spent);
    if (spent.spent.length === 0 && this.#keptSpent === "") return;
    if (text !== this.#keptSpent) store.putSpent(spent);
    this.#keptSpent = text;
  }
}

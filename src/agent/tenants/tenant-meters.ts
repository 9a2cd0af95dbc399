/**
 * The meters of all tenants of a process, and what holds for them in common: their limits by the pool's
 * policy, the process's share of these, how long a flow may rest, and who makes room when there is little.
 * [LI1] [LI7] [LI9] [LI14]
 */
import type { Identity } from "../../core/identity.ts";
import { MemberShares } from "../../core/member-shares.ts";
import { type Outcome, refuse } from "../../core/outcome.ts";
import { DEFAULT_POOL_POLICY, limitsOf, type PoolPolicy } from "../../core/pool-policy.ts";
import type { Problem } from "../../core/problems.ts";
import type { LocalUse, ShareMessage } from "../../core/share-messages.ts";
import { isLimited } from "../../core/tenant-limits.ts";
import { monotonicMs } from "../../process/clock.ts";
import { type CancelTimer, systemTimers, type Timers } from "../../process/timers.ts";
import type { BeginningFlow, TrackedFlow } from "./running-flows.ts";
import { type MeterClock, TenantMeter } from "./tenant-meter.ts";
import { type TokenRate, TokenRates } from "./token-rates.ts";
import { flowsToEnd, MOST_UNTAKEN_BYTES } from "./untaken-bytes.ts";

/** How long things may last. */
export interface FlowTimes {
  /** Nothing of a request or its answer may pass for so long; tunnels and associations have times of their own. */
  readonly requestIdleMs: number;
  /** Any flow may last so long; null for as long as it lasts. */
  readonly totalMs: number | null;
}

/** What is short on a busy host: connections, of which a process may have so many. */
export interface Crowd {
  /** Whether there is so little room that nobody may have more than an equal part. */
  readonly isCrowded: boolean;
  readonly max: number;
}

/** What they are made with. */
export interface TenantMetersOptions {
  readonly times?: FlowTimes;
  readonly crowd?: Crowd;
  /** What all flows may keep for those that do not take it. */
  readonly mostUntakenBytes?: number;
  /** Told of each flow that is ended early. */
  readonly onCut?: (identity: Identity, problem: Problem) => void;
  readonly clock?: { readonly monotonicMs: () => number; readonly wallMs: () => number };
  readonly timers?: Timers;
}

/** Long for a client that thinks, and short for one that has gone without a word. */
export const FLOW_TIMES: FlowTimes = { requestIdleMs: 300_000, totalMs: null };
/** What passed is looked at this often while some tenant may send only so many bytes. */
const LOOK_MS = 100;
/** Until what is wanted is told, with all that was wanted meanwhile. */
const TELL_MS = 10;
/** Looks between those at how long flows rest. */
const IDLE_LOOKS = 10;
/** How long a flow waits for a share that may come, and how many of a tenant do. */
const SHARE_WAIT_MS = 1_000;
const MOST_WAITING = 256;
/** Tenants that are described and told of. */
export const MOST_TOLD = 256;

/** One per process. */
export class TenantMeters implements MeterClock {
  /** Told what is used here and up to which message the share is known, whenever that changes. */
  onUse: ((number: number, uses: readonly LocalUse[]) => void) | null = null;
  lookedAtMs: number;
  readonly #options: TenantMetersOptions;
  readonly #timers: Timers;
  readonly #meters = new Map<string, TenantMeter>();
  readonly #rates = new TokenRates();
  #policy: PoolPolicy = DEFAULT_POOL_POLICY;
  /** Null while nothing is shared: all of the limits hold here. */
  #shares: MemberShares | null = null;
  readonly #waiting = new Map<TenantMeter, Set<() => void>>();
  #toldUse = "";
  #lookCount = 0;
  #cancelLook: CancelTimer | null = null;
  #cancelTell: CancelTimer | null = null;

  constructor(options: TenantMetersOptions = {}) {
    this.#options = options;
    this.#timers = options.timers ?? systemTimers;
    this.lookedAtMs = this.monotonicMs();
  }

  monotonicMs(): number {
    return this.#options.clock?.monotonicMs() ?? monotonicMs();
  }

  wallMs(): number {
    return this.#options.clock?.wallMs() ?? Date.now();
  }

  /** Goes by the limits of this policy. */
  take(policy: PoolPolicy): void {
    this.#policy = policy;
    this.#changeAll();
  }

  /** From now on the limits are shared out among several, of which this is one that was told nothing yet, and has a base or nothing without a word. */
  shareWithOthers(hasBase: boolean): void {
    this.#shares ??= new MemberShares(hasBase);
    this.#changeAll();
  }

  /** Whoever shares out has not been heard for long. */
  lapse(): void {
    this.#shares?.lapse();
    this.#changeAll();
  }

  /** Goes by this share. */
  takeShare(message: ShareMessage): void {
    this.#shares ??= new MemberShares(true);
    this.#shares.take(message);
    this.#changeAll();
    for (const waiting of this.#waiting.values()) for (const wake of waiting) wake();
    this.tellUse();
  }

  /** Tells what is used, if it is not what was told. */
  tellUse(): void {
    if (this.onUse === null || this.#shares === null) return;
    const uses = this.#uses();
    const { number } = this.#shares;
    const text = JSON.stringify([number, uses]);
    if (text === this.#toldUse) return;
    this.#toldUse = text;
    this.onUse(number, uses);
  }

  /** Of those tenants that have limits and use or want something. */
  #uses(): LocalUse[] {
    const nowMs = this.monotonicMs();
    const uses = this.#rates.uses(nowMs).slice(0, MOST_TOLD / 2);
    for (const meter of this.#meters.values()) {
      if (!isLimited(meter.limits) || uses.length >= MOST_TOLD) continue;
      const used = meter.used();
      const wanted = meter.wants.of(used, nowMs);
      const isNothing = Object.values(used).every((count) => count === 0);
      if (!isNothing || Object.values(wanted).some((count) => count !== undefined && count > 0)) {
        uses.push({ tenant: meter.tenant, used, wanted, limits: meter.limits });
      }
    }
    return uses;
  }

  /** The meter of a tenant. */
  of(tenant: string): TenantMeter {
    let meter = this.#meters.get(tenant);
    if (meter === undefined) {
      meter = new TenantMeter(tenant, this);
      this.#change(meter);
      this.#meters.set(tenant, meter);
    }
    return meter;
  }

  /** The rate of an identity's token; null where it has none. */
  rateOf(identity: Identity): TokenRate | null {
    return this.#rates.of(identity, this.monotonicMs(), this.#shares);
  }

  /** Begins a flow, as `begin` does: at once, or when a share has come. */
  begin(
    meter: TenantMeter,
    identity: Identity,
    flow: BeginningFlow,
    own: TokenRate | null,
  ): Outcome<TrackedFlow, Problem> | Promise<Outcome<TrackedFlow, Problem>> {
    const objection = this.#objectionOfCrowd(meter);
    if (objection !== null) return refuse(objection);
    this.#watch();
    const begun = meter.begin(identity, flow, own);
    if (begun.ok || !this.#mayCome(meter, begun.refusal)) return begun;
    return this.#later(meter, () => meter.begin(identity, flow, own), begun);
  }

  /** Ends what may not run any more; `why` says so of an identity. */
  cutThose(why: (identity: Identity) => Problem | null): void {
    for (const { running } of this.#meters.values()) {
      for (const flow of running) {
        const problem = why(flow.identity);
        if (problem !== null) this.#cut(flow, problem);
      }
    }
  }

  /** For the status: those that use most, first. */
  describe(): Record<string, unknown>[] {
    const all = [...this.#meters.values()].toSorted((a, b) => b.weight - a.weight);
    return all.slice(0, MOST_TOLD).map((meter) => meter.describe());
  }

  close(): void {
    this.#cancelLook?.();
    this.#cancelLook = null;
    this.#cancelTell?.();
  }

  /** Looks at what has passed and what rests. */
  look(): void {
    this.lookedAtMs = this.monotonicMs();
    this.#lookCount += 1;
    const isIdleLook = this.#lookCount % IDLE_LOOKS === 0;
    for (const [tenant, meter] of this.#meters) {
      meter.look((flow, problem) => this.#cut(flow, problem));
      if (isIdleLook) this.#cutResting(meter);
      // What waits begins in this one, and must be found there.
      const isDone = meter.isIdle && !isLimited(meter.limits) && !this.#waiting.has(meter);
      if (isDone && isIdleLook) this.#forget(tenant, meter);
    }
    if (isIdleLook) this.#cutUntaken();
  }

  #cutUntaken(): void {
    const { mostUntakenBytes = MOST_UNTAKEN_BYTES } = this.#options;
    for (const flow of flowsToEnd(this.#meters.values(), this.lookedAtMs, mostUntakenBytes)) {
      this.#cut(flow, { code: "untaken-exhausted" });
    }
  }

  #forget(tenant: string, meter: TenantMeter): void {
    this.#meters.delete(tenant);
    meter.isForgotten = true;
  }

  #cutResting({ running }: TenantMeter): void {
    const { requestIdleMs, totalMs } = this.#options.times ?? FLOW_TIMES;
    for (const flow of running) {
      const restedMs = this.lookedAtMs - flow.movedAtMs;
      const isResting = flow.kind === "request" && restedMs >= requestIdleMs && flow.isUntaken;
      const isOld = totalMs !== null && this.lookedAtMs - flow.beganAtMs >= totalMs;
      if (isResting) this.#cut(flow, { code: "connection-idle" });
      else if (isOld)
        this.#cut(flow, { code: "connection-idle", detail: "It has lasted as long as it may." });
    }
  }

  #cut(flow: TrackedFlow, problem: Problem): void {
    if (flow.cut(problem)) this.#options.onCut?.(flow.identity, problem);
  }

  #changeAll(): void {
    for (const meter of this.#meters.values()) this.#change(meter);
    this.#rates.change(this.#shares, this.monotonicMs());
  }

  #change(meter: TenantMeter): void {
    const limits = limitsOf(this.#policy, meter.tenant);
    meter.change(limits, this.#shares === null ? null : this.#shares.of(meter.tenant, limits));
  }

  /** While there is little room nobody may have more of it than an equal part. [LI7] */
  #objectionOfCrowd(meter: TenantMeter): Problem | null {
    const { crowd } = this.#options;
    if (crowd?.isCrowded !== true) return null;
    let tenantCount = 0;
    for (const { weight } of this.#meters.values()) if (weight > 0) tenantCount += 1;
    const part = Math.floor(crowd.max / Math.max(1, tenantCount + (meter.weight > 0 ? 0 : 1)));
    if (tenantCount < 2 || meter.weight < part) return null;
    const detail = `The tenant ${meter.tenant} has an equal part of them already.`;
    return { code: "connections-exhausted", detail };
  }

  /** What a flood is refused must not be told one by one. */
  #tellSoon(): void {
    this.#cancelTell ??= this.#timers.after(
      TELL_MS,
      () => {
        this.#cancelTell = null;
        this.tellUse();
      },
      "idle",
    );
  }

  #mayCome(meter: TenantMeter, { code }: Problem): boolean {
    if (this.#shares === null || !meter.isShortOfShare(code)) return false;
    this.#tellSoon();
    return (this.#waiting.get(meter)?.size ?? 0) < MOST_WAITING;
  }

  async #later(
    meter: TenantMeter,
    begin: () => Outcome<TrackedFlow, Problem>,
    refused: Outcome<TrackedFlow, Problem>,
  ): Promise<Outcome<TrackedFlow, Problem>> {
    const endMs = this.monotonicMs() + SHARE_WAIT_MS;
    let last = refused;
    while (!last.ok && this.monotonicMs() < endMs && meter.isShortOfShare(last.refusal.code)) {
      await this.#shareOf(meter, endMs - this.monotonicMs());
      last = begin();
    }
    return last;
  }

  #shareOf(meter: TenantMeter, timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(meter) ?? new Set();
      this.#waiting.set(meter, waiting);
      const wake = (): void => {
        cancel();
        waiting.delete(wake);
        if (waiting.size === 0) this.#waiting.delete(meter);
        resolve();
      };
      const cancel = this.#timers.after(timeoutMs, wake);
      waiting.add(wake);
    });
  }

  #watch(): void {
    if (this.#cancelLook !== null) return;
    this.lookedAtMs = this.monotonicMs();
    this.#cancelLook = this.#timers.after(
      LOOK_MS,
      () => {
        this.#cancelLook = null;
        this.look();
        this.tellUse();
        if ([...this.#meters.values()].some(({ isIdle }) => !isIdle) || this.#toldUse.includes("tenant")) {
          this.#watch();
        }
      },
      "idle",
    );
  }
}

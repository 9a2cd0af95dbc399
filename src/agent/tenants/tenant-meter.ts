/**
 * What one tenant uses in this process, and how much more it may: asked at the admission of each flow,
 * and for each port. A refusal is counted by its code, and so is what was wanted, by which the pool
 * shares the tenant's limits out. [LI1] to [LI6]
 */
import type { Identity } from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import { NO_LIMITS, type TenantLimits } from "../../core/pool-policy.ts";
import type { Problem, ProblemCode } from "../../core/problems.ts";
import { type Amounts, LIMITED, type Limited } from "../../core/tenant-limits.ts";
import type { CountedConnection, PortMeter } from "../egress/flow-use.ts";
import { ByteCount, secondsLeftOf } from "./byte-count.ts";
import { type BeginningFlow, type FlowKind, TrackedFlow } from "./running-flows.ts";
import { TokenBucket } from "./token-bucket.ts";
import type { TokenRate } from "./token-rates.ts";
import { untakenBytesOf } from "./untaken-bytes.ts";
import { Wants } from "./wants.ts";

/** What all meters of a process share. */
export interface MeterClock {
  monotonicMs(): number;
  wallMs(): number;
  /** When flows were last looked at, by the monotonic clock. */
  readonly lookedAtMs: number;
}

/** Which limit is which refusal, and after how long such a thing may have come free. */
const REFUSALS: {
  readonly [Thing in Limited]: { readonly code: ProblemCode; readonly retrySeconds: number };
} = {
  requestsPerSecond: { code: "requests-limited", retrySeconds: 1 },
  requestsInFlight: { code: "in-flight-limited", retrySeconds: 1 },
  tunnels: { code: "tunnels-limited", retrySeconds: 5 },
  ports: { code: "ports-limited", retrySeconds: 5 },
  bytesPerDay: { code: "bytes-limited", retrySeconds: 5 },
};

/** Of one tenant. */
export class TenantMeter implements PortMeter {
  readonly tenant: string;
  readonly wants = new Wants();
  readonly running = new Set<TrackedFlow>();
  /** Another is the tenant's by now. */
  isForgotten = false;
  readonly #clock: MeterClock;
  readonly #bytes: ByteCount;
  readonly #refusals = new Map<ProblemCode, number>();
  readonly #counts: { [Kind in FlowKind]: number } = { request: 0, tunnel: 0, association: 0 };
  #limits: TenantLimits = NO_LIMITS;
  /** Of this process; null for all of the limits. */
  #share: Amounts | null = null;
  #requests: TokenBucket | null = null;
  #portCount = 0;

  constructor(tenant: string, clock: MeterClock) {
    this.tenant = tenant;
    this.#clock = clock;
    this.#bytes = new ByteCount(clock.wallMs());
  }

  get limits(): TenantLimits {
    return this.#limits;
  }

  /** Holds from now on. What is used already stays, also beyond it. */
  change(limits: TenantLimits, share: Amounts | null): void {
    const before = LIMITED.map((thing) => this.#mostOf(thing));
    this.#limits = limits;
    this.#share = share;
    for (const [at, thing] of LIMITED.entries()) {
      if (this.#mostOf(thing) > before[at]!) this.wants.given(thing);
    }
    const perSecond = this.#mostOf("requestsPerSecond");
    const nowMs = this.#clock.monotonicMs();
    if (perSecond === Infinity) this.#requests = null;
    else if (this.#requests === null) this.#requests = new TokenBucket(perSecond, nowMs);
    else this.#requests.change(perSecond, nowMs);
  }

  /** What it may use here: its share, or all of the limit. */
  #mostOf(thing: Limited): number {
    const limit = this.#limits[thing];
    if (limit === null) return Infinity;
    return this.#share === null ? limit : Math.min(limit, this.#share[thing] ?? 0);
  }

  /** What it uses now; of requests in a second as many as came in the last one. */
  used(): Amounts {
    return {
      requestsPerSecond: this.wants.rateOf(this.#clock.monotonicMs()),
      requestsInFlight: this.#counts.request,
      tunnels: this.#tunnelCount,
      ports: this.#portCount,
      bytesPerDay: this.#bytes.read(this.#clock.wallMs()),
    };
  }

  /** An association is as long and as dear, whatever is sent by it. [LI4] */
  get #tunnelCount(): number {
    return this.#counts.tunnel + this.#counts.association;
  }

  /** Descriptors of the process, about: one for each flow and each port, and one more where a client sends datagrams to. */
  get weight(): number {
    return this.running.size + this.#counts.association + this.#portCount;
  }

  /** Whether nothing of it is left that would have to be remembered. */
  get isIdle(): boolean {
    return this.weight === 0 && this.#bytes.connectionCount === 0;
  }

  /** Admits a flow, which counts until what it lasts as long as has closed. `own` is the rate of its token. */
  begin(identity: Identity, flow: BeginningFlow, own: TokenRate | null): Outcome<TrackedFlow, Problem> {
    const { kind, until } = flow;
    const nowMs = this.#clock.monotonicMs();
    this.wants.asked(nowMs);
    own?.asked(nowMs);
    const limited = this.#objectionTo(kind, nowMs, own);
    if (limited !== null) return refuse(limited);
    const tracked = new TrackedFlow(identity, flow, this.#clock);
    // It may have gone while its token was verified.
    if (until.destroyed) return ok(tracked);
    this.#counts[kind] += 1;
    this.running.add(tracked);
    // It comes once, and `once` would cost each request more.
    until.on("close", () => {
      if (this.running.delete(tracked)) this.#counts[kind] -= 1;
    });
    return ok(tracked);
  }

  #objectionTo(kind: FlowKind, nowMs: number, own: TokenRate | null): Problem | null {
    if (this.#limits.bytesPerDay !== null && this.#bytes.known >= this.#mostOf("bytesPerDay")) {
      return this.#refused("bytesPerDay");
    }
    const counted: Limited = kind === "request" ? "requestsInFlight" : "tunnels";
    const count = kind === "request" ? this.#counts.request : this.#tunnelCount;
    if (count >= this.#mostOf(counted)) return this.#refused(counted);
    // Last, so that what is refused for another reason takes nothing of a rate; both or none.
    if (own !== null && !own.bucket.has(nowMs)) return this.#tooFast(own.bucket.waitMs(nowMs), "the token");
    if (this.#requests?.take(nowMs) === false) {
      this.wants.refused("requestsPerSecond", nowMs);
      return this.#tooFast(this.#requests.waitMs(nowMs), `the tenant ${this.tenant}`);
    }
    own?.bucket.take(nowMs);
    return null;
  }

  #tooFast(waitMs: number, whose: string): Problem {
    const detail = `It is more than ${whose} may send in a second here.`;
    const retryAfterSeconds = waitMs === Infinity ? 1 : Math.max(1, Math.ceil(waitMs / 1_000));
    return this.#note({ code: "requests-limited", detail, retryAfterSeconds });
  }

  #refused(thing: Limited): Problem {
    const { code, retrySeconds } = REFUSALS[thing];
    const most = this.#mostOf(thing);
    const limit = this.#limits[thing]!;
    this.wants.refused(thing, this.#clock.monotonicMs());
    const share = most < limit ? `, this host's share of ${limit}` : "";
    const retryAfterSeconds =
      thing === "bytesPerDay" && this.#isSpent ? secondsLeftOf(this.#clock.wallMs()) : retrySeconds;
    const detail = `The tenant ${this.tenant} may have ${most} (${thing}${share}).`;
    return this.#note({ code, detail, retryAfterSeconds });
  }

  /** Whether it is refused by a share that is less than the limit, and so may grow. */
  isShortOfShare(code: ProblemCode): boolean {
    return LIMITED.some((thing) => {
      const limit = this.#limits[thing];
      if (REFUSALS[thing].code !== code || limit === null || this.#mostOf(thing) >= limit) return false;
      // Else it was asked for long enough.
      return !this.wants.isOld(thing, this.#clock.monotonicMs());
    });
  }

  /** Whether there is no more of the day's bytes anywhere: this host has all, or was given no more when it asked. */
  get #isSpent(): boolean {
    const most = this.#mostOf("bytesPerDay");
    return most >= this.#limits.bytesPerDay! || this.wants.isOld("bytesPerDay", this.#clock.monotonicMs());
  }

  #note(problem: Problem): Problem {
    this.#refusals.set(problem.code, (this.#refusals.get(problem.code) ?? 0) + 1);
    return problem;
  }

  takePort(): Problem | null {
    if (this.#portCount >= this.#mostOf("ports")) return this.#refused("ports");
    this.#portCount += 1;
    return null;
  }

  releasePort(): void {
    this.#portCount -= 1;
  }

  watch(connection: CountedConnection): void {
    this.#bytes.watch(connection);
  }

  passed(byteCount: number): void {
    this.#bytes.passed(byteCount);
  }

  /** Counts what has passed; when that is all there may be, what runs ends. */
  look(cut: (flow: TrackedFlow, problem: Problem) => void): void {
    if (this.#limits.bytesPerDay === null) return;
    if (this.#bytes.read(this.#clock.wallMs()) < this.#mostOf("bytesPerDay")) return;
    for (const flow of this.running) cut(flow, this.#refused("bytesPerDay"));
  }

  /** For the status. */
  describe(): Record<string, unknown> {
    const used = this.used();
    const limits = LIMITED.filter((thing) => this.#limits[thing] !== null);
    const untakenBytes = [...this.running].reduce((sum, flow) => sum + untakenBytesOf(flow), 0);
    return {
      tenant: this.tenant,
      used: { ...used, associations: this.#counts.association, untakenBytes },
      limits: Object.fromEntries(limits.map((thing) => [thing, this.#limits[thing]])),
      share: Object.fromEntries(limits.map((thing) => [thing, this.#mostOf(thing)])),
      refusals: Object.fromEntries(this.#refusals),
    };
  }
}

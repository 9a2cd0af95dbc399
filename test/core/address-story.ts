/** Tells the story of one address: hosts act, time passes, and the alarm rings when it is due. */
import { execute, type Lease, type LeaseAnswer, type LeaseDecision } from "../../src/core/lease-commands.ts";
import {
  emptyLeaseTable,
  leasesOf,
  type LeaseEvent,
  type LeaseTable,
  nextDeadlineMs,
} from "../../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import { MAX_ORDER } from "../../src/core/port-block.ts";
import { settingsFor } from "../../src/core/share.ts";

/** A sequence of numbers in [0, 1) that is the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An address, its hosts' newest sessions, and its clock. */
export class AddressStory {
  readonly table: LeaseTable;
  readonly events: LeaseEvent[] = [];
  nowMs = Date.UTC(2026, 0, 1);
  readonly #sessions = new Map<string, number>();
  readonly #random = seededRandom(1);
  #requestCount = 0;

  constructor(settings: Partial<PoolSettings> = {}) {
    this.table = emptyLeaseTable({ ...DEFAULT_POOL_SETTINGS, ...settings });
  }

  configure(settings: Partial<PoolSettings>): void {
    this.#carryOut({ type: "configure", settings: { ...this.table.settings, ...settings } });
  }

  join(host: string, instance = `${host}-disk`): LeaseDecision["outcome"] {
    const outcome = this.#carryOut({ type: "join", host, instance });
    if (outcome.ok) this.#sessions.set(host, outcome.value.session!);
    return outcome;
  }

  renew(host: string, session = this.sessionOf(host)): LeaseDecision["outcome"] {
    return this.#carryOut({ type: "renew", host, session });
  }

  acquire(
    host: string,
    order: number,
    requestId = `request-${(this.#requestCount += 1)}`,
    session = this.sessionOf(host),
  ): LeaseDecision["outcome"] {
    return this.#carryOut({ type: "acquire", host, session, requestId, order });
  }

  /** Acquires a block that the story takes for granted. */
  take(host: string, order: number): Lease {
    return granted(this.acquire(host, order)).granted!;
  }

  release(host: string, lease: Lease, session = this.sessionOf(host)): LeaseDecision["outcome"] {
    return this.#carryOut({ type: "release", host, session, base: lease.base, epoch: lease.epoch });
  }

  /** The operator says that it is gone for good, which concerns what it has now, or had then. */
  remove(host: string, epochs = this.epochsOf(host)): void {
    this.#carryOut({ type: "remove", host, epochs });
  }

  epochsOf(host: string): number[] {
    return leasesOf(this.table, host).map(({ epoch }) => epoch);
  }

  retire(isRetiring: boolean): void {
    this.#carryOut({ type: "retire", isRetiring });
  }

  /** Asks for the largest blocks until it is refused. */
  takeAll(host: string): void {
    for (;;) if (!this.acquire(host, MAX_ORDER).ok) return;
  }

  /** The ports that an answer of this moment lets a host hold. */
  told(host: string): number {
    return settingsFor(this.table, host, this.nowMs).maxPortsPerHost;
  }

  tick(): void {
    this.#carryOut({ type: "tick" });
  }

  /** Lets time pass; the alarm rings whenever the table asks for it, and once at the end. */
  wait(durationMs: number): void {
    const endMs = this.nowMs + durationMs;
    for (;;) {
      const deadlineMs = nextDeadlineMs(this.table);
      if (deadlineMs === null || deadlineMs >= endMs) break;
      this.nowMs = Math.max(this.nowMs, deadlineMs);
      this.tick();
      if (nextDeadlineMs(this.table) === deadlineMs) throw new Error("the alarm rings for nothing");
    }
    this.nowMs = endMs;
    this.tick();
  }

  /** Sets the object's clock, while no time passes; nobody notices until somebody looks. */
  setClockBy(stepMs: number): void {
    this.nowMs += stepMs;
  }

  sessionOf(host: string): number {
    return this.#sessions.get(host) ?? 0;
  }

  #carryOut(command: Parameters<typeof execute>[1]): LeaseDecision["outcome"] {
    const { outcome, events } = execute(this.table, command, this.nowMs, this.#random);
    this.events.push(...events);
    return outcome;
  }
}

/** The answer of a command that the story takes for granted. */
export function granted(outcome: LeaseDecision["outcome"]): LeaseAnswer {
  if (!outcome.ok) throw new Error(`refused: ${outcome.refusal}`);
  return outcome.value;
}

/** The reason of a refusal, or what was granted, to be compared with the reason. */
export function refusal(outcome: LeaseDecision["outcome"]): unknown {
  return outcome.ok ? outcome.value : outcome.refusal;
}

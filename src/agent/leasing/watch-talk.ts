/**
 * What a host tells its pool while somebody looks: nothing before it is asked, and nothing after the time
 * for which it was asked. [LV7] [ME7]
 */
import type { PastCounts, TakenDecisions, Watch, WatchedHost } from "../../core/live-view.ts";
import type { PoolRequest } from "../../core/messages.ts";
import type { Clock } from "../../process/clock.ts";
import type { CancelTimer, Timers } from "../../process/timers.ts";

/** This host, as it can be seen. */
export interface HostToSee {
  now(): WatchedHost;
  past(): PastCounts;
  /** Somebody looks, and wants so many decisions each time; null when nobody does any more. */
  watch(decisionCount: number | null): void;
  takeDecisions(): TakenDecisions;
}

/** How it is told. */
export interface WatchTalkOptions {
  readonly host: HostToSee;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly send: (request: PoolRequest) => void;
}

/** A host that is asked to tell as often as this tells at once; else all hosts of a pool would do it together. */
const AT_ONCE_MS = 1_000;

/** On whatever connection there is. */
export class WatchTalk {
  readonly #options: WatchTalkOptions;
  #watch: Watch | null = null;
  #untilMs = 0;
  #isPastWanted = false;
  #cancel: CancelTimer | null = null;

  constructor(options: WatchTalkOptions) {
    this.#options = options;
  }

  /** Somebody looks, or still does; for no time at all when nobody does any more. */
  take(watch: Watch): void {
    if (watch.forMs === 0) return this.stop();
    const { host, clock, timers, random } = this.#options;
    this.#watch = watch;
    this.#untilMs = clock().monotonicMs + watch.forMs;
    this.#isPastWanted ||= watch.past;
    host.watch(watch.decisionCount);
    if (this.#cancel !== null) return;
    const delayMs = watch.everyMs <= AT_ONCE_MS ? 0 : watch.everyMs * random();
    this.#cancel = timers.after(delayMs, () => this.#tell(), "idle");
  }

  /** The connection has ended, or the host does: nobody is told anything more. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
    if (this.#watch !== null) this.#options.host.watch(null);
    this.#watch = null;
    this.#isPastWanted = false;
  }

  #tell(): void {
    const { host, clock, timers, send } = this.#options;
    const watch = this.#watch;
    if (watch === null || clock().monotonicMs >= this.#untilMs) return this.stop();
    this.#cancel = timers.after(watch.everyMs, () => this.#tell(), "idle");
    const { decisions, lostCount: lost } = host.takeDecisions();
    // It may have been asked for fewer meanwhile.
    const told = decisions.slice(0, watch.decisionCount);
    const lostCount = lost + decisions.length - told.length;
    send({
      type: "watched",
      now: host.now(),
      ...(told.length === 0 ? {} : { decisions: told }),
      ...(lostCount === 0 ? {} : { lostCount }),
    });
    // By itself: together they might be longer than a message may be.
    if (this.#isPastWanted) send({ type: "watched", past: host.past() });
    this.#isPastWanted = false;
  }
}

/** The routers of a pool: what is stored of each, its status now, and which are expected back. */
import { beginning, type RouterStatus } from "../../src/core/acknowledgement.ts";
import type { EventLog } from "../events/event-log.ts";
import type { ObjectPlatform } from "../platform/object-platform.ts";
import type { RouterSockets } from "./router-sockets.ts";
import type { SteeringStore, StoredRouter } from "./steering-store.ts";

/** A router as an administrator sees it. */
export interface PoolRouter {
  readonly router: string;
  readonly live: boolean;
  /** Whether it has applied a whole table on its present connection. */
  readonly ready: boolean;
  /** The last change that its kernel is known to have applied. */
  readonly acknowledged: number | null;
  /** Whether grants have gone ahead of it, so that packets may be lost there. */
  readonly lagging: boolean;
  /** Unix milliseconds. */
  readonly seenAtMs: number;
}

/** What the register needs of its pool. */
export interface RegisterOptions {
  readonly platform: ObjectPlatform;
  readonly store: SteeringStore;
  readonly events: EventLog;
  readonly sockets: RouterSockets;
  readonly silenceMs: () => number;
}

const FORGET_AFTER_MS = 7 * 86_400_000;

/** One per pool object. */
export class RouterRegister {
  readonly #options: RegisterOptions;
  readonly #startedAtMs: number;

  constructor(options: RegisterOptions) {
    this.#options = options;
    this.#startedAtMs = options.platform.nowMs();
  }

  /** Writes down what is new of a router. */
  note(router: string, news: Partial<StoredRouter>): void {
    const { store, events } = this.#options;
    const { isConnected: wasConnected = false } = store.router(router) ?? {};
    if (news.isConnected === true && !wasConnected) events.note({ kind: "router-joined", router });
    if (news.isConnected === false && wasConnected) events.note({ kind: "router-gone", router });
    const unknown = { instance: "", isConnected: false, seenAtMs: 0, acknowledged: null, overdue: null };
    store.putRouter({ ...unknown, ...store.router(router), ...news, router });
  }

  /** A router has not applied a change by the deadline. */
  noteOverdue(router: string, sequence: number): void {
    const { platform, store, events } = this.#options;
    platform.report(`router ${router} has not applied change ${sequence} in time`);
    const status = this.#options.sockets.connected().findLast((present) => present.router === router);
    // Until it has caught up it is late for every change.
    const since = store.router(router)?.overdue ?? null;
    const isLateStill = since !== null && (status === undefined || (status.acknowledged ?? 0) < since);
    if (!isLateStill) events.note({ kind: "steering-overdue", router, after: { sequence } });
    // One that was expected back and has not come is away.
    if (status === undefined) this.note(router, { overdue: sequence, isConnected: false });
    else this.note(router, { overdue: sequence, acknowledged: status.acknowledged });
  }

  /** When a router was written of last, in Unix milliseconds; 0 for never. */
  notedAtMs(router: string): number {
    return this.#options.store.router(router)?.seenAtMs ?? 0;
  }

  /** Forgets routers that have been away for long. */
  forgetOld(): void {
    const { platform, store } = this.#options;
    store.forgetRouters(platform.nowMs() - FORGET_AFTER_MS);
  }

  /** Every router, and the number of the last change. */
  describe(): { readonly steeringSequence: number; readonly routers: readonly PoolRouter[] } {
    const { store, sockets } = this.#options;
    const steeringSequence = store.sequence();
    const present = new Map(sockets.connected().map((status) => [status.router, status]));
    const routers = store.routers().map((stored): PoolRouter => {
      const { router, overdue } = stored;
      const status = present.get(router);
      const live = status?.isLive === true;
      const acknowledged = status ? status.acknowledged : stored.acknowledged;
      // One that is away goes on forwarding by what it applied last.
      const due = live ? overdue : steeringSequence;
      return {
        router,
        live,
        ready: live && acknowledged !== null,
        acknowledged,
        lagging: due !== null && (acknowledged === null || acknowledged < due),
        seenAtMs: status?.seenAtMs ?? stored.seenAtMs,
      };
    });
    return { steeringSequence, routers };
  }

  /**
   * The routers that a publication waits for. After a restart of the edge no router is connected for a
   * moment: one whose connection was not seen to end is expected back, for as long as it could
   * have been silent. [ST10]
   */
  awaited(): RouterStatus[] {
    const { platform, store, sockets, silenceMs } = this.#options;
    const awaited: RouterStatus[] = sockets.connected();
    if (platform.nowMs() - this.#startedAtMs >= silenceMs()) return awaited;
    const present = new Set(awaited.map(({ router }) => router));
    for (const { router, isConnected } of store.routers()) {
      if (isConnected && !present.has(router)) awaited.push({ router, isLive: true, ...beginning(0) });
    }
    return awaited;
  }
}

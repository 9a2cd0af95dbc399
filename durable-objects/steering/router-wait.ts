/**
 * Waits for routers. A publication is done once every live router has acknowledged it or the
 * deadline has passed [LAW4]. A wait that is cut off by a restart is begun again by the address.
 * [ST2] [ST5]
 */
import { laggardsOf, steeringTimeoutMs } from "../../src/core/acknowledgement.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import type { ObjectPlatform } from "../platform/object-platform.ts";
import type { Signal } from "./signal.ts";
import type { RouterRegister } from "./router-register.ts";
import type { SteeringStore } from "./steering-store.ts";

/** What a wait needs of its pool. */
export interface WaitOptions {
  readonly platform: ObjectPlatform;
  readonly store: SteeringStore;
  readonly settings: () => PoolSettings;
  readonly register: RouterRegister;
  /** A router has come, gone or acknowledged, or an address has published. */
  readonly news: Signal;
}

/** A wait looks again this often, since a router that is gone does not announce it. */
const LOOK_AGAIN_MS = 500;

/** One per pool object. */
export class RouterWait {
  readonly #options: WaitOptions;

  constructor(options: WaitOptions) {
    this.#options = options;
  }

  /** Waits until all live routers have applied it; names those that have not by the deadline. */
  async applied(sequence: number): Promise<readonly string[]> {
    const { platform, settings, register, news } = this.#options;
    const timeoutMs = steeringTimeoutMs(settings());
    const done = new AbortController();
    let isOver = false;
    const over = platform.wait(timeoutMs, done.signal).then(
      () => (isOver = true),
      () => false,
    );
    try {
      for (;;) {
        const laggards = laggardsOf(register.awaited(), sequence);
        if (laggards.length === 0) return [];
        if (isOver) {
          for (const router of laggards) register.noteOverdue(router, sequence);
          return laggards;
        }
        const look = platform.wait(LOOK_AGAIN_MS, done.signal).catch(() => {});
        await Promise.race([over, news.told, look]);
      }
    } finally {
      done.abort();
    }
  }

  /** Done when every address has published. */
  async allPublished(): Promise<void> {
    const { store, news } = this.#options;
    while (store.hasUnpublished()) await news.told;
  }
}

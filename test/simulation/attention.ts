/** For how long routers could have applied what they are told, and the pool has known of addresses. */
import { FAIR_WEATHER, type Network, type Weather } from "./network.ts";
import type { PoolDisk } from "./pool-disk.ts";
import type { SimulatedRouter } from "./router.ts";

/** A router that could apply all this time is expected to have applied it. */
const ATTENTION_MS = 4_000;
/** One that the pool has heard for so long is one that grants wait for, whatever it has applied. */
const LISTENING_MS = 1_200;

interface Watched {
  /** Since when the pool and the router have heard one another; null while they do not. */
  listeningSinceMs: number | null;
  /** Since when it could follow as well; null while it cannot. */
  attentiveSinceMs: number | null;
}

/** One per run. */
export class Attention {
  readonly #network: Network;
  readonly #badWeather: Weather;
  readonly #routers = new Map<SimulatedRouter, Watched>();
  /** Since when the pool was seen to have blocks of each address; null while it was not. */
  readonly #publishedSinceMs = new Map<string, number | null>();
  #stormAtMs = -Infinity;

  constructor(network: Network, badWeather: Weather) {
    this.#network = network;
    this.#badWeather = badWeather;
  }

  /** Looks at a router, after everything that happens. */
  watch(router: SimulatedRouter): void {
    const { nowMs } = this.#network.timeline;
    const isFair = this.#network.weather === FAIR_WEATHER;
    if (!isFair) this.#stormAtMs = nowMs;
    // What was sent in bad weather may still be on its way, with all that was sent behind it.
    const isClear = nowMs - this.#stormAtMs >= this.#badWeather.latestMs;
    const isListening = router.isHeard;
    const { failureChance, slownessMs } = router.troubles;
    const isQuick = failureChance === 0 && slownessMs === 0 && !router.isBehind;
    const isAttentive = isListening && router.isReady && isFair && isQuick && isClear;
    const before = this.#routers.get(router) ?? { listeningSinceMs: null, attentiveSinceMs: null };
    this.#routers.set(router, before);
    before.listeningSinceMs = isListening ? (before.listeningSinceMs ?? nowMs) : null;
    before.attentiveSinceMs = isAttentive ? (before.attentiveSinceMs ?? nowMs) : null;
  }

  /** The pool takes routers for silent until it hears them next. */
  forgetRouters(): void {
    this.#routers.clear();
  }

  /** Whether grants from this moment on wait for a router. */
  isListening(router: SimulatedRouter, sinceMs: number): boolean {
    return (this.#routers.get(router)?.listeningSinceMs ?? Infinity) <= sinceMs - LISTENING_MS;
  }

  isAttentive(router: SimulatedRouter): boolean {
    return this.#isLong(this.#routers.get(router)?.attentiveSinceMs);
  }

  /** Whether the pool has had blocks of an address for some time: until then routers leave it alone. [ST4] */
  isPublished(ip: string, pool: PoolDisk): boolean {
    const { nowMs } = this.#network.timeline;
    const sinceMs = pool.hasBlocksOf(ip) ? (this.#publishedSinceMs.get(ip) ?? nowMs) : null;
    this.#publishedSinceMs.set(ip, sinceMs);
    return this.#isLong(sinceMs);
  }

  #isLong(sinceMs: number | null = null): boolean {
    return sinceMs !== null && this.#network.timeline.nowMs - sinceMs >= ATTENTION_MS;
  }
}

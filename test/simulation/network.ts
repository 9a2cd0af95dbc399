/**
 * The ways between machines and the objects of the edge. Each direction of each way can be cut by
 * itself. What is sent while it is cut waits, as in the buffers of TCP: it arrives late when the
 * way is whole again, or is lost with its connection.
 */
import type { Chance } from "./chance.ts";
import type { Timeline } from "./timeline.ts";

/** How bad the network is; probabilities are per message. */
export interface Weather {
  readonly shortestMs: number;
  readonly longestMs: number;
  /** Much longer on its way than usual. */
  readonly lateChance: number;
  readonly latestMs: number;
  /** On ways that may do so: lost without a trace, and twice. */
  readonly lossChance: number;
  readonly repeatChance: number;
}

/** Nothing goes wrong. */
export const FAIR_WEATHER: Weather = {
  shortestMs: 1,
  longestMs: 20,
  lateChance: 0,
  latestMs: 20,
  lossChance: 0,
  repeatChance: 0,
};

/** One direction between two parts. */
export class Way {
  /** Since when nothing gets through; null while it does. */
  cutAtMs: number | null = null;
  readonly #stalled: (() => void)[] = [];
  readonly #watchers = new Set<() => void>();
  readonly #timeline: Timeline;

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  cut(): void {
    this.cutAtMs ??= this.#timeline.nowMs;
    for (const watch of this.#watchers) watch();
  }

  /** Calls whenever the way is cut, until the returned function is called. */
  watch(watch: () => void): () => void {
    this.#watchers.add(watch);
    return () => this.#watchers.delete(watch);
  }

  heal(): void {
    this.cutAtMs = null;
    for (const go of this.#stalled.splice(0)) go();
  }

  /** Does this now, or when the way is whole again. */
  pass(go: () => void): void {
    if (this.cutAtMs === null) go();
    else this.#stalled.push(go);
  }
}

/** All ways there are, made when first asked for. */
export class Network {
  weather: Weather;
  readonly timeline: Timeline;
  readonly chance: Chance;
  /** Told of messages that TCP would have brought once. */
  onCareless: (what: "lost" | "repeated") => void = () => {};
  readonly #ways = new Map<string, Way>();

  constructor(timeline: Timeline, chance: Chance, weather: Weather) {
    this.timeline = timeline;
    this.chance = chance;
    this.weather = weather;
  }

  way(from: string, to: string): Way {
    const key = `${from} > ${to}`;
    let way = this.#ways.get(key);
    if (way === undefined) {
      way = new Way(this.timeline);
      this.#ways.set(key, way);
    }
    return way;
  }

  healAll(): void {
    for (const way of this.#ways.values()) way.heal();
  }

  latencyMs(): number {
    const { shortestMs, longestMs, lateChance, latestMs } = this.weather;
    if (this.chance.isLikely(lateChance)) return this.chance.between(longestMs, latestMs);
    return this.chance.between(shortestMs, longestMs);
  }
}

/** One direction of one connection: in order, as TCP is. */
export class Stream {
  readonly way: Way;
  readonly #network: Network;
  #lastArrivalMs = 0;
  isOver = false;

  constructor(network: Network, way: Way) {
    this.#network = network;
    this.way = way;
  }

  carry(deliver: () => void): void {
    this.#carryBehind(() => this.#lastArrivalMs, deliver);
  }

  /**
   * Loses, repeats and reorders as the weather has it, which is more than TCP does: for what must
   * bear even that.
   */
  carryCarelessly(deliver: () => void): void {
    const { chance, weather, onCareless } = this.#network;
    if (chance.isLikely(weather.lossChance)) return onCareless("lost");
    this.#carryBehind(() => 0, deliver);
    if (!chance.isLikely(weather.repeatChance)) return;
    onCareless("repeated");
    this.#carryBehind(() => 0, deliver);
  }

  #carryBehind(earliestMs: () => number, deliver: () => void): void {
    this.way.pass(() => {
      if (this.isOver) return;
      const { timeline } = this.#network;
      const atMs = Math.max(timeline.nowMs + this.#network.latencyMs(), earliestMs());
      this.#lastArrivalMs = Math.max(this.#lastArrivalMs, atMs);
      timeline.at(atMs, () => {
        // Cut off on its way, it waits for the way to be whole again.
        this.way.pass(() => {
          if (!this.isOver) deliver();
        });
      });
    });
  }
}

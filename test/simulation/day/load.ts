/**
 * The load of a day: how many connections towards one destination each host begins in each second,
 * and how many of them last. Nights, bursts of single hosts, and an hour at which everybody wants
 * the same at once. It follows from its seed alone, so the same day can be offered to whatever is
 * to be compared.
 */
import { Chance } from "../chance.ts";

/** What a day is made of. */
export interface DayShape {
  readonly hostCount: number;
  readonly seconds: number;
  /** How long a connection lasts on average; each end is as likely at any moment. */
  readonly meanHoldSeconds: number;
  /** The most connections that all hosts have at once, about. */
  readonly peakCount: number;
  readonly seed: number;
}

/** A wave that one host has by itself. */
interface Burst {
  readonly beginsAt: number;
  readonly endsAt: number;
  readonly factor: number;
}

/** Quietest hour compared with the busiest. */
const NIGHT_SHARE = 0.25;
/** Spread of the hosts' sizes: the standard deviation of the logarithm. */
const SIZE_SPREAD = 0.5;
/** Hosts are of three places, so many parts of a day apart. */
const PLACES = 3;
const PLACE_SHIFT = 1 / 24;
const SECONDS_BETWEEN_BURSTS = 7_200;
const BURST_FACTORS = { from: 1.5, to: 3 };
/** A burst rises and ends within so many seconds. */
const BURST_EDGE_SECONDS = 15;
const BURST_SECONDS = { from: 60, to: 600 };
/** At this part of the day all want the hot destination, for so long. */
const RUSH = { at: 0.78, seconds: 600, factor: 1.3, edgeSeconds: 60 };

/** How busy each host would be at any second, in connections that last at once. */
export class DayLoad {
  readonly shape: DayShape;
  readonly #sizes: number[] = [];
  readonly #phases: number[] = [];
  readonly #bursts: (readonly Burst[])[] = [];
  readonly #scale: number;

  constructor(shape: DayShape) {
    this.shape = shape;
    const chance = new Chance(shape.seed);
    for (let host = 0; host < shape.hostCount; host += 1) {
      this.#sizes.push(Math.exp(SIZE_SPREAD * normal(chance)));
      this.#phases.push((host % PLACES) * PLACE_SHIFT);
      this.#bursts.push(burstsOf(chance, shape.seconds));
    }
    this.#scale = 1;
    let peak = 0;
    for (let second = 0; second < shape.seconds; second += 10) {
      let sum = 0;
      for (let host = 0; host < shape.hostCount; host += 1) sum += this.levelOf(host, second);
      peak = Math.max(peak, sum);
    }
    this.#scale = shape.peakCount / peak;
  }

  /** Connections that last at once, if the load stayed as it is in this second. */
  levelOf(host: number, second: number): number {
    const { seconds } = this.shape;
    const share = second / seconds + this.#phases[host]!;
    const daily = NIGHT_SHARE + (1 - NIGHT_SHARE) * (0.5 - 0.5 * Math.cos(2 * Math.PI * (share - 0.25)));
    const rushBegin = RUSH.at * seconds;
    const rush = wave(second, rushBegin, rushBegin + RUSH.seconds, RUSH.factor, RUSH.edgeSeconds);
    let level = this.#scale * this.#sizes[host]! * daily * rush;
    for (const { beginsAt, endsAt, factor } of this.#bursts[host]!) {
      if (second >= beginsAt - BURST_EDGE_SECONDS && second <= endsAt + BURST_EDGE_SECONDS) {
        level *= wave(second, beginsAt, endsAt, factor, BURST_EDGE_SECONDS);
      }
    }
    return level;
  }

  /** Connections that begin in this second. */
  arrivalsOf(host: number, second: number, chance: Chance): number {
    return poisson(this.levelOf(host, second) / this.shape.meanHoldSeconds, chance);
  }
}

function burstsOf(chance: Chance, seconds: number): Burst[] {
  const bursts: Burst[] = [];
  let at = 0;
  for (;;) {
    at += -Math.log(1 - chance.next()) * SECONDS_BETWEEN_BURSTS;
    if (at >= seconds) return bursts;
    const endsAt = at + chance.between(BURST_SECONDS.from, BURST_SECONDS.to);
    bursts.push({ beginsAt: at, endsAt, factor: chance.between(BURST_FACTORS.from, BURST_FACTORS.to) });
    at = endsAt;
  }
}

/** 1 outside, the factor inside, and straight between. */
function wave(second: number, beginsAt: number, endsAt: number, factor: number, edge: number): number {
  const rise = (second - beginsAt + edge) / edge;
  const fall = (endsAt + edge - second) / edge;
  return 1 + (factor - 1) * Math.max(0, Math.min(1, rise, fall));
}

/** A draw from the standard normal distribution (Box and Muller). */
export function normal(chance: Chance): number {
  return Math.sqrt(-2 * Math.log(1 - chance.next())) * Math.cos(2 * Math.PI * chance.next());
}

/** A draw from the Poisson distribution; of large means by the normal one. */
export function poisson(mean: number, chance: Chance): number {
  if (mean > 30) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal(chance)));
  const limit = Math.exp(-mean);
  let count = -1;
  for (let product = 1; product > limit; product *= 1 - chance.next()) count += 1;
  return count;
}

/** How many of so many end, each with this probability. */
export function binomial(count: number, probability: number, chance: Chance): number {
  const mean = count * probability;
  if (mean > 30) {
    const drawn = Math.round(mean + Math.sqrt(mean * (1 - probability)) * normal(chance));
    return Math.max(0, Math.min(count, drawn));
  }
  if (count > 200) return Math.min(count, poisson(mean, chance));
  let ended = 0;
  for (let at = 0; at < count; at += 1) if (chance.next() < probability) ended += 1;
  return ended;
}

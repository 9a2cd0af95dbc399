/**
 * What a host concludes from its attempts to connect from one address: whether anything gets out.
 *
 * One success proves the uplink, whatever else fails; failures alone prove nothing. So when
 * something fails, or is not answered in time, and nothing has been reached since, a trial is due:
 * of what was reached lately and of what has just failed, a few at a time. If the trial reaches
 * nothing the address is suspect, says which places it means, and goes on trying, slowly, until
 * something is reached. Time is an argument. [UP1] [UP6]
 */
import { type AddressUplink, isLosing, isSamePlace, MAX_DOUBTS, networkOf, type Place } from "./uplink.ts";

/** How long the outcome of a try is counted, for people and for comparison. */
export const WINDOW_MS = 30_000;
/** An attempt that is not answered for this long is a sign of trouble. */
export const TIMEOUT_MS = 1_000;
/** How long a place that was reached is worth trying. */
const REFERENCE_MS = 600_000;
/** How long a place that was never reached is worth trying after it was last wanted. */
const WANTED_MS = 60_000;
/** The least time between two trials; when a doubt has lasted for `LONG_MS`, the longer one. */
export const TRIAL_INTERVAL_MS = 2_000;
export const LATE_TRIAL_INTERVAL_MS = 5_000;
const LONG_MS = 60_000;
/** How soon an address is tried of which its operator said where to, while nothing else is reached. */
export const PROBE_INTERVAL_MS = 5_000;
/** An address that goes down and up again within this time must stay good for longer, up to the limit. */
const FLAP_MEMORY_MS = 120_000;
const LONGEST_RETURN_MS = 30_000;
const MAX_KNOWN = 256;
const MAX_REFERENCES = 32;
const REFERENCES_IN_TRIAL = 3;

interface Known {
  readonly place: Place;
  reachedAtMs: number | null;
  failedAtMs: number | null;
  /** When somebody other than a trial tried it last. */
  wantedAtMs: number | null;
}

/** Something was sent to a place, and nothing has come back. */
export interface Wait {
  readonly place: Place;
  readonly sinceMs: number;
}

/** The result of trying one place; null when it says nothing about the uplink. */
export interface Trial {
  readonly place: Place;
  readonly isReached: boolean | null;
}

/** One per address of a host. Times are milliseconds of one clock that never goes back. */
export class UplinkHealth {
  readonly #hasProbes: boolean;
  /** What was tried lately. */
  readonly #known = new Map<string, Known>();
  /**
   * What was reached lately, which no number of failures may displace: of each network the latest,
   * so that no single owner's ports decide a trial alone. [UP10]
   */
  readonly #references = new Map<string, Known>();
  readonly #pending = new Map<number, Wait>();
  #oldestWait: Wait | null = null;
  #tryCount = 0;
  #reachedAtMs = -Infinity;
  #triedAtMs = -Infinity;
  /** Something else than a try gives reason for a trial, such as a link that went down. */
  #isDoubted = false;
  #suspectSinceMs: number | null = null;
  /** Since when everything is reached again; null while it is not. */
  #returningSinceMs: number | null = null;
  #doubts: readonly Place[] = [];
  #returns: number[] = [];

  /** With probes an address is tried even when nobody wants anything of it. */
  constructor(hasProbes = false) {
    this.#hasProbes = hasProbes;
  }

  /** A connection is tried; the number is to be given back with its end. */
  began(place: Place, nowMs: number): number {
    this.#tryCount += 1;
    this.#pending.set(this.#tryCount, { place, sinceMs: nowMs });
    this.#note(place).wantedAtMs = nowMs;
    return this.#tryCount;
  }

  /** It connected, was refused by the other side (which is an answer), or failed; null says nothing. */
  ended(number: number, isReached: boolean | null, nowMs: number): void {
    const pending = this.#pending.get(number);
    this.#pending.delete(number);
    if (pending === undefined || isReached === null) return;
    this.#outcome(pending.place, isReached, nowMs);
    if (isReached) this.#reached(nowMs);
  }

  /** What waits longest for data on an established connection; null when nothing does. */
  waits(wait: Wait | null, nowMs: number): void {
    this.#oldestWait = wait;
    if (wait !== null && this.#isSign(wait, nowMs)) this.#note(wait.place).wantedAtMs = nowMs;
  }

  /** There is another reason to look: the next trial is due at once. */
  doubt(): void {
    this.#isDoubted = true;
  }

  /** Whether a trial is due now. */
  isTrialDue(nowMs: number): boolean {
    const sinceMs = nowMs - this.#triedAtMs;
    if (this.#suspectSinceMs !== null) {
      return this.#isDoubted || sinceMs >= this.#intervalMs(nowMs);
    }
    if (this.#hasProbes && Math.min(sinceMs, nowMs - this.#reachedAtMs) >= PROBE_INTERVAL_MS) return true;
    return sinceMs >= TRIAL_INTERVAL_MS && (this.#isDoubted || this.#hasSigns(nowMs));
  }

  /** Begins a trial: of what was reached, the latest and the oldest, then such as have failed. */
  beginTrial(nowMs: number): readonly Place[] {
    this.#triedAtMs = nowMs;
    this.#isDoubted = false;
    this.#forget(nowMs);
    const [oldest, ...later] = this.#references.values();
    // One owner of a few machines may be all that was reached lately, but not all that ever was.
    const references = [...later.slice(1 - REFERENCES_IN_TRIAL).toReversed(), ...(oldest ? [oldest] : [])];
    const failing = [...this.#known.values()]
      .filter((one) => !references.includes(one) && this.#isFailing(one, nowMs))
      .toSorted((a, b) => (b.wantedAtMs ?? -Infinity) - (a.wantedAtMs ?? -Infinity));
    return [...references, ...failing].slice(0, MAX_DOUBTS).map(({ place }) => place);
  }

  /** What the trial came to, the operator's own probes among it. */
  endTrial(trials: readonly Trial[], nowMs: number): void {
    const telling = trials.filter(({ isReached }) => isReached !== null);
    for (const { place, isReached } of telling) this.#outcome(place, isReached!, nowMs);
    if (telling.some(({ isReached }) => isReached)) return this.#reached(nowMs);
    if (telling.length === 0) {
      // Nothing is left of what gave reason to doubt.
      if (trials.length === 0) this.#recovered();
      return;
    }
    // What was reached during this trial overrides its result.
    if (this.#reachedAtMs >= this.#triedAtMs) return;
    this.#returningSinceMs = null;
    this.#suspectSinceMs ??= nowMs;
    this.#doubts = telling.map(({ place }) => place).slice(0, MAX_DOUBTS);
  }

  /** How it looks now. */
  view(nowMs: number): AddressUplink {
    const networks = new Map<string, { reachedAtMs: number; failedAtMs: number; known: Known }>();
    for (const known of this.#known.values()) {
      const reachedAtMs = known.reachedAtMs ?? -Infinity;
      const failedAtMs = known.failedAtMs ?? -Infinity;
      if (nowMs - Math.max(reachedAtMs, failedAtMs) > WINDOW_MS) continue;
      const network = networkOf(known.place.ip);
      const other = networks.get(network);
      networks.set(network, {
        reachedAtMs: Math.max(reachedAtMs, other?.reachedAtMs ?? -Infinity),
        failedAtMs: Math.max(failedAtMs, other?.failedAtMs ?? -Infinity),
        known: failedAtMs >= (other?.failedAtMs ?? -Infinity) ? known : other!.known,
      });
    }
    const failed = [...networks.values()].filter((one) => one.failedAtMs > one.reachedAtMs);
    const counts = { destinationCount: networks.size, failedCount: failed.length };
    const isSuspect = this.#suspectSinceMs !== null;
    if (isSuspect) return { state: "suspect", ...counts, doubts: this.#doubts };
    if (!isLosing(counts)) return { state: "good", ...counts, doubts: [] };
    const doubted = failed.toSorted((a, b) => b.failedAtMs - a.failedAtMs).slice(0, MAX_DOUBTS);
    return { state: "good", ...counts, doubts: doubted.map(({ known }) => known.place) };
  }

  /** Something has failed, or waits for too long, and nothing was reached since it began. */
  #hasSigns(nowMs: number): boolean {
    for (const pending of this.#pending.values()) if (this.#isSign(pending, nowMs)) return true;
    if (this.#oldestWait !== null && this.#isSign(this.#oldestWait, nowMs)) return true;
    for (const { failedAtMs, wantedAtMs } of this.#known.values()) {
      if (failedAtMs === null || wantedAtMs === null || nowMs - wantedAtMs > WANTED_MS) continue;
      if (failedAtMs > this.#reachedAtMs && failedAtMs > this.#triedAtMs) return true;
    }
    return false;
  }

  #isSign({ sinceMs }: Wait, nowMs: number): boolean {
    return nowMs - sinceMs >= TIMEOUT_MS && this.#reachedAtMs < sinceMs;
  }

  #isFailing({ place, failedAtMs, reachedAtMs }: Known, nowMs: number): boolean {
    if (failedAtMs !== null && failedAtMs > (reachedAtMs ?? -Infinity)) return true;
    const hangs = (wait: Wait): boolean =>
      isSamePlace(wait.place, place) && nowMs - wait.sinceMs >= TIMEOUT_MS;
    for (const pending of this.#pending.values()) if (hangs(pending)) return true;
    return this.#oldestWait !== null && hangs(this.#oldestWait);
  }

  #outcome(place: Place, isReached: boolean, nowMs: number): void {
    const known = this.#note(place);
    if (isReached) {
      known.reachedAtMs = nowMs;
      putLast(this.#references, networkOf(place.ip), known, MAX_REFERENCES);
    } else {
      known.failedAtMs = nowMs;
    }
  }

  #reached(nowMs: number): void {
    this.#reachedAtMs = nowMs;
    if (this.#suspectSinceMs === null) return;
    this.#returns = this.#returns.filter((atMs) => nowMs - atMs < FLAP_MEMORY_MS);
    this.#returningSinceMs ??= nowMs;
    // The first time at once; one that comes and goes has to hold for ever longer.
    const waitMs = this.#returns.length === 0 ? 0 : 1_000 * 2 ** Math.min(this.#returns.length, 6);
    if (nowMs - this.#returningSinceMs < Math.min(waitMs, LONGEST_RETURN_MS)) return;
    this.#returns.push(nowMs);
    this.#recovered();
  }

  #recovered(): void {
    this.#suspectSinceMs = null;
    this.#returningSinceMs = null;
    this.#doubts = [];
  }

  #intervalMs(nowMs: number): number {
    if (this.#returningSinceMs !== null) return TRIAL_INTERVAL_MS;
    return nowMs - this.#suspectSinceMs! > LONG_MS ? LATE_TRIAL_INTERVAL_MS : TRIAL_INTERVAL_MS;
  }

  #note(place: Place): Known {
    const key = keyOf(place);
    const known = this.#known.get(key) ??
      this.#referenceAt(place) ?? { place, reachedAtMs: null, failedAtMs: null, wantedAtMs: null };
    putLast(this.#known, key, known, MAX_KNOWN);
    return known;
  }

  /** What nobody has wanted or reached for long is tried no more. */
  #forget(nowMs: number): void {
    for (const [network, { reachedAtMs }] of this.#references) {
      if (nowMs - reachedAtMs! >= REFERENCE_MS) this.#references.delete(network);
    }
    for (const [key, known] of this.#known) {
      const isWanted = known.wantedAtMs !== null && nowMs - known.wantedAtMs < WANTED_MS;
      if (!isWanted && this.#referenceAt(known.place) !== known) this.#known.delete(key);
    }
  }

  #referenceAt(place: Place): Known | null {
    const reference = this.#references.get(networkOf(place.ip));
    return reference !== undefined && isSamePlace(reference.place, place) ? reference : null;
  }
}

function keyOf({ ip, port }: Place): string {
  return `${ip} ${port}`;
}

/** The newest stands last, so that the first is the one to forget. */
function putLast(map: Map<string, Known>, key: string, known: Known, most: number): void {
  map.delete(key);
  map.set(key, known);
  if (map.size > most) map.delete(map.keys().next().value!);
}

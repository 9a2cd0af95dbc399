/**
 * What hosts tell of themselves while somebody looks at their pool: asked for anew while it is wanted,
 * held for who looks, and forgotten when nobody does. Nothing of it is stored. [LV7] [LV8]
 */
import {
  LONGEST_EVERY_MS,
  LOOK_LASTS_MS,
  LOOK_INTERVAL_MS,
  MOST_DECISIONS,
  type PoolSight,
  type Telling,
  watchFor,
  type WatchedHost,
} from "../../src/core/live-view.ts";
import type { PoolReply } from "../../src/core/messages.ts";
import { PastSum } from "../../src/core/past-counts.ts";
import { type ObjectPlatform, type ObjectSocket, sendTo } from "../platform/object-platform.ts";
import { viewerOf, type ViewerSockets } from "../viewing/viewer-sockets.ts";
import type { HostSockets } from "./host-sockets.ts";
import type { PoolStore } from "./pool-store.ts";
import type { PoolDescription } from "./pool-view.ts";

/** What it needs of its pool. */
export interface HostWatchOptions {
  readonly platform: ObjectPlatform;
  readonly store: PoolStore;
  readonly sockets: HostSockets;
  readonly viewers: ViewerSockets;
}

type Sight = Exclude<PoolSight<PoolDescription>, { type: "pool" | "pool-change" }>;
type Decision = Extract<Sight, { type: "decisions" }>["decisions"][number];

/** Hosts are asked again while they still tell by what they were asked last. */
const RENEW_MS = LOOK_INTERVAL_MS;
/** Who wants the past again so soon gets what was told. */
const PAST_LASTS_MS = 10_000;
/** Beyond the time between two tellings, until a host that has not told its past counts as silent. */
const PAST_SLACK_MS = 3_000;
/** Decisions that wait to be told, at most: what hosts tell in a second, and some more. */
const MOST_WAITING = 500;
/** And of one host: two tellings may come between two of ours. */
const MOST_WAITING_OF_ONE = 2 * MOST_DECISIONS;

/** The past of all hosts, as it comes in. */
interface PastQuestion {
  readonly sum: PastSum;
  readonly told: Set<string>;
  readonly askedAtMs: number;
  /** How many had told when viewers were told last. */
  shownCount: number;
  isOver: boolean;
}

/** One per pool object. */
export class HostWatch {
  readonly #options: HostWatchOptions;
  /** What was told last, and of whom since viewers were told. */
  readonly #known = new Map<string, WatchedHost>();
  readonly #news = new Set<string>();
  #decisions: Decision[] = [];
  readonly #waitingOf = new Map<string, number>();
  #lostCount = 0;
  /** When somebody wanted decisions last; null while hosts are asked for none. */
  #wantedAtMs: number | null = null;
  #past: PastQuestion | null = null;

  constructor(options: HostWatchOptions) {
    this.#options = options;
  }

  /** A host tells something; nothing comes of it when nobody looks any more. */
  told(host: string, { now, past, decisions = [], lostCount = 0 }: Telling): void {
    if (!this.#options.viewers.isSeen()) return;
    if (now !== undefined) {
      this.#known.set(host, now);
      this.#news.add(host);
    }
    if (past !== undefined && this.#past !== null && !this.#past.told.has(host)) {
      this.#past.told.add(host);
      this.#past.sum.add(past, this.#options.platform.nowMs());
    }
    const waitingCount = this.#waitingOf.get(host) ?? 0;
    const room = Math.min(MOST_WAITING - this.#decisions.length, MOST_WAITING_OF_ONE - waitingCount);
    this.#waitingOf.set(host, waitingCount + Math.min(room, decisions.length));
    for (const decision of decisions.slice(0, room)) this.#decisions.push({ ...decision, host });
    this.#lostCount += lostCount + Math.max(0, decisions.length - room);
  }

  /** To be called once a second while somebody looks: `fresh` have just been told the whole pool. */
  tell(looking: readonly ObjectSocket[], fresh: ReadonlySet<ObjectSocket>): void {
    const { platform, viewers } = this.#options;
    const wants = looking.filter((socket) => viewerOf(socket).decisions === true);
    const owed = looking.filter((socket) => viewerOf(socket).past === true);
    const nowMs = platform.nowMs();
    const isPastOld = this.#past === null || Math.abs(nowMs - this.#past.askedAtMs) >= PAST_LASTS_MS;
    const asksPast = owed.length > 0 && isPastOld && this.#past?.isOver !== false;
    if (asksPast) {
      this.#past = { sum: new PastSum(), told: new Set(), askedAtMs: nowMs, shownCount: 0, isOver: false };
    }
    const isNewWish = wants.length > 0 && this.#wantedAtMs === null;
    if (wants.length > 0) this.#wantedAtMs = nowMs;
    // That nobody wants them any more is no reason to write to every host.
    else if (Math.abs(nowMs - (this.#wantedAtMs ?? nowMs)) >= RENEW_MS) this.#wantedAtMs = null;
    this.#ask(asksPast, isNewWish);
    this.#tellHosts(looking, fresh);
    this.#tellDecisions(wants);
    if (owed.length > 0) this.#tellPast(owed);
    for (const socket of this.#past?.isOver === true ? owed : []) viewers.note(socket, { past: false });
  }

  /** Nobody looks any more: hosts that still tell need not. */
  forget(): void {
    const { platform, sockets } = this.#options;
    for (const { socket, watchedAtMs } of sockets.watchable()) {
      if (watchedAtMs === null) continue;
      sockets.noteUnwatched(socket);
      if (Math.abs(platform.nowMs() - watchedAtMs) >= LOOK_LASTS_MS) continue;
      sendTo(socket, { type: "watch", ...watchFor(1, false, false), forMs: 0 } satisfies PoolReply);
    }
    this.#known.clear();
    this.#news.clear();
    this.#decisions = [];
    this.#waitingOf.clear();
    this.#lostCount = 0;
    this.#wantedAtMs = null;
    this.#past = null;
  }

  /** All that can be watched, whenever there is something new to ask; else those that would soon stop telling. */
  #ask(asksPast: boolean, isNewWish: boolean): void {
    const { platform, sockets } = this.#options;
    const watchable = sockets.watchable();
    const nowMs = platform.nowMs();
    for (const { socket, watchedAtMs } of watchable) {
      const isOld = watchedAtMs === null || Math.abs(nowMs - watchedAtMs) >= RENEW_MS;
      if (!isOld && !asksPast && !isNewWish) continue;
      const wantsDecisions = this.#wantedAtMs !== null;
      const watch = watchFor(watchable.length, asksPast || this.#isPastMissing(socket), wantsDecisions);
      sockets.noteWatched(socket);
      sendTo(socket, { type: "watch", ...watch } satisfies PoolReply);
    }
  }

  /** Whether a host that is asked anyway has yet to tell its past. */
  #isPastMissing(socket: ObjectSocket): boolean {
    if (this.#past === null || this.#past.isOver) return false;
    return !this.#past.told.has(this.#options.sockets.peerOf(socket).host);
  }

  #tellHosts(looking: readonly ObjectSocket[], fresh: ReadonlySet<ObjectSocket>): void {
    const { sockets, viewers } = this.#options;
    const present = new Set(sockets.watchable().map(({ socket }) => sockets.peerOf(socket).host));
    for (const host of this.#known.keys()) if (!present.has(host)) this.#known.delete(host);
    const news = Object.fromEntries([...this.#known].filter(([host]) => this.#news.has(host)));
    this.#news.clear();
    const newsText = textOf({ type: "watched", hosts: news });
    const allText =
      fresh.size === 0 ? newsText : textOf({ type: "watched", hosts: Object.fromEntries(this.#known) });
    for (const socket of looking) {
      const isFresh = fresh.has(socket);
      if ((isFresh ? this.#known.size : Object.keys(news).length) > 0)
        viewers.tell(socket, isFresh ? allText : newsText);
    }
  }

  #tellDecisions(wants: readonly ObjectSocket[]): void {
    const [decisions, lostCount] = [this.#decisions, this.#lostCount];
    this.#decisions = [];
    this.#waitingOf.clear();
    this.#lostCount = 0;
    if (decisions.length === 0 && lostCount === 0) return;
    const text = textOf({ type: "decisions", decisions, lostCount });
    for (const socket of wants) this.#options.viewers.tell(socket, text);
  }

  /** As it comes in, until all have told, or had the time to. */
  #tellPast(owed: readonly ObjectSocket[]): void {
    const question = this.#past!;
    const { platform, store, sockets, viewers } = this.#options;
    const live = [...sockets.liveInstances(store.pool()!.settings).keys()];
    const watchable = sockets.watchable();
    const { everyMs } = watchFor(watchable.length, true, false);
    const isLate =
      Math.abs(platform.nowMs() - question.askedAtMs) >= Math.min(everyMs, LONGEST_EVERY_MS) + PAST_SLACK_MS;
    const isWhole = watchable.every(({ socket }) => question.told.has(sockets.peerOf(socket).host));
    question.isOver ||= isLate || isWhole;
    const hostCount = question.told.size;
    if (!question.isOver && hostCount === question.shownCount) return;
    question.shownCount = hostCount;
    const silentHosts = live.filter((host) => !question.told.has(host));
    const past = question.sum.sum();
    const text = textOf({ type: "past", past, hostCount, silentHosts });
    for (const socket of owed) viewers.tell(socket, text);
  }
}

/** Written once, for however many look. */
function textOf(sight: Sight): string {
  return JSON.stringify(sight);
}

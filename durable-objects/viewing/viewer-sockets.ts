/**
 * The connections of those who look at an object by a page. A viewer looks while it says so; until when
 * its session lasts stays with the socket, which outlives the instance. [LV1] [LV2] [LV3]
 */
import { LOOK_LASTS_MS, MOST_UNHEARD } from "../../src/core/live-view.ts";
import { ok, type Outcome, refuse } from "../../src/core/outcome.ts";
import {
  type Acceptance,
  CLOSE_GONE,
  CLOSE_REFUSED,
  isHeardLately,
  isOpen,
  type ObjectPlatform,
  type ObjectSocket,
} from "../platform/object-platform.ts";
import { type Opener, openerTags } from "../platform/token-sockets.ts";

/** Who looks, as the Worker has verified it. */
export interface Viewer {
  readonly name: string;
  /** Unix milliseconds. */
  readonly sessionEndsAtMs: number;
}

/** Stays with a socket. */
export interface ViewerAttachment {
  readonly viewer: string;
  readonly sessionEndsAtMs: number;
  /** Of the pool whose things it may see. */
  readonly pool: string;
  /** When it connected, or said last that it looks. */
  readonly lookedAtMs: number;
  /** False until it has said that it looks. */
  readonly hasLooked: boolean;
  /** How much it was told on this connection, and has said that it heard, in characters. [LV9] */
  readonly toldLength: number;
  readonly heardLength: number;
  /** What it has been told is this, and all that became of it; null for nothing, or not all. */
  readonly sight: string | null;
  /** Whether it wants a pool's decisions. */
  readonly decisions?: boolean;
  /** Whether it is still to be told a pool's past. */
  readonly past?: boolean;
}

/** The sockets of viewers; no name has a colon. */
const VIEWERS_TAG = ":viewers";
/** As many may look at one object. */
export const MOST_VIEWERS = 64;

/** One per object. */
export class ViewerSockets {
  readonly #platform: ObjectPlatform;

  constructor(platform: ObjectPlatform) {
    this.#platform = platform;
  }

  /** Whether a socket is a viewer's. */
  static isViewer(socket: ObjectSocket): boolean {
    return typeof (socket.deserializeAttachment() as Partial<ViewerAttachment>).viewer === "string";
  }

  /** Connects a viewer to what belongs to this pool. [LV4] */
  connect(viewer: Viewer, pool: string, opener: Opener): Outcome<Acceptance, "viewers-exhausted"> {
    const open = this.#open();
    if (open.length >= MOST_VIEWERS) {
      // Whoever has gone without a word, or hears nothing, holds no place.
      const silent = open.filter((socket) => {
        const one = viewerOf(socket);
        return !this.#isHeard(one) || isBehind(one);
      });
      const leaving = silent.length > 0 ? silent : placeFor(viewer.name, open);
      if (leaving.length === 0) return refuse("viewers-exhausted");
      for (const socket of leaving) socket.close(CLOSE_GONE, "look-missed");
    }
    const attachment: ViewerAttachment = {
      viewer: viewer.name,
      sessionEndsAtMs: viewer.sessionEndsAtMs,
      pool,
      lookedAtMs: this.#platform.nowMs(),
      hasLooked: false,
      toldLength: 0,
      heardLength: 0,
      sight: null,
    };
    return ok({ tags: [VIEWERS_TAG, ...openerTags(opener)], attachment });
  }

  /** Whether anybody looks: all that an object asks itself while nobody does. [LV1] */
  isSeen(): boolean {
    return this.#open().some((socket) => this.isLooking(socket));
  }

  /** Whether a viewer has said lately that it looks, and hears what it is told. */
  isLooking(socket: ObjectSocket): boolean {
    const viewer = viewerOf(socket);
    return viewer.hasLooked && this.#isHeard(viewer) && !isBehind(viewer);
  }

  /** Tells a viewer something. What it does not read waits in the memory of the edge, so it is counted. [LV9] */
  tell(socket: ObjectSocket, text: string): void {
    if (!isOpen(socket)) return;
    socket.send(text);
    this.note(socket, { toldLength: viewerOf(socket).toldLength + text.length });
  }

  /** A viewer says that it looks; false if its session is over. */
  look(socket: ObjectSocket, news: Partial<ViewerAttachment>): boolean {
    if (this.#isEnded(socket)) return false;
    this.note(socket, { ...news, lookedAtMs: this.#platform.nowMs(), hasLooked: true });
    return true;
  }

  /** Notes something of a viewer. */
  note(socket: ObjectSocket, news: Partial<ViewerAttachment>): void {
    socket.serializeAttachment({ ...viewerOf(socket), ...news } satisfies ViewerAttachment);
  }

  /** Those who look now; sessions that are over end. */
  looking(): ObjectSocket[] {
    return this.#open().filter((socket) => {
      if (this.#isEnded(socket)) return false;
      const isLooking = this.isLooking(socket);
      // From here on it misses what it is not told.
      if (!isLooking && viewerOf(socket).sight !== null) this.note(socket, { sight: null });
      return isLooking;
    });
  }

  #isEnded(socket: ObjectSocket): boolean {
    if (this.#platform.nowMs() < viewerOf(socket).sessionEndsAtMs) return false;
    socket.close(CLOSE_REFUSED, "session-ended");
    return true;
  }

  #isHeard({ lookedAtMs }: ViewerAttachment): boolean {
    return isHeardLately(this.#platform, lookedAtMs, LOOK_LASTS_MS);
  }

  #open(): ObjectSocket[] {
    return this.#platform.sockets(VIEWERS_TAG).filter(isOpen);
  }
}

/** Whether it was told much that it has not heard. */
function isBehind({ toldLength, heardLength }: ViewerAttachment): boolean {
  return toldLength - heardLength > MOST_UNHEARD;
}

/** The oldest socket of whoever holds the most places, unless who comes would hold as many then. [LV4] */
function placeFor(name: string, open: readonly ObjectSocket[]): readonly ObjectSocket[] {
  const held = Map.groupBy(open, (socket) => viewerOf(socket).viewer);
  const most = [...held.values()].reduce((one, other) => (other.length > one.length ? other : one));
  return (held.get(name)?.length ?? 0) + 1 < most.length ? most.slice(0, 1) : [];
}

/** What stays with a viewer's socket. */
export function viewerOf(socket: ObjectSocket): ViewerAttachment {
  return socket.deserializeAttachment() as ViewerAttachment;
}

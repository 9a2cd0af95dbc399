/**
 * The connections of a pool's routers: who is live, and how far each is, on its own.
 *
 * A router is live from its connection on. Until it has been sent the table there it has applied
 * nothing, for its kernel may be steering by what it was told on an earlier connection. Progress
 * is kept with the sockets, which outlive the object. [ST10] [ST13] [ST14]
 */
import { beginning, type Progress, type RouterStatus } from "../../src/core/acknowledgement.ts";
import {
  type Acceptance,
  isHeardLately,
  isOpen,
  lastHeardMs,
  type ObjectPlatform,
  type ObjectSocket,
} from "../platform/object-platform.ts";
import { type Opener, openerTags } from "../platform/token-sockets.ts";

/** Stays with a socket. */
export interface RouterAttachment extends Progress {
  readonly router: string;
  /** Null until the router has been sent the table on it, and again when a newer connection has replaced it. */
  readonly instance: string | null;
  readonly heardAtMs: number;
  /** It only looks, and is no router. */
  readonly isObserver?: boolean;
}

/** A router on one of its connections. */
export interface ConnectedRouter extends RouterStatus {
  readonly isEnrolled: boolean;
  /** Unix milliseconds. */
  readonly seenAtMs: number;
}

const ROUTERS_TAG = ":routers";

/** One per pool object. */
export class RouterSockets {
  readonly #platform: ObjectPlatform;
  readonly #silenceMs: () => number;

  /** Who was not heard for `silenceMs` is not live. */
  constructor(platform: ObjectPlatform, silenceMs: () => number) {
    this.#platform = platform;
    this.#silenceMs = silenceMs;
  }

  /** Whether a socket is a router's. */
  static isRouter(socket: ObjectSocket): boolean {
    return typeof (socket.deserializeAttachment() as Partial<RouterAttachment>).router === "string";
  }

  /** Connects a router. */
  connect(router: string, opener: Opener): Acceptance {
    const attachment: RouterAttachment = {
      router,
      instance: null,
      heardAtMs: this.#platform.nowMs(),
      ...beginning(0),
    };
    return { tags: [ROUTERS_TAG, tagOf(router), ...openerTags(opener)], attachment };
  }

  /** Notes what has become of a connection on which its router was heard now. */
  hear(socket: ObjectSocket, news: Partial<RouterAttachment>): void {
    const attachment: RouterAttachment = {
      ...attachmentOf(socket),
      ...news,
      heardAtMs: this.#platform.nowMs(),
    };
    socket.serializeAttachment(attachment);
  }

  /** A newer connection of its router has taken over. */
  replace(socket: ObjectSocket): void {
    socket.serializeAttachment({ ...attachmentOf(socket), instance: null } satisfies RouterAttachment);
  }

  /** Those on which changes are told. */
  enrolled(): ObjectSocket[] {
    return this.#open().filter((socket) => attachmentOf(socket).instance !== null);
  }

  /** Every router that is connected; of one with several connections the one it has enrolled on comes last. */
  connected(): ConnectedRouter[] {
    const all = this.#open().map((socket): ConnectedRouter => {
      const { router, instance, tableSequence, acknowledged } = attachmentOf(socket);
      const seenAtMs = this.seenAtMs(socket);
      const isLive = isHeardLately(this.#platform, seenAtMs, this.#silenceMs());
      return { router, isEnrolled: instance !== null, tableSequence, acknowledged, isLive, seenAtMs };
    });
    return [...all.filter(({ isEnrolled }) => !isEnrolled), ...all.filter(({ isEnrolled }) => isEnrolled)];
  }

  /** When its router was heard last. */
  seenAtMs(socket: ObjectSocket): number {
    return lastHeardMs(this.#platform, socket, attachmentOf(socket).heardAtMs);
  }

  #open(): ObjectSocket[] {
    const sockets = this.#platform.sockets(ROUTERS_TAG);
    return sockets.filter((socket) => isOpen(socket) && attachmentOf(socket).isObserver !== true);
  }
}

/** What stays with a router's socket. */
export function attachmentOf(socket: ObjectSocket): RouterAttachment {
  return socket.deserializeAttachment() as RouterAttachment;
}

/** No name has a colon, so that hosts and routers cannot be mistaken for one another. */
function tagOf(router: string): string {
  return `:router:${router}`;
}

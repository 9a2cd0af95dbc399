/**
 * The connections of a pool's hosts: who is live. A host is live while it is heard on the
 * connection on which it enlisted last, and while it answers when it is asked; both are judged when
 * somebody wants to know, so that heartbeats never wake the object. [DO9] [DO10] [DO20]
 */
import { silenceMsFor } from "../../src/core/liveness.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import { fence } from "../platform/conversation.ts";
import {
  type Acceptance,
  isHeardLately,
  isOpen,
  lastHeardMs,
  type ObjectPlatform,
  type ObjectSocket,
} from "../platform/object-platform.ts";
import { type Opener, openerTags } from "../platform/token-sockets.ts";
import type { StoredHost } from "./pool-store.ts";

/** Stays with a socket. `instance` is null until the host has enlisted on it. */
interface HostAttachment {
  readonly host: string;
  readonly instance: string | null;
  readonly heardAtMs: number;
  /** The silence after which it counts as gone, as it was told. */
  readonly silenceMs?: number;
  /** When it was asked for a word because it was in doubt. */
  readonly askedAtMs?: number;
  /** Where it was told that it is left out. [UP4] */
  readonly ejected?: readonly string[];
  /** Whether it has said on this connection that it can be watched. [ME7] */
  readonly isWatchable?: boolean;
  /** When it was asked last to tell of itself. */
  readonly watchedAtMs?: number;
}

/** The sockets of hosts; no name has a colon. */
const HOSTS_TAG = ":hosts";

/** A host that was asked for a word, and has said none for so long, is not there. */
const WORD_MS = 3_000;
/** Who was heard within this time is not asked. */
const HEARD_JUST_NOW_MS = 1_000;
/** Hosts that are asked within a second, at most: their answers are to be few beside the heartbeats. */
const ASKED_PER_SECOND = 50;

/** One per pool object. */
export class HostSockets {
  readonly #platform: ObjectPlatform;
  /** As told last by this instance. */
  #silenceMs: number | null = null;
  /** How many hosts were asked in the second that began then. */
  #asked = { sinceMs: 0, count: 0 };

  constructor(platform: ObjectPlatform) {
    this.#platform = platform;
  }

  /** Connects a host. */
  connect(host: string, opener: Opener): Acceptance {
    const attachment: HostAttachment = { host, instance: null, heardAtMs: this.#platform.nowMs() };
    return { tags: [HOSTS_TAG, host, ...openerTags(opener)], attachment };
  }

  /** Whose connection it is, and the instance that has enlisted on it; null for none. */
  peerOf(socket: ObjectSocket): { readonly host: string; readonly instance: string | null } {
    return attachmentOf(socket);
  }

  /** Notes that an instance was heard now, and what it has said of its connection. */
  hear(socket: ObjectSocket, instance: string, said: Pick<HostAttachment, "isWatchable"> = {}): void {
    const heardAtMs = this.#platform.nowMs();
    const attachment: HostAttachment = { ...attachmentOf(socket), instance, heardAtMs, ...said };
    socket.serializeAttachment(attachment);
  }

  /** Those whose host can be watched, and when it was asked last. */
  watchable(): { readonly socket: ObjectSocket; readonly watchedAtMs: number | null }[] {
    return this.#platform.sockets(HOSTS_TAG).flatMap((socket) => {
      const { instance, isWatchable, watchedAtMs = null } = attachmentOf(socket);
      return instance !== null && isWatchable === true && isOpen(socket) ? [{ socket, watchedAtMs }] : [];
    });
  }

  /** A host is asked now to tell of itself. */
  noteWatched(socket: ObjectSocket): void {
    const watchedAtMs = this.#platform.nowMs();
    socket.serializeAttachment({ ...attachmentOf(socket), watchedAtMs } satisfies HostAttachment);
  }

  /** A host is told that it need not any more. */
  noteUnwatched(socket: ObjectSocket): void {
    const { watchedAtMs: _over, ...rest } = attachmentOf(socket);
    socket.serializeAttachment(rest satisfies HostAttachment);
  }

  /** Ends the connections that this one replaces. */
  fenceOthers(socket: ObjectSocket): void {
    for (const other of this.#platform.sockets(attachmentOf(socket).host)) {
      if (other !== socket && attachmentOf(other).instance !== null && isOpen(other)) {
        other.serializeAttachment({ ...attachmentOf(other), instance: null } satisfies HostAttachment);
        fence(other);
      }
    }
  }

  /** Those on which a host has enlisted. */
  enlisted(): ObjectSocket[] {
    return this.#platform.sockets(HOSTS_TAG).filter((socket) => attachmentOf(socket).instance !== null);
  }

  /** The connection on which a host has enlisted; a newer one has closed the older. [DO9] */
  socketOf({ host, instance }: Pick<StoredHost, "host" | "instance">): ObjectSocket | undefined {
    return this.#platform
      .sockets(host)
      .find((socket) => isOpen(socket) && attachmentOf(socket).instance === instance);
  }

  /** The silence after which a host counts as gone, in a pool of as many hosts. [DO20] */
  silenceMs({ hostSilenceMs }: PoolSettings): number {
    const hostCount = this.#platform.sockets(HOSTS_TAG).length;
    this.#silenceMs = silenceMsFor(hostSilenceMs, hostCount, this.#silenceMs);
    return this.#silenceMs;
  }

  /** Whether a host was told another silence on this connection. */
  isToldOther(socket: ObjectSocket, silenceMs: number): boolean {
    return attachmentOf(socket).silenceMs !== silenceMs;
  }

  /** A host is told its silence now. Of a shorter one it has not known until now. */
  noteSilence(socket: ObjectSocket, silenceMs: number, settings: PoolSettings): void {
    const attachment = attachmentOf(socket);
    const { silenceMs: beforeMs = settings.hostSilenceMs } = attachment;
    if (silenceMs === attachment.silenceMs) return;
    const isShorter = silenceMs < beforeMs && this.#isHeard(socket, settings);
    const heardAtMs = isShorter ? this.#platform.nowMs() : attachment.heardAtMs;
    socket.serializeAttachment({ ...attachment, silenceMs, heardAtMs } satisfies HostAttachment);
  }

  /**
   * Whether a host in doubt is to be asked for a word, which is noted: not one that has spoken just now
   * or was asked and may still answer, and not too many at a time. [DO20]
   */
  beginAsking(socket: ObjectSocket): boolean {
    const nowMs = this.#platform.nowMs();
    const attachment = attachmentOf(socket);
    const { heardAtMs, askedAtMs = null } = attachment;
    const heardMs = lastHeardMs(this.#platform, socket, heardAtMs);
    const isAsked = askedAtMs !== null && askedAtMs <= nowMs && heardMs <= askedAtMs;
    if (isAsked || Math.abs(nowMs - heardMs) < HEARD_JUST_NOW_MS) return false;
    if (Math.abs(nowMs - this.#asked.sinceMs) >= 1_000) this.#asked = { sinceMs: nowMs, count: 0 };
    if (this.#asked.count >= ASKED_PER_SECOND) return false;
    this.#asked.count += 1;
    socket.serializeAttachment({ ...attachment, askedAtMs: nowMs } satisfies HostAttachment);
    return true;
  }

  /** The instances of hosts that are there, by host: `isLive` for all of them at once. */
  liveInstances(settings: PoolSettings): Map<string, string> {
    const live = new Map<string, string>();
    for (const socket of this.#platform.sockets(HOSTS_TAG)) {
      const { host, instance } = attachmentOf(socket);
      if (instance !== null && isOpen(socket) && this.#isHeard(socket, settings)) live.set(host, instance);
    }
    return live;
  }

  /** Whether a host is there: it was heard lately, and owes no answer. */
  isLive(stored: StoredHost, settings: PoolSettings): boolean {
    const socket = this.socketOf(stored);
    return socket !== undefined && this.#isHeard(socket, settings);
  }

  #isHeard(socket: ObjectSocket, { hostSilenceMs }: PoolSettings): boolean {
    const { heardAtMs, silenceMs = hostSilenceMs, askedAtMs = null } = attachmentOf(socket);
    const heardMs = lastHeardMs(this.#platform, socket, heardAtMs);
    // After the clock was set back, a question that seems to be still to come was never asked.
    const waitedMs = askedAtMs === null || heardMs > askedAtMs ? 0 : this.#platform.nowMs() - askedAtMs;
    return isHeardLately(this.#platform, heardMs, silenceMs) && waitedMs < WORD_MS;
  }
}

function attachmentOf(socket: ObjectSocket): HostAttachment {
  return socket.deserializeAttachment() as HostAttachment;
}

/**
 * The connections of a pool's hosts: who is live. A host is live while it is heard on the
 * connection on which it enlisted last; silence is judged when somebody asks, so that heartbeats
 * never wake the object. [DO9] [DO10]
 */
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
import type { StoredHost } from "./pool-store.ts";

/** Stays with a socket. `instance` is null until the host has enlisted on it. */
interface HostAttachment {
  readonly host: string;
  readonly instance: string | null;
  readonly heardAtMs: number;
  /** Where it was told that it is left out. [UP4] */
  readonly ejected?: readonly string[];
}

/** The sockets of hosts; no name has a colon. */
const HOSTS_TAG = ":hosts";

/** One per pool object. */
export class HostSockets {
  readonly #platform: ObjectPlatform;

  constructor(platform: ObjectPlatform) {
    this.#platform = platform;
  }

  /** Connects a host. */
  connect(host: string): Acceptance {
    const attachment: HostAttachment = { host, instance: null, heardAtMs: this.#platform.nowMs() };
    return { tags: [HOSTS_TAG, host], attachment };
  }

  /** Whose connection it is, and the instance that has enlisted on it; null for none. */
  peerOf(socket: ObjectSocket): { readonly host: string; readonly instance: string | null } {
    return attachmentOf(socket);
  }

  /** Notes that an instance was heard now. */
  hear(socket: ObjectSocket, instance: string): void {
    const heardAtMs = this.#platform.nowMs();
    socket.serializeAttachment({ ...attachmentOf(socket), instance, heardAtMs } satisfies HostAttachment);
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

  /** The instances of hosts that were heard lately, by host: `isLive` for all of them at once. */
  liveInstances({ hostSilenceMs }: PoolSettings): Map<string, string> {
    const live = new Map<string, string>();
    for (const socket of this.#platform.sockets(HOSTS_TAG)) {
      const { host, instance, heardAtMs } = attachmentOf(socket);
      if (instance === null || !isOpen(socket)) continue;
      const heardMs = lastHeardMs(this.#platform, socket, heardAtMs);
      if (isHeardLately(this.#platform, heardMs, hostSilenceMs)) live.set(host, instance);
    }
    return live;
  }

  /** Whether a host was heard lately. */
  isLive(stored: StoredHost, { hostSilenceMs }: PoolSettings): boolean {
    const socket = this.socketOf(stored);
    if (socket === undefined) return false;
    const { heardAtMs } = attachmentOf(socket);
    return isHeardLately(this.#platform, lastHeardMs(this.#platform, socket, heardAtMs), hostSilenceMs);
  }
}

function attachmentOf(socket: ObjectSocket): HostAttachment {
  return socket.deserializeAttachment() as HostAttachment;
}

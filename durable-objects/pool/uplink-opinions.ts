/**
 * What the hosts of a pool find out about each other's uplink. A host that reaches nothing
 * from an address, or loses much there, names what it cannot reach; a few others of that address try it once, and when
 * one gets through the host is left out of the placement, for as long as that is found again.
 * All of it is on disk or with the sockets: the object may be put to sleep at any time.
 * [UP2] [UP3] [UP4]
 */
import type { PoolReply, PoolRequest } from "../../src/core/messages.ts";
import {
  ejectedHosts,
  isOpinionDue,
  isSamePlace,
  type Opinion,
  type UplinkStatus,
} from "../../src/core/uplink.ts";
import { type ObjectSocket, sendTo } from "../platform/object-platform.ts";
import type { PoolStore, StoredHost } from "./pool-store.ts";

/** What the opinions need of their pool. */
export interface OpinionsOptions {
  readonly store: PoolStore;
  readonly nowMs: () => number;
  readonly random: () => number;
  /** Whether a host can be asked, and gets requests. */
  readonly isServing: (host: StoredHost) => boolean;
  /** The connection on which it has enlisted. */
  readonly socketOf: (host: StoredHost) => ObjectSocket | undefined;
}

/** Of what stays with a host's connection: where it was told that it is left out. */
interface EjectionAttachment {
  readonly ejected?: readonly string[];
}

/** Others that are asked at a time: one answer is enough, and one may be away. */
const ASKED_COUNT = 2;

/** One per pool object. */
export class UplinkOpinions {
  readonly #options: OpinionsOptions;

  constructor(options: OpinionsOptions) {
    this.#options = options;
  }

  /** A host has reported: asks others about what it cannot reach. */
  reported(host: string): void {
    const { store, nowMs } = this.#options;
    const stored = store.host(host);
    if (stored === null) return;
    const opinions = { ...stored.opinions };
    for (const { ip, uplink = null } of stored.rooms) {
      const opinion = opinions[ip] ?? null;
      if (uplink !== null && uplink.state === "good" && uplink.doubts.length === 0) delete opinions[ip];
      if (uplink === null || !isOpinionDue({ uplink, opinion }, nowMs())) continue;
      opinions[ip] = { askedAtMs: nowMs(), reachedAtMs: opinion?.reachedAtMs ?? null };
      for (const other of this.#toAsk(host, ip)) {
        sendTo(other, { type: "try", ip, places: uplink.doubts } satisfies PoolReply);
      }
    }
    if (JSON.stringify(opinions) !== JSON.stringify(stored.opinions)) store.putHost({ ...stored, opinions });
    this.#tellEjected(stored.rooms.map(({ ip }) => ip));
  }

  /** A host has tried what others cannot reach. */
  tried(host: string, { ip, reached }: PoolRequest & { type: "tried" }): void {
    const { store, nowMs } = this.#options;
    for (const stored of store.hosts()) {
      const uplink = stored.rooms.find((capacity) => capacity.ip === ip)?.uplink;
      const opinion = stored.opinions[ip];
      // No host is asked about itself, and an answer without a question does not count.
      if (stored.host === host || uplink === undefined || opinion === undefined) continue;
      if (!uplink.doubts.some((doubt) => reached.some((place) => isSamePlace(place, doubt)))) continue;
      const opinions = { ...stored.opinions, [ip]: { ...opinion, reachedAtMs: nowMs() } satisfies Opinion };
      store.putHost({ ...stored, opinions });
    }
    this.#tellEjected([ip]);
  }

  /** The hosts that get no requests on an address, of those that could serve it now. [UP3] */
  ejected(ip: string, serving: readonly StoredHost[]): ReadonlySet<string> {
    return ejectedHosts(
      serving.flatMap((stored) => uplinkStatusOn(ip, stored) ?? []),
      this.#options.nowMs(),
    );
  }

  #toAsk(host: string, ip: string): ObjectSocket[] {
    const { store, random, isServing, socketOf } = this.#options;
    const able = store
      .hosts()
      .flatMap((stored) => {
        const uplink = stored.rooms.find((capacity) => capacity.ip === ip && capacity.portCount > 0)?.uplink;
        if (stored.host === host || uplink === undefined || !isServing(stored)) return [];
        const socket = socketOf(stored);
        return socket === undefined
          ? []
          : [{ socket, rank: uplink.state === "good" ? 0 : 1, chance: random() }];
      })
      // Those in doubt themselves only when there is no other.
      .toSorted((a, b) => a.rank - b.rank || a.chance - b.chance);
    return able.slice(0, ASKED_COUNT).map(({ socket }) => socket);
  }

  /** Tells a host that it is left out; it shows that in its status and its log. */
  #tellEjected(ips: readonly string[]): void {
    const { store, isServing, socketOf } = this.#options;
    const serving = store.hosts().filter(isServing);
    const out = new Map(ips.map((ip) => [ip, this.ejected(ip, serving)]));
    for (const stored of serving) {
      const socket = socketOf(stored);
      if (socket === undefined) continue;
      const attached = socket.deserializeAttachment() as EjectionAttachment;
      const { ejected: told = [] } = attached;
      const kept = told.filter((ip) => !out.has(ip));
      const now = [...kept, ...ips.filter((ip) => out.get(ip)!.has(stored.host))].toSorted();
      if (now.join() === told.join()) continue;
      socket.serializeAttachment({ ...attached, ejected: now } satisfies EjectionAttachment);
      sendTo(socket, { type: "ejected", ips: now } satisfies PoolReply);
    }
  }
}

/** The uplink status of a host on an address that it has capacity on; null when it has none. */
export function uplinkStatusOn(
  ip: string,
  { host, rooms, opinions }: Pick<StoredHost, "host" | "rooms" | "opinions">,
): UplinkStatus | null {
  const capacity = rooms.find((known) => known.ip === ip && known.portCount > 0);
  return capacity === undefined
    ? null
    : { host, uplink: capacity.uplink ?? null, opinion: opinions[ip] ?? null };
}

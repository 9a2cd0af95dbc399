/**
 * The conversation between hosts and a pool: where a host is, what capacity it has, and which addresses
 * it is to serve. What a host says is kept, so that it goes on being placed after a lost
 * connection. [DO12]
 */
import type { PoolReply, PoolRequest } from "../../src/core/messages.ts";
import { ownSettingsOf } from "../../src/core/pool-settings.ts";
import { isStatic } from "../../src/core/static-slots.ts";
import { DEFAULT_WEIGHT } from "../../src/core/whereabouts.ts";
import { gatewayUrl } from "../../src/wire/gateway-url.ts";
import { parsePoolRequest } from "../../src/wire/message-parsers.ts";
import type { PoolAddress } from "../calls/address-calls.ts";
import { readRequest, refuseRequest } from "../platform/conversation.ts";
import type { EventLog } from "../events/event-log.ts";
import { type ObjectPlatform, type ObjectSocket, sendTo } from "../platform/object-platform.ts";
import type { SteeringFeed } from "../steering/steering-feed.ts";
import type { HostAssignments } from "./host-assignments.ts";
import type { HostSockets } from "./host-sockets.ts";
import type { PoolStore, StoredHost, StoredPool } from "./pool-store.ts";
import type { PoolViewers } from "./pool-viewers.ts";
import type { TenantShares } from "./tenant-shares.ts";
import type { UplinkOpinions } from "./uplink-opinions.ts";

/** What the conversation needs of its pool. */
export interface HostSessionsOptions {
  readonly platform: ObjectPlatform;
  readonly store: PoolStore;
  readonly sockets: HostSockets;
  readonly steering: SteeringFeed;
  readonly events: EventLog;
  readonly opinions: UplinkOpinions;
  readonly assignments: HostAssignments;
  readonly policyVersion: () => number;
  readonly shares: TenantShares;
  readonly addressOf: (ip: string) => PoolAddress;
  readonly viewers: PoolViewers;
}

/** Members of a report that came after those by which hosts tell older pools apart. [ME6] */
const TAKES = ["busiestDestination", "policyVersion", "tenants", "watchable"] as const;
const UNREACHABLE = { ipv4: null, ipv6: null };

/** One per pool object. */
export class HostSessions {
  readonly #options: HostSessionsOptions;
  /** What all hosts have been told by this instance; null before that. */
  #toldSilenceMs: number | null = null;

  constructor(options: HostSessionsOptions) {
    this.#options = options;
  }

  /** Hears a host. */
  heard(socket: ObjectSocket, message: string | ArrayBuffer): void {
    const pool = this.#options.store.pool();
    if (pool === null) return refuseHost(socket, "pool-unknown", true);
    const request = readRequest(message, parsePoolRequest);
    if (!request.ok) return refuseHost(socket, request.refusal);
    if (request.value.type === "enlist") this.#enlist(socket, request.value, pool);
    else if (request.value.type === "use") this.#used(socket, request.value);
    else if (request.value.type === "report") this.#report(socket, request.value);
    else if (request.value.type === "watched") this.#watched(socket, request.value);
    else this.#tried(socket, request.value);
  }

  /** Tells every host which addresses it is to serve now, and the own settings of the pool. */
  tellAll(): void {
    this.#tellThose(() => true);
  }

  /** Tells some hosts, by name. */
  tell(hosts: ReadonlySet<string>): void {
    this.#tellThose((host) => hosts.has(host));
  }

  /**
   * Somebody misses these hosts: each is told once more what it is to serve, which it answers with a
   * report. One that says nothing is not there. [DO20]
   */
  doubt(hosts: Iterable<string>): void {
    const { store, sockets } = this.#options;
    const pool = store.pool();
    for (const name of hosts) {
      const stored = store.host(name);
      const socket = stored === null ? undefined : sockets.socketOf(stored);
      if (socket === undefined || pool === null || !sockets.beginAsking(socket)) continue;
      this.#tell(socket, name, pool, sockets.silenceMs(pool.settings));
    }
  }

  #tellThose(isToldTo: (host: string) => boolean): void {
    const { store, sockets } = this.#options;
    const pool = store.pool();
    if (pool === null) return;
    const silenceMs = sockets.silenceMs(pool.settings);
    for (const socket of sockets.enlisted()) {
      const { host } = sockets.peerOf(socket);
      if (isToldTo(host)) this.#tell(socket, host, pool, silenceMs);
    }
  }

  #enlist(socket: ObjectSocket, enlist: PoolRequest & { type: "enlist" }, pool: StoredPool): void {
    const { instance, gateway: told, reach = UNREACHABLE, site = null, weight = DEFAULT_WEIGHT } = enlist;
    const { store, sockets, steering, assignments } = this.#options;
    const { host } = sockets.peerOf(socket);
    const gateway = gatewayUrl(told);
    if (gateway === null) return refuseHost(socket, "gateway-invalid", true);
    const present = store.host(host);
    if (this.#isDuplicate(present, host, instance, pool))
      return refuseHost(socket, "host-already-present", true);
    // A host that only lost its connection goes on being placed as it said last. [DO12]
    const isBack = present?.instance === instance;
    const report = isBack ? present : { draining: false, rooms: [], opinions: {}, policyVersion: null };
    const { draining, rooms, opinions, policyVersion } = report;
    const said = { instance, gateway, draining, rooms, reach, site, weight, opinions, policyVersion };
    store.putHost({ host, ...said });
    // Another instance is a machine that was set up anew, or another one under the name.
    const reason = present === null ? "new" : "other-instance";
    if (!isBack) this.#options.events.note({ kind: "host-joined", host, reason });
    if (pool.isSteered) {
      const { ipv4, ipv6 } = present?.reach ?? UNREACHABLE;
      steering.enlisted({ host, instance, ...reach }, reach.ipv4 !== ipv4 || reach.ipv6 !== ipv6);
    }
    sockets.hear(socket, instance);
    sockets.fenceOthers(socket);
    assignments.review(host);
    const silenceMs = sockets.silenceMs(pool.settings);
    this.#tell(socket, host, pool, silenceMs);
    this.#options.shares.enlisted(host);
    if (silenceMs !== this.#toldSilenceMs) this.#tellSilence(pool, silenceMs);
  }

  /** With the number of hosts, what they are told of their silence changes now and then. */
  #tellSilence(pool: StoredPool, silenceMs: number): void {
    const { sockets } = this.#options;
    this.#toldSilenceMs = silenceMs;
    for (const socket of sockets.enlisted()) {
      const { host } = sockets.peerOf(socket);
      if (sockets.isToldOther(socket, silenceMs)) this.#tell(socket, host, pool, silenceMs);
    }
  }

  #report(socket: ObjectSocket, report: PoolRequest & { type: "report" }): void {
    const { draining, rooms, leaving = [], policyVersion = null, watchable: isWatchable = false } = report;
    const { store, sockets, opinions, assignments } = this.#options;
    const { host, instance } = sockets.peerOf(socket);
    const stored = store.host(host);
    if (stored === null || instance === null) return refuseHost(socket, "message-malformed");
    sockets.hear(socket, instance, { isWatchable });
    // Mostly nothing has changed, and then nothing is written.
    const present = { ...stored, draining, rooms, policyVersion };
    const isOther = stored.draining !== draining || stored.policyVersion !== policyVersion;
    // It drains by itself, or has come back from that.
    if (draining !== stored.draining) {
      this.#options.events.note({ kind: draining ? "host-draining" : "host-back", host });
    }
    if (isOther || JSON.stringify(stored.rooms) !== JSON.stringify(rooms)) store.putHost(present);
    assignments.reported(stored, present, leaving);
    const isDoubted = [...stored.rooms, ...rooms].some(({ uplink }) => (uplink?.doubts.length ?? 0) > 0);
    if (isDoubted) opinions.reported(host);
  }

  #used(socket: ObjectSocket, use: PoolRequest & { type: "use" }): void {
    const { sockets, shares } = this.#options;
    const { host, instance } = sockets.peerOf(socket);
    if (instance === null) return refuseHost(socket, "message-malformed");
    sockets.hear(socket, instance);
    shares.used(host, use);
  }

  #watched(socket: ObjectSocket, telling: PoolRequest & { type: "watched" }): void {
    const { host, instance } = this.#options.sockets.peerOf(socket);
    if (instance === null) return refuseHost(socket, "message-malformed");
    this.#options.viewers.told(host, telling);
  }

  #tried(socket: ObjectSocket, answer: PoolRequest & { type: "tried" }): void {
    const { sockets, opinions } = this.#options;
    const { host, instance } = sockets.peerOf(socket);
    if (instance === null) return refuseHost(socket, "message-malformed");
    sockets.hear(socket, instance);
    opinions.tried(host, answer);
  }

  /**
   * A duplicate instance is refused while the first is live, and while routers steer to it, for what comes to a
   * host's ports goes to where its enlistment said. A restarted host takes over. [HO1]
   */
  #isDuplicate(present: StoredHost | null, host: string, instance: string, pool: StoredPool): boolean {
    const { platform, sockets, steering, assignments, addressOf } = this.#options;
    if (present?.instance === instance) return false;
    if (present !== null && sockets.isLive(present, pool.settings)) {
      // It may have gone without a word, and this be what has come in its place.
      this.doubt([host]);
      return true;
    }
    // Heard or not, it may be sending from its slot for good. [SM5]
    if (present !== null && isStatic(pool.settings) && assignments.ipsOf(host).length > 0) return true;
    const ips = pool.isSteered ? steering.ipsOfDuplicate(host, instance) : [];
    // An address that nobody speaks to may be late to notice that a lease is over.
    const looks = ips.map((ip) => addressOf(ip).describe());
    if (looks.length > 0) platform.keepAwake(settled(looks));
    return ips.length > 0;
  }

  #tell(
    socket: ObjectSocket,
    host: string,
    { name, isSteered, settings: all }: StoredPool,
    hostSilenceMs: number,
  ): void {
    const { store, sockets, assignments, policyVersion } = this.#options;
    const { ips, retiring, isExhausted } = assignments.of(host);
    const advertised = store.advertised(ips);
    sockets.noteSilence(socket, hostSilenceMs, all);
    sendTo(socket, {
      type: "enlisted",
      pool: name,
      ips,
      retiring,
      steered: isSteered,
      takes: TAKES,
      settings: { ...ownSettingsOf(all), hostSilenceMs },
      policyVersion: policyVersion(),
      ...(Object.keys(advertised).length === 0 ? {} : { advertised }),
      ...(isExhausted ? { shortage: "address-exhausted" } : {}),
    } satisfies PoolReply);
  }
}

function refuseHost(
  socket: ObjectSocket,
  code: (PoolReply & { type: "refused" })["code"],
  isOpening?: boolean,
): void {
  refuseRequest(socket, { type: "refused", code } satisfies PoolReply, isOpening);
}

async function settled(works: readonly Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(works);
}

/**
 * One pool: the catalogue of its addresses and hosts, the placement that follows, and the
 * steering table for its routers.
 *
 * It knows who is live, never who owns a port [LAW8]. A host is live while it is heard on its
 * socket; silence is judged when somebody asks, so that heartbeats never wake the object.
 * Settings reach the addresses at once, or by an alarm that tries again. [DO10] [DO11]
 */
import type { MessageRefusal, PoolRefusal, PoolReply, PoolRequest } from "../../src/core/messages.ts";
import { grant, type Outcome, refuse } from "../../src/core/outcome.ts";
import type { PlacedHost, PlacedIp, Placement } from "../../src/core/placement.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import type { Publication } from "../../src/core/publication.ts";
import { gatewayUrl } from "../../src/wire/gateway-url.ts";
import { parsePoolRequest } from "../../src/wire/messages.ts";
import type { PoolAddress } from "../calls/address-calls.ts";
import type { PublishRefusal } from "../calls/pool-calls.ts";
import { within } from "../platform/deadline.ts";
import {
  type Acceptance,
  CLOSE_FAULT,
  CLOSE_FENCED,
  CLOSE_REFUSED,
  isOpen,
  lastHeardMs,
  type ObjectSocket,
  type ObjectWorld,
  sendTo,
} from "../platform/object-world.ts";
import { RouterSockets } from "../steering/router-sockets.ts";
import { type PoolRouter, SteeringFeed } from "../steering/steering-feed.ts";
import { SteeringStore } from "../steering/steering-store.ts";
import { migrate } from "../storage/migrate.ts";
import { AddressOrders } from "./address-orders.ts";
import { describeHost, type PoolHost } from "./host-description.ts";
import { POOL_MIGRATIONS } from "./pool-schema.ts";
import { type PoolIp, PoolStore, type StoredHost, type StoredPool } from "./pool-store.ts";
import { UplinkOpinions } from "./uplink-opinions.ts";

/** A pool as an administrator sees it. */
export interface PoolDescription {
  readonly pool: string;
  readonly settings: PoolSettings;
  readonly ips: readonly PoolIp[];
  readonly hosts: readonly PoolHost[];
  /** Number of the last change of the steering table; 0 in a pool without routers. */
  readonly steeringSequence: number;
  readonly routers: readonly PoolRouter[];
}

/** Stays with a socket. `instance` is null until the host has enlisted on it. */
interface PoolAttachment {
  readonly host: string;
  readonly instance: string | null;
  readonly heardAtMs: number;
  /** Where it was told that it is left out. [UP4] */
  readonly ejected?: readonly string[];
}

/** The sockets of hosts; no name has a colon. */
const HOSTS_TAG = ":hosts";
/** A router waits no longer for addresses that cannot be told of routers. */
const BEGIN_DEADLINE_MS = 5_000;
const UNREACHABLE = { ipv4: null, ipv6: null };

/** One per pool, in the object named as the pool. */
export class PoolService {
  readonly #world: ObjectWorld;
  readonly #store: PoolStore;
  readonly #steering: SteeringFeed;
  readonly #orders: AddressOrders;
  readonly #opinions: UplinkOpinions;
  readonly #addressOf: (ip: string) => PoolAddress;

  constructor(world: ObjectWorld, addressOf: (ip: string) => PoolAddress) {
    this.#addressOf = addressOf;
    this.#world = world;
    migrate(world.storage, POOL_MIGRATIONS);
    this.#store = new PoolStore(world.storage);
    this.#steering = new SteeringFeed({
      world,
      store: new SteeringStore(world.storage),
      settings: () => this.#store.pool()?.settings ?? DEFAULT_POOL_SETTINGS,
      beginSteering: () => this.#beginSteering(),
    });
    this.#orders = new AddressOrders({
      world,
      store: this.#store,
      steering: this.#steering,
      addressOf,
      onChange: () => this.#tellHosts(),
    });
    this.#opinions = new UplinkOpinions({
      store: this.#store,
      nowMs: () => world.nowMs(),
      random: world.random,
      isServing: (stored) => !stored.draining && this.#isLive(stored, this.#store.pool()!.settings),
      socketOf: ({ host, instance }) => this.#socketOf(host, instance),
    });
  }

  /** Makes the pool if need be, and changes the settings that are given. */
  async configure(changes: Partial<PoolSettings>): Promise<PoolDescription> {
    const before = this.#store.pool();
    const settings = { ...DEFAULT_POOL_SETTINGS, ...before?.settings, ...changes };
    const name = before?.name ?? this.#world.name;
    if (name === undefined) throw new Error("a pool's object is reached by the pool's name");
    const revision = (before?.revision ?? 0) + 1;
    this.#store.putPool({ name, settings, revision, isSteered: before?.isSteered ?? false });
    await this.#orders.wakeLater();
    await this.#orders.push();
    return this.#description(this.#store.pool()!);
  }

  /**
   * Adds an address to the pool, changes what it is advertised as, or takes back its removal. The
   * pool keeps it first: what the address says to it decides whether it stays.
   */
  async addIp(
    ip: string,
    advertised: string | null,
  ): Promise<Outcome<PoolDescription, "pool-unknown" | "ip-elsewhere">> {
    if (this.#store.pool() === null) return refuse("pool-unknown");
    const known = this.#store.ip(ip);
    this.#store.advanceRevision();
    this.#store.putIp({ ip, advertised }, 0);
    if (known !== null && known.retiring !== null) this.#tellHosts();
    await this.#orders.wakeLater();
    await this.#orders.push(ip);
    if (this.#store.ip(ip) === null) return refuse("ip-elsewhere");
    if (!this.#store.isConfirmed(ip)) throw new Error(`address ${ip} does not answer yet`);
    return grant(this.#description(this.#store.pool()!));
  }

  /**
   * Takes an address from the pool. Hosts and requests are told at once to leave it alone; it
   * goes when nothing of it is leased or quarantined any more. May be repeated. [RE1] [RE3]
   */
  async removeIp(ip: string): Promise<Outcome<PoolDescription, "pool-unknown" | "ip-unknown">> {
    if (this.#store.pool() === null) return refuse("pool-unknown");
    const known = this.#store.ip(ip);
    if (known === null) return refuse("ip-unknown");
    if (known.retiring === null) {
      this.#store.advanceRevision();
      this.#store.retireIp(ip);
      // With what is written, so that no host is left untold.
      this.#tellHosts();
      await this.#orders.wakeLater();
    }
    await this.#orders.push(ip);
    return grant(this.#description(this.#store.pool()!));
  }

  /** Where requests go now. [DO10] [UP3] */
  async placement(): Promise<Outcome<Placement, "pool-unknown">> {
    const pool = this.#store.pool();
    if (pool === null) return refuse("pool-unknown");
    const placed = new Map<string, PlacedHost[]>(this.#store.ipsToServe().map((ip) => [ip, []]));
    const serving = this.#store
      .hosts()
      .filter((stored) => !stored.draining && this.#isLive(stored, pool.settings));
    const ejected = this.#ejectedOn([...placed.keys()], serving);
    for (const { host, gateway, rooms } of serving) {
      for (const { ip, portCount, busiestCount } of rooms) {
        if (portCount === 0 || ejected.get(ip)?.has(host) === true) continue;
        placed.get(ip)?.push({ host, gateway, portCount, busiestCount });
      }
    }
    const ips = [...placed].map(([ip, hosts]) => ({ ip, hosts }));
    return grant({ pool: pool.name, ips, resting: this.#resting(ips, pool.settings) });
  }

  /** Hosts that are heard and get no requests: they drain, or have nothing to send from. [PL8] */
  #resting(ips: readonly PlacedIp[], settings: PoolSettings): string[] {
    const placed = new Set(ips.flatMap(({ hosts }) => hosts.map(({ host }) => host)));
    const others = this.#store.hosts().filter(({ host }) => !placed.has(host));
    return others.filter((stored) => this.#isLive(stored, settings)).map(({ host }) => host);
  }

  /**
   * Takes what an address publishes for the routers, and answers when they have followed: the
   * routers that have not by the deadline, by name. [ST2]
   */
  async publish(
    ip: string,
    publication: Publication,
  ): Promise<Outcome<readonly string[], PublishRefusal | "pool-unknown">> {
    return this.#store.pool() === null ? refuse("pool-unknown") : this.#steering.publish(ip, publication);
  }

  /** Settings, addresses, hosts and routers. */
  async describe(): Promise<Outcome<PoolDescription, "pool-unknown">> {
    const pool = this.#store.pool();
    return pool === null ? refuse("pool-unknown") : grant(this.#description(pool));
  }

  /** Every host that ever enlisted. */
  async hosts(): Promise<Outcome<readonly PoolHost[], "pool-unknown">> {
    const pool = this.#store.pool();
    return pool === null ? refuse("pool-unknown") : grant(this.#description(pool).hosts);
  }

  /** Connects a host. */
  connectHost(host: string): Outcome<Acceptance, "pool-unknown"> {
    if (this.#store.pool() === null) return refuse("pool-unknown");
    const attachment: PoolAttachment = { host, instance: null, heardAtMs: this.#world.nowMs() };
    return grant({ tags: [HOSTS_TAG, host], attachment });
  }

  /** Connects a router. */
  connectRouter(router: string): Outcome<Acceptance, "pool-unknown"> {
    return this.#store.pool() === null ? refuse("pool-unknown") : grant(this.#steering.connect(router));
  }

  /**
   * Hears a host or a router. What fails is not answered, and whoever waits for the answer would
   * wait for long: its connection ends, so that it asks again. The others go on. [DO6]
   */
  async heard(socket: ObjectSocket, message: string | ArrayBuffer): Promise<void> {
    try {
      if (RouterSockets.isRouter(socket)) await this.#steering.heard(socket, message);
      else this.#heardHost(socket, message);
    } catch (fault) {
      this.#world.report("a message could not be taken", fault);
      if (isOpen(socket)) socket.close(CLOSE_FAULT, "internal-fault");
    }
  }

  /** A connection has ended. */
  closed(socket: ObjectSocket): void {
    if (RouterSockets.isRouter(socket)) this.#steering.closed(socket);
  }

  /** Tells addresses what they could not be told at once, and looks after those that retire. */
  async alarm(): Promise<void> {
    await this.#orders.push();
  }

  #heardHost(socket: ObjectSocket, message: string | ArrayBuffer): void {
    const pool = this.#store.pool();
    if (pool === null) return refuseHost(socket, "pool-unknown", true);
    const request =
      typeof message === "string" ? parsePoolRequest(message) : refuse("message-malformed" as const);
    if (!request.ok) return refuseHost(socket, request.refusal, request.refusal === "version-unsupported");
    if (request.value.type === "enlist") this.#enlist(socket, request.value, pool);
    else if (request.value.type === "report") this.#report(socket, request.value);
    else this.#tried(socket, request.value);
  }

  #enlist(
    socket: ObjectSocket,
    { instance, gateway: told, reach = UNREACHABLE }: PoolRequest & { type: "enlist" },
    pool: StoredPool,
  ): void {
    const { host } = attachmentOf(socket);
    const gateway = gatewayUrl(told);
    if (gateway === null) return refuseHost(socket, "gateway-invalid", true);
    const present = this.#store.host(host);
    if (this.#isTwin(present, host, instance, pool)) return refuseHost(socket, "host-already-present", true);
    // A host that only lost its connection goes on being placed as it said last. [DO12]
    const isBack = present?.instance === instance;
    const report = isBack ? present : { draining: false, rooms: [], opinions: {} };
    const { draining, rooms, opinions } = report;
    this.#store.putHost({ host, instance, gateway, draining, rooms, reach, opinions });
    if (pool.isSteered) {
      const { ipv4, ipv6 } = present?.reach ?? UNREACHABLE;
      this.#steering.enlisted({ host, instance, ...reach }, reach.ipv4 !== ipv4 || reach.ipv6 !== ipv6);
    }
    this.#hear(socket, instance);
    for (const other of this.#world.sockets(host)) {
      if (other !== socket && attachmentOf(other).instance !== null && isOpen(other)) {
        other.serializeAttachment({ ...attachmentOf(other), instance: null } satisfies PoolAttachment);
        other.close(CLOSE_FENCED, "stale-session");
      }
    }
    this.#tellIps(socket, pool);
  }

  #report(socket: ObjectSocket, { draining, rooms }: PoolRequest & { type: "report" }): void {
    const { host, instance } = attachmentOf(socket);
    const stored = this.#store.host(host);
    if (stored === null || instance === null) return refuseHost(socket, "message-malformed");
    this.#hear(socket, instance);
    // Mostly nothing has changed, and then nothing is written.
    if (stored.draining !== draining || JSON.stringify(stored.rooms) !== JSON.stringify(rooms)) {
      this.#store.putHost({ ...stored, draining, rooms });
    }
    const isDoubted = [...stored.rooms, ...rooms].some(({ uplink }) => (uplink?.doubts.length ?? 0) > 0);
    if (isDoubted) this.#opinions.reported(host);
  }

  #tried(socket: ObjectSocket, answer: PoolRequest & { type: "tried" }): void {
    const { host, instance } = attachmentOf(socket);
    if (instance === null) return refuseHost(socket, "message-malformed");
    this.#hear(socket, instance);
    this.#opinions.tried(host, answer);
  }

  /**
   * A twin is refused while the first is live, and while routers steer to it, for what comes to a
   * host's ports goes to where its enlistment said. A restarted host takes over. [HO1]
   */
  #isTwin(present: StoredHost | null, host: string, instance: string, pool: StoredPool): boolean {
    if (present?.instance === instance) return false;
    if (present !== null && this.#isLive(present, pool.settings)) return true;
    const ips = pool.isSteered ? this.#steering.ipsOfTwin(host, instance) : [];
    // An address that nobody speaks to may be late to notice that a lease is over.
    const looks = ips.map((ip) => this.#addressOf(ip).describe());
    if (looks.length > 0) this.#world.keepAwake(settled(looks));
    return ips.length > 0;
  }

  #hear(socket: ObjectSocket, instance: string): void {
    const heardAtMs = this.#world.nowMs();
    socket.serializeAttachment({ ...attachmentOf(socket), instance, heardAtMs } satisfies PoolAttachment);
  }

  #tellHosts(): void {
    const pool = this.#store.pool();
    if (pool === null) return;
    for (const socket of this.#world.sockets(HOSTS_TAG)) {
      if (attachmentOf(socket).instance !== null) this.#tellIps(socket, pool);
    }
  }

  #tellIps(socket: ObjectSocket, { name, isSteered }: StoredPool): void {
    const ips = this.#store.ipsToServe();
    sendTo(socket, { type: "enlisted", pool: name, ips, steered: isSteered } satisfies PoolReply);
  }

  #isLive(stored: StoredHost, { hostSilenceMs }: PoolSettings): boolean {
    const socket = this.#socketOf(stored.host, stored.instance);
    if (socket === undefined) return false;
    const { heardAtMs } = attachmentOf(socket);
    return this.#world.nowMs() - lastHeardMs(this.#world, socket, heardAtMs) < hostSilenceMs;
  }

  /** The connection on which a host has enlisted; a newer one has closed the older. [DO9] */
  #socketOf(host: string, instance: string): ObjectSocket | undefined {
    return this.#world
      .sockets(host)
      .find((socket) => isOpen(socket) && attachmentOf(socket).instance === instance);
  }

  #ejectedOn(ips: readonly string[], serving: readonly StoredHost[]): Map<string, ReadonlySet<string>> {
    return new Map(ips.map((ip) => [ip, this.#opinions.ejected(ip, serving)]));
  }

  #description({ name, settings }: StoredPool): PoolDescription {
    const nowMs = this.#world.nowMs();
    const all = this.#store.hosts();
    const serving = all.filter((stored) => !stored.draining && this.#isLive(stored, settings));
    const ejected = this.#ejectedOn(this.#store.ipsToServe(), serving);
    const hosts = all.map((stored) =>
      describeHost(
        stored,
        this.#isLive(stored, settings),
        nowMs,
        (ip) => ejected.get(ip)?.has(stored.host) === true,
      ),
    );
    return { pool: name, settings, ips: this.#store.ips(), hosts, ...this.#steering.describe() };
  }

  /** From its first router on the pool is steered, and its addresses publish. */
  async #beginSteering(): Promise<void> {
    const pool = this.#store.pool();
    if (pool === null) return;
    if (!pool.isSteered) {
      this.#store.putPool({ ...pool, isSteered: true, revision: pool.revision + 1 });
      // From now on it matters whether routers can find them. [PM7]
      this.#tellHosts();
      await this.#orders.wakeLater();
      this.#world.keepAwake(this.#orders.push());
    }
    // No router is ready before all addresses are in its table, if that can be. [ST15]
    await within(this.#world, BEGIN_DEADLINE_MS, this.#steering.allPublished());
  }
}

function attachmentOf(socket: ObjectSocket): PoolAttachment {
  return socket.deserializeAttachment() as PoolAttachment;
}

/** A connection whose opening is refused is closed as well: nothing can follow on it. */
function refuseHost(socket: ObjectSocket, code: PoolRefusal | MessageRefusal, isOpening = false): void {
  sendTo(socket, { type: "refused", code } satisfies PoolReply);
  if (isOpening && isOpen(socket)) socket.close(CLOSE_REFUSED, code);
}

async function settled(works: readonly Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(works);
}

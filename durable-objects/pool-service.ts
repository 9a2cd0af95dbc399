/**
 * One pool: the catalogue of its addresses and hosts, the placement that follows, and the
 * steering table for its routers.
 *
 * It knows who is live, never who owns a port (law 8). A host is live while it is heard on its
 * socket; silence is judged when somebody asks, so that heartbeats never wake the object.
 * Settings reach the addresses at once, or by an alarm that tries again. [DO10] [DO11]
 */
import type {
  AddressRoom,
  MessageRefusal,
  PoolRefusal,
  PoolReply,
  PoolRequest,
} from "../src/core/messages.ts";
import { grant, type Outcome, refuse } from "../src/core/outcome.ts";
import type { Publication } from "../src/core/publication.ts";
import type { PlacedHost, Placement } from "../src/core/placement.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../src/core/pool-settings.ts";
import { parsePoolRequest } from "../src/wire/messages.ts";
import { within } from "./deadline.ts";
import {
  type Acceptance,
  CLOSE_FENCED,
  CLOSE_REFUSED,
  isOpen,
  lastHeardMs,
  type ObjectSocket,
  type ObjectWorld,
  sendTo,
} from "./object-world.ts";
import { type PoolIp, PoolStore, type StoredHost, type StoredPool } from "./pool-store.ts";
import { migrate, POOL_MIGRATIONS } from "./schema.ts";
import { type PoolRouter, type PublishRefusal, SteeringFeed } from "./steering-feed.ts";
import { SteeringStore } from "./steering-store.ts";

/** A host as an administrator sees it. */
export interface PoolHost {
  readonly host: string;
  readonly gateway: string;
  readonly live: boolean;
  readonly draining: boolean;
  readonly rooms: readonly AddressRoom[];
}

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
}

/** After which an address that could not be told its settings is told again. */
const RETRY_AFTER_MS = 2_000;
/** The sockets of hosts; no name has a colon. */
const HOSTS_TAG = ":hosts";
/** A router waits no longer for addresses that cannot be told of routers. */
const BEGIN_DEADLINE_MS = 5_000;
const UNREACHABLE = { ipv4: null, ipv6: null };

/** An address, as far as its pool speaks to it. */
export interface PoolAddress {
  assign(pool: string, settings: PoolSettings, isSteered: boolean): Promise<Outcome<null, "ip-elsewhere">>;
}

/** One per pool, in the object named as the pool. */
export class PoolService {
  readonly #world: ObjectWorld;
  readonly #addressOf: (ip: string) => PoolAddress;
  readonly #store: PoolStore;
  readonly #steering: SteeringFeed;
  /** One push after the other, so that older settings never overtake newer ones. */
  #push: Promise<void> = Promise.resolve();

  constructor(world: ObjectWorld, addressOf: (ip: string) => PoolAddress) {
    this.#world = world;
    this.#addressOf = addressOf;
    migrate(world.storage, POOL_MIGRATIONS);
    this.#store = new PoolStore(world.storage);
    this.#steering = new SteeringFeed({
      world,
      store: new SteeringStore(world.storage),
      settings: () => this.#store.pool()?.settings ?? DEFAULT_POOL_SETTINGS,
      beginSteering: () => this.#beginSteering(),
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
    await this.#world.setAlarm(this.#world.nowMs() + RETRY_AFTER_MS);
    await this.#pushSettings();
    return this.#description(this.#store.pool()!);
  }

  /** Adds an address to the pool, or changes what it is advertised as. */
  async addIp(
    ip: string,
    advertised: string | null,
  ): Promise<Outcome<PoolDescription, "pool-unknown" | "ip-elsewhere">> {
    const pool = this.#store.pool();
    if (pool === null) return refuse("pool-unknown");
    const assigned = await this.#addressOf(ip).assign(pool.name, pool.settings, false);
    if (!assigned.ok) return refuse(assigned.refusal);
    // Where there are routers an address is told of them once the pool knows it, and can take
    // what it publishes.
    this.#store.putIp({ ip, advertised }, pool.isSteered ? 0 : pool.revision);
    // The settings may have changed while the address was told the older ones.
    await this.#pushSettings();
    for (const socket of this.#world.sockets(HOSTS_TAG)) {
      if (attachmentOf(socket).instance !== null) this.#tellIps(socket, pool.name);
    }
    return grant(this.#description(this.#store.pool()!));
  }

  /** Where requests go now. [DO10] */
  async placement(): Promise<Outcome<Placement, "pool-unknown">> {
    const pool = this.#store.pool();
    if (pool === null) return refuse("pool-unknown");
    const placed = new Map<string, PlacedHost[]>(this.#store.ips().map(({ ip }) => [ip, []]));
    for (const stored of this.#store.hosts()) {
      if (stored.draining || !this.#isLive(stored, pool.settings)) continue;
      const { host, gateway } = stored;
      for (const { ip, portCount, busiestCount } of stored.rooms) {
        if (portCount > 0) placed.get(ip)?.push({ host, gateway, portCount, busiestCount });
      }
    }
    return grant({ pool: pool.name, ips: [...placed].map(([ip, hosts]) => ({ ip, hosts })) });
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
   * wait for good: the instance goes, and its connections with it, so that they ask again. [DO6]
   */
  async heard(socket: ObjectSocket, message: string | ArrayBuffer): Promise<void> {
    try {
      if (SteeringFeed.isRouter(socket)) await this.#steering.heard(socket, message);
      else this.#heardHost(socket, message);
    } catch (fault) {
      this.#world.abort(`a message could not be taken: ${String(fault)}`);
      throw fault;
    }
  }

  /** A connection has ended. */
  closed(socket: ObjectSocket): void {
    if (SteeringFeed.isRouter(socket)) this.#steering.closed(socket);
  }

  /** Tells addresses their settings that could not be told at once. */
  async alarm(): Promise<void> {
    await this.#pushSettings();
  }

  #heardHost(socket: ObjectSocket, message: string | ArrayBuffer): void {
    const pool = this.#store.pool();
    if (pool === null) return refuseHost(socket, "pool-unknown", true);
    const request =
      typeof message === "string" ? parsePoolRequest(message) : refuse("message-malformed" as const);
    if (!request.ok) return refuseHost(socket, request.refusal, request.refusal === "version-unsupported");
    if (request.value.type === "enlist") this.#enlist(socket, request.value, pool);
    else this.#report(socket, request.value);
  }

  #enlist(
    socket: ObjectSocket,
    { instance, gateway, reach = UNREACHABLE }: PoolRequest & { type: "enlist" },
    pool: StoredPool,
  ): void {
    const { host } = attachmentOf(socket);
    if (!isGatewayUrl(gateway)) return refuseHost(socket, "gateway-invalid", true);
    const present = this.#store.host(host);
    if (this.#isTwin(present, host, instance, pool)) return refuseHost(socket, "host-already-present", true);
    // A host that only lost its connection goes on being placed as it said last. [DO12]
    const isBack = present?.instance === instance;
    const report = isBack ? present : { draining: false, rooms: [] };
    const { draining, rooms } = report;
    this.#store.putHost({ host, instance, gateway, draining, rooms, reach, isDisowned: false });
    const known = present === null || present.isDisowned ? UNREACHABLE : present.reach;
    if (pool.isSteered && (reach.ipv4 !== known.ipv4 || reach.ipv6 !== known.ipv6)) {
      this.#steering.announce({ host, ...reach });
    }
    this.#hear(socket, instance);
    for (const other of this.#world.sockets(host)) {
      if (other !== socket && attachmentOf(other).instance !== null && isOpen(other)) {
        other.serializeAttachment({ ...attachmentOf(other), instance: null } satisfies PoolAttachment);
        other.close(CLOSE_FENCED, "stale-session");
      }
    }
    this.#tellIps(socket, pool.name);
  }

  #report(socket: ObjectSocket, { draining, rooms }: PoolRequest & { type: "report" }): void {
    const { host, instance } = attachmentOf(socket);
    const stored = this.#store.host(host);
    if (stored === null || instance === null) return refuseHost(socket, "message-malformed");
    this.#hear(socket, instance);
    // Mostly nothing has changed, and then nothing is written.
    if (stored.draining === draining && JSON.stringify(stored.rooms) === JSON.stringify(rooms)) return;
    this.#store.putHost({ ...stored, draining, rooms });
  }

  /**
   * A twin is refused while the first is live, and while routers steer to it, for what comes to a
   * host's ports goes to where its enlistment said. A restarted host takes over. [HO1]
   */
  #isTwin(present: StoredHost | null, host: string, instance: string, pool: StoredPool): boolean {
    if (present === null) return false;
    const isOther = present.instance !== instance;
    if (isOther && this.#isLive(present, pool.settings)) return true;
    return (isOther || present.isDisowned) && this.#steering.isSteeredToTwin(host, instance);
  }

  #hear(socket: ObjectSocket, instance: string): void {
    const { host } = attachmentOf(socket);
    const heardAtMs = this.#world.nowMs();
    socket.serializeAttachment({ host, instance, heardAtMs } satisfies PoolAttachment);
  }

  #tellIps(socket: ObjectSocket, pool: string): void {
    const ips = this.#store.ips().map(({ ip }) => ip);
    sendTo(socket, { type: "enlisted", pool, ips } satisfies PoolReply);
  }

  #isLive({ host, instance }: StoredHost, { hostSilenceMs }: PoolSettings): boolean {
    const nowMs = this.#world.nowMs();
    return this.#world.sockets(host).some((socket) => {
      const attached = attachmentOf(socket);
      if (!isOpen(socket) || attached.instance !== instance) return false;
      return nowMs - lastHeardMs(this.#world, socket, attached.heardAtMs) < hostSilenceMs;
    });
  }

  #description({ name, settings }: StoredPool): PoolDescription {
    const hosts = this.#store.hosts().map((stored): PoolHost => {
      const { host, gateway, draining, rooms } = stored;
      return { host, gateway, live: this.#isLive(stored, settings), draining, rooms };
    });
    return { pool: name, settings, ips: this.#store.ips(), hosts, ...this.#steering.describe() };
  }

  /** From its first router on the pool is steered, and its addresses publish. */
  async #beginSteering(): Promise<void> {
    const pool = this.#store.pool();
    // Later routers wait for nothing: they may be steering by the rules they left behind, and
    // until they have been sent the table no grant waits for them. [ST4]
    if (pool === null || pool.isSteered) return;
    this.#store.putPool({ ...pool, isSteered: true, revision: pool.revision + 1 });
    await this.#world.setAlarm(this.#world.nowMs() + RETRY_AFTER_MS);
    // The first is ready when all addresses are in its table, if that can be.
    await within(this.#world, BEGIN_DEADLINE_MS, this.#pushSettings());
  }

  #pushSettings(): Promise<void> {
    const pushNow = (): Promise<void> => this.#pushNow();
    this.#push = this.#push.then(pushNow, pushNow);
    return this.#push;
  }

  async #pushNow(): Promise<void> {
    const pool = this.#store.pool();
    if (pool === null) return;
    await Promise.all(
      this.#store.ipsBehind(pool.revision).map(async (ip) => {
        try {
          await this.#addressOf(ip).assign(pool.name, pool.settings, pool.isSteered);
          this.#store.markFollowing(ip, pool.revision);
        } catch (fault) {
          this.#world.report(`address ${ip} could not be told its settings`, fault);
        }
      }),
    );
    const isDone = this.#store.ipsBehind(pool.revision).length === 0;
    await (isDone ? this.#world.deleteAlarm() : this.#world.setAlarm(this.#world.nowMs() + RETRY_AFTER_MS));
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

/** A gateway is reached by http or https, and needs a token, not credentials in its URL. [DO14] */
function isGatewayUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  if (protocol !== "http:" && protocol !== "https:") return false;
  return username === "" && password === "" && search === "" && hash === "";
}

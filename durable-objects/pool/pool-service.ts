/**
 * One pool: the catalogue of its addresses and hosts, the placement that follows, and the
 * steering table for its routers.
 *
 * It knows who is live, never who owns a port [LAW8]. Here are its entry points. Messages of hosts
 * are `host-sessions.ts`, orders to addresses `address-orders.ts`, routers `../steering`, and what
 * others see of the pool `pool-view.ts`.
 */
import type { PublishedPool } from "../../src/core/egress-facts.ts";
import { ok, type Outcome, refuse } from "../../src/core/outcome.ts";
import type { ChangeAuthor } from "../../src/core/audit.ts";
import type { Placement } from "../../src/core/placement.ts";
import { DEFAULT_POOL_SETTINGS, ownSettingsOf, type PoolSettings } from "../../src/core/pool-settings.ts";
import type { Publication } from "../../src/core/publication.ts";
import type { PoolAddress } from "../calls/address-calls.ts";
import type { PublishRefusal } from "../calls/pool-calls.ts";
import { within } from "../platform/deadline.ts";
import {
  type Acceptance,
  CLOSE_FAULT,
  isOpen,
  type ObjectPlatform,
  type ObjectSocket,
  withSchema,
} from "../platform/object-platform.ts";
import { NO_OPENER, type Opener } from "../platform/token-sockets.ts";
import { type Viewer, ViewerSockets } from "../viewing/viewer-sockets.ts";
import { RouterSockets } from "../steering/router-sockets.ts";
import { SteeringFeed } from "../steering/steering-feed.ts";
import { SteeringStore } from "../steering/steering-store.ts";
import { type AddressChanges, changedAddress } from "./address-changes.ts";
import { AddressOrders } from "./address-orders.ts";
import { AddressQuestions } from "./address-questions.ts";
import { AssignmentStore } from "./assignment-store.ts";
import { DrainStore } from "./drain-store.ts";
import { HostAssignments } from "./host-assignments.ts";
import type { PoolHost } from "./host-description.ts";
import { HostRemoval, type RemovalRefusal } from "./host-removal.ts";
import { HostSessions } from "./host-sessions.ts";
import { HostSockets } from "./host-sockets.ts";
import { OperatorDrains } from "./operator-drains.ts";
import type { PoolPolicies } from "./pool-policies.ts";
import { POOL_MIGRATIONS } from "./pool-schema.ts";
import { PoolRecord } from "./pool-record.ts";
import { heedRestoration } from "./pool-restoration.ts";
import { PoolStore } from "./pool-store.ts";
import { type PoolDescription, PoolView, servingOf } from "./pool-view.ts";
import { PoolViewers } from "./pool-viewers.ts";
import { RevokedConnections } from "./revoked-connections.ts";
import { type KindRefusal, kindRefusal, type SettingsRefusal, settingsRefusal } from "./settings-change.ts";
import { tenantRules } from "./tenant-rules.ts";
import { UplinkOpinions } from "./uplink-opinions.ts";

/** A router waits no longer for addresses that cannot be told of routers. */
const BEGIN_DEADLINE_MS = 5_000;
/** Hosts that are looked after for one question; the others are missed again. */
const MOST_MISSED = 64;

/** One per pool, in the object named as the pool. */
export class PoolService {
  readonly #platform: ObjectPlatform;
  readonly #store: PoolStore;
  readonly #sockets: HostSockets;
  readonly #steering: SteeringFeed;
  readonly #orders: AddressOrders;
  readonly #hosts: HostSessions;
  readonly #assignments: HostAssignments;
  readonly #drains: OperatorDrains;
  readonly #questions: AddressQuestions;
  readonly #removal: HostRemoval;
  readonly #view: PoolView;
  /** What was changed, and what happened. */
  readonly record: PoolRecord;
  /** Its policy, and the changes of that. */
  readonly policies: PoolPolicies;
  /** Who is cut off, since its token is not good any more. */
  readonly revoked: RevokedConnections;
  readonly #viewers: PoolViewers;

  constructor(given: ObjectPlatform, addressOf: (ip: string) => PoolAddress) {
    const platform = withSchema(given, POOL_MIGRATIONS);
    this.#platform = platform;
    const store = new PoolStore(platform.storage);
    const record = new PoolRecord(platform, store);
    const { changes: audit, events } = record;
    this.record = record;
    heedRestoration(platform, store, events);
    const sockets = new HostSockets(platform);
    const nowMs = (): number => platform.nowMs();
    const steering = new SteeringFeed({
      platform,
      store: new SteeringStore(platform.storage),
      events,
      settings: () => store.pool()?.settings ?? DEFAULT_POOL_SETTINGS,
      beginSteering: () => this.#beginSteering(),
    });
    const opinions = new UplinkOpinions({
      store,
      nowMs,
      random: platform.random,
      isServing: (stored) => this.#view.isServing(stored, store.pool()!.settings),
      socketOf: (stored) => sockets.socketOf(stored),
    });
    this.#store = store;
    this.#sockets = sockets;
    this.#steering = steering;
    const assigned = new AssignmentStore(platform.storage);
    const drained = new DrainStore(platform.storage);
    const assignments = new HostAssignments({
      platform,
      store,
      assignments: assigned,
      drains: drained,
      events,
      servingOf: (hosts) => servingOf(hosts, sockets.liveInstances(store.pool()!.settings)),
      onChange: (hosts) => this.#hosts.tell(hosts),
    });
    this.#assignments = assignments;
    const onChange = (): void => assignments.decide();
    const ofDrains = { drains: drained, assignments: assigned, audit, events };
    const drains = new OperatorDrains({ nowMs, store, onChange, ...ofDrains });
    this.#drains = drains;
    const onPolicy = (): void => this.#hosts.tellAll();
    const { policies, shares } = tenantRules({ platform, store, sockets, audit, onChange: onPolicy });
    this.policies = policies;
    const policyVersion = (): number => policies.version;
    const parts = { store, sockets, steering, opinions, assignments, policyVersion, shares, events };
    const questions = new AddressQuestions({ platform, store, addressOf });
    this.#questions = questions;
    this.#view = new PoolView({ nowMs, drains, questions, ...parts });
    this.#viewers = new PoolViewers({ platform, store, sockets, view: this.#view });
    this.#hosts = new HostSessions({ platform, addressOf, viewers: this.#viewers, ...parts });
    const doubt = (host: string): void => this.#hosts.doubt([host]);
    this.#removal = new HostRemoval({ store, assignments, questions, audit, doubt });
    this.revoked = new RevokedConnections({ platform, store, policies, addressOf });
    this.#orders = new AddressOrders({ platform, store, steering, events, addressOf, onChange });
  }

  /** Why these changes contradict each other or what there is; null if they do not. [ME8] */
  settingsRefusal(changes: Partial<PoolSettings>, by: ChangeAuthor | null): SettingsRefusal | null {
    const known = this.#store.pool()?.settings ?? null;
    const refusal = settingsRefusal(known, changes);
    if (refusal !== null && known !== null) this.#refuse(by, "putPool", refusal.code);
    return refusal;
  }

  /**
   * Makes the pool if need be, and changes the settings that are given. Whether it is static, and how
   * large its slots are, is changed only while nothing is leased. What is leased in between, before an
   * address has heard of the change, stays as it is, and the address follows when that is over. [SM6]
   */
  async configure(
    changes: Partial<PoolSettings>,
    by: ChangeAuthor | null = null,
  ): Promise<Outcome<PoolDescription, KindRefusal | SettingsRefusal>> {
    const senseless = this.settingsRefusal(changes, by);
    if (senseless !== null) return refuse(senseless);
    const held = await kindRefusal(this.#questions, this.#store.pool()?.settings, changes);
    if (held !== null) return this.#refuse(by, "putPool", held);
    const before = this.#store.pool();
    const settings = { ...DEFAULT_POOL_SETTINGS, ...before?.settings, ...changes };
    const name = before?.name ?? this.#platform.name;
    if (name === undefined) throw new Error("a pool's object is reached by the pool's name");
    const revision = (before?.revision ?? 0) + 1;
    this.record.changes.change({ by, what: "putPool" }, () => {
      this.#store.putPool({ name, settings, revision, isSteered: before?.isSteered ?? false });
      if (before === null) this.#store.noteMade(this.#platform.nowMs());
      return { before: before?.settings, after: settings };
    });
    const told = before === null ? null : ownSettingsOf(before.settings);
    if (JSON.stringify(told) !== JSON.stringify(ownSettingsOf(settings))) this.#hosts.tellAll();
    this.#assignments.decide();
    await this.#orders.wakeLater();
    await this.#orders.push();
    return ok(await this.#view.described());
  }

  /**
   * Adds an address to the pool, changes what is given of it, or takes back its removal. The
   * pool keeps it first: what the address says to it decides whether it stays. [DO19]
   */
  async addIp(
    ip: string,
    changes: AddressChanges | null,
    by: ChangeAuthor | null = null,
  ): Promise<Outcome<PoolDescription, "pool-unknown" | "ip-elsewhere">> {
    if (this.#store.pool() === null) return refuse("pool-unknown");
    const known = this.#store.ip(ip);
    const changed = changedAddress(known, ip, changes ?? {});
    this.record.changes.change({ by, what: "putIp" }, () => {
      this.#store.advanceRevision();
      this.#store.putIp(changed, 0);
      return { before: known, after: this.#store.ip(ip) };
    });
    // It may be served from other sites now. A new one is assigned when it has said that it is the pool's.
    if (known !== null) this.#assignments.decide();
    // In the same turn: its hosts say so to their clients. [PF5]
    if (known !== null && known.advertised !== changed.advertised) this.#hosts.tellAll();
    await this.#orders.wakeLater();
    await this.#orders.push(ip);
    if (this.#store.ip(ip) === null) return this.#refuse(by, "putIp", "ip-elsewhere");
    if (!this.#store.isConfirmed(ip)) throw new Error(`address ${ip} does not answer yet`);
    return ok(await this.#view.described());
  }

  /**
   * Takes an address from the pool. Hosts and requests are told at once to leave it alone; it
   * goes when nothing of it is leased or quarantined any more. May be repeated. [RE1] [RE3]
   */
  async removeIp(
    ip: string,
    by: ChangeAuthor | null = null,
  ): Promise<Outcome<PoolDescription, "pool-unknown" | "ip-unknown">> {
    if (this.#store.pool() === null) return refuse("pool-unknown");
    const known = this.#store.ip(ip);
    if (known === null) return this.#refuse(by, "deleteIp", "ip-unknown");
    this.record.changes.change({ by, what: "deleteIp" }, () => {
      if (known.retiring !== null) return {};
      this.#store.advanceRevision();
      this.#store.retireIp(ip);
      return { before: known, after: this.#store.ip(ip) };
    });
    if (known.retiring === null) {
      // In the same turn as the write, so that every host is told.
      this.#assignments.decide();
      await this.#orders.wakeLater();
    }
    await this.#orders.push(ip);
    return ok(await this.#view.described());
  }

  /** Assigns a host nothing from now on, or something again; nothing of it is cut. May be repeated. [DR1] */
  async drainHost(
    host: string,
    isDrained: boolean,
    by: ChangeAuthor | null = null,
  ): Promise<Outcome<PoolDescription, "pool-unknown" | "host-unknown">> {
    if (this.#store.pool() === null) return refuse("pool-unknown");
    return this.#drains.setHost(host, isDrained, by) ? this.describe() : refuse("host-unknown");
  }

  /** Assigns an address to no host from now on, or to some again; it stays in the pool. [DR2] */
  async drainIp(
    ip: string,
    isDrained: boolean,
    by: ChangeAuthor | null = null,
  ): Promise<Outcome<PoolDescription, "pool-unknown" | "ip-unknown">> {
    if (this.#store.pool() === null) return refuse("pool-unknown");
    return this.#drains.setIp(ip, isDrained, by) ? this.describe() : refuse("ip-unknown");
  }

  /** As `HostRemoval.remove`. */
  async removeHost(
    host: string,
    by: ChangeAuthor | null = null,
  ): Promise<Outcome<PoolDescription, RemovalRefusal | "pool-unknown">> {
    if (this.#store.pool() === null) return refuse("pool-unknown");
    const removed = await this.#removal.remove(host, by);
    return removed.ok ? ok(await this.#view.described()) : removed;
  }

  /**
   * Where requests go now. Who asks names the hosts that it misses: those are asked for a word, and
   * what comes of it shows when the placement is asked for again. [DO10] [DO20] [UP3]
   */
  async placement(missed: readonly string[] = []): Promise<Outcome<Placement, "pool-unknown">> {
    const pool = this.#store.pool();
    if (pool === null) return refuse("pool-unknown");
    this.#hosts.doubt(new Set(missed.slice(0, MOST_MISSED)));
    this.#assignments.review();
    return ok(this.#view.placement(pool));
  }

  /**
   * Takes what an address publishes for the routers, and answers when they have applied it: the
   * routers that have not by the deadline, by name. [ST2]
   */
  async publish(
    ip: string,
    publication: Publication,
  ): Promise<Outcome<readonly string[], PublishRefusal | "pool-unknown">> {
    return this.#store.pool() === null ? refuse("pool-unknown") : this.#steering.publish(ip, publication);
  }

  /** What anybody may know of its addresses; null unless the operator has them published. [PF1] */
  async facts(): Promise<PublishedPool | null> {
    const pool = this.#store.pool();
    return pool === null ? null : this.#view.facts(pool);
  }

  /** Settings, addresses, hosts and routers. */
  async describe(): Promise<Outcome<PoolDescription, "pool-unknown">> {
    return this.#store.pool() === null ? refuse("pool-unknown") : ok(await this.#view.described());
  }

  /** Every host that ever enlisted. */
  async hosts(): Promise<Outcome<readonly PoolHost[], "pool-unknown">> {
    const described = await this.describe();
    return described.ok ? ok(described.value.hosts) : described;
  }

  /** Connects a host. */
  connectHost(
    host: string,
    opener: Opener = NO_OPENER,
  ): Outcome<Acceptance, "pool-unknown" | "token-revoked"> {
    return this.#connect(opener, () => this.#sockets.connect(host, opener));
  }

  /** Connects a router. */
  connectRouter(
    router: string,
    opener: Opener = NO_OPENER,
  ): Outcome<Acceptance, "pool-unknown" | "token-revoked"> {
    return this.#connect(opener, () => this.#steering.connect(router, opener));
  }

  /** Connects who looks at it by a page. [LV2] */
  connectViewer(
    viewer: Viewer,
    opener: Opener = NO_OPENER,
  ): Outcome<Acceptance, "pool-unknown" | "token-revoked" | "viewers-exhausted"> {
    const connected = this.#connect(opener, (pool) => this.#viewers.connect(viewer, pool, opener));
    return connected.ok ? connected.value : connected;
  }

  /**
   * Handles a message of a host, a router or a viewer. If that fails there is no answer; its connection is closed,
   * so that it asks again at once. The others go on. [DO6]
   */
  async heard(socket: ObjectSocket, message: string | ArrayBuffer): Promise<void> {
    try {
      if (ViewerSockets.isViewer(socket)) this.#viewers.heard(socket, message);
      else if (RouterSockets.isRouter(socket)) await this.#steering.heard(socket, message);
      else this.#hosts.heard(socket, message);
    } catch (fault) {
      this.#platform.report("a message could not be taken", fault);
      if (isOpen(socket)) socket.close(CLOSE_FAULT, "internal-fault");
    }
  }

  /** A connection has ended, be it noted or not. [DO6] */
  closed(socket: ObjectSocket): void {
    try {
      if (RouterSockets.isRouter(socket)) this.#steering.closed(socket);
    } catch (fault) {
      this.#platform.report("the end of a connection could not be noted", fault);
    }
  }

  /** Tells addresses what they could not be told at once, and looks after those that retire. */
  async alarm(): Promise<void> {
    await this.#orders.push();
  }

  #connect<Accepted>(
    { token, session = null }: Opener,
    accept: (pool: string) => Accepted,
  ): Outcome<Accepted, "pool-unknown" | "token-revoked"> {
    const pool = this.#store.pool();
    if (pool === null) return refuse("pool-unknown");
    const isRevoked = [token, session].some((id) => id !== null && this.policies.isRevoked(id));
    return isRevoked ? refuse("token-revoked") : ok(accept(pool.name));
  }

  /** Notes it too: what somebody tried in vain may matter as much. */
  #refuse<Refusal extends string>(
    by: ChangeAuthor | null,
    what: string,
    refusal: Refusal,
  ): Outcome<never, Refusal> {
    this.record.changes.note({ by, what }, refusal);
    return refuse(refusal);
  }

  /** From its first router on the pool is steered, and its addresses publish. */
  async #beginSteering(): Promise<void> {
    const pool = this.#store.pool();
    if (pool === null) return;
    if (!pool.isSteered) {
      this.#store.putPool({ ...pool, isSteered: true, revision: pool.revision + 1 });
      // From now on it matters whether routers can find them. [PM7]
      this.#hosts.tellAll();
      await this.#orders.wakeLater();
      this.#platform.keepAwake(this.#orders.push());
    }
    // No router is ready before all addresses are in its table, if that can be. [ST15]
    await within(this.#platform, BEGIN_DEADLINE_MS, this.#steering.allPublished());
  }
}

/**
 * The routers of a pool: what they are told, and who waits for them.
 *
 * Addresses publish all of their blocks; the difference to what is stored becomes a numbered
 * change, is stored, and goes to every router. A publication is done once every live router
 * has acknowledged it or the deadline has passed [LAW4]. Nothing that matters is in a field:
 * progress is kept with each router's socket, and a publication that is cut off by a restart
 * is made again by its address. [ST2] [ST5]
 */
import {
  acknowledge,
  beginning,
  laggardsOf,
  type RouterStanding,
  steeringPatienceMs,
} from "../../src/core/acknowledgement.ts";
import type { MessageRefusal, RouterRefusal, RouterReply, RouterRequest } from "../../src/core/messages.ts";
import { grant, type Outcome, refuse } from "../../src/core/outcome.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import {
  type AddressChange,
  changeBy,
  type Publication,
  removalOf,
  toChanges,
} from "../../src/core/publication.ts";
import type { HostReach, SteeringChange, SteeringEntry } from "../../src/core/steering.ts";
import { parseRouterRequest } from "../../src/wire/messages.ts";
import type { PublishRefusal } from "../calls/pool-calls.ts";
import {
  type Acceptance,
  CLOSE_FENCED,
  CLOSE_REFUSED,
  isOpen,
  type ObjectSocket,
  type ObjectWorld,
  sendTo,
} from "../platform/object-world.ts";
import { News } from "./news.ts";
import { attachmentOf, type RouterAttachment, RouterSockets } from "./router-sockets.ts";
import type { SteeringStore, StoredRouter } from "./steering-store.ts";

/** A router as an administrator sees it. */
export interface PoolRouter {
  readonly router: string;
  readonly live: boolean;
  /** Whether it has followed a whole table on its present connection. */
  readonly ready: boolean;
  /** The last change that its kernel is known to have followed. */
  readonly acknowledged: number | null;
  /** Whether grants have gone ahead of it, so that packets may be lost there. */
  readonly lagging: boolean;
  /** Unix milliseconds. */
  readonly seenAtMs: number;
}

/** What the feed needs of its pool. */
export interface FeedOptions {
  readonly world: ObjectWorld;
  readonly store: SteeringStore;
  readonly settings: () => PoolSettings;
  /** Tells all addresses that there are routers, if that is news; done when each has published, or soon. */
  readonly beginSteering: () => Promise<void>;
}

interface Waiting {
  readonly ip: string;
  readonly publication: Publication;
  outcome: Outcome<null, PublishRefusal>;
}

/** Items in one message: with the longest names it stays well below what its reader takes. */
const ITEMS_PER_MESSAGE = 1_000;
/** A wait looks again this often, for a router that has fallen silent announces nothing. */
const LOOK_AGAIN_MS = 500;
/** What is known of a live router is written down again after this time. */
const NOTE_AFTER_MS = 60_000;
const FORGET_AFTER_MS = 7 * 86_400_000;

/** One per pool object. */
export class SteeringFeed {
  readonly #options: FeedOptions;
  readonly #startedAtMs: number;
  readonly #waiting: Waiting[] = [];
  readonly #sockets: RouterSockets;
  #turn: Promise<number> | null = null;
  /** A router has come, gone or acknowledged, or an address has published. */
  readonly #news = new News();

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#sockets = new RouterSockets(options.world, () => options.settings().hostSilenceMs);
    this.#startedAtMs = options.world.nowMs();
  }

  /** Takes what an address publishes; answers the routers that have not followed in time. */
  async publish(ip: string, publication: Publication): Promise<Outcome<readonly string[], PublishRefusal>> {
    const waiting: Waiting = { ip, publication, outcome: grant(null) };
    this.#waiting.push(waiting);
    const sequence = await (this.#turn ??= this.#takeTurn());
    return waiting.outcome.ok ? grant(await this.followed(sequence)) : waiting.outcome;
  }

  /** Takes an address from the routers, if they have it; answers the number of the change to wait for. [RE4] */
  remove(ip: string): number {
    const { store, world } = this.#options;
    const changes = world.storage.transactionSync(() => {
      const stored = store.address(ip);
      const removal = stored === null ? null : removalOf(stored);
      if (removal === null) return [];
      store.remove(ip);
      return this.#number([removal], []);
    });
    this.#broadcast(changes);
    return store.sequence();
  }

  /** An instance of a host has enlisted: its blocks are steered there from now on. Nobody waits for it. */
  enlisted({ instance, ...reach }: HostReach & { readonly instance: string }, isNews: boolean): void {
    const put = this.#options.store.placeEntries(reach.host, instance);
    const moved = put.length === 0 ? [] : [{ withdraw: [], put, addIps: [] }];
    this.#broadcast(this.#number(moved, isNews ? [reach] : []));
  }

  /** Connects a router. */
  connect(router: string): Acceptance {
    return this.#sockets.connect(router);
  }

  /** Hears a router. */
  async heard(socket: ObjectSocket, message: string | ArrayBuffer): Promise<void> {
    const request =
      typeof message === "string" ? parseRouterRequest(message) : refuse("message-malformed" as const);
    if (!request.ok) return refuseRouter(socket, request.refusal, request.refusal === "version-unsupported");
    if (request.value.type === "enroll") return this.#enroll(socket, request.value);
    if (request.value.type === "observe") return this.#observe(socket);
    const attached = attachmentOf(socket);
    if (attached.instance === null) return refuseRouter(socket, "message-malformed");
    if (request.value.type === "resync") this.#sendTable(socket, attached.instance);
    else this.#acknowledged(socket, attached, request.value.sequence);
  }

  /** Notes that a router's connection has ended. */
  closed(socket: ObjectSocket): void {
    const { router, instance, acknowledged } = attachmentOf(socket);
    // A connection that a newer one has replaced says nothing of its router.
    if (instance !== null) {
      const seenAtMs = this.#sockets.seenAtMs(socket);
      this.#note(router, { instance, acknowledged, seenAtMs, isConnected: false });
    }
    this.#news.tell();
  }

  /** Addresses of which routers steer something to another instance of a host. */
  ipsOfTwin(host: string, instance: string): string[] {
    return this.#options.store.ipsOfTwin(host, instance);
  }

  /** Every router, and the number of the last change. */
  describe(): { readonly steeringSequence: number; readonly routers: readonly PoolRouter[] } {
    const { store } = this.#options;
    const steeringSequence = store.sequence();
    const present = new Map(this.#sockets.connected().map((standing) => [standing.router, standing]));
    const routers = store.routers().map((stored): PoolRouter => {
      const { router, overdue } = stored;
      const standing = present.get(router);
      const live = standing?.isLive === true;
      const acknowledged = standing ? standing.acknowledged : stored.acknowledged;
      // One that is away goes on forwarding by what it followed last.
      const due = live ? overdue : steeringSequence;
      return {
        router,
        live,
        ready: live && acknowledged !== null,
        acknowledged,
        lagging: due !== null && (acknowledged === null || acknowledged < due),
        seenAtMs: standing?.seenAtMs ?? stored.seenAtMs,
      };
    });
    return { steeringSequence, routers };
  }

  /** All that was published at the same moment is one commit and, if it fits, one change. */
  async #takeTurn(): Promise<number> {
    const { world, store } = this.#options;
    await world.wait(0);
    this.#turn = null;
    const changes = world.storage.transactionSync(() => {
      const made: AddressChange[] = [];
      for (const waiting of this.#waiting.splice(0)) {
        const { ip, publication } = waiting;
        const stored = store.address(ip);
        const change = stored === null ? refuse("ip-unknown" as const) : changeBy(stored, publication);
        waiting.outcome = change.ok ? grant(null) : change;
        if (!change.ok) continue;
        const placed = this.#placed(change.value, publication);
        store.apply(ip, publication, placed);
        made.push(placed);
      }
      return this.#number(made, []);
    });
    this.#broadcast(changes);
    this.#news.tell();
    return store.sequence();
  }

  /** Packets for a block must not go to a twin of its host: rather nowhere. [ST12] */
  #placed(change: AddressChange, { blocks }: Publication): AddressChange {
    if (change.put.length === 0) return change;
    const instances = new Map(blocks.map(({ epoch, instance }) => [epoch, instance]));
    const placeOf = ({ host, epoch }: SteeringEntry): string =>
      this.#options.store.placeOf(host, instances.get(epoch)!);
    return { ...change, put: change.put.map((entry) => ({ ...entry, host: placeOf(entry) })) };
  }

  #number(addresses: readonly AddressChange[], reaches: readonly HostReach[]): SteeringChange[] {
    return toChanges(addresses, reaches, ITEMS_PER_MESSAGE, () => this.#options.store.advance());
  }

  /** Changes leave when they are stored, as everything that an object sends. */
  #broadcast(changes: readonly SteeringChange[]): void {
    for (const change of changes) {
      const text = JSON.stringify({ type: "change", change } satisfies RouterReply);
      for (const socket of this.#sockets.enrolled()) socket.send(text);
    }
  }

  /** Waits until all live routers have followed; names those that have not by the deadline. */
  async followed(sequence: number): Promise<readonly string[]> {
    const { world, settings } = this.#options;
    const patienceMs = steeringPatienceMs(settings());
    const done = new AbortController();
    let isOver = false;
    const over = world.wait(patienceMs, done.signal).then(
      () => (isOver = true),
      () => false,
    );
    try {
      for (;;) {
        const laggards = laggardsOf(this.#awaited(), sequence);
        if (laggards.length === 0) return [];
        if (isOver) {
          for (const router of laggards) this.#noteOverdue(router, sequence);
          return laggards;
        }
        const look = world.wait(LOOK_AGAIN_MS, done.signal).catch(() => {});
        await Promise.race([over, this.#news.told, look]);
      }
    } finally {
      done.abort();
    }
  }

  /** Done when every address has published. */
  async allPublished(): Promise<void> {
    while (this.#options.store.hasUnpublished()) await this.#news.told;
  }

  /**
   * Whom a publication waits for. After a restart of the edge no router is connected for a
   * moment: one whose connection was not seen to end is expected back, for as long as it could
   * have been silent. [ST10]
   */
  #awaited(): RouterStanding[] {
    const awaited: RouterStanding[] = this.#sockets.connected();
    const { hostSilenceMs } = this.#options.settings();
    if (this.#options.world.nowMs() - this.#startedAtMs >= hostSilenceMs) return awaited;
    const present = new Set(awaited.map(({ router }) => router));
    for (const { router, isConnected } of this.#options.store.routers()) {
      if (isConnected && !present.has(router)) awaited.push({ router, isLive: true, ...beginning(0) });
    }
    return awaited;
  }

  async #enroll(socket: ObjectSocket, { instance }: RouterRequest & { type: "enroll" }): Promise<void> {
    await this.#options.beginSteering();
    const { router, instance: enrolled } = attachmentOf(socket);
    // Said again while the table was on its way. [ST14]
    if (!isOpen(socket) || enrolled === instance) return;
    const isTwin = (other: ObjectSocket): boolean => attachmentOf(other).instance !== instance;
    const others = this.#sockets.enrolled().filter((other) => attachmentOf(other).router === router);
    const isLive = this.#sockets
      .connected()
      .some((standing) => standing.router === router && standing.isEnrolled && standing.isLive);
    if (isLive && others.some(isTwin)) return refuseRouter(socket, "router-already-present", true);
    for (const other of others) {
      if (other === socket) continue;
      this.#sockets.replace(other);
      other.close(CLOSE_FENCED, "stale-session");
    }
    this.#options.store.forgetRouters(this.#options.world.nowMs() - FORGET_AFTER_MS);
    this.#sendTable(socket, instance);
  }

  /** Nobody waits for it any longer. [ST13] */
  #observe(socket: ObjectSocket): void {
    this.#sockets.hear(socket, { isObserver: true });
    this.#sendPieces(socket);
    this.#news.tell();
  }

  /** From here on the router is told every change. */
  #sendTable(socket: ObjectSocket, instance: string): void {
    const { store } = this.#options;
    const { router } = attachmentOf(socket);
    this.#sockets.hear(socket, { instance, ...beginning(store.sequence()) });
    this.#note(router, { instance, seenAtMs: this.#options.world.nowMs(), isConnected: true });
    this.#sendPieces(socket);
    this.#news.tell();
  }

  #sendPieces(socket: ObjectSocket): void {
    const { store } = this.#options;
    const parts = store.pieceCount(ITEMS_PER_MESSAGE);
    let part = 0;
    for (const table of store.pieces(ITEMS_PER_MESSAGE)) {
      part += 1;
      sendTo(socket, { type: "table", part, parts, table } satisfies RouterReply);
    }
  }

  #acknowledged(socket: ObjectSocket, attached: RouterAttachment, sequence: number): void {
    const { store } = this.#options;
    const progress = acknowledge(attached, sequence, store.sequence());
    if (!progress.ok) return refuseRouter(socket, progress.refusal);
    const { router } = attached;
    const { acknowledged } = progress.value;
    this.#sockets.hear(socket, progress.value);
    const stored = store.router(router);
    const nowMs = this.#options.world.nowMs();
    // Each acknowledgement of each router would be a write; the socket remembers it anyway.
    if (acknowledged !== null && nowMs - (stored?.seenAtMs ?? 0) >= NOTE_AFTER_MS) {
      this.#note(router, { acknowledged, seenAtMs: nowMs });
    }
    this.#news.tell();
  }

  #noteOverdue(router: string, sequence: number): void {
    this.#options.world.report(`router ${router} has not followed change ${sequence} in time`);
    const standing = this.#sockets.connected().findLast((present) => present.router === router);
    // One that was expected back and has not come is away.
    if (standing === undefined) this.#note(router, { overdue: sequence, isConnected: false });
    else this.#note(router, { overdue: sequence, acknowledged: standing.acknowledged });
  }

  #note(router: string, news: Partial<StoredRouter>): void {
    const { store } = this.#options;
    const unknown = { instance: "", isConnected: false, seenAtMs: 0, acknowledged: null, overdue: null };
    store.putRouter({ ...unknown, ...store.router(router), ...news, router });
  }
}

/** A connection whose opening is refused is closed as well: nothing can follow on it. */
function refuseRouter(socket: ObjectSocket, code: RouterRefusal | MessageRefusal, isOpening = false): void {
  sendTo(socket, { type: "refused", code } satisfies RouterReply);
  if (isOpening && isOpen(socket)) socket.close(CLOSE_REFUSED, code);
}

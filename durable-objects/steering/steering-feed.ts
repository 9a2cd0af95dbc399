/**
 * What the routers of a pool are told.
 *
 * Addresses publish all of their blocks; the difference to what is stored becomes a numbered
 * change, is stored, and goes to every router. Who waits for them is `router-wait.ts`, what they
 * say `router-sessions.ts`. No state that must last is in a field: an object may be restarted at any
 * time. [ST2] [ST5]
 */
import { ok, type Outcome, refuse } from "../../src/core/outcome.ts";
import type { RouterReply } from "../../src/core/messages.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import {
  type AddressChange,
  changeBy,
  type Publication,
  removalOf,
  toChanges,
} from "../../src/core/publication.ts";
import type { NextHop, SteeringChange, SteeringEntry } from "../../src/core/steering.ts";
import type { PublishRefusal } from "../calls/pool-calls.ts";
import type { EventLog } from "../events/event-log.ts";
import type { Acceptance, ObjectPlatform, ObjectSocket } from "../platform/object-platform.ts";
import type { Opener } from "../platform/token-sockets.ts";
import { Signal } from "./signal.ts";
import { type PoolRouter, RouterRegister } from "./router-register.ts";
import { ITEMS_PER_MESSAGE, RouterSessions } from "./router-sessions.ts";
import { RouterSockets } from "./router-sockets.ts";
import { RouterWait } from "./router-wait.ts";
import type { SteeringStore } from "./steering-store.ts";

/** What the feed needs of its pool. */
export interface FeedOptions {
  readonly platform: ObjectPlatform;
  readonly store: SteeringStore;
  readonly events: EventLog;
  readonly settings: () => PoolSettings;
  /** Tells all addresses that there are routers, if that is news; done when each has published, or soon. */
  readonly beginSteering: () => Promise<void>;
}

interface Waiting {
  readonly ip: string;
  readonly publication: Publication;
  outcome: Outcome<null, PublishRefusal>;
}

/** One per pool object. */
export class SteeringFeed {
  readonly #options: FeedOptions;
  readonly #waiting: Waiting[] = [];
  readonly #sockets: RouterSockets;
  readonly #register: RouterRegister;
  readonly #sessions: RouterSessions;
  readonly #wait: RouterWait;
  #turn: Promise<number> | null = null;
  /** A router has come, gone or acknowledged, or an address has published. */
  readonly #news = new Signal();

  constructor(options: FeedOptions) {
    const { platform, store, events, settings, beginSteering } = options;
    const silenceMs = (): number => settings().routerSilenceMs;
    const sockets = new RouterSockets(platform, silenceMs);
    const register = new RouterRegister({ platform, store, events, sockets, silenceMs });
    this.#options = options;
    this.#sockets = sockets;
    this.#register = register;
    this.#sessions = new RouterSessions({
      platform,
      store,
      sockets,
      register,
      news: this.#news,
      beginSteering,
    });
    this.#wait = new RouterWait({ platform, store, settings, register, news: this.#news });
  }

  /** Takes what an address publishes; answers the routers that have not applied it in time. */
  async publish(ip: string, publication: Publication): Promise<Outcome<readonly string[], PublishRefusal>> {
    const waiting: Waiting = { ip, publication, outcome: ok(null) };
    this.#waiting.push(waiting);
    const sequence = await (this.#turn ??= this.#takeTurn());
    return waiting.outcome.ok ? ok(await this.#wait.applied(sequence)) : waiting.outcome;
  }

  /** Takes an address from the routers, if they have it; answers the number of the change to wait for. [RE4] */
  remove(ip: string): number {
    const { store, platform } = this.#options;
    const changes = platform.storage.transactionSync(() => {
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
  enlisted({ instance, ...nextHop }: NextHop & { readonly instance: string }, isNews: boolean): void {
    const put = this.#options.store.placeEntries(nextHop.host, instance);
    const moved = put.length === 0 ? [] : [{ withdraw: [], put, addIps: [] }];
    this.#broadcast(this.#number(moved, isNews ? [nextHop] : []));
  }

  /** Connects a router. */
  connect(router: string, opener: Opener): Acceptance {
    return this.#sockets.connect(router, opener);
  }

  /** Hears a router. */
  async heard(socket: ObjectSocket, message: string | ArrayBuffer): Promise<void> {
    await this.#sessions.heard(socket, message);
  }

  /** Notes that a router's connection has ended. */
  closed(socket: ObjectSocket): void {
    this.#sessions.closed(socket);
  }

  /** Waits until all live routers have applied a change; names those that have not by the deadline. */
  async applied(sequence: number): Promise<readonly string[]> {
    return this.#wait.applied(sequence);
  }

  /** Done when every address has published. */
  async allPublished(): Promise<void> {
    await this.#wait.allPublished();
  }

  /** Every router, and the number of the last change. */
  describe(): { readonly steeringSequence: number; readonly routers: readonly PoolRouter[] } {
    return this.#register.describe();
  }

  /** Addresses of which routers steer something to another instance of a host. */
  ipsOfDuplicate(host: string, instance: string): string[] {
    return this.#options.store.ipsOfDuplicate(host, instance);
  }

  /** All that was published at the same moment is one commit and, if it fits, one change. */
  async #takeTurn(): Promise<number> {
    const { platform, store } = this.#options;
    await platform.wait(0);
    this.#turn = null;
    let isWhole = false;
    const changes = platform.storage.transactionSync(() => {
      const made: AddressChange[] = [];
      for (const waiting of this.#waiting.splice(0)) {
        const { ip, publication } = waiting;
        const stored = store.address(ip);
        const change = stored === null ? refuse("ip-unknown" as const) : changeBy(stored, publication);
        waiting.outcome = change.ok ? ok(null) : change;
        if (!change.ok) continue;
        const placed = this.#placed(change.value, publication);
        store.apply(ip, publication, placed);
        made.push(placed);
        if (publication.isPartial !== true && store.noteWhole(ip)) isWhole = !store.isPartial();
      }
      return this.#number(made, []);
    });
    this.#broadcast(changes);
    // What routers have beyond the table is over: only all of it can say so. [OC4]
    if (isWhole) this.#sessions.tellAgain();
    this.#news.tell();
    return store.sequence();
  }

  /** Packets for a block must not go to a duplicate instance of its host: they are dropped instead. [ST12] */
  #placed(change: AddressChange, { blocks }: Publication): AddressChange {
    if (change.put.length === 0) return change;
    const instances = new Map(blocks.map(({ epoch, instance }) => [epoch, instance]));
    const placeOf = ({ host, epoch }: SteeringEntry): string =>
      this.#options.store.placeOf(host, instances.get(epoch)!);
    return { ...change, put: change.put.map((entry) => ({ ...entry, host: placeOf(entry) })) };
  }

  #number(addresses: readonly AddressChange[], nextHops: readonly NextHop[]): SteeringChange[] {
    return toChanges(addresses, nextHops, ITEMS_PER_MESSAGE, () => this.#options.store.advance());
  }

  /** Changes leave when they are stored, as everything that an object sends. */
  #broadcast(changes: readonly SteeringChange[]): void {
    for (const change of changes) {
      const text = JSON.stringify({ type: "change", change } satisfies RouterReply);
      for (const socket of this.#sockets.enrolled()) socket.send(text);
    }
  }
}

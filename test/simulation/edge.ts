/**
 * The edge of a run: the pool's object and one object for each address, with the real services in
 * them, and the way in that the Worker would be.
 */
import { AddressService } from "../../durable-objects/address/address-service.ts";
import { LeaseStore } from "../../durable-objects/address/lease-store.ts";
import { PoolService } from "../../durable-objects/pool/pool-service.ts";
import {
  blocksOverlap,
  FIRST_LEASABLE_PORT,
  isLeasableBlock,
  MAX_ORDER,
  PORT_END,
} from "../../src/core/port-block.ts";
import type { LeaseEvent } from "../../src/core/lease-table.ts";
import type { Outcome } from "../../src/core/outcome.ts";
import type { Publication } from "../../src/core/publication.ts";
import type { Chance } from "./chance.ts";
import { type Connection, objectNameOf } from "./connection.ts";
import { EdgeObject, type Instance } from "./edge-object.ts";
import type { ObjectEnd } from "./object-end.ts";
import { callObject } from "./object-calls.ts";
import { Machine, START_UNIX_MS } from "./machine.ts";
import type { ObjectDatabase } from "./object-database.ts";
import type { Network } from "./network.ts";

/** The only pool. */
export const POOL = "default";
/** Who has the ports that no host of the run can get. */
export const BALLAST = "ballast";

/** What happens at the edge and is worth a look. */
export interface EdgeWatcher {
  /** The pool has answered a publication, whether that is ever heard: these routers have not applied it. */
  lagged(ip: string, publication: Publication, laggards: readonly string[]): void;
  /** An address has heard that the routers have applied a publication, or that their time is over. */
  applied(ip: string, publication: Publication): void;
  /** A turn of an address that wrote something is on disk. */
  written(ip: string): void;
}

/** All objects of a run. */
export class Edge {
  readonly pool: EdgeObject<PoolService>;
  readonly addresses = new Map<string, EdgeObject<AddressService>>();
  readonly #network: Network;
  readonly #chance: Chance;
  readonly #dirty = new Set<Instance<unknown>>();
  readonly #watcher: EdgeWatcher;
  #machineCount = 0;
  #restoredCount = 0;

  constructor(network: Network, chance: Chance, ips: readonly string[], watcher: EdgeWatcher) {
    this.#network = network;
    this.#chance = chance;
    this.#watcher = watcher;
    this.pool = new EdgeObject(`pool ${POOL}`, this.newMachine(), network, this.#dirty, (world, instance) => {
      const named = { ...world, name: POOL };
      return new PoolService(named, (ip) => ({
        assign: (pool, settings, isSteered, order) =>
          callObject(instance(), this.address(ip), network, (address) =>
            address.assign(pool, settings, isSteered, order),
          ),
        describe: () => callObject(instance(), this.address(ip), network, (address) => address.describe()),
        held: () => callObject(instance(), this.address(ip), network, (address) => address.held()),
        removeHost: (pool, host, epochs) =>
          callObject(instance(), this.address(ip), network, (address) =>
            address.removeHost(pool, host, epochs),
          ),
        dropTokens: (tokenIds) =>
          callObject(instance(), this.address(ip), network, async (address) => address.dropTokens(tokenIds)),
      }));
    });
    for (const ip of ips) this.addresses.set(ip, this.#makeAddress(ip));
  }

  get objects(): EdgeObject<AddressService | PoolService>[] {
    return [this.pool, ...this.addresses.values()] as unknown as EdgeObject<AddressService | PoolService>[];
  }

  address(ip: string): EdgeObject<AddressService> {
    const address = this.addresses.get(ip);
    if (address === undefined) throw new Error(`no such address: ${ip}`);
    return address;
  }

  /** All objects are made anew from copies. No lease, and no quarantine, may have been longer than this wait. */
  restore(copyOf: (name: string) => ObjectDatabase, waitMs: number): void {
    this.#restoredCount += 1;
    const id = `restoration-${this.#restoredCount}`;
    // The operator's clock is right.
    const atMs = START_UNIX_MS + Math.floor(this.#network.timeline.nowMs);
    for (const object of this.objects) {
      object.restore(copyOf(object.name), { id, atMs, waitMs, areSlotsKnown: false });
    }
  }

  /** The operator says that all slots are known, and starts the edge once more for that. [OC6] */
  confirmSlots(): void {
    for (const object of this.objects) object.confirmSlots();
  }

  /** Whether it was restored, and the operator has not said so since. */
  get awaitsSlots(): boolean {
    return this.pool.restoration?.areSlotsKnown === false;
  }

  /** A machine for an object to run on, with a clock that is a little off. */
  newMachine(): Machine {
    this.#machineCount += 1;
    const rate = 1 + this.#chance.between(-1e-4, 1e-4);
    return new Machine(
      `dc-${this.#machineCount}`,
      this.#network.timeline,
      rate,
      this.#chance.between(-50, 50),
    );
  }

  /** Ends the turns of everything that ran since the last call. */
  endTurns(): void {
    while (this.#dirty.size > 0) {
      const [instance] = this.#dirty as unknown as Set<Instance<AddressService>>;
      this.#dirty.delete(instance as unknown as Instance<unknown>);
      instance!.object.endTurn(instance!);
    }
  }

  /** A message from outside reaches its object. */
  readonly dial = (
    connection: Connection,
    url: URL,
    answer: (outcome: Outcome<ObjectEnd, string>) => void,
    peer: string,
  ): void => {
    const [kind, name] = objectNameOf(url).split(" ") as [string, string];
    if (kind === "ip") {
      this.address(name).accept(connection, (address) => address.connect(peer), answer);
    } else if (url.pathname.endsWith("/steering")) {
      this.pool.accept(connection, (pool) => pool.connectRouter(peer), answer);
    } else {
      this.pool.accept(connection, (pool) => pool.connectHost(peer), answer);
    }
  };

  /** Gives all but the first `roomUnits` of an address that belongs to the pool to a host that never leaves. */
  loadBallast(ip: string, roomUnits: number): void {
    const room = { first: FIRST_LEASABLE_PORT, end: FIRST_LEASABLE_PORT + roomUnits * 64 };
    const instance = "instance-ballast";
    const holder = { host: BALLAST, instance, session: 1, expiresAtMs: Number.MAX_SAFE_INTEGER / 2 };
    const events: LeaseEvent[] = [{ type: "joined", holder }];
    let base = room.end;
    for (let epoch = 1; base < PORT_END; epoch += 1) {
      let order = MAX_ORDER;
      while (!isLeasableBlock({ base, order })) order -= 1;
      const row = { base, order, epoch, host: BALLAST, instance, state: "leased" as const, grantedAtMs: 0 };
      events.push({
        type: "granted",
        row: { ...row, requestId: `b${epoch}`, endedAtMs: null, freeAtMs: null, steered: true },
      });
      base += 1 << order;
    }
    const object = this.address(ip);
    const store = new LeaseStore(object.database);
    object.database.transactionSync(() => store.append(events));
    object.database.endTurn(true);
  }

  close(): void {
    for (const object of this.objects) object.close();
  }

  #makeAddress(ip: string): EdgeObject<AddressService> {
    const object = new EdgeObject<AddressService>(
      `ip ${ip}`,
      this.newMachine(),
      this.#network,
      this.#dirty,
      (world, instance) => {
        const named = { ...world, name: ip };
        return new AddressService(named, () => ({
          publish: async (_ip, publication) => {
            const answer = await callObject(instance(), this.pool, this.#network, async (pool) => {
              const published = await pool.publish(ip, publication);
              if (published.ok) this.#watcher.lagged(ip, publication, published.value);
              return published;
            });
            if (answer.ok) this.#watcher.applied(ip, publication);
            return answer;
          },
        }));
      },
    );
    object.onWritten = () => this.#watcher.written(ip);
    return object;
  }
}

/** Whether two lists of blocks have a port in common. */
export function overlap(
  some: readonly { readonly base: number; readonly order: number }[],
  others: readonly { readonly base: number; readonly order: number }[],
): { readonly base: number; readonly order: number } | null {
  return some.find((block) => others.some((other) => blocksOverlap(block, other))) ?? null;
}

/**
 * One egress IP: owns the table of which host may send from which of its ports.
 *
 * Here are its entry points. The table is `address-table.ts`, the messages of hosts are
 * `lease-sessions.ts`, and what routers are told is `address-publisher.ts`. [DO6]
 */
import { freeBlocks, portTotal } from "../../src/core/buddy-allocator.ts";
import type { Holder, LeaseRow } from "../../src/core/lease-table.ts";
import { grant, type Outcome, refuse } from "../../src/core/outcome.ts";
import { leaseSettingsOf, type PoolSettings } from "../../src/core/pool-settings.ts";
import type { AddressOrder, AddressStanding } from "../calls/address-calls.ts";
import type { AddressPool } from "../calls/pool-calls.ts";
import type { Acceptance, ObjectSocket, ObjectWorld } from "../platform/object-world.ts";
import { AddressPublisher } from "./address-publisher.ts";
import { LEFT, SERVE, standingOf } from "./address-standing.ts";
import { AddressTable } from "./address-table.ts";
import { LeaseSessions } from "./lease-sessions.ts";

/** An address as an administrator sees it. Instance keys are left out: they prove identity. */
export interface AddressDescription {
  readonly pool: string;
  /** Whether the pool has given the address up, so that nothing more is granted. */
  readonly retiring: boolean;
  readonly settings: PoolSettings;
  readonly lastEpoch: number;
  readonly freePortCount: number;
  readonly holders: readonly Omit<Holder, "instance">[];
  /** Leased and quarantined, oldest epoch first. */
  readonly blocks: readonly Omit<LeaseRow, "instance" | "requestId">[];
}

/** One per egress IP, in the object named as the address. */
export class AddressService {
  readonly #world: ObjectWorld;
  readonly #table: AddressTable;
  readonly #sessions: LeaseSessions;
  readonly #publisher: AddressPublisher;

  constructor(world: ObjectWorld, poolOf: (name: string) => AddressPool) {
    this.#world = world;
    this.#table = new AddressTable(world, (address) => this.#publisher.publishSoon(address));
    this.#sessions = new LeaseSessions(world, this.#table);
    this.#publisher = new AddressPublisher({
      world,
      table: this.#table,
      poolOf,
      onFollowed: () => this.#sessions.answerHeld(),
      onFailed: () => this.#sessions.refuseHeld(),
    });
  }

  /** To be told before anything else when the object wakes up: the alarm that is set; null for none. */
  awake(alarmAtMs: number | null): void {
    this.#table.alarmIs(alarmAtMs);
  }

  /**
   * Gives the address to a pool, changes the settings it follows there, or takes it from there
   * step by step. When it hears of routers for the first time it has published its blocks when
   * this is done, or tries again. [RE6]
   */
  async assign(
    pool: string,
    settings: PoolSettings,
    isSteered = false,
    { revision, wish }: AddressOrder = SERVE,
  ): Promise<Outcome<AddressStanding, "ip-elsewhere">> {
    const { name } = this.#world;
    if (name === undefined) throw new Error("an address's object is reached by the address");
    const present = this.#table.address();
    // It is not this pool's, so for a pool that removes it, it has left.
    if (present !== null && present.pool !== pool) {
      return wish === "serve" ? refuse("ip-elsewhere") : grant(LEFT);
    }
    const heeded = this.#table.orderOf(pool);
    if (revision !== null && revision < heeded) return grant({ standing: "outdated", revision: heeded });
    if (revision !== null && revision > heeded) this.#table.noteOrder(pool, revision);
    if (present === null && wish !== "serve") return grant(LEFT);
    if (present === null) this.#table.assign(name, pool, settings);
    if (this.#table.address()?.ip === null) this.#table.name(name);
    const address = this.#table.address()!;
    if (JSON.stringify(address.table.settings) !== JSON.stringify(settings)) {
      const before = leaseSettingsOf(address.table.settings);
      this.#table.execute(address, { type: "configure", settings });
      const isNews = JSON.stringify(before) !== JSON.stringify(leaseSettingsOf(settings));
      if (isNews) this.#sessions.tellChanged(address);
    }
    // While it retires, time passes as well: what has ended meanwhile is not waited for.
    if (wish !== "serve" || address.table.isRetiring) {
      this.#table.execute(address, { type: "retire", isRetiring: wish !== "serve" });
    }
    const begins = isSteered && !address.table.isSteered;
    if (begins) this.#table.execute(address, { type: "steer" });
    const standing = standingOf(address.table, this.#world.nowMs());
    const isLeaving = wish === "leave" && standing.standing === "retiring" && standing.isEmpty;
    // Nothing is held back then, and nothing is being published: there is no lease to tell of.
    if (isLeaving) this.#table.leave();
    await Promise.all([this.#table.alarmSet, begins ? this.#publisher.publishing : null]);
    return grant(isLeaving ? LEFT : standing);
  }

  /** The table as it stands now. */
  async describe(): Promise<Outcome<AddressDescription, "ip-unknown">> {
    const address = this.#table.address();
    if (address === null) return refuse("ip-unknown");
    this.#table.execute(address, { type: "tick" });
    const { settings, lastEpoch, holders, rows } = address.table;
    return grant({
      pool: address.pool,
      retiring: address.table.isRetiring,
      settings,
      lastEpoch,
      freePortCount: portTotal(freeBlocks(rows.values())),
      holders: [...holders.values()].map(({ instance: _secret, ...holder }) => holder),
      blocks: [...rows.values()].map(({ instance: _secret, requestId: _private, ...row }) => row),
    });
  }

  /** Connects a host. An address that belongs to no pool has no settings to lease by. [DO7] */
  connect(host: string): Outcome<Acceptance, "ip-unknown"> {
    const address = this.#table.address();
    return address === null ? refuse("ip-unknown") : grant(this.#sessions.connect(host, address.pool));
  }

  /** Hears a host; done when it is answered, or held back. */
  async heard(socket: ObjectSocket, message: string | ArrayBuffer): Promise<void> {
    await this.#sessions.heard(socket, message);
  }

  /** A host has gone; done when all is heard that it said before. */
  async closed(): Promise<void> {
    await this.#sessions.allHeard();
  }

  /**
   * Lets time pass. It may come late, early or twice: what is due is judged by the table, and
   * commands judge by the clock anyway, so the alarm only keeps the stored table honest. [DO8]
   */
  async alarm(): Promise<void> {
    this.#table.alarmIs(null);
    const address = this.#table.address();
    if (address === null) return;
    this.#table.execute(address, { type: "tick" });
    this.#table.prune();
    await this.#table.alarmSet;
  }
}

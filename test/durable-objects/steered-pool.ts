/**
 * A pool with routers as it is, beside what the core alone says of each address: hosts and
 * routers on real sockets, a clock that is set, objects that may be evicted at any moment.
 */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { expect } from "vitest";
import type { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import { LeaseStore, type StoredAddress } from "../../durable-objects/address/lease-store.ts";
import { awaitsRouters, execute, type LeaseCommand } from "../../src/core/lease-commands.ts";
import { emptyLeaseTable, type LeaseTable } from "../../src/core/lease-table.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import { isUnpublished, publicationOf } from "../../src/core/publication.ts";
import { type Answer, answerOf } from "../contract/address-contract.ts";
import { comparable } from "../contract/lease-history.ts";
import { type AppliedTable, ApplyingRouter } from "./applying-router.ts";
import { HostConnection, objects, type Reply } from "./objects.ts";

type Reach = AppliedTable["nextHops"][number];

/** Who speaks to an address on which connection. */
interface Joined {
  readonly connection: HostConnection;
  readonly instance: string;
}

/** One address, and its table by the core alone. */
interface Address {
  readonly ip: string;
  readonly stub: DurableObjectStub<EgressIp>;
  readonly table: LeaseTable;
  readonly joined: Map<string, Joined>;
}

/** One of the objects, to be evicted or woken. */
export type Target = "pool" | "address";

const SLOW_ROUTER = "r2";
const LOOK_AGAIN_MS = 5;
const TIMEOUT_MS = 15_000;

/** `Date` must be fake, and chance be drawn from a generator like `random`. */
export class SteeredPool {
  readonly #name: string;
  readonly #settings: PoolSettings;
  readonly #random: () => number;
  readonly #addresses: Address[] = [];
  readonly #routers = new Map<string, ApplyingRouter>();
  readonly #nextHops = new Map<string, Reach>();
  #isSteered = false;

  constructor(name: string, settings: PoolSettings, random: () => number) {
    this.#name = name;
    this.#settings = settings;
    this.#random = random;
  }

  get addressCount(): number {
    return this.#addresses.length;
  }

  get grantCount(): number {
    return this.#addresses.reduce((sum, { table }) => sum + table.lastEpoch, 0);
  }

  async configure(changes: Partial<PoolSettings>): Promise<void> {
    const settings = { ...this.#settings, ...changes };
    await this.#pool.configure(settings);
    for (const { table } of this.#addresses) {
      const isNews = JSON.stringify(table.settings) !== JSON.stringify(settings);
      // An address sees the clock whenever its pool speaks to it. [LE6]
      this.#expected(table, isNews ? { type: "configure", settings } : { type: "tick" });
    }
  }

  async addIp(ip: string): Promise<void> {
    const { settings } = this.#addresses[0]?.table ?? { settings: this.#settings };
    const table = emptyLeaseTable(settings);
    this.#addresses.push({ ip, stub: objects.EGRESS_IP.getByName(ip), table, joined: new Map() });
    expect(await this.#pool.addIp(ip, null)).toMatchObject({ ok: true });
    this.#expected(table, this.#isSteered ? { type: "steer" } : { type: "tick" });
  }

  table(at: number): LeaseTable {
    return this.#at(at).table;
  }

  /** Carries a command of a host out, and compares the answer with what the core says. */
  async perform(at: number, command: LeaseCommand): Promise<void> {
    const address = this.#at(at);
    if ("session" in command && !address.joined.has(command.host)) {
      // Who never joined has nothing else to say.
      return this.perform(at, { type: "join", host: command.host, instance: instanceOf(command.host) });
    }
    const expected = this.#expected(address.table, command);
    const answer = await this.#ask(address, command);
    if (answer === null) return;
    expect(answer).toEqual(expected);
    if ("refused" in answer || answer.granted === null) return;
    // Routers before hosts: whoever hears of a block finds it on every router. [ST4]
    for (const router of this.#routers.values()) {
      const { epoch } = answer.granted;
      expect(router.applied.entries).toContainEqual(expect.objectContaining({ ip: address.ip, epoch }));
    }
  }

  /** A router that comes for the first time, or again on a newer connection. */
  async enroll(name: string): Promise<void> {
    const router = await ApplyingRouter.enroll(this.#pool, name, name === SLOW_ROUTER ? 20 : 0);
    this.#routers.set(name, router);
    if (this.#isSteered) return;
    this.#isSteered = true;
    for (const { table } of this.#addresses) this.#expected(table, { type: "steer" });
  }

  async leave(name: string): Promise<void> {
    const router = this.#routers.get(name);
    if (router === undefined) return;
    this.#routers.delete(name);
    router.close();
    await eventually(async () => {
      const { routers } = await this.#described();
      expect(routers.find((known) => known.router === name)).toMatchObject({ live: false });
    });
  }

  async resync(name: string): Promise<void> {
    await this.#routers.get(name)?.resync();
  }

  /** A host says how it is reached. */
  async enlist(host: string, reach: Omit<Reach, "host">): Promise<void> {
    const connection = await HostConnection.open(this.#pool, host);
    const reply = await connection.enlist(instanceOf(host), "http://127.0.0.1:8001", reach);
    expect(reply).toMatchObject({ type: "enlisted", ips: this.#addresses.map(({ ip }) => ip) });
    this.#nextHops.set(host, { host, ...reach });
  }

  async evict(target: Target, at: number): Promise<void> {
    const stub = this.#target(target, at);
    // An object that sleeps cannot be put to sleep.
    await runInDurableObject(stub, () => {});
    await evictDurableObject(stub);
  }

  async ring(target: Target, at: number): Promise<void> {
    const hasRung = await runDurableObjectAlarm(this.#target(target, at));
    // The clock was seen, which is all that a look at the wrong time may change. [LE6]
    if (hasRung && target === "address") this.#expected(this.#at(at).table, { type: "tick" });
  }

  /** All connections of an object break; routers, or hosts, come back on new ones. */
  async breakOff(target: Target, at: number): Promise<void> {
    const stub = this.#target(target, at);
    await runInDurableObject(stub, () => {});
    await evictDurableObject(stub, { webSockets: "close" });
    if (target === "pool") {
      for (const name of this.#routers.keys()) await this.enroll(name);
      return;
    }
    const { joined } = this.#at(at);
    const before = [...joined];
    joined.clear();
    for (const [host, { instance }] of before) await this.perform(at, { type: "join", host, instance });
  }

  /** Waits until nothing is under way, and compares every table with what it should be. */
  async expectSettled(): Promise<void> {
    await eventually(async () => {
      const { steeringSequence, routers } = await this.#described();
      for (const [name, { applied }] of this.#routers) {
        expect(applied.sequence).toBe(steeringSequence);
        const standing = { live: true, ready: true, lagging: false, acknowledged: steeringSequence };
        expect(routers.find((known) => known.router === name)).toMatchObject(standing);
      }
      for (const address of this.#addresses) {
        expect(comparable((await storedIn(address)).table)).toEqual(comparable(address.table));
      }
    });
    for (const { applied } of this.#routers.values()) {
      expect(applied.ips).toEqual(this.#addresses.map(({ ip }) => ip).toSorted());
      expect(applied.entries).toEqual(this.#entries());
      const reachable = [...this.#nextHops.values()].filter(
        ({ ipv4, ipv6 }) => ipv4 !== null || ipv6 !== null,
      );
      expect(applied.nextHops).toEqual(reachable.toSorted((a, b) => (a.host < b.host ? -1 : 1)));
    }
  }

  get #pool(): (typeof objects)["EGRESS_POOL"] extends { getByName(name: string): infer Stub }
    ? Stub
    : never {
    return objects.EGRESS_POOL.getByName(this.#name);
  }

  #at(at: number): Address {
    return this.#addresses[at % this.#addresses.length]!;
  }

  #target(target: Target, at: number): DurableObjectStub {
    return target === "pool" ? this.#pool : this.#at(at).stub;
  }

  /** What the core says, once the routers have applied it. */
  #expected(table: LeaseTable, command: LeaseCommand): Answer {
    const nowMs = Date.now();
    const { outcome } = execute(table, command, nowMs, this.#random);
    if (isUnpublished(table)) {
      const isHeld = outcome.ok && awaitsRouters(table, outcome.value);
      execute(table, { type: "applied", publication: publicationOf(table) }, nowMs, this.#random);
      if (isHeld) return answerOf(execute(table, command, nowMs, this.#random).outcome);
    }
    return answerOf(outcome);
  }

  async #ask(address: Address, command: LeaseCommand): Promise<Answer | null> {
    if (command.type === "join") return this.#join(address, command.host, command.instance);
    if (!("session" in command)) {
      await address.stub.describe();
      return null;
    }
    const { host, session: _session, ...request } = command;
    const { connection } = address.joined.get(host)!;
    return answerIn(await connection.ask({ requestId: crypto.randomUUID(), ...request }));
  }

  async #join(address: Address, host: string, instance: string): Promise<Answer> {
    const connection = await HostConnection.open(address.stub, host);
    const reply = await connection.join(instance);
    if (reply["type"] === "answer") address.joined.set(host, { connection, instance });
    return answerIn(reply);
  }

  async #described() {
    const described = await this.#pool.describe();
    if (!described.ok) throw new Error(described.refusal);
    return described.value;
  }

  #entries(): AppliedTable["entries"] {
    return this.#addresses
      .flatMap(({ ip, table }) =>
        publicationOf(table).blocks.map(({ base, order, host, epoch }) => ({ ip, base, order, host, epoch })),
      )
      .toSorted((a, b) => (a.ip === b.ip ? a.base - b.base : a.ip < b.ip ? -1 : 1));
  }
}

/** There are no duplicate instances: as the commands of a history join, so does everybody. [HO1] */
function instanceOf(host: string): string {
  return `instance-${host}-own`;
}

/** Until it holds; `vi.waitFor` would move the clock that is set. */
async function eventually(holds: () => Promise<void>): Promise<void> {
  const startMs = performance.now();
  for (;;) {
    try {
      return await holds();
    } catch (fault) {
      if (performance.now() - startMs > TIMEOUT_MS) throw fault;
    }
    await scheduler.wait(LOOK_AGAIN_MS);
  }
}

function storedIn({ stub }: Address): Promise<StoredAddress> {
  return runInDurableObject(stub, (_instance: EgressIp, { storage }) => new LeaseStore(storage).load()!);
}

function answerIn({ type, code, leases, leaseDurationMs, granted }: Reply): Answer {
  return type === "refused" ? { refused: code as string } : { leases, leaseDurationMs, granted };
}

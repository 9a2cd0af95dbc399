/** The real object of one address as its contract wants it: hosts on WebSockets, a clock that is set. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { vi } from "vitest";
import type { AddressOrder } from "../../durable-objects/calls/address-calls.ts";
import type { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import { LeaseStore, type StoredAddress } from "../../durable-objects/address/lease-store.ts";
import type { LeaseCommand } from "../../src/core/lease-commands.ts";
import type { Answer, TableKeeper } from "../contract/address-contract.ts";
import { POOL, SETTINGS } from "../contract/lease-history.ts";
import { HostConnection, objects, type Reply } from "./objects.ts";

const original = crypto.getRandomValues.bind(crypto);

/** Gives chance that can be repeated to whatever draws one number at a time, as the objects do. */
export function drawFrom(random: () => number): void {
  vi.spyOn(crypto, "getRandomValues").mockImplementation((array) => {
    if (!(array instanceof Uint32Array) || array.length !== 1) return original(array);
    array[0] = random() * 2 ** 32;
    return array;
  });
}

/** A connection that has joined, and as what. */
interface Joined {
  readonly connection: HostConnection;
  readonly session: number;
}

/** The object of an address that belongs to no pool's object; `Date` must be fake. */
export class ObjectAddress implements TableKeeper {
  readonly #stub: DurableObjectStub<EgressIp>;
  readonly #joined = new Map<string, Joined>();
  /** Connections on which nobody has joined, by host. */
  readonly #unjoined = new Map<string, HostConnection>();
  #settings = SETTINGS;
  #wish: "serve" | "retire" = "serve";
  #sessionCount = 0;
  #isAwake = true;

  private constructor(stub: DurableObjectStub<EgressIp>) {
    this.#stub = stub;
  }

  static async open(ip: string): Promise<ObjectAddress> {
    const stub = objects.EGRESS_IP.getByName(ip);
    await stub.assign(POOL, SETTINGS);
    return new ObjectAddress(stub);
  }

  async perform(command: LeaseCommand, nowMs: number): Promise<Answer | null> {
    vi.setSystemTime(nowMs);
    this.#isAwake = true;
    switch (command.type) {
      case "tick":
        await this.#stub.describe();
        return null;
      case "configure":
        this.#settings = command.settings;
        await this.#assign({ revision: null, wish: this.#wish });
        return null;
      case "retire":
        this.#wish = command.isRetiring ? "retire" : "serve";
        await this.#assign({ revision: null, wish: this.#wish });
        return null;
      case "join":
        return this.#join(command.host, command.instance);
      case "renew":
      case "acquire":
      case "release":
        return this.#ask(command);
      case "remove":
        await this.#stub.removeHost(POOL, command.host, command.epochs);
        return null;
      case "steer":
      case "applied":
      case "restored":
        throw new Error("an address without a pool is not steered");
    }
  }

  async restart(): Promise<void> {
    // An object that sleeps cannot be put to sleep.
    if (this.#isAwake) await evictDurableObject(this.#stub);
    this.#isAwake = false;
  }

  async ring(nowMs: number): Promise<void> {
    vi.setSystemTime(nowMs);
    this.#isAwake = true;
    await runDurableObjectAlarm(this.#stub);
  }

  stored(): Promise<StoredAddress> {
    this.#isAwake = true;
    return runInDurableObject(this.#stub, (_instance: EgressIp, { storage }) =>
      new LeaseStore(storage).load()!,
    );
  }

  alarmAtMs(): Promise<number | null> {
    this.#isAwake = true;
    return runInDurableObject(this.#stub, (_instance: EgressIp, { storage }) => storage.getAlarm());
  }

  async #assign(order: AddressOrder): Promise<void> {
    await this.#stub.assign(POOL, this.#settings, false, order);
  }

  /** Whoever joins on a new connection takes over from the older ones. */
  async #join(host: string, instance: string): Promise<Answer> {
    const connection = await this.#strangerOf(host);
    const reply = await connection.join(instance);
    this.#unjoined.delete(host);
    if (reply["type"] === "answer") {
      this.#sessionCount += 1;
      this.#joined.set(host, { connection, session: this.#sessionCount });
    }
    return answerIn(reply);
  }

  async #ask(command: Extract<LeaseCommand, { session: number }>): Promise<Answer> {
    const { host, session, ...request } = command;
    const joined = this.#joined.get(host);
    // A connection of an older session has been closed: what is stale comes from one without any.
    const isNewest = joined !== undefined && joined.session === session;
    const connection = isNewest ? joined.connection : await this.#strangerOf(host);
    return answerIn(await connection.ask({ requestId: crypto.randomUUID(), ...request }));
  }

  async #strangerOf(host: string): Promise<HostConnection> {
    const known = this.#unjoined.get(host);
    if (known !== undefined) return known;
    const connection = await HostConnection.open(this.#stub, host);
    this.#unjoined.set(host, connection);
    return connection;
  }
}

function answerIn({ type, code, leases, leaseDurationMs, granted }: Reply): Answer {
  return type === "refused" ? { refused: code as string } : { leases, leaseDurationMs, granted };
}

/** The objects of an address and a pool, to which hosts, routers and viewers say whatever comes to mind. */
import * as fc from "fast-check";
import { AddressService } from "../../../durable-objects/address/address-service.ts";
import type { ObjectPlatform, ObjectSocket } from "../../../durable-objects/platform/object-platform.ts";
import { PoolService } from "../../../durable-objects/pool/pool-service.ts";
import { DEFAULT_POOL_SETTINGS } from "../../../src/core/pool-settings.ts";
import type { Outcome } from "../../../src/core/outcome.ts";
import { ObjectDatabase } from "../../simulation/object-database.ts";
import { leaseRequests, lookRequests, poolRequests, routerRequests } from "../../wire/valid-messages.ts";
import { mustHold, type ParserUnderFire } from "./parser.ts";

const IP = "192.0.2.1";
const OPEN = 1;
const CLOSED = 3;
/** After so many messages on a connection another one begins. */
const MESSAGES_PER_CONNECTION = 40;
const WORDS = [
  "null",
  "{}",
  "[]",
  "-1",
  "1e999",
  '"version":2',
  '"type":"resync"',
  '"instance":',
  '"epoch":1',
  '"h1"',
];

class FakeSocket implements ObjectSocket {
  readyState = OPEN;
  readonly tags: readonly string[];
  sent = 0;
  #attachment: unknown;

  constructor(tags: readonly string[], attachment: object) {
    this.tags = tags;
    this.#attachment = attachment;
  }

  send(text: string): void {
    JSON.parse(text);
    this.sent += 1;
  }

  close(): void {
    this.readyState = CLOSED;
  }

  serializeAttachment(attachment: object): void {
    this.#attachment = structuredClone(attachment);
  }

  deserializeAttachment(): unknown {
    return structuredClone(this.#attachment);
  }
}

/** As much of the platform as one object needs that is never put to sleep. */
class FakePlatform implements ObjectPlatform {
  readonly storage = new ObjectDatabase();
  readonly restoration = null;
  readonly random = Math.random;
  readonly faults: unknown[] = [];
  readonly name: string;
  #sockets: FakeSocket[] = [];

  constructor(name: string) {
    this.name = name;
  }

  nowMs(): number {
    return Date.now();
  }

  /** Time passes at once: nobody else is waited for here. */
  wait(_delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      setImmediate(() => (signal?.aborted === true ? reject(signal.reason as Error) : resolve()));
    });
  }

  async setAlarm(): Promise<void> {}

  async deleteAlarm(): Promise<void> {}

  sockets(tag: string): readonly ObjectSocket[] {
    return this.#sockets.filter((socket) => socket.readyState === OPEN && socket.tags.includes(tag));
  }

  heartbeatAtMs(): number | null {
    return null;
  }

  keepAwake(): void {}

  abort(reason: string): void {
    this.faults.push(new Error(reason));
  }

  report(text: string, fault?: unknown): void {
    this.faults.push(fault ?? new Error(text));
  }

  accept(tags: readonly string[], attachment: object): FakeSocket {
    const socket = new FakeSocket(tags, attachment);
    this.#sockets = [...this.#sockets.filter(({ readyState }) => readyState === OPEN).slice(-8), socket];
    return socket;
  }
}

interface Peer {
  readonly tags: readonly string[];
  readonly attachment: object;
}

/** One kind of peer of one object: each gets connections of its own, and what follows must be no fault. */
function conversation(
  name: string,
  platform: FakePlatform,
  messages: fc.Arbitrary<unknown>,
  connect: () => Peer,
  heard: (socket: ObjectSocket, text: string) => Promise<void>,
): ParserUnderFire {
  let socket: FakeSocket | null = null;
  let count = 0;
  return {
    name,
    seeds: fc
      .sample(messages, { seed: 17, numRuns: 80 })
      .map((message) => Buffer.from(JSON.stringify(message))),
    words: WORDS,
    weight: 0.6,
    read: async (input) => {
      if (socket === null || socket.readyState !== OPEN || count % MESSAGES_PER_CONNECTION === 0) {
        const { tags, attachment } = connect();
        socket = platform.accept(tags, attachment);
      }
      count += 1;
      const before = socket.sent;
      await heard(socket, input.toString("utf8"));
      platform.storage.endTurn(true);
      const [fault] = platform.faults.splice(0);
      if (fault !== undefined) throw fault;
      return `${socket.sent > before} ${socket.readyState}`;
    },
  };
}

/** A host and an address; a host, a router and a pool. */
export async function objectParsers(): Promise<ParserUnderFire[]> {
  const ofAddress = new FakePlatform(IP);
  const address = new AddressService(ofAddress, () => ({
    publish: async () => ({ ok: true, value: [] }),
  }));
  address.awake(null);
  const assigned = await address.assign("main", DEFAULT_POOL_SETTINGS, false, { revision: 1, wish: "serve" });
  mustHold(assigned.ok, "the address is the pool's");
  ofAddress.storage.endTurn(true);

  const ofPool = new FakePlatform("main");
  const pool = new PoolService(ofPool, () => ({
    assign: async () => ({ ok: true, value: { status: "serving" } }),
    describe: async () => null,
    held: async () => [],
    removeHost: async () => {},
    dropTokens: async () => {},
  }));
  await pool.configure({});
  await pool.addIp(IP, null);
  ofPool.storage.endTurn(true);

  const accepted = (outcome: Outcome<Peer, string>): Peer => {
    if (!outcome.ok) throw new Error(`not accepted: ${outcome.refusal}`);
    return outcome.value;
  };
  return [
    conversation(
      "address-object",
      ofAddress,
      leaseRequests,
      () => accepted(address.connect("h1")),
      async (socket, text) => address.heard(socket, text),
    ),
    conversation(
      "address-object-viewer",
      ofAddress,
      lookRequests,
      () => accepted(address.connectViewer({ name: "operator", sessionEndsAtMs: Number.MAX_SAFE_INTEGER })),
      async (socket, text) => address.heard(socket, text),
    ),
    conversation(
      "pool-object-host",
      ofPool,
      poolRequests,
      () => accepted(pool.connectHost("h1")),
      async (socket, text) => pool.heard(socket, text),
    ),
    conversation(
      "pool-object-router",
      ofPool,
      routerRequests,
      () => accepted(pool.connectRouter("r1")),
      async (socket, text) => pool.heard(socket, text),
    ),
  ];
}

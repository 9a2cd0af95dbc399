/** The objects under test, and hosts and routers that talk to them over real WebSockets. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { ObjectBindings } from "../../durable-objects/bindings.ts";
import { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import {
  HOST_HEADER,
  ROUTER_HEADER,
  SESSION_END_HEADER,
  SESSION_HEADER,
  TOKEN_HEADER,
  VIEWER_HEADER,
} from "../../durable-objects/calls/peer-headers.ts";
import { PROTOCOL_VERSION } from "../../src/core/messages.ts";
import type { SteeringChange, SteeringTable } from "../../src/core/steering.ts";
import { parseRouterReply } from "../../src/wire/message-parsers.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";

export const objects = env as unknown as ObjectBindings;

export const settings: PoolSettings = DEFAULT_POOL_SETTINGS;

/** What any object may answer; tests look at what they expect. */
export type Reply = Record<string, any>;

/** A stub of either kind of object that takes connections. */
type Connectable = Pick<DurableObjectStub, "fetch">;

/** Asks an object for a WebSocket as the Worker does for a verified peer. */
export function upgrade(stub: Connectable, headers: Record<string, string>): Promise<Response> {
  return stub.fetch("http://object/connect", { headers });
}

/** Where routers reach a host. */
interface Reach {
  readonly ipv4: string | null;
  readonly ipv6: string | null;
}

type Assigned = ReturnType<EgressIp["assign"]>;

/** Stands between an address and what its pool orders, for as long as this instance of it lives. */
export function interceptOrders(
  address: DurableObjectStub<EgressIp>,
  intercept: (wish: string, carryOut: () => Assigned) => Assigned,
): Promise<void> {
  return runInDurableObject(address, (instance: EgressIp) => {
    const assign: EgressIp["assign"] = (...order) =>
      intercept(order[3]!.wish, () => EgressIp.prototype.assign.apply(instance, order));
    // What is called from elsewhere must not be the instance's own.
    Object.setPrototypeOf(instance, Object.create(EgressIp.prototype, { assign: { value: assign } }));
  });
}

async function socketFrom(
  stub: Connectable,
  header: string,
  name: string,
  more: Record<string, string> = {},
): Promise<WebSocket> {
  const response = await upgrade(stub, { upgrade: "websocket", [header]: name, ...more });
  if (response.webSocket === null) throw new Error(`refused with ${response.status}`);
  return response.webSocket;
}

/** One connection to an object. */
class Connection {
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #socket: WebSocket;
  readonly #received: string[] = [];
  readonly #waiting: ((text: string) => void)[] = [];

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const text = data as string;
      const waiting = this.#waiting.shift();
      if (waiting) waiting(text);
      else this.#received.push(text);
    });
    this.closed = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => {
        resolve({ code, reason });
      });
    });
    socket.accept();
  }

  /** Messages that nobody has asked for yet. */
  get unread(): readonly string[] {
    return this.#received;
  }

  forgetUnread(): void {
    this.#received.length = 0;
  }

  /** The next message of the object. */
  async next(): Promise<Reply> {
    return JSON.parse(await this.nextText()) as Reply;
  }

  /** The next message, whatever it is. */
  nextText(): Promise<string> {
    const text = this.#received.shift();
    if (text !== undefined) return Promise.resolve(text);
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  send(message: object | string | ArrayBuffer): void {
    const isRaw = typeof message === "string" || message instanceof ArrayBuffer;
    this.#socket.send(isRaw ? message : JSON.stringify(message));
  }

  /** Sends a message and waits for the next one. */
  ask(message: object | string | ArrayBuffer): Promise<Reply> {
    this.send(message);
    return this.next();
  }

  close(): void {
    this.#socket.close(1000, "done");
  }

  /** Ends the connection without saying why. */
  closeSilently(): void {
    this.#socket.close();
  }
}

/** One connection of a host. */
export class HostConnection extends Connection {
  static async open(stub: Connectable, host: string): Promise<HostConnection> {
    return new HostConnection(await socketFrom(stub, HOST_HEADER, host));
  }

  join(instance: string): Promise<Reply> {
    return this.#request({ type: "join", version: PROTOCOL_VERSION, instance });
  }

  renew(): Promise<Reply> {
    return this.#request({ type: "renew" });
  }

  acquire(order: number, requestId?: string): Promise<Reply> {
    return this.#request({ type: "acquire", order, ...(requestId === undefined ? {} : { requestId }) });
  }

  release(lease: { base: number; epoch: number }): Promise<Reply> {
    return this.#request({ type: "release", base: lease.base, epoch: lease.epoch });
  }

  enlist(instance: string, gateway = "http://127.0.0.1:8001", reach?: Reach, place = {}): Promise<Reply> {
    return this.ask({ type: "enlist", version: PROTOCOL_VERSION, instance, gateway, reach, ...place });
  }

  /** Ids are never used again, not even by a later connection of the same host. */
  #request(message: object): Promise<Reply> {
    return this.ask({ requestId: crypto.randomUUID(), ...message });
  }

  /** That settings have changed is no answer to anything. [DO18] */
  override async ask(message: object | string | ArrayBuffer): Promise<Reply> {
    let reply = await super.ask(message);
    while (reply["type"] === "changed") reply = await this.next();
    return reply;
  }
}

/** One connection of a router. */
export class RouterConnection extends Connection {
  static async open(stub: Connectable, router: string): Promise<RouterConnection> {
    return new RouterConnection(await socketFrom(stub, ROUTER_HEADER, router));
  }

  /** Enrols and reads the whole table, all parts put together. */
  async enroll(instance: string): Promise<SteeringTable> {
    this.send({ type: "enroll", version: PROTOCOL_VERSION, instance });
    return this.table();
  }

  /** The next messages, which are a table. */
  async table(): Promise<SteeringTable> {
    const pieces: SteeringTable[] = [];
    for (let parts = 1; pieces.length < parts;) {
      const text = await this.nextText();
      const reply = parseRouterReply(text);
      if (!reply.ok || reply.value.type !== "table") throw new Error(text);
      if (reply.value.part !== pieces.length + 1) throw new Error(`part ${reply.value.part} came next`);
      ({ parts } = reply.value);
      pieces.push(reply.value.table);
    }
    return {
      sequence: pieces[0]!.sequence,
      ips: pieces.flatMap(({ ips }) => ips),
      entries: pieces.flatMap(({ entries }) => entries),
      nextHops: pieces.flatMap(({ nextHops }) => nextHops),
    };
  }

  /** The next message, which is a change. */
  async change(): Promise<SteeringChange> {
    const text = await this.nextText();
    const reply = parseRouterReply(text);
    if (!reply.ok || reply.value.type !== "change") throw new Error(text);
    return reply.value.change;
  }

  acknowledge(sequence: number): void {
    this.send({ type: "acknowledge", sequence });
  }
}

/** In which session somebody looks. */
interface ViewerSession {
  readonly session?: string;
  readonly token?: string;
  readonly endsAtMs?: number;
}

/** The headers by which the Worker names who looks. */
export function viewerHeaders({
  session = "s1",
  token = "t1",
  endsAtMs = Date.now() + 3_600_000,
}: ViewerSession = {}): Record<string, string> {
  return {
    [VIEWER_HEADER]: "operator",
    [SESSION_HEADER]: session,
    [SESSION_END_HEADER]: String(endsAtMs),
    [TOKEN_HEADER]: token,
  };
}

/** One connection of who looks by a page. */
export class ViewerConnection extends Connection {
  static async open(stub: Connectable, session?: ViewerSession): Promise<ViewerConnection> {
    return new ViewerConnection(await socketFrom(stub, VIEWER_HEADER, "operator", viewerHeaders(session)));
  }

  look(wishes: object = {}): Promise<Reply> {
    return this.ask({ type: "look", ...wishes });
  }

  /** The next message of this type. */
  async nextOf(type: string): Promise<Reply> {
    for (;;) {
      const message = await this.next();
      if (message["type"] === type) return message;
    }
  }
}

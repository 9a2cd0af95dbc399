/** The objects under test, and a host that talks to them over a real WebSocket. */
import { env } from "cloudflare:workers";
import type { ObjectBindings } from "../../durable-objects/bindings.ts";
import { HOST_HEADER } from "../../durable-objects/host-socket.ts";
import { PROTOCOL_VERSION } from "../../src/core/messages.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";

export const objects = env as unknown as ObjectBindings;

export const settings: PoolSettings = DEFAULT_POOL_SETTINGS;

/** What any object may answer; tests look at what they expect. */
export type Reply = Record<string, any>;

/** A stub of either kind of object that hosts connect to. */
type Connectable = Pick<DurableObjectStub, "fetch">;

/** Asks an object for a WebSocket as the Worker does for a verified host. */
export function upgrade(stub: Connectable, headers: Record<string, string>): Promise<Response> {
  return stub.fetch("http://object/connect", { headers });
}

/** One connection of a host. */
export class HostConnection {
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #socket: WebSocket;
  readonly #received: string[] = [];
  readonly #waiting: ((text: string) => void)[] = [];

  private constructor(socket: WebSocket) {
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

  static async open(stub: Connectable, host: string): Promise<HostConnection> {
    const response = await upgrade(stub, { upgrade: "websocket", [HOST_HEADER]: host });
    if (response.webSocket === null) throw new Error(`refused with ${response.status}`);
    return new HostConnection(response.webSocket);
  }

  /** Messages that nobody has asked for yet. */
  get unread(): readonly string[] {
    return this.#received;
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

  enlist(instance: string, gateway = "http://127.0.0.1:8001"): Promise<Reply> {
    return this.ask({ type: "enlist", version: PROTOCOL_VERSION, instance, gateway });
  }

  close(): void {
    this.#socket.close(1000, "done");
  }

  /** Ids are never used again, not even by a later connection of the same host. */
  #request(message: object): Promise<Reply> {
    return this.ask({ requestId: crypto.randomUUID(), ...message });
  }
}

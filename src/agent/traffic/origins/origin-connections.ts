/**
 * The connections to one origin that the same flows may share. Each request gets an idle one, or
 * room on an HTTP/2 one, or a new one: there is no upper bound but the ports.
 *
 * A port must be known by request, an idle connection must close when its block drains, and
 * thousands at once must cost no search.
 */
import type { EgressContext } from "../../egress/flow-context.ts";
import { type ConnectionOptions, OriginConnection } from "./origin-connection.ts";

/** Called with the connection that a request goes out on. */
export type OnConnection = (connection: OriginConnection) => void;

/** All connections of one context to one origin. */
export class OriginConnections {
  readonly origin: string;
  readonly #context: EgressContext;
  readonly #options: ConnectionOptions;
  readonly #onEmpty: () => void;
  readonly #all = new Set<OriginConnection>();
  /** Connected, no request on it. The last one is the warmest, so the coldest ones end. */
  readonly #idle: OriginConnection[] = [];
  /** HTTP/2 connections with requests and with room for more. */
  readonly #shared = new Set<OriginConnection>();
  /** The first connection to an origin of which nobody knows whether it speaks HTTP/2. */
  #scout: OriginConnection | null = null;
  #waiting: OnConnection[] = [];
  #speaks: "unknown" | "h1" | "h2";

  constructor(origin: string, context: EgressContext, options: ConnectionOptions, onEmpty: () => void) {
    this.origin = origin;
    this.#context = context;
    this.#options = options;
    this.#onEmpty = onEmpty;
    // HTTP/2 is negotiated in TLS; without it nothing has to be found out.
    this.#speaks = origin.startsWith("https:") && !options.http1Required.has(origin) ? "unknown" : "h1";
  }

  /** Connections, for the status. */
  get size(): number {
    return this.#all.size;
  }

  /**
   * Gives a connection for one request; the taker calls `done` when the request has ended.
   * `alone`: no other request may be on it now (a streamed body would wait behind them).
   */
  acquire(alone: boolean, take: OnConnection): void {
    if (!alone && this.#speaks !== "h1") {
      for (const shared of this.#shared) {
        this.#occupy(shared);
        take(shared);
        return;
      }
    }
    const idle = this.#takeIdle();
    if (idle !== null) {
      this.#occupy(idle);
      take(idle);
    } else if (this.#scout !== null && !alone && this.#speaks === "unknown") {
      // One finds out the protocol: had each opened its own, HTTP/2 would have saved no port.
      this.#waiting.push(take);
    } else {
      take(this.open());
    }
  }

  /** A new connection for one request, as `acquire` gives it. */
  open(): OriginConnection {
    const connection = new OriginConnection(this.origin, this.#context, this.#options, this);
    this.#all.add(connection);
    connection.running = 1;
    if (this.#speaks === "unknown" && this.#scout === null) this.#scout = connection;
    return connection;
  }

  /** A request has ended, well or not; `isReusable` says whether the connection is still good. */
  done(connection: OriginConnection, isReusable: boolean): void {
    connection.running -= 1;
    if (connection.running === 0) connection.endWait();
    if (connection.isRetired || !isReusable || connection.port === null) {
      connection.retire();
    } else if (connection.running > 0) {
      this.#place(connection);
    } else {
      this.#shared.delete(connection);
      connection.idleAt = this.#idle.length;
      this.#idle.push(connection);
      connection.watchIdleness();
    }
  }

  /**
   * A request has been given up before it was sent: a connection that is being made for it alone is
   * not wanted any more, unless others wait to hear what it finds out.
   */
  abandon(connection: OriginConnection): void {
    const isAwaited = connection === this.#scout && this.#waiting.length > 0;
    if (connection.running === 1 && !isAwaited) connection.close();
  }

  /** Closes every connection. */
  close(): void {
    for (const connection of this.#all) connection.close();
  }

  /** From the connection: it stands, or may carry more requests than before, or fewer. */
  onConnected(connection: OriginConnection): void {
    if (!this.#options.http1Required.has(this.origin))
      this.#speaks = connection.protocol === "h2" ? "h2" : "h1";
    this.#place(connection);
    if (connection === this.#scout) this.#endScouting();
  }

  /** From a connection: no other request goes out over HTTP/2. */
  onHttp1Required(): void {
    this.#speaks = "h1";
    for (const connection of this.#all) if (connection.protocol === "h2") connection.retire();
  }

  /** From the connection: it takes no more requests. */
  onGone(connection: OriginConnection): void {
    this.#all.delete(connection);
    this.#shared.delete(connection);
    if (connection.idleAt !== -1) {
      const last = this.#idle.pop()!;
      if (last !== connection) {
        this.#idle[connection.idleAt] = last;
        last.idleAt = connection.idleAt;
      }
      connection.idleAt = -1;
    }
    if (connection === this.#scout) this.#endScouting();
    if (this.#all.size === 0 && this.#waiting.length === 0) this.#onEmpty();
  }

  /** The warmest idle one that takes a request. */
  #takeIdle(): OriginConnection | null {
    for (;;) {
      const idle = this.#idle.pop();
      if (idle === undefined) return null;
      idle.idleAt = -1;
      if (idle.limit > 0) return idle;
      // An origin that allows no streams at all, for now.
      idle.retire();
    }
  }

  #occupy(connection: OriginConnection): void {
    connection.running += 1;
    this.#place(connection);
  }

  /** Among the shared ones, if it has requests and room for more. */
  #place(connection: OriginConnection): void {
    if (connection.protocol !== "h2" || connection.isRetired || connection.running === 0) return;
    if (connection.running < connection.limit) this.#shared.add(connection);
    else this.#shared.delete(connection);
  }

  #endScouting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    // A scout that never arrived tells nothing: the others try for themselves, all at once, so
    // that none waits for one time-out after the other. The scout's place is kept until then.
    for (const take of waiting) {
      if (this.#speaks === "unknown") take(this.open());
      else this.acquire(false, take);
    }
    this.#scout = null;
  }
}

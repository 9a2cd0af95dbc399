/**
 * Bytes of a tenant, in both directions together, from midnight to midnight UTC: as its connections to
 * destinations have them, so with TLS and the heads of HTTP. Read from the sockets now and then, so that
 * what passes costs nothing more. [LI6]
 */
import type { CountedConnection } from "../egress/flow-use.ts";

const DAY_MS = 86_400_000;

/** Which day it is, counted from 1970, UTC. */
export function dayOf(wallMs: number): number {
  return Math.floor(wallMs / DAY_MS);
}

/** Whole seconds until the next day. */
export function secondsLeftOf(wallMs: number): number {
  return Math.ceil((DAY_MS - (wallMs % DAY_MS)) / 1_000);
}

/** Of one tenant in one process. */
export class ByteCount {
  #day: number;
  #bytes = 0;
  /** With what was counted of each. */
  readonly #connections = new Map<CountedConnection, number>();

  constructor(wallMs: number) {
    this.#day = dayOf(wallMs);
  }

  /** Connections that stand. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Counts a connection from now on until it closes. */
  watch(connection: CountedConnection): void {
    this.#connections.set(connection, 0);
    connection.once("close", () => {
      this.#count(connection);
      this.#connections.delete(connection);
    });
  }

  /** Counts what no connection knows of. */
  passed(byteCount: number): void {
    this.#bytes += byteCount;
  }

  /** Those of today, as of now. What passed since the last look counts as of today. */
  read(wallMs: number): number {
    for (const connection of this.#connections.keys()) this.#count(connection);
    this.#turn(wallMs);
    return this.#bytes;
  }

  /** Those that are known without looking. */
  get known(): number {
    return this.#bytes;
  }

  #count(connection: CountedConnection): void {
    const before = this.#connections.get(connection) ?? 0;
    const { bytesRead, bytesWritten } = connection;
    const now = bytesRead + bytesWritten;
    this.#bytes += Math.max(0, now - before);
    this.#connections.set(connection, now);
  }

  #turn(wallMs: number): void {
    const day = dayOf(wallMs);
    // A clock that is set back does not give a day twice.
    if (day <= this.#day) return;
    this.#day = day;
    this.#bytes = 0;
  }
}

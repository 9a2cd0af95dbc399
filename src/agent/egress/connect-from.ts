/** One attempt: a socket bound to a held port, connected to one address, and checked. [BI7] [BI8] */
import { connect, type Socket } from "node:net";
import { BulkRead } from "./bulk-read.ts";
import { EgressFault } from "./faults.ts";
import type { FlowNote } from "./flow-recorder.ts";
import type { HeldPort } from "./held-port.ts";
import type { OpenSockets } from "./open-sockets.ts";
import { resetSocket } from "../../process/socket-reset.ts";

const KEEP_ALIVE_DELAY_MS = 60_000;
/**
 * What is kept of a socket that is joined to another before it is stopped, in each direction. Bytes
 * come in pieces of up to 64 KiB, and with Node's own limit of as much two of them would be kept where
 * one may be: of thousands of tunnels whose readers rest that is all the memory there is. [TN3]
 */
export const JOINED_KEPT_BYTES = 16 * 1024;

/** How a connection is used. */
export interface ConnectionUse {
  /** Our direction outlives the peer's end; without it the socket ends with the peer. */
  readonly allowHalfOpen?: boolean;
  /** What comes is read by `BulkRead`, and not told in events. */
  readonly readsInBulk?: boolean;
}

/** Where an attempt goes to, and what for. */
export interface Target extends ConnectionUse {
  readonly ip: string;
  readonly port: number;
}

/** Connects within a time; whatever the result, the port is given back once. `begins` makes a note of the flow. */
export function connectFrom(
  localAddress: string,
  held: HeldPort,
  target: Target,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  sockets: OpenSockets,
  begins: (() => FlowNote) | null = null,
): Promise<Socket> {
  // Between the choice of the port and this moment its lease may have ended.
  if (held.isLost || signal?.aborted) {
    held.release();
    return Promise.reject(held.isLost ? new EgressFault("lease-lost") : givenUp());
  }
  return new Promise((resolve, reject) => {
    // Before its first packet, which leaves with the socket.
    held.note = begins?.() ?? null;
    const socket = openSocket(localAddress, held, target);
    sockets.note(socket);
    let fault: unknown = null;
    let isConnected = false;
    const fail = (cause: unknown): void => {
      clearTimeout(timer);
      fault ??= cause;
      socket.destroy();
    };
    const abort = (): void => fail(givenUp());
    const timer = setTimeout(() => fail(new EgressFault("connection-timeout")), timeoutMs);
    held.onReset = () => {
      if (socket.connecting) fail(new EgressFault("lease-lost"));
      else resetSocket(socket);
    };
    signal?.addEventListener("abort", abort, { once: true });
    // Never removed: the new owner of the socket adds its own listener a moment later.
    socket.on("error", (cause: NodeJS.ErrnoException) => {
      if (isRefusal(cause)) held.isRefused = true;
      fail(cause);
    });
    socket.once("close", () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      held.note?.ended(socket.bytesWritten, socket.bytesRead);
      held.release();
      // Only now, so that a further attempt finds this port free. A fault is dear, and mostly nobody waits.
      if (!isConnected) reject(fault ?? new EgressFault("connection-terminated"));
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      // Fail closed: some libraries silently use another source address. [BI8]
      if (socket.localAddress !== localAddress || socket.localPort !== held.port) {
        fail(new EgressFault("internal-fault", "The socket is bound elsewhere."));
        return;
      }
      isConnected = true;
      resolve(socket);
    });
  });
}

function openSocket(localAddress: string, held: HeldPort, target: Target): Socket {
  const read = target.readsInBulk === true ? new BulkRead() : null;
  try {
    const socket = connect({
      host: target.ip,
      port: target.port,
      localAddress,
      localPort: held.port,
      allowHalfOpen: target.allowHalfOpen === true,
      ...(target.allowHalfOpen === true ? { highWaterMark: JOINED_KEPT_BYTES } : {}),
      ...(read === null ? {} : { onread: read.onread }),
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    });
    if (read !== null) BulkRead.note(socket, read);
    return socket;
  } catch (fault) {
    // No known path leads here; if one does, the port must not be lost.
    held.note?.ended(0, 0);
    held.release();
    throw fault;
  }
}

/** Whether only the kernel knows of a use of this 4-tuple: a socket that is not ours, or a TIME_WAIT. */
export function isRefusal(fault: unknown): boolean {
  const { code } = (fault ?? {}) as { readonly code?: unknown };
  return code === "EADDRNOTAVAIL" || code === "EADDRINUSE";
}

/** Cleans up after an attempt that is not needed any more. */
export function givenUp(): EgressFault {
  return new EgressFault("connection-terminated", "The request was given up.");
}

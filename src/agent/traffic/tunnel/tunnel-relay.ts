/**
 * Two sockets joined, byte for byte, until both directions have ended:
 *
 *     client ──bytes──▶ destination
 *     client ◀──bytes── destination
 *
 * A direction ends by itself (FIN), and the other goes on; a reset is passed on as a reset. What one
 * side does not take stops the other, so nothing is kept but what is on its way. [TN2] [TN3]
 */
import { constants, type ServerHttp2Stream } from "node:http2";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { resetSocket } from "../../../process/socket-reset.ts";
import type { Flow } from "../../../process/flow.ts";
import { BulkRead } from "../../egress/bulk-read.ts";
import type { RunningFlow } from "../../egress/flow-use.ts";
import type { HeldPort } from "../../egress/held-port.ts";
import { noteStreamed } from "../clients/collect-garbage.ts";
import { PausedPeer } from "../clients/paused-peer.ts";
import type { IdleTunnels, WatchedTunnel } from "./idle-tunnels.ts";

/** A few bytes are sooner copied than their buffer is replaced. */
const LEAST_LENT_BYTES = 8 * 1024;

/** A tunnel that stands. Both sockets must allow a half-open connection. */
export class TunnelRelay implements WatchedTunnel {
  usedAtMs: number;
  readonly #client: Duplex;
  readonly #destination: Socket;
  readonly #flow: Flow;
  readonly #idle: IdleTunnels;
  readonly #running: RunningFlow;
  #closedCount = 0;

  constructor(client: Duplex, destination: Socket, flow: Flow, idle: IdleTunnels, running: RunningFlow) {
    this.#client = client;
    this.#destination = destination;
    this.#flow = flow;
    this.#idle = idle;
    this.#running = running;
    this.usedAtMs = idle.nowMs;
    running.writesTo(destination);
  }

  /** Joins the two; what the client had said already goes first. */
  join(held: HeldPort, fromClient: readonly Buffer[]): void {
    const cut = held.onReset;
    held.onReset = this.#flow.guard(() => {
      cut?.();
      reset(this.#client);
    });
    this.#idle.add(this);
    for (const chunk of fromClient) this.#destination.write(chunk);
    this.#pump(this.#client, this.#destination);
    this.#pump(this.#destination, this.#client);
  }

  /** Whether one side has said all it has to say. */
  get isHalfClosed(): boolean {
    return this.#client.readableEnded || this.#destination.readableEnded;
  }

  /** Nothing has passed for too long: both sides are told by a reset, as for a connection that is forgotten. */
  expire(): void {
    reset(this.#client);
    reset(this.#destination);
  }

  #moved(): void {
    this.usedAtMs = this.#idle.nowMs;
    this.#running.moved();
  }

  #pump(from: Duplex, to: Duplex): void {
    let peer: PausedPeer | null = null;
    const pause = (): void => {
      peer ??= new PausedPeer(from);
      peer.paused();
    };
    const onDrain = this.#flow.guard(() => {
      this.#moved();
      peer?.resumed();
      from.resume();
    });
    const onEnd = this.#flow.guard(() => to.end());
    const onClose = this.#flow.guard(() => {
      // Both ends in order are no news to the other side, which has had its FIN.
      if (hasFailed(from)) {
        this.#running.watch?.failed("connection-terminated");
        reset(to);
      }
      this.#closedCount += 1;
      if (this.#closedCount === 2) this.#idle.remove(this);
    });
    this.#read(from, to, pause);
    to.on("drain", onDrain);
    from.once("end", onEnd);
    from.once("close", onClose);
    if (from.readableEnded) onEnd();
    if (from.closed) onClose();
    else from.resume();
  }

  #read(from: Duplex, to: Duplex, pause: () => void): void {
    const bulk = from instanceof Socket ? BulkRead.of(from) : undefined;
    if (bulk === undefined) {
      const onData = this.#flow.guard((chunk: Buffer) => {
        this.#moved();
        noteStreamed(chunk.length);
        if (passOn(chunk, to)) return;
        from.pause();
        pause();
      });
      from.on("data", onData);
      return;
    }
    let goesOn = false;
    let isKept = true;
    const onBytes = this.#flow.guard((bytes: Buffer) => {
      this.#moved();
      const isCopied = bytes.length < LEAST_LENT_BYTES;
      goesOn = passOn(isCopied ? Buffer.from(bytes) : bytes, to);
      if (!goesOn) pause();
      // What the kernel has taken at once is not needed any more.
      isKept = !isCopied && to.writableLength > 0;
    });
    bulk.begin((bytes) => {
      onBytes(bytes);
      return { goesOn, isKept };
    });
  }
}

/** Whether more may come. What the kernel has taken at once is gone, however large it was. */
function passOn(bytes: Buffer, to: Duplex): boolean {
  return to.write(bytes) || (to.writableLength === 0 && !to.destroyed);
}

/** Whether what has closed did so before both directions had ended, or by a reset. */
function hasFailed(peer: Duplex): boolean {
  if (peer.errored !== null || !peer.readableEnded || !peer.writableFinished) return true;
  // A stream of HTTP/2 that was cancelled looks as if it had ended, also when that is called NO_ERROR.
  if (!("rstCode" in peer)) return false;
  const { rstCode, aborted } = peer as ServerHttp2Stream;
  return aborted || rstCode !== constants.NGHTTP2_NO_ERROR;
}

/** Ends a connection as one that failed: by a reset, and a stream of HTTP/2 by its error for that. */
export function reset(peer: Duplex): void {
  if (peer instanceof Socket && peer.constructor === Socket) resetSocket(peer);
  else if ("rstCode" in peer) (peer as ServerHttp2Stream).close(constants.NGHTTP2_CONNECT_ERROR);
  else peer.destroy();
}

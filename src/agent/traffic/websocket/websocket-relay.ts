/**
 * Two sockets that have agreed on a WebSocket, joined until either ends:
 *
 *     client ──frames, masked──▶ destination
 *     client ◀──frames────────── destination
 *
 * Nothing of the frames is changed or kept. When the port is taken away, both are told by a close
 * frame, if what has passed allows one more frame there. [GW9] [GW17]
 */
import type { Socket } from "node:net";
import type { RunningFlow } from "../../egress/flow-use.ts";
import type { HeldPort } from "../../egress/held-port.ts";
import type { Flow } from "../../../process/flow.ts";
import { PausedPeer } from "../clients/paused-peer.ts";
import { endInPeace } from "../clients/problem-reply.ts";
import { noteStreamed } from "../clients/collect-garbage.ts";
import { FrameBoundary, goingAwayFrame } from "./websocket-frames.ts";

/** How long what one end has said last may take to reach the other. */
const LINGER_MS = 5_000;

/** One side, and what has been written to it. */
interface Side {
  readonly socket: Socket;
  readonly boundary: FrameBoundary;
}

/** A WebSocket that stands. */
export class WebSocketRelay {
  readonly #client: Side;
  readonly #destination: Side;
  readonly #flow: Flow;
  readonly #running: RunningFlow;
  #isOver = false;

  constructor(client: Socket, destination: Socket, flow: Flow, running: RunningFlow) {
    this.#client = { socket: client, boundary: new FrameBoundary() };
    this.#destination = { socket: destination, boundary: new FrameBoundary() };
    this.#flow = flow;
    this.#running = running;
    running.writesTo(destination);
  }

  /** Joins the two; what either had said already goes first. */
  join(held: HeldPort, fromClient: readonly Buffer[], fromDestination: Buffer): void {
    const cut = held.onReset;
    held.onReset = this.#flow.guard(() => {
      this.#sayGoingAway();
      cut?.();
    });
    for (const chunk of fromClient) pass(chunk, this.#destination);
    if (fromDestination.length > 0) pass(fromDestination, this.#client);
    this.#pump(this.#client, this.#destination);
    this.#pump(this.#destination, this.#client);
  }

  #pump(from: Side, to: Side): void {
    const peer = new PausedPeer(from.socket);
    const onData = this.#flow.guard((chunk: Buffer) => {
      this.#running.moved();
      if (this.#isOver || pass(chunk, to)) return;
      from.socket.pause();
      peer.paused();
    });
    const onDrain = this.#flow.guard(() => {
      this.#running.moved();
      peer.resumed();
      from.socket.resume();
    });
    const onEnd = this.#flow.guard(() => this.#end(to.socket));
    const onClose = this.#flow.guard(() => {
      if (from.socket.readableEnded) this.#end(to.socket);
      else if (!this.#isOver) {
        this.#running.watch?.failed("connection-terminated");
        to.socket.destroy();
      }
    });
    from.socket.on("data", onData);
    to.socket.on("drain", onDrain);
    from.socket.once("end", onEnd);
    from.socket.once("close", onClose);
    if (from.socket.destroyed) onClose();
  }

  /** Either end's end is the end of both: a half-open WebSocket is of no use. What was said still goes out. */
  #end(other: Socket): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { socket: client } = this.#client;
    const { socket: destination } = this.#destination;
    const timer = setTimeout(
      this.#flow.guard(() => {
        client.destroy();
        destination.destroy();
      }),
      LINGER_MS,
    ).unref();
    client.once("close", () => clearTimeout(timer));
    client.resume();
    if (other === client) {
      destination.destroy();
      client.end();
    } else {
      // The port is free as soon as the destination knows.
      destination.end(
        this.#flow.guard(() => {
          destination.destroy();
          client.destroy();
        }),
      );
      if (destination.destroyed) client.destroy();
    }
  }

  #sayGoingAway(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { socket: client } = this.#client;
    const { socket: destination } = this.#destination;
    if (destination.writable && this.#destination.boundary.isBetweenFrames) {
      destination.write(goingAwayFrame("client"));
    }
    if (client.writable && this.#client.boundary.isBetweenFrames) {
      endInPeace(client, goingAwayFrame("server"));
    } else {
      client.destroy();
    }
  }
}

function pass(chunk: Buffer, { socket, boundary }: Side): boolean {
  boundary.pass(chunk);
  noteStreamed(chunk.length);
  return socket.write(chunk);
}

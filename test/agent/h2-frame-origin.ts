/**
 * An origin that speaks HTTP/2 in single frames over TLS, right or wrong, as its script says:
 *
 *     const origin = await startFrameOrigin(async (peer) => {
 *       peer.send(peer.settings());
 *       const { stream } = await peer.request();
 *       peer.send(peer.headers(stream, [":status", "200"]), peer.data(stream, "whole", END_STREAM));
 *     });
 *
 * Every connection runs the script anew. Header blocks are written as they are, without tables, and
 * read with the agent's own decoder. What a peer sends is kept in `frames`.
 */
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { HpackDecoder } from "../../src/agent/traffic/http2/hpack-decoder.ts";
import { encodeFields } from "../../src/agent/traffic/http2/hpack-encoder.ts";
import * as wire from "../../src/agent/traffic/http2/http2-frames.ts";
import { type Rig, type RigOptions, startRig } from "./gateway-rig.ts";
import { CERTIFICATE, KEY, transportsOf } from "./tls-origin.ts";

/** A frame that a client sent. */
export interface SentFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** A request that a client sent: its head. */
export interface SentRequest {
  readonly stream: number;
  /** Names and values by turns, pseudo-fields first. */
  readonly fields: readonly string[];
  readonly isEnd: boolean;
}

/** What to do with a connection; what it throws once the connection has ended is of no interest. */
export type Script = (peer: FramePeer, at: number) => Promise<void> | void;

/** An origin. */
export interface FrameOrigin {
  readonly url: string;
  readonly port: number;
  /** Connections so far, those of HTTP/1.1 too. */
  readonly peers: readonly FramePeer[];
  /** Requests of HTTP/1.1 it has answered. */
  readonly http1Count: number;
  /** Ends all connections so far, and counts anew. */
  readonly forgetPeers: () => void;
  readonly close: () => void;
}

/** How it is set up. */
export interface FrameOriginOptions {
  /** What it says to a client of HTTP/1.1; without it, it speaks HTTP/2 only. */
  readonly http1Answer?: string;
  /** Where it listens, `127.0.0.1` by default. */
  readonly ip?: string;
}

/** One connection to the origin. */
export class FramePeer {
  readonly socket: TLSSocket;
  readonly frames: SentFrame[] = [];
  readonly requests: SentRequest[] = [];
  isClosed = false;
  readonly #transport: Socket;
  readonly #decoder = new HpackDecoder();
  #unread = Buffer.alloc(0);
  #hasPreface = false;
  #takenRequests = 0;
  #block: Buffer[] = [];
  #waiting: (() => void)[] = [];

  constructor(socket: TLSSocket, transport: Socket) {
    this.socket = socket;
    this.#transport = transport;
    socket.on("data", (bytes: Buffer) => {
      this.#unread = Buffer.concat([this.#unread, bytes]);
      this.#read();
      this.#wake();
    });
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  /** Ends the connection by a reset, once what was sent is on its way. */
  resetConnection(): void {
    setTimeout(() => this.#transport.resetAndDestroy(), 20);
  }

  /** The client's port. */
  get port(): number {
    return this.socket.remotePort!;
  }

  /** Sends frames, or any bytes, in one piece. */
  send(...frames: readonly Buffer[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat([...frames]));
  }

  /** The next request. */
  async request(): Promise<SentRequest> {
    await this.until(() => this.requests.length > this.#takenRequests);
    this.#takenRequests += 1;
    return this.requests[this.#takenRequests - 1]!;
  }

  /** The first frame of a type that was sent, for a stream if one is given. */
  async frame(type: number, stream?: number): Promise<SentFrame> {
    const find = (): SentFrame | undefined =>
      this.frames.find((sent) => sent.type === type && (stream === undefined || sent.stream === stream));
    await this.until(() => find() !== undefined);
    return find()!;
  }

  /** Waits for something that the client sends; rejects when the connection ends before. */
  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) {
      if (this.isClosed) throw new Error("The connection has ended.");
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  /** Bytes of bodies that have come. */
  bodyBytes(stream: number): number {
    let bytes = 0;
    for (const { type, stream: of, payload } of this.frames) {
      if (type === wire.DATA && of === stream) bytes += payload.length;
    }
    return bytes;
  }

  /** The preface of a server. */
  settings(...settings: readonly (readonly [number, number])[]): Buffer {
    return wire.settingsFrame(settings);
  }

  /** A head, or trailers, in one frame; `flags` besides END_HEADERS. */
  headers(stream: number, fields: readonly string[], flags = 0): Buffer {
    return wire.frame(wire.HEADERS, wire.END_HEADERS | flags, stream, encodeFields([...fields]));
  }

  /** A head in frames of so many bytes. */
  longHeaders(stream: number, fields: readonly string[], flags = 0, frameBytes = 16_384): Buffer {
    return Buffer.concat(wire.headerFrames(stream, flags, encodeFields([...fields]), frameBytes));
  }

  data(stream: number, content: string | Buffer, flags = 0): Buffer {
    return wire.frame(wire.DATA, flags, stream, Buffer.from(content as string));
  }

  reset(stream: number, code: number): Buffer {
    return wire.numberFrame(wire.RST_STREAM, stream, code);
  }

  goaway(lastStream: number, code: number): Buffer {
    return wire.goawayFrame(lastStream, code);
  }

  window(stream: number, increment: number): Buffer {
    return wire.numberFrame(wire.WINDOW_UPDATE, stream, increment);
  }

  ping(): Buffer {
    return wire.frame(wire.PING, 0, 0, Buffer.alloc(8));
  }

  #read(): void {
    if (!this.#hasPreface) {
      if (this.#unread.length < wire.PREFACE.length) return;
      this.#unread = this.#unread.subarray(wire.PREFACE.length);
      this.#hasPreface = true;
    }
    while (this.#unread.length >= 9) {
      const length = this.#unread.readUIntBE(0, 3);
      if (this.#unread.length < 9 + length) return;
      const [type, flags] = [this.#unread[3]!, this.#unread[4]!];
      const stream = this.#unread.readUInt32BE(5);
      const payload = this.#unread.subarray(9, 9 + length);
      this.#unread = this.#unread.subarray(9 + length);
      this.frames.push({ type, flags, stream, payload });
      if (type === wire.HEADERS || type === wire.CONTINUATION) this.#readBlock(flags, stream, payload);
    }
  }

  #readBlock(flags: number, stream: number, payload: Buffer): void {
    this.#block.push(payload);
    if ((flags & wire.END_HEADERS) === 0) return;
    const fields: string[] = [];
    this.#decoder.decode(Buffer.concat(this.#block), (name, value) => fields.push(name, value));
    this.#block = [];
    this.requests.push({ stream, fields, isEnd: (flags & wire.END_STREAM) !== 0 });
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** Answers every request at once, by its path. */
export const answering: Script = async (peer) => {
  peer.send(peer.settings());
  for (;;) {
    const { stream, fields } = await peer.request();
    peer.send(peer.headers(stream, [":status", "200"]), peer.data(stream, fields[7]!, wire.END_STREAM));
  }
};

/** Starts a gateway, and an origin that it trusts. */
export async function startWithRig(
  script: Script,
  options: RigOptions & FrameOriginOptions = {},
): Promise<{ readonly rig: Rig; readonly origin: FrameOrigin }> {
  const rig = await startRig({ authorities: [CERTIFICATE], ...options });
  return { rig, origin: await startFrameOrigin(script, options) };
}

/** Starts an origin on a free loopback port. */
export async function startFrameOrigin(
  script: Script,
  options: FrameOriginOptions = {},
): Promise<FrameOrigin> {
  const peers: FramePeer[] = [];
  const sockets = new Set<TLSSocket>();
  let http1Count = 0;
  const { http1Answer } = options;
  const server = createServer(
    { key: KEY, cert: CERTIFICATE, ALPNProtocols: http1Answer === undefined ? ["h2"] : ["h2", "http/1.1"] },
    (socket) => {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.once("close", () => sockets.delete(socket));
      if (socket.alpnProtocol === "h2") {
        const peer = new FramePeer(socket, transportOf(socket));
        peers.push(peer);
        void Promise.resolve(script(peer, peers.length - 1)).catch(() => null);
        return;
      }
      let received = "";
      socket.on("data", (bytes: Buffer) => {
        received += bytes.toString("latin1");
        if (!received.includes("\r\n\r\n")) return;
        received = "";
        http1Count += 1;
        socket.write(http1Answer!);
      });
    },
  );
  const transportOf = transportsOf(server);
  server.listen(0, options.ip ?? "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    peers,
    get http1Count() {
      return http1Count;
    },
    forgetPeers: () => {
      for (const peer of peers.splice(0)) peer.socket.destroy();
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/**
 * A TCP socket of the shape of `cloudflare:sockets`, so that what takes the one takes the other. [CL10]
 *
 *     writable ──▶ carrier ──▶ destination
 *     readable ◀── carrier ◀── destination
 */
import type { CarrierEnd } from "./carrier-end.ts";
import type { EgressSource } from "./destination-response.ts";

/** `starttls`: in the clear until `startTls` is called. */
export type SecureTransport = "on" | "off" | "starttls";

/** Where the two ends of a socket are. */
export interface EgressSocketInfo {
  /** The destination as it was asked for. */
  readonly remoteAddress: string;
  /** The address and port that it left from. */
  readonly localAddress: string;
  readonly egress: EgressSource;
}

/** What TLS is made with. */
export interface EgressTlsOptions {
  /** What the certificate must be for; the destination's own name when absent. */
  readonly expectedServerHostname?: string;
}

/** A socket. */
export interface EgressSocket {
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly writable: WritableStream<Uint8Array<ArrayBuffer>>;
  /** Fulfilled when the destination has accepted; rejected with an EgressError when not. */
  readonly opened: Promise<EgressSocketInfo>;
  /** Fulfilled when all is over in order; rejected when it broke off. */
  readonly closed: Promise<void>;
  /** Whether `startTls` was called. */
  readonly upgraded: boolean;
  readonly secureTransport: SecureTransport;
  /** Ends both directions; what was written still goes out. */
  close(): Promise<void>;
  /** Begins TLS, made at the host, and gives the socket to go on with; this one is of no use any more. */
  startTls(options?: EgressTlsOptions): EgressSocket;
}

/** How a socket behaves. */
export interface SocketTraits {
  readonly secureTransport: SecureTransport;
  /** Whether writing outlives the end of reading. */
  readonly allowHalfOpen: boolean;
}

/** Bytes that a stream takes before it says that it is full. */
const HIGH_WATER_BYTES = 64 * 1024;

/** A socket over a carrier. */
export class CarriedSocket implements EgressSocket {
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly writable: WritableStream<Uint8Array<ArrayBuffer>>;
  readonly opened: Promise<EgressSocketInfo>;
  readonly closed: Promise<void>;
  readonly #end: CarrierEnd;
  readonly #traits: SocketTraits;
  readonly #receiver: object;
  #upgraded = false;
  #detach!: () => void;
  /** Pieces that were written, that have gone, and that were written when TLS was begun. */
  #writtenCount = 0;
  #goneCount = 0;
  #lastCount = Infinity;
  readonly #awaited: { readonly count: number; readonly resolve: () => void }[] = [];

  /** It may be used when it is opened. What comes is received in the name of `receiver`. */
  constructor(
    end: CarrierEnd,
    opened: Promise<EgressSocketInfo>,
    traits: SocketTraits,
    receiver: object = {},
  ) {
    this.#end = end;
    this.#traits = traits;
    this.#receiver = receiver;
    this.opened = opened;
    // Whoever does not look at it meets the same at the streams.
    opened.catch((fault: Error) => end.fail(fault));
    this.readable = this.#makeReadable();
    this.writable = this.#makeWritable();
    const detached = new Promise<void>((resolve) => {
      this.#detach = resolve;
    });
    this.closed = Promise.race([end.over, detached]);
    this.closed.catch(() => {});
  }

  get secureTransport(): SecureTransport {
    return this.#traits.secureTransport;
  }

  get upgraded(): boolean {
    return this.#upgraded;
  }

  async close(): Promise<void> {
    if (this.#upgraded) return;
    await Promise.race([this.#allSent(), this.#end.over.catch(() => {})]);
    this.#end.close();
  }

  startTls({ expectedServerHostname }: EgressTlsOptions = {}): EgressSocket {
    if (this.secureTransport !== "starttls") {
      throw new TypeError('startTls needs a socket with secureTransport: "starttls".');
    }
    if (this.#upgraded) throw new TypeError("startTls was called before.");
    this.#upgraded = true;
    this.#lastCount = this.#writtenCount;
    const receiver = {};
    const secured = this.#end.startTls(expectedServerHostname ?? null, receiver, this.#allSent());
    const opened = secured.then(() => this.opened);
    opened.then(this.#detach, () => {});
    return new CarriedSocket(this.#end, opened, { ...this.#traits, secureTransport: "on" }, receiver);
  }

  #makeReadable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const source: UnderlyingDefaultSource<Uint8Array<ArrayBuffer>> = {
      // Not of bytes: workerd would hand out every message in pieces of 4 KiB.
      pull: async (controller) => {
        await this.opened;
        const bytes = await this.#end.receive(this.#receiver);
        if (bytes !== null) return controller.enqueue(bytes);
        controller.close();
        if (!this.#traits.allowHalfOpen) await this.close();
      },
      cancel: () => {
        if (!this.#upgraded) this.#end.discard();
      },
    };
    return new ReadableStream(source, { highWaterMark: 0 });
  }

  #makeWritable(): WritableStream<Uint8Array<ArrayBuffer>> {
    const sink: UnderlyingSink<Uint8Array<ArrayBuffer>> = {
      start: (controller) => {
        this.#end.over.catch((fault: unknown) => controller.error(fault));
      },
      write: async (chunk) => {
        try {
          if (this.#goneCount >= this.#lastCount) throw detachedFault();
          await this.opened;
          await this.#end.send(bytesOf(chunk));
        } finally {
          this.#noteGone();
        }
      },
      close: async () => {
        if (this.#upgraded) return;
        await this.opened;
        await this.#end.end();
      },
      abort: () => {
        if (!this.#upgraded) this.#end.close(true);
      },
    };
    return new WritableStream(sink, {
      highWaterMark: HIGH_WATER_BYTES,
      // Asked once for each piece, when it is written.
      size: (chunk) => {
        this.#writtenCount += 1;
        return chunk?.byteLength ?? 0;
      },
    });
  }

  /** Fulfilled when all that was written before has gone. */
  #allSent(): Promise<void> {
    const count = this.#writtenCount;
    if (this.#goneCount >= count) return Promise.resolve();
    return new Promise((resolve) => {
      this.#awaited.push({ count, resolve });
    });
  }

  #noteGone(): void {
    this.#goneCount += 1;
    while (this.#awaited.length > 0 && this.#goneCount >= this.#awaited[0]!.count) {
      this.#awaited.shift()!.resolve();
    }
  }
}

function bytesOf(chunk: unknown): Uint8Array<ArrayBuffer> {
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  if (!ArrayBuffer.isView(chunk)) throw new TypeError("A socket takes bytes, as an ArrayBuffer or a view.");
  return new Uint8Array(chunk.buffer as ArrayBuffer, chunk.byteOffset, chunk.byteLength);
}

function detachedFault(): TypeError {
  return new TypeError("The socket goes on as the one that startTls gave.");
}

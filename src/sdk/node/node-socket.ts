/**
 * A socket of an egress as drivers written for Node want it: a Duplex with the manners of
 * `net.Socket`. It needs no more of Node than streams, so it runs in Workers too (`nodejs_compat`). [CL11]
 *
 *     new pg.Client({ stream: () => new NodeSocket(egress.connect("db.example.com:5432")) })
 *
 * Over it a driver in Node makes its own TLS, from end to end. In Workers drivers call `startTls`, which
 * makes it at the host.
 */
import { Duplex } from "node:stream";
import type { EgressSocket, EgressSocketInfo } from "../egress-socket.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Done = (fault?: Error | null) => void;

/** A socket that is connecting, or connected. */
export class NodeSocket extends Duplex {
  connecting = true;
  remoteAddress: string | undefined;
  #socket: EgressSocket;
  #reader: ReadableStreamDefaultReader<Bytes>;
  #writer: WritableStreamDefaultWriter<Bytes>;
  #isReading = false;
  #hasEnded = false;
  #timeoutMs = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(socket: EgressSocket) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.#reader = socket.readable.getReader();
    this.#writer = socket.writable.getWriter();
    const onOpened = ({ remoteAddress }: EgressSocketInfo): void => this.#connected(remoteAddress);
    socket.opened.then(onOpened, (fault: Error) => this.destroy(fault));
    this.#watch(socket);
  }

  /** As of `net.Socket`, for drivers that look at it. */
  get readyState(): "opening" | "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.connecting) return "opening";
    if (this.readable) return this.writable ? "open" : "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  /** It connects from its making on, to where it was made for: drivers call this all the same. */
  connect(): this {
    return this;
  }

  /** Begins TLS, made at the host; what is read and written from here on passes through it. */
  startTls({ servername, host }: { readonly servername?: string; readonly host?: string } = {}): this {
    const name = servername ?? host;
    this.#reader.releaseLock();
    this.#writer.releaseLock();
    const secured = this.#socket.startTls(name === undefined ? {} : { expectedServerHostname: name });
    this.#socket = secured;
    this.#reader = secured.readable.getReader();
    this.#writer = secured.writable.getWriter();
    secured.opened.then(
      () => this.emit("secureConnect"),
      (fault: Error) => this.destroy(fault),
    );
    this.#watch(secured);
    if (this.#isReading) void this.#read();
    return this;
  }

  /** Tells by `timeout` when nothing has passed for so long; 0 for never. */
  setTimeout(timeoutMs: number, onTimeout?: () => void): this {
    this.#timeoutMs = timeoutMs;
    if (onTimeout !== undefined) {
      if (timeoutMs === 0) this.off("timeout", onTimeout);
      else this.once("timeout", onTimeout);
    }
    this.#active();
    return this;
  }

  /** The connections under it send at once, and are kept alive, in any case. */
  setNoDelay(): this {
    return this;
  }

  /** As `setNoDelay`. */
  setKeepAlive(): this {
    return this;
  }

  /** The WebSocket keeps a process alive, or not, as its platform has it. */
  ref(): this {
    return this;
  }

  /** As `ref`. */
  unref(): this {
    return this;
  }

  override _read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    void this.#read();
  }

  override _write(chunk: Bytes, _encoding: string, done: Done): void {
    this.#active();
    void this.#settle(this.#writer.write(chunk), done);
  }

  override _final(done: Done): void {
    void this.#settle(this.#writer.close(), done);
  }

  override _destroy(fault: Error | null, done: Done): void {
    this.connecting = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    // What has not gone yet is lost, which the destination must not take for the end.
    const isCut = fault !== null || this.writableLength > 0;
    const closed = isCut ? this.#writer.abort(fault) : this.#socket.close();
    closed.catch(() => {});
    done(fault);
  }

  #connected(remoteAddress: string): void {
    if (this.destroyed) return;
    this.connecting = false;
    this.remoteAddress = remoteAddress;
    this.emit("connect");
    this.emit("ready");
  }

  /** Tells when a piece has gone. After the other side's end a kernel takes what nobody gets, too. */
  async #settle(going: Promise<void>, done: Done): Promise<void> {
    let failure: Error | null = null;
    try {
      await going;
    } catch (fault) {
      if (!this.#hasEnded) failure = fault as Error;
    }
    done(failure);
  }

  async #read(): Promise<void> {
    const reader = this.#reader;
    try {
      while (this.#isReading) {
        const { done, value } = await reader.read();
        // TLS has begun meanwhile, and another reads on.
        if (reader !== this.#reader) return;
        this.#active();
        if (done) {
          this.#isReading = false;
          this.#hasEnded = true;
          this.push(null);
        } else {
          const wantsMore = this.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
          // Whoever got it may have begun TLS.
          if (reader === this.#reader) this.#isReading = wantsMore;
        }
      }
    } catch (fault) {
      if (reader === this.#reader) this.destroy(fault as Error);
    }
  }

  #watch(socket: EgressSocket): void {
    socket.closed.catch((fault: Error) => {
      if (socket === this.#socket) this.destroy(fault);
    });
  }

  #active(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#timeoutMs === 0 || this.destroyed) return;
    this.#timer = setTimeout(() => this.emit("timeout"), this.#timeoutMs);
  }
}

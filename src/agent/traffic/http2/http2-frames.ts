/** Frames of HTTP/2 (RFC 9113 sections 4 and 6): their bytes and nothing of their meaning. */

/** Types of frames. */
export const DATA = 0;
export const HEADERS = 1;
export const PRIORITY = 2;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PUSH_PROMISE = 5;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;

/** Flags; a flag's meaning depends on the type. */
export const END_STREAM = 0x1;
export const ACK = 0x1;
export const END_HEADERS = 0x4;
const PADDED = 0x8;
const WITH_PRIORITY = 0x20;

/** Error codes (RFC 9113 section 7). */
export const NO_ERROR = 0;
export const PROTOCOL_ERROR = 1;
export const FLOW_CONTROL_ERROR = 3;
export const STREAM_CLOSED = 5;
export const FRAME_SIZE_ERROR = 6;
export const REFUSED_STREAM = 7;
export const CANCEL = 8;
export const COMPRESSION_ERROR = 9;
export const ENHANCE_YOUR_CALM = 11;
export const HTTP_1_1_REQUIRED = 13;

const ERROR_NAMES = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
] as const;

/** Settings (RFC 9113 section 6.5.2). */
export const SETTINGS_HEADER_TABLE_SIZE = 1;
export const SETTINGS_ENABLE_PUSH = 2;
export const SETTINGS_MAX_CONCURRENT_STREAMS = 3;
export const SETTINGS_INITIAL_WINDOW_SIZE = 4;
export const SETTINGS_MAX_FRAME_SIZE = 5;
export const SETTINGS_MAX_HEADER_LIST_SIZE = 6;

/** What every client says first. */
export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** Largest payload, as long as nobody says anything else; larger ones are not allowed here. */
export const MAX_FRAME_BYTES = 16_384;
/** Largest window and largest stream. */
export const MAX_31_BITS = 0x7fff_ffff;
const HEAD_BYTES = 9;

/** The peer broke the rules: the connection ends with this code. */
export class Http2Error extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** What an error code is called. */
export function errorName(code: number): string {
  return ERROR_NAMES[code] ?? `code ${code}`;
}

/** A frame as bytes. */
export function frame(type: number, flags: number, stream: number, payload?: Buffer): Buffer {
  const length = payload?.length ?? 0;
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + length);
  writeHead(bytes, length, type, flags, stream);
  payload?.copy(bytes, HEAD_BYTES);
  return bytes;
}

/** The head of a frame whose payload follows. */
export function frameHead(type: number, flags: number, stream: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES);
  writeHead(bytes, length, type, flags, stream);
  return bytes;
}

/** A frame whose payload is one number of 32 bits. */
export function numberFrame(type: number, stream: number, value: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + 4);
  writeHead(bytes, 4, type, 0, stream);
  bytes.writeUInt32BE(value, HEAD_BYTES);
  return bytes;
}

/** A frame of settings. */
export function settingsFrame(settings: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.allocUnsafe(settings.length * 6);
  for (const [at, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, at * 6);
    payload.writeUInt32BE(value, at * 6 + 2);
  }
  return frame(SETTINGS, 0, 0, payload);
}

/** A header block in as many frames as it takes; `flags` are those of the first. */
export function headerFrames(
  stream: number,
  flags: number,
  block: Buffer,
  frameBytes = MAX_FRAME_BYTES,
): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < block.length || at === 0; at += frameBytes) {
    const piece = block.subarray(at, at + frameBytes);
    const end = at + frameBytes >= block.length ? END_HEADERS : 0;
    frames.push(frame(at === 0 ? HEADERS : CONTINUATION, (at === 0 ? flags : 0) | end, stream, piece));
  }
  return frames;
}

/** A frame that says that no more streams are taken. */
export function goawayFrame(lastStream: number, code: number): Buffer {
  const payload = Buffer.allocUnsafe(8);
  payload.writeUInt32BE(lastStream, 0);
  payload.writeUInt32BE(code, 4);
  return frame(GOAWAY, 0, 0, payload);
}

function writeHead(bytes: Buffer, length: number, type: number, flags: number, stream: number): void {
  bytes.writeUIntBE(length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
}

/** Who is told of frames. All of it may throw `Http2Error`. */
export interface FrameSink {
  /** Before anything of the payload is read. */
  onFrameBegin(type: number, flags: number, stream: number): void;
  /** Any frame but DATA, without padding and priority. */
  onFrame(type: number, flags: number, stream: number, payload: Buffer): void;
  /**
   * A piece of DATA, as it comes. `windowBytes` counts against the windows, padding included.
   * A frame may come in any number of pieces; `isEnd` is of the last one of the stream.
   */
  onData(stream: number, piece: Buffer, windowBytes: number, isEnd: boolean): void;
}

const NOTHING = Buffer.alloc(0);

/** Cuts bytes into frames, however they come. */
export class FrameReader {
  readonly #sink: FrameSink;
  /** A head, or a payload, that is not whole yet. */
  #kept = NOTHING;
  #keptBytes = 0;
  #hasHead = false;
  #type = 0;
  #flags = 0;
  #stream = 0;
  #leftBytes = 0;
  /** Of DATA: padding at its end; -1 while it is not known. */
  #padBytes = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Takes the next bytes. Throws `Http2Error`. */
  read(bytes: Buffer): void {
    let rest = bytes;
    for (;;) {
      if (!this.#hasHead) {
        const wanted = HEAD_BYTES - this.#keptBytes;
        if (rest.length < wanted) return this.#keep(rest);
        this.#readHead(this.#joined(rest.subarray(0, wanted)));
        rest = rest.subarray(wanted);
      } else if (this.#type === DATA) {
        if (rest.length === 0 && this.#leftBytes > 0) return;
        rest = this.#readData(rest);
      } else {
        const wanted = this.#leftBytes - this.#keptBytes;
        if (rest.length < wanted) return this.#keep(rest);
        const payload = this.#joined(rest.subarray(0, wanted));
        rest = rest.subarray(wanted);
        this.#hasHead = false;
        this.#sink.onFrame(this.#type, this.#flags, this.#stream, this.#withoutPadding(payload));
      }
      if (rest.length === 0 && !(this.#hasHead && this.#leftBytes === 0)) return;
    }
  }

  #readHead(head: Buffer): void {
    this.#leftBytes = head.readUIntBE(0, 3);
    this.#type = head[3]!;
    this.#flags = head[4]!;
    this.#stream = head.readUInt32BE(5) & MAX_31_BITS;
    if (this.#leftBytes > MAX_FRAME_BYTES) {
      throw new Http2Error(FRAME_SIZE_ERROR, `A frame has ${this.#leftBytes} bytes.`);
    }
    this.#hasHead = true;
    this.#padBytes = (this.#flags & PADDED) === 0 ? 0 : -1;
    this.#sink.onFrameBegin(this.#type, this.#flags, this.#stream);
  }

  #readData(bytes: Buffer): Buffer {
    let windowBytes = 0;
    let rest = bytes;
    if (this.#padBytes === -1) {
      if (this.#leftBytes === 0) throw new Http2Error(FRAME_SIZE_ERROR, "Padding has no length.");
      this.#padBytes = rest[0]!;
      rest = rest.subarray(1);
      this.#leftBytes -= 1;
      windowBytes = 1;
      if (this.#padBytes > this.#leftBytes) throw new Http2Error(PROTOCOL_ERROR, "Padding is too long.");
    }
    const taken = Math.min(rest.length, this.#leftBytes);
    const content = Math.min(taken, this.#leftBytes - this.#padBytes);
    this.#leftBytes -= taken;
    // What is padding now stays so.
    this.#padBytes = Math.min(this.#padBytes, this.#leftBytes);
    const isFrameEnd = this.#leftBytes === 0;
    if (isFrameEnd) this.#hasHead = false;
    const isEnd = isFrameEnd && (this.#flags & END_STREAM) !== 0;
    this.#sink.onData(this.#stream, rest.subarray(0, Math.max(content, 0)), windowBytes + taken, isEnd);
    return rest.subarray(taken);
  }

  #withoutPadding(payload: Buffer): Buffer {
    if (this.#type !== HEADERS && this.#type !== PUSH_PROMISE) return payload;
    let start = 0;
    let end = payload.length;
    if ((this.#flags & PADDED) !== 0) {
      if (end === 0) throw new Http2Error(FRAME_SIZE_ERROR, "Padding has no length.");
      start = 1;
      end -= payload[0]!;
    }
    if (this.#type === HEADERS && (this.#flags & WITH_PRIORITY) !== 0) start += 5;
    if (start > end) throw new Http2Error(PROTOCOL_ERROR, "Padding is too long.");
    return payload.subarray(start, end);
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return;
    // Copied: what a small piece lies in may be large.
    if (this.#keptBytes === 0) this.#kept = Buffer.alloc(this.#hasHead ? this.#leftBytes : HEAD_BYTES);
    this.#keptBytes += bytes.copy(this.#kept, this.#keptBytes);
  }

  #joined(last: Buffer): Buffer {
    if (this.#keptBytes === 0) return last;
    last.copy(this.#kept, this.#keptBytes);
    const whole = this.#kept;
    this.#kept = NOTHING;
    this.#keptBytes = 0;
    return whole;
  }
}

/** What an origin has said about how it wants to be spoken to over HTTP/2 (RFC 9113 section 6.5). */
import * as wire from "./http2-frames.ts";

/** What the table for our header blocks may hold unless the origin says otherwise (RFC 7541 section 4.2). */
const DEFAULT_TABLE_BYTES = 4_096;

/** Its settings so far. */
export class Http2Settings {
  hasCome = false;
  maxStreams = Number.POSITIVE_INFINITY;
  maxListBytes = Number.POSITIVE_INFINITY;
  /** The table for our header blocks is smaller than it began: they must say that they keep to it. */
  hasSmallTable = false;
  /** What may be sent on a new stream before the origin has read any. */
  initialWindow = 65_535;

  /** Reads a frame; gives by how much the window of every stream changes. Throws `Http2Error`. */
  read(payload: Buffer): number {
    if (payload.length % 6 !== 0) throw new wire.Http2Error(wire.FRAME_SIZE_ERROR, "A setting has 6 bytes.");
    const before = this.initialWindow;
    for (let at = 0; at < payload.length; at += 6) {
      this.#set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    }
    this.hasCome = true;
    return this.initialWindow - before;
  }

  #set(id: number, value: number): void {
    if (id === wire.SETTINGS_HEADER_TABLE_SIZE) {
      this.hasSmallTable ||= value < DEFAULT_TABLE_BYTES;
    } else if (id === wire.SETTINGS_MAX_CONCURRENT_STREAMS) {
      this.maxStreams = value;
    } else if (id === wire.SETTINGS_MAX_HEADER_LIST_SIZE) {
      this.maxListBytes = value;
    } else if (id === wire.SETTINGS_INITIAL_WINDOW_SIZE) {
      if (value > wire.MAX_31_BITS) {
        throw new wire.Http2Error(wire.FLOW_CONTROL_ERROR, "The initial window is too large.");
      }
      this.initialWindow = value;
    } else if (id === wire.SETTINGS_ENABLE_PUSH && value !== 0) {
      throw new wire.Http2Error(wire.PROTOCOL_ERROR, "A server does not allow pushes.");
    } else if (id === wire.SETTINGS_MAX_FRAME_SIZE && (value < wire.MAX_FRAME_BYTES || value >= 2 ** 24)) {
      throw new wire.Http2Error(wire.PROTOCOL_ERROR, "The largest frame is out of its range.");
    }
  }
}

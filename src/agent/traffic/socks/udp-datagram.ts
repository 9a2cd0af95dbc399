/**
 * The datagrams between a client and its relay (RFC 1928 section 7): a header that says where to, or
 * where from, and the payload as it is.
 *
 *     0 0 | fragment | type | address | port | payload
 */
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import { addressBytes, readAddress } from "./socks-messages.ts";

/** What a client wants to be sent. */
export interface ClientDatagram {
  /** An address (IPv6 without brackets), or a name as it came. */
  readonly host: string;
  readonly port: number;
  /** A part of what was read. */
  readonly payload: Buffer;
}

/** Why a datagram of a client is none that can be sent on. */
export type DatagramRefusal = "datagram-malformed" | "datagram-fragmented";

const TYPE_AT = 3;
const HEADER_START = Buffer.alloc(TYPE_AT);

/** Reads what a client sent. Fragments are refused, whatever else is in them. [UD6] */
export function readDatagram(bytes: Buffer): Outcome<ClientDatagram, DatagramRefusal> {
  if (bytes.length <= TYPE_AT || bytes[0] !== 0 || bytes[1] !== 0) return refuse("datagram-malformed");
  if (bytes[2] !== 0) return refuse("datagram-fragmented");
  const read = readAddress(bytes, TYPE_AT);
  if (read === "more" || read === "unknown") return refuse("datagram-malformed");
  const { host, port } = read.address;
  // Nothing listens on port 0, and the kernel refuses to send to it.
  if (host === "" || port === 0) return refuse("datagram-malformed");
  return ok({ host, port, payload: bytes.subarray(read.endAt) });
}

/** The header of a datagram that comes from this address (IPv6 without a zone) and port. */
export function datagramHeader(ip: string, port: number): Buffer {
  return Buffer.concat([HEADER_START, addressBytes({ ip, port })]);
}

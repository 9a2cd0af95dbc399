/** The messages of SOCKS5 (RFC 1928) and of its user names and passwords (RFC 1929), read and written. */
import { isIPv4 } from "node:net";
import ipaddr from "ipaddr.js";
import { parseAddress } from "../../../policy/special-ranges.ts";

/** The only version. */
export const SOCKS_VERSION = 0x05;
const LOGIN_VERSION = 0x01;

/** How a client may say who it is. */
export const Method = { none: 0x00, userName: 0x02, unacceptable: 0xff } as const;
/** What is asked for. */
export const Command = { connect: 0x01, bind: 0x02, udpAssociate: 0x03 } as const;
const AddressType = { ipv4: 0x01, name: 0x03, ipv6: 0x04 } as const;

/** A message, and how many bytes it took; null while more of it has to come. */
export type Read<Message> = { readonly message: Message; readonly byteCount: number } | null;

/** A user name and a password. */
export interface Login {
  readonly userName: string;
  readonly password: string;
}

/** An address as a request has it. */
export interface SocksAddress {
  /** A name as it came, or an address; IPv6 without brackets. */
  readonly host: string;
  readonly isName: boolean;
  readonly port: number;
}

/** A request. */
export interface SocksRequest {
  readonly command: number;
  /** Null for a type of address that there is not. */
  readonly address: SocksAddress | null;
}

/** What is no message of SOCKS5. */
export class SocksMalformed extends Error {}

/** The methods that a client offers. */
export function readGreeting(bytes: Buffer): Read<readonly number[]> {
  if (bytes.length === 0) return null;
  if (bytes[0] !== SOCKS_VERSION) throw new SocksMalformed("The greeting is not of version 5.");
  if (bytes.length < 2) return null;
  const byteCount = 2 + bytes[1]!;
  if (bytes.length < byteCount) return null;
  return { message: [...bytes.subarray(2, byteCount)], byteCount };
}

/** RFC 1929 section 2. */
export function readLogin(bytes: Buffer): Read<Login> {
  if (bytes.length === 0) return null;
  if (bytes[0] !== LOGIN_VERSION) throw new SocksMalformed("The login is not of version 1.");
  const userName = readText(bytes, 1);
  if (userName === null) return null;
  const password = readText(bytes, userName.endAt);
  if (password === null) return null;
  return { message: { userName: userName.text, password: password.text }, byteCount: password.endAt };
}

/**
 * A text after its length. PySocks, by which Python's requests speak SOCKS, writes the length as a
 * character of UTF-8: in two bytes from 128 on. No text that means something begins with the second of
 * them, so what was meant is certain. [SX4]
 */
function readText(bytes: Buffer, at: number): { readonly text: string; readonly endAt: number } | null {
  const first = bytes[at];
  if (first === undefined) return null;
  let beginAt = at + 1;
  let length = first;
  if (first >= 0xc2 && first <= 0xdf) {
    const second = bytes[beginAt];
    if (second === undefined) return null;
    if (isContinuation(second)) {
      beginAt += 1;
      length = ((first & 0x1f) << 6) | (second & 0x3f);
    }
  }
  const endAt = beginAt + length;
  return bytes.length < endAt ? null : { text: bytes.toString("utf8", beginAt, endAt), endAt };
}

/** Whether a character of UTF-8 goes on with it, and none begins. */
function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

/** RFC 1928 section 4. */
export function readRequest(bytes: Buffer): Read<SocksRequest> {
  if (bytes.length === 0) return null;
  if (bytes[0] !== SOCKS_VERSION) throw new SocksMalformed("The request is not of version 5.");
  if (bytes.length < 4) return null;
  if (bytes[2] !== 0) throw new SocksMalformed("The reserved byte is not 0.");
  const command = bytes[1]!;
  const read = readAddress(bytes, 3);
  if (read === "more") return null;
  if (read === "unknown") return { message: { command, address: null }, byteCount: bytes.length };
  return { message: { command, address: read.address }, byteCount: read.endAt };
}

/** An address that begins with its type; also that of a datagram (RFC 1928 section 7). */
export function readAddress(
  bytes: Buffer,
  at: number,
): { readonly address: SocksAddress; readonly endAt: number } | "more" | "unknown" {
  const type = bytes[at];
  if (type === undefined) return "more";
  let hostAt = at + 1;
  let byteCount: number;
  if (type === AddressType.ipv4) byteCount = 4;
  else if (type === AddressType.ipv6) byteCount = 16;
  else if (type === AddressType.name) {
    if (bytes.length <= hostAt) return "more";
    byteCount = bytes[hostAt]!;
    hostAt += 1;
  } else return "unknown";
  const portAt = hostAt + byteCount;
  if (bytes.length < portAt + 2) return "more";
  const host = bytes.subarray(hostAt, portAt);
  const isName = type === AddressType.name;
  const text = isName ? host.toString("latin1") : addressText(host);
  return { address: { host: text, isName, port: bytes.readUInt16BE(portAt) }, endAt: portAt + 2 };
}

/** Each datagram has one, so what is simple is not left to the library. */
function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  return ipaddr.fromByteArray([...bytes]).toString();
}

/** The answer to a greeting. */
export function methodMessage(method: number): Buffer {
  return Buffer.from([SOCKS_VERSION, method]);
}

/** The answer to a login. */
export function loginMessage(isAccepted: boolean): Buffer {
  return Buffer.from([LOGIN_VERSION, isAccepted ? 0 : 1]);
}

/** The answer to a request; `reply` 0 for success. Without a place, all zeros. */
export function replyMessage(
  reply: number,
  place: { readonly ip: string; readonly port: number } | null,
): Buffer {
  return Buffer.concat([
    Buffer.from([SOCKS_VERSION, reply, 0]),
    addressBytes(place ?? { ip: "0.0.0.0", port: 0 }),
  ]);
}

/** An address with its type and its port. */
export function addressBytes({ ip, port }: { readonly ip: string; readonly port: number }): Buffer {
  const type = isIPv4(ip) ? AddressType.ipv4 : AddressType.ipv6;
  return Buffer.from([type, ...parseAddress(ip).toByteArray(), port >> 8, port & 0xff]);
}

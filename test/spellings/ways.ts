/** What is said to a host, or to the edge, to reach a destination: the same bytes for every test of spellings. */
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { datagramHeader } from "../../src/agent/traffic/socks/udp-datagram.ts";
import { CARRIER_PROTOCOL } from "../../src/wire/tcp-carrier.ts";

/** What encloses an IPv6 address in a URL. */
export const BRACKETS = /^\[|\]$/g;
/** Codes of refusals by a policy. */
export const POLICY_CODES = ["destination-prohibited", "destination-denied", "destination-not-allowed"];
/** The replies of RFC 1928 by what they mean here. */
const SOCKS_CODES: Readonly<Record<number, string>> = { 2: "destination-prohibited", 0: "reached" };

/** The code of a refusal in an answer of HTTP; null for another answer. */
export function codeIn(answer: string): string | null {
  return /"code":"([a-z0-9-]+)"/.exec(answer)?.[1] ?? null;
}

/** What a SOCKS5 server said. */
export function socksCode(reply: number): string {
  return SOCKS_CODES[reply] ?? `socks-${reply}`;
}

/** A request's head. Text beyond ASCII goes as UTF-8 once it is written as Latin-1. */
export function headOf(method: string, target: string, fields: readonly string[]): string {
  const bytes = Buffer.from(target, "utf8").toString("latin1");
  return [`${method} ${bytes} HTTP/1.1`, ...fields, "", ""].join("\r\n");
}

/** Where a whole URL is asked for at a gateway or at the edge. */
export function fetchTarget(url: string): string {
  return `/v1/fetch?url=${encodeURIComponent(url)}`;
}

/** Where a TCP connection is asked for. */
export function connectTarget(name: string, port: number): string {
  return `/v1/connect?to=${encodeURIComponent(`${name}:${port}`)}`;
}

/** The fields that make a request one for a WebSocket. */
export const UPGRADE = [
  "connection: upgrade",
  "upgrade: websocket",
  "sec-websocket-version: 13",
  "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
] as const;
/** And one for a TCP connection within it. */
export const CARRIER_UPGRADE = [...UPGRADE, `sec-websocket-protocol: ${CARRIER_PROTOCOL}`] as const;

/** Whether a host is an address for those who know nothing of URLs. */
export function isLiteral(host: string): boolean {
  return isIP(withoutBrackets(host)) !== 0 && !host.includes("%");
}

export function withoutBrackets(host: string): string {
  return host.replaceAll(BRACKETS, "");
}

/** A destination of SOCKS5 as the client wrote it. */
export function socksName(name: string, port: number): Buffer {
  const bytes = Buffer.from(withoutBrackets(name), "utf8");
  return Buffer.concat([Buffer.from([3, bytes.length]), bytes, portBytes(port)]);
}

/** A destination of SOCKS5 as an address, of what is one. */
export function socksAddress(name: string, port: number): Buffer {
  const address = ipaddr.parse(withoutBrackets(new URL(`http://${name}/`).hostname));
  const type = address.kind() === "ipv4" ? 1 : 4;
  return Buffer.concat([Buffer.from([type, ...address.toByteArray()]), portBytes(port)]);
}

/** What a relay of SOCKS5 is sent. */
export function datagramTo(host: string, port: number, payload: string): Buffer {
  const text = withoutBrackets(host);
  const header = isLiteral(host)
    ? datagramHeader(text, port)
    : Buffer.concat([Buffer.from([0, 0, 0]), socksName(text, port)]);
  return Buffer.concat([header, Buffer.from(payload)]);
}

function portBytes(port: number): Buffer {
  return Buffer.from([port >> 8, port & 255]);
}

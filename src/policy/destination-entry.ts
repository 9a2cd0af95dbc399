/**
 * One entry of a list of destinations: `HOST[:PORTS]`. [DE10]
 *
 *     example.com   *.example.com:443   192.0.2.0/24:80-90   [2001:db8::/32]:443   2001:db8::1   *:25
 */
import ipaddr from "ipaddr.js";
import { ok, type Outcome, refuse } from "../core/outcome.ts";
import { canonicalHost, isDnsName } from "./destination-name.ts";
import { parseRange, type Range } from "./special-ranges.ts";

/** Ports, both ends included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** What an entry says of hosts. */
export type EntryHost =
  | { readonly kind: "any" }
  /** This name and no other. */
  | { readonly kind: "name"; readonly name: string }
  /** Whatever is below this name, and not itself. */
  | { readonly kind: "below"; readonly name: string }
  | { readonly kind: "network"; readonly range: Range };

/** An entry that was read. */
export interface DestinationEntry {
  /** The entry as it is kept and shown: of all its spellings the same. */
  readonly text: string;
  readonly host: EntryHost;
  /** Null for every port. */
  readonly ports: PortRange | null;
}

/** Longest entry that is read. */
const MAX_LENGTH = 320;
const BRACKETED = /^\[([^[\]]*)\](?::(.*))?$/;
const PORTS = /^(\d{1,5})(?:-(\d{1,5}))?$/;
const PREFIX = /^\d{1,3}$/;

/** Reads an entry, or says why it is none, as a sentence. */
export function parseDestinationEntry(text: string): Outcome<DestinationEntry, string> {
  const said = JSON.stringify(text.slice(0, 80));
  if (text.length > MAX_LENGTH) return refuse(`${said} is longer than ${MAX_LENGTH} characters.`);
  const [hostText, portsText] = divided(text);
  const ports = portsText === null ? null : portsIn(portsText);
  if (ports === undefined) {
    return refuse(`${said}: the ports are a number from 1 to 65535, or a range such as 80-90.`);
  }
  const host = hostIn(hostText);
  if (host === null) {
    return refuse(
      `${said} is no destination: write a name, *. and a name, an address, a network such as 192.0.2.0/24, or *.`,
    );
  }
  return ok({ text: textOf(host, ports), host, ports });
}

/** The host, and the ports if any are said. */
function divided(text: string): readonly [string, string | null] {
  const bracketed = BRACKETED.exec(text);
  // In brackets there is IPv6 alone.
  if (bracketed !== null) return [bracketed[1]!.includes(":") ? bracketed[1]! : "", bracketed[2] ?? null];
  const colon = text.indexOf(":");
  if (colon === -1 || colon !== text.lastIndexOf(":")) return [text, null];
  return [text.slice(0, colon), text.slice(colon + 1)];
}

function portsIn(text: string): PortRange | undefined {
  const match = PORTS.exec(text);
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return first >= 1 && first <= last && last <= 65_535 ? { first, last } : undefined;
}

function hostIn(text: string): EntryHost | null {
  if (text === "*") return { kind: "any" };
  if (text.startsWith("*.")) {
    const name = canonicalHost(text.slice(2));
    return name !== null && isDnsName(name) ? { kind: "below", name } : null;
  }
  const [address = "", prefix, ...more] = text.split("/");
  if (more.length > 0 || address.includes("%")) return null;
  const host = address.includes(":") ? address : canonicalHost(address);
  if (host === null) return null;
  if (ipaddr.isValid(host)) return networkIn(host, prefix);
  return prefix === undefined && isDnsName(host) ? { kind: "name", name: host } : null;
}

function networkIn(address: string, prefix: string | undefined): EntryHost | null {
  const mostBits = address.includes(":") ? 128 : 32;
  if (prefix !== undefined && !PREFIX.test(prefix)) return null;
  const bits = prefix === undefined ? mostBits : Number(prefix);
  if (bits > mostBits) return null;
  return { kind: "network", range: parseRange(`${address}/${bits}`) };
}

function textOf(host: EntryHost, ports: PortRange | null): string {
  const text = writtenHost(host);
  if (ports === null) return text;
  const range = ports.first === ports.last ? `${ports.first}` : `${ports.first}-${ports.last}`;
  return text.includes(":") ? `[${text}]:${range}` : `${text}:${range}`;
}

function writtenHost(host: EntryHost): string {
  switch (host.kind) {
    case "any":
      return "*";
    case "name":
      return host.name;
    case "below":
      return `*.${host.name}`;
    case "network":
      return networkText(host.range);
  }
}

function networkText([address, bits]: Range): string {
  const isFour = address.kind() === "ipv4";
  const kind = isFour ? ipaddr.IPv4 : ipaddr.IPv6;
  if (bits === (isFour ? 32 : 128)) return address.toString();
  return `${kind.networkAddressFromCIDR(`${address.toString()}/${bits}`).toString()}/${bits}`;
}

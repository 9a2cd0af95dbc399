/**
 * What is said to a proxy in SOCKS, or nearly so: a dialogue that is right, changed in one place, cut
 * off at every byte, or with another protocol in it. What is right for each a strict reader of its own
 * says, from the bytes alone.
 */
import type { Chance } from "./chance.ts";
import { inPieces, type ProxyCase } from "./proxy-cases.ts";

/** What a case leads to. */
export type SocksReading =
  /** A tunnel, through which all the rest goes. */
  | { readonly kind: "tunnel"; readonly through: Buffer }
  /** One for datagrams, which ends with its connection; through that nothing goes. */
  | { readonly kind: "association" }
  /** To be refused, in whatever words. */
  | { readonly kind: "refused" }
  /** It may be either: the same place in other words. */
  | { readonly kind: "either"; readonly through: Buffer }
  /** It ends before it is whole. */
  | { readonly kind: "cut" };

/** Where cases lead, and what opens a proxy. */
export interface SocksWorld {
  readonly ip: string;
  readonly port: number;
  readonly token: string;
}

const REFUSED = { kind: "refused" } as const;
const CUT = { kind: "cut" } as const;

/** Reads a client's side of RFC 1928 and RFC 1929. */
export function readSocks(said: Buffer, { ip, port, token }: SocksWorld): SocksReading {
  if (said.length === 0) return CUT;
  if (said[0] !== 5) return REFUSED;
  if (said.length < 2) return CUT;
  let at = 2 + said[1]!;
  if (said.length < at) return CUT;
  const methods = said.subarray(2, at);
  if (methods.includes(2)) {
    const login = readLogin(said.subarray(at), token);
    if (typeof login !== "number") return login;
    at += login;
  } else if (!methods.includes(0)) return REFUSED;
  return readRequest(said.subarray(at), ip, port);
}

function readLogin(bytes: Buffer, token: string): number | SocksReading {
  if (bytes.length === 0) return CUT;
  if (bytes[0] !== 1) return REFUSED;
  const nameLength = bytes[1];
  if (nameLength === undefined) return CUT;
  const wordLength = bytes[2 + nameLength];
  if (wordLength === undefined) return CUT;
  const end = 3 + nameLength + wordLength;
  if (bytes.length < end) return CUT;
  const name = bytes.toString("latin1", 2, 2 + nameLength);
  const word = bytes.toString("latin1", 3 + nameLength, end);
  const beginning = /^(?:token=)?(.*)$/s.exec(name)![1]!;
  // Who says nothing of itself is known by where it comes from.
  return ["", token].includes(beginning + word) ? end : REFUSED;
}

function readRequest(bytes: Buffer, ip: string, port: number): SocksReading {
  if (bytes.length === 0) return CUT;
  if (bytes[0] !== 5) return REFUSED;
  if (bytes.length < 4) return CUT;
  const [, command, reserved, type] = bytes;
  if (reserved !== 0) return REFUSED;
  if (type !== 1 && type !== 3 && type !== 4) return REFUSED;
  if (type === 3 && bytes.length < 5) return CUT;
  const hostAt = type === 3 ? 5 : 4;
  const length = type === 1 ? 4 : type === 4 ? 16 : bytes[4]!;
  const end = hostAt + length + 2;
  if (bytes.length < end) return CUT;
  const host = bytes.subarray(hostAt, hostAt + length);
  const through = bytes.subarray(end);
  if (command === 3) return { kind: "association" };
  if (command !== 1 || bytes.readUInt16BE(end - 2) !== port) return REFUSED;
  const written = ip.split(".").map(Number);
  const mapped = Buffer.from([...Array.from({ length: 10 }, () => 0), 0xff, 0xff, ...written]);
  if (type === 1 ? host.equals(Buffer.from(written)) : host.toString("latin1") === ip) {
    return { kind: "tunnel", through };
  }
  const isInOtherWords = type === 4 ? host.equals(mapped) : /ffff/i.test(host.toString("latin1"));
  return isInOtherWords ? { kind: "either", through } : REFUSED;
}

/** Cases of each kind in turn; the cuts go through every byte. */
export const SOCKS_KINDS = [
  "right",
  "cut",
  "changed",
  "removed",
  "inserted",
  "command",
  "place",
  "login",
  "foreign",
] as const;

const PLACES = [
  "",
  "127.0.0.1\0.b.test",
  "b c.test",
  "b.test.",
  "-b.test",
  "b..test",
  "127.1",
  "0x7f.0.0.1",
  "2130706433",
  "[::1]",
  "::1",
  "[::ffff:IP]",
  "::ffff:IP",
  "IP.",
  "IP\0",
  " IP",
  "IP ",
  "IP:80",
  "http://IP/",
  "user@IP",
  "b\u00e9.test",
  "x".repeat(64),
  `${"x.".repeat(127)}x`,
  "localhost",
  "\r\nhost",
] as const;

/** Draws one. */
export function drawSocksCase(number: number, world: SocksWorld, chance: Chance): ProxyCase {
  const kind = SOCKS_KINDS[number % SOCKS_KINDS.length]!;
  const id = `s${number}`;
  const turn = Math.floor(number / SOCKS_KINDS.length);
  const http = `GET /${id} HTTP/1.1\r\nhost: ${world.ip}\r\n\r\n`;
  const payload = chance.of([
    http,
    "",
    "\x16\x03\x01\x00\xc8\x01",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x05\x01\x00",
    "\x04\x01",
    "\0".repeat(40),
  ]);
  const hasLogin = chance.is(0.3);
  const opening = hasLogin ? [5, 2, 0, 2, ...loginOf(world.token)] : [5, 1, 0];
  const request = (place: readonly number[], command = 1): number[] => [
    5,
    command,
    0,
    ...place,
    world.port >> 8,
    world.port & 0xff,
  ];
  const written = world.ip.split(".").map(Number);
  const own = chance.is(0.5) ? [1, ...written] : named(world.ip);
  let bytes: Buffer = Buffer.concat([
    Buffer.from([...opening, ...request(own)]),
    Buffer.from(payload, "latin1"),
  ]);
  const length = bytes.length - payload.length;
  const at = chance.below(length);
  let told = "";
  if (kind === "cut") {
    bytes = bytes.subarray(0, turn % length);
    told = `at ${bytes.length}`;
  } else if (kind === "changed") {
    bytes = Buffer.from(bytes);
    bytes[at] = chance.of([0, 1, 2, 3, 4, 5, 0x7f, 0xff, chance.below(256)]);
    told = `byte ${at} is ${bytes[at]}`;
  } else if (kind === "removed") {
    bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + chance.below(3))]);
    told = `from ${at}`;
  } else if (kind === "inserted") {
    const odd = chance.of(["\0", "\x05", "\xff", "\r\n", http]);
    bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(odd, "latin1"), bytes.subarray(at)]);
    told = `${JSON.stringify(odd)} at ${at}`;
  } else if (kind === "command") {
    const [command, type] = [chance.of([0, 2, 3, 4, 0x80, 0xf0, 0xff]), chance.of([0, 2, 5, 0xff])];
    const place = chance.is(0.5) ? own : [type, ...written];
    bytes = Buffer.from([...opening, ...request(place, chance.is(0.5) ? command : 1)]);
    told = `${command} ${type}`;
  } else if (kind === "place") {
    const place = chance.of(PLACES).replace("IP", world.ip);
    const mapped = [4, ...Array.from({ length: 10 }, () => 0), 0xff, 0xff, ...written];
    bytes = Buffer.concat([
      Buffer.from([...opening, ...request(chance.is(0.1) ? mapped : named(place))]),
      Buffer.from(payload, "latin1"),
    ]);
    told = JSON.stringify(place.slice(0, 40));
  } else if (kind === "login") {
    const word = chance.of(["", "wrong", world.token.slice(0, 100), `${world.token.slice(0, 200)}\0`]);
    bytes = Buffer.from([
      5,
      1,
      chance.of([2, 2, 1, 0x80, 0xff]),
      1,
      0,
      Math.min(255, word.length),
      ...Buffer.from(word).subarray(0, 255),
      ...request(own),
    ]);
    told = word.slice(0, 8);
  } else if (kind === "foreign") {
    const [high, low] = [world.port >> 8, world.port & 0xff];
    const odd = chance.of([
      Buffer.from([4, 1, high, low, ...written, 0]),
      Buffer.from([4, 1, high, low, 0, 0, 0, 1, 0, ...Buffer.from(world.ip), 0]),
      Buffer.from([4]),
      Buffer.from([4, 2, high, low, ...written, ...Buffer.from("name"), 0]),
      Buffer.concat([Buffer.from([5]), Buffer.from(http)]),
      Buffer.concat([Buffer.from([5, 1, 0]), Buffer.from(http)]),
      Buffer.concat([Buffer.from([5, 0]), Buffer.from(http)]),
      Buffer.from([5, 255, ...Array.from({ length: 300 }, () => 1)]),
      Buffer.from([5, 2, 1, 3]),
    ]);
    bytes = odd;
    told = odd.subarray(0, 12).toString("hex");
  }
  return { id, told: `socks ${kind}: ${told}`, pieces: inPieces(bytes, chance), isPatient: false };
}

function named(name: string): number[] {
  const bytes = Buffer.from(name, "latin1");
  return [3, bytes.length, ...bytes];
}

/** A token is longer than a password may be, so the user name has its beginning. */
function loginOf(token: string): number[] {
  const split = Math.max(0, token.length - 200);
  const name = Buffer.from(`token=${token.slice(0, split)}`);
  const word = Buffer.from(token.slice(split));
  return [1, name.length, ...name, word.length, ...word];
}

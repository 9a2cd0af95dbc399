/**
 * The table of destinations in every spelling: of private places, which nothing may reach, and of public ones,
 * which nothing may refuse for being private. Made of a few addresses and of all the ways to write one.
 */
import ipaddr from "ipaddr.js";

/** One way to write a destination's host. */
export interface Spelling {
  /** As it stands in a URL, or before a port. */
  readonly host: string;
  /** The address that is dialled in the end; null for a private place. */
  readonly dials: string | null;
  /** Whether it needs the URL standard to be read: by itself it is no address and no name. */
  readonly isOfUrls: boolean;
}

const PRIVATE_IPV4 = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1"];
const PUBLIC_IPV4 = ["8.8.8.8", "172.15.255.255"];

/** Ways to write an IPv4 address by the URL standard. Only the first is one for everybody. */
const NOTATIONS: readonly ((parts: readonly number[]) => string)[] = [
  (parts) => parts.join("."),
  (parts) => `${parts.join(".")}.`,
  (parts) => String(numberOf(parts)),
  (parts) => `0x${numberOf(parts).toString(16)}`,
  (parts) => `0X${numberOf(parts).toString(16).toUpperCase()}`,
  (parts) => `0${numberOf(parts).toString(8)}`,
  (parts) => `000${numberOf(parts).toString(8)}`,
  (parts) => parts.map((part) => `0x${part.toString(16)}`).join("."),
  (parts) => parts.map((part) => `0${part.toString(8)}`).join("."),
  (parts) =>
    parts.map((part, at) => (at % 2 === 0 ? `0x${part.toString(16)}` : `0${part.toString(8)}`)).join("."),
  ([a, ...rest]) => `${a}.${numberOf(rest)}`,
  ([a, b, ...rest]) => `${a}.0x${b!.toString(16)}.${numberOf(rest)}`,
  ([a, ...rest]) => `0x${a!.toString(16)}.0${numberOf(rest).toString(8)}`,
  (parts) => wide(parts.join(".")),
  (parts) => parts.join("。"),
  (parts) => wide(parts.join(".")).replaceAll(".", "｡"),
  (parts) => circled(parts.join(".")),
  (parts) => parts.join(".").replaceAll(/\d/g, (digit) => String.fromCodePoint(0x1d7ce + Number(digit))),
  (parts) => parts.join(".").replaceAll(/[\d.]/g, (sign) => `%${sign.codePointAt(0)!.toString(16)}`),
  (parts) => parts.join("%2e"),
  (parts) => `${parts[0]}\u00ad.${parts.slice(1).join(".")}`,
];

/** Ways to put an IPv4 address into an IPv6 one that dials as the address in it, or is judged by it. */
const EMBEDDINGS: readonly ((ip: string) => string)[] = [
  (ip) => `::ffff:${ip}`,
  (ip) => `::FFFF:${hex(ip)}`,
  (ip) => `0:0:0:0:0:ffff:${ip}`,
  (ip) => `0000:0000:0000:0000:0000:ffff:${hex(ip)}`,
  (ip) => `::${hex(ip)}`,
  (ip) => `::${ip}`,
  (ip) => `::ffff:0:${hex(ip)}`,
  (ip) => `::ffff:0:${ip}`,
  (ip) => `64:ff9b::${hex(ip)}`,
  (ip) => `64:ff9b::${ip}`,
  (ip) => `64:FF9B:0:0:0:0:${hex(ip)}`,
  (ip) => `2002:${hex(ip)}::`,
  (ip) => `2002:${hex(ip)}::1`,
  (ip) => `2002:${hex(ip)}:1:2:3:4:5`,
  (ip) => `2001:0:${hex(ip)}::f7f7:f7f7`,
  (ip) => `2001:0:808:808::${hex(inverted(ip))}`,
  (ip) => `2001:0:${hex(ip)}:8000:63bf:${hex(inverted(ip))}`,
  (ip) => `2a00::5efe:${hex(ip)}`,
  (ip) => `2a00:1:2:3:0:5efe:${ip}`,
  (ip) => `2a00::200:5efe:${hex(ip)}`,
];

/** Special whatever they carry. */
const PRIVATE_IPV6 = [
  "::1",
  "0:0:0:0:0:0:0:1",
  "0000:0000:0000:0000:0000:0000:0000:0001",
  "::0.0.0.1",
  "::",
  "fe80::1",
  "fe80::a9fe:a9fe",
  "febf:ffff::1",
  "fec0::1",
  "fc00::1",
  "fd00:ec2::254",
  "FDFF::1",
  "ff02::1",
  "ff05::1:3",
  "100::1",
  "2001:db8::1",
  "3fff::1",
  "2001:2::1",
  "5f00::1",
  "64:ff9b:1::1",
  "64:ff9b:1::8.8.8.8",
  "64:ff9b:1:abcd::a00:1",
  "4000::1",
  "2600:2d00:2:1000::1",
];

/** No address to a client: a zone names an interface of ours. */
const ZONES = [
  "fe80::1%eth0",
  "fe80::1%25eth0",
  "fe80::1%1",
  "::1%lo",
  "::1%25lo",
  "fe80::1%25",
  "2a00::1%25eth0",
];

const PUBLIC_IPV6 = ["2606:4700::1111", "2A00::1", "2a00:0:0:0:0:0:0:1", "3ffe::1", "2001:200::1"];

const OTHER_PRIVATE = [
  "0.0.0.0",
  "0",
  "0x0",
  "0.0.0.1",
  "127.255.255.254",
  "127.1",
  "127.0.1",
  "172.16.0.1",
  "172.31.255.255",
  "192.0.0.192",
  "192.0.2.1",
  "192.88.99.1",
  "198.18.0.1",
  "198.51.100.1",
  "203.0.113.1",
  "224.0.0.1",
  "240.0.0.1",
  "255.255.255.255",
  "4294967295",
  "168.63.129.16",
  "100.100.100.200",
];
const OTHER_PUBLIC = [
  "1.1.1.1",
  "9.255.255.255",
  "11.0.0.0",
  "126.255.255.255",
  "128.0.0.1",
  "223.255.255.255",
];

/** Names and all their addresses, as the name server of the tests has them. */
export const RECORDS: Readonly<Record<string, readonly string[]>> = {
  "loop.test": ["127.0.0.1"],
  "loop6.test": ["::1"],
  "private.test": ["10.0.0.1"],
  "metadata.test": ["169.254.169.254"],
  "mixed-last.test": ["8.8.8.8", "9.9.9.9", "127.0.0.1"],
  "mixed-first.test": ["127.0.0.1", "8.8.8.8"],
  "mixed-middle.test": ["8.8.8.8", "10.0.0.1", "9.9.9.9"],
  "mapped.test": ["::ffff:127.0.0.1"],
  "nat64-loop.test": ["64:ff9b::7f00:1"],
  "6to4-loop.test": ["2002:7f00:1::1"],
  "link.test": ["fe80::1"],
  "xn--bcher-kva.test": ["127.0.0.1"],
  "under_score.test": ["127.0.0.1"],
  "public.test": ["8.8.8.8"],
  "public6.test": ["2606:4700::1111"],
  "nat64-public.test": ["64:ff9b::808:808"],
  "6to4-public.test": ["2002:808:808::1"],
};

const PRIVATE_NAMES = [
  "localhost",
  "LOCALHOST",
  "LocalHost.",
  "localhost.",
  "a.localhost",
  "a.b.localhost.",
  wide("localhost"),
  "ⓛocalhost",
  "local%68ost",
  "loop.test",
  "LOOP.test",
  "loop.test.",
  "loop6.test",
  "private.test",
  "metadata.test",
  "mixed-last.test",
  "mixed-first.test",
  "mixed-middle.test",
  "mapped.test",
  "nat64-loop.test",
  "6to4-loop.test",
  "link.test",
  "bücher.test",
  "BÜCHER.test",
  "xn--bcher-kva.test",
  "XN--BCHER-KVA.test.",
  "under_score.test",
  wide("loop.test"),
  "loop。test",
];
const PUBLIC_NAMES: readonly (readonly [string, string])[] = [
  ["public.test", "8.8.8.8"],
  ["PUBLIC.test.", "8.8.8.8"],
  [wide("public.test"), "8.8.8.8"],
  ["public6.test", "2606:4700::1111"],
  ["nat64-public.test", "64:ff9b::808:808"],
  ["6to4-public.test", "2002:808:808::1"],
];

/** All of it, each once. */
export const SPELLINGS: readonly Spelling[] = [
  ...PRIVATE_IPV4.flatMap((ip) => NOTATIONS.map((write, at) => spelled(write(partsOf(ip)), null, at > 0))),
  ...PUBLIC_IPV4.flatMap((ip) => NOTATIONS.map((write, at) => spelled(write(partsOf(ip)), ip, at > 0))),
  ...OTHER_PRIVATE.map((host) => spelled(host, null, !ipaddr.IPv4.isValidFourPartDecimal(host))),
  ...OTHER_PUBLIC.map((host) => spelled(host, host, false)),
  ...[...PRIVATE_IPV4, "168.63.129.16"].flatMap((ip) =>
    EMBEDDINGS.map((embed) => spelled(`[${embed(ip)}]`, null, false)),
  ),
  ...PUBLIC_IPV4.flatMap((ip) =>
    EMBEDDINGS.map((embed) => spelled(`[${embed(ip)}]`, dialledOf(embed(ip)), false)),
  ),
  ...PRIVATE_IPV6.map((ip) => spelled(`[${ip}]`, null, false)),
  ...ZONES.map((ip) => spelled(`[${ip}]`, null, true)),
  ...PUBLIC_IPV6.map((ip) => spelled(`[${ip}]`, dialledOf(ip), false)),
  ...PRIVATE_NAMES.map((host) => spelled(host, null, !isPlain(host))),
  ...PUBLIC_NAMES.map(([host, ip]) => spelled(host, ip, !isPlain(host))),
];

/** Whole URLs that some reader takes to be of `public` and another of the private place, or of nothing. */
export function trickyUrls(privatePlace: string): readonly string[] {
  const publicHost = "public.test";
  return [
    `http://${publicHost}@${privatePlace}/`,
    `http://${publicHost}:80@${privatePlace}/`,
    `http://${publicHost}%40${privatePlace}/`,
    `http://user:pass@${privatePlace}/`,
    `http://${publicHost}\\@${privatePlace}/`,
    `http://${privatePlace}\\@${publicHost}/`,
    `http://${privatePlace}#@${publicHost}/`,
    `http://${privatePlace}?@${publicHost}/`,
    `http://${privatePlace};@${publicHost}/`,
    `http:${privatePlace}/`,
    `http:/${privatePlace}/`,
    `http:///${privatePlace}/`,
    `http:////${privatePlace}/`,
    `http:\\\\${privatePlace}\\`,
    `http:/\\${privatePlace}/`,
    `ht\ttp://${privatePlace}/`,
    `http://${privatePlace.replace(".", "\t.")}/`,
    `http://${privatePlace.replace(".", "\n.")}/`,
    `http://${privatePlace.replace(".", "\r\n.")}/`,
    ` http://${privatePlace}/ `,
    `\u0000http://${privatePlace}/`,
    `HTTP://${privatePlace}/`,
    `http://${privatePlace}/../${publicHost}`,
    `//${privatePlace}/`,
    `ftp://${privatePlace}/`,
    `file://${privatePlace}/`,
    `ws://${privatePlace}/`,
    `gopher://${privatePlace}/`,
    `jar:http://${privatePlace}!/`,
    `http://[::1]@${privatePlace}/`,
    `http://${privatePlace}%00.${publicHost}/`,
    `http://${publicHost}%00@${privatePlace}/`,
  ];
}

function spelled(host: string, dials: string | null, isOfUrls: boolean): Spelling {
  return { host, dials, isOfUrls };
}

/** Neither the URL standard nor a proxy reads it in another way than it stands. */
function isPlain(name: string): boolean {
  return /^[\w.-]+$/.test(name);
}

/** As it is dialled: mapped addresses as what they map. */
function dialledOf(ip: string): string {
  return ipaddr.process(new URL(`http://[${ip}]/`).hostname.slice(1, -1)).toString();
}

function partsOf(ip: string): number[] {
  return ip.split(".").map(Number);
}

function numberOf(parts: readonly number[]): number {
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

function hex(ip: string): string {
  const [a, b, c, d] = partsOf(ip) as [number, number, number, number];
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

function inverted(ip: string): string {
  return partsOf(ip)
    .map((part) => part ^ 0xff)
    .join(".");
}

function wide(text: string): string {
  return text.replaceAll(/[\da-z]/g, (sign) => String.fromCodePoint(sign.codePointAt(0)! + 0xfee0));
}

function circled(text: string): string {
  return text
    .replaceAll(/[1-9]/g, (digit) => String.fromCodePoint(0x2460 + Number(digit) - 1))
    .replaceAll("0", "⓪");
}

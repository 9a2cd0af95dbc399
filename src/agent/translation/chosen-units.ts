/**
 * What may be used now of the shared addresses, as statements for `nft`: which address a sender leaves by, and in which of its
 * units. The rules of senders go on to it. [SN2] [SN5] [SN8]
 */
import { type Family, familyOf } from "../../core/address-family.ts";
import { UNIT_PORT_COUNT } from "../../core/port-block.ts";
import { rendezvousWeight } from "../../core/rendezvous.ts";
import type { EntryMark } from "./entry-mark.ts";
import type { SnatRule } from "./snat-rule.ts";
import type { TranslationChoice } from "./translation-kernel.ts";
import { emptied, TRANSLATION_TABLE } from "./translation-ruleset.ts";

const TABLE = `inet ${TRANSLATION_TABLE}`;
/** Senders are spread over so many places, and these over the addresses. */
const SENDER_PLACES = 256;
const FAMILIES: readonly Family[] = [4, 6];

/** An address with what it may use now, and the time that is left. */
export interface ChosenAddress {
  readonly ip: string;
  readonly choice: TranslationChoice;
  readonly remainingMs: number;
}

/**
 * All addresses with what they may use: replaces what was said of them before. `numbered` are those that have flows or
 * may have, by their number less one: of which nothing is chosen yet is left as an earlier agent chose it.
 */
export function choiceStatements(
  rules: readonly SnatRule[],
  addresses: readonly ChosenAddress[],
  numbered: readonly string[],
): string[] {
  const usable = addresses.filter(({ choice, remainingMs }) => choice.units.length > 0 && remainingMs >= 1);
  return [
    ...FAMILIES.flatMap((family) => addressStatements(family, numbered)),
    ...addresses.flatMap(({ ip }) => [...emptied(nameOf("by", ip)), ...emptied(nameOf("full", ip))]),
    ...usable.flatMap(({ ip, choice }) => [
      `add rule ${TABLE} ${nameOf("by", ip)} ${choiceOf(ip, choice)}`,
      ...fullRules(ip, choice).map((text) => `add rule ${TABLE} ${nameOf("full", ip)} ${text}`),
    ]),
    ...rules.flatMap(({ ips }, at) => {
      const own = usable.map(({ ip }) => ip).filter((ip) => ips.length === 0 || ips.includes(ip));
      return [
        `flush chain ${TABLE} addresses${at}`,
        `flush chain ${TABLE} room${at}`,
        ...FAMILIES.flatMap((family) => spreadStatements(at, family, own)),
      ];
    }),
    `flush set ${TABLE} open`,
    ...FAMILIES.flatMap((family) => openStatements(family, usable)),
  ];
}

function addressStatements(family: Family, numbered: readonly string[]): string[] {
  const own = numbered.flatMap((ip, at) => (familyOf(ip) === family ? [{ ip, number: at + 1 }] : []));
  const [shared, numbers] = [`shared${family}`, `numbers${family}`];
  return [
    `flush set ${TABLE} ${shared}`,
    `flush map ${TABLE} ${numbers}`,
    ...own.flatMap(({ ip, number }) => [
      `add element ${TABLE} ${shared} { ${ip} }`,
      `add element ${TABLE} ${numbers} { ${ip} : ${number} }`,
    ]),
  ];
}

/**
 * Units of an address that may be chosen from now on: each is a chain, made once. (A map from a number to an address
 * and a range of ports would do without, but nft 1.0 cannot load one for IPv6.)
 */
export function unitStatements(
  ip: string,
  units: readonly number[],
  markOf: (unit: number) => EntryMark,
): string[] {
  const [name, echo] = familyOf(ip) === 4 ? ["ip", "icmp"] : ["ip6", "icmpv6"];
  const place = familyOf(ip) === 4 ? ip : `[${ip}]`;
  return units.flatMap((unit) => {
    const base = unit * UNIT_PORT_COUNT;
    const ports = `${base}-${base + UNIT_PORT_COUNT - 1}`;
    const chain = unitChain(ip, unit);
    const { value, mask } = markOf(unit);
    const mark = `ct mark set ct mark & ${~mask >>> 0} | ${value}`;
    const translation = `snat ${name} to ${place}:${ports} fully-random`;
    return [
      ...emptied(chain),
      `add rule ${TABLE} ${chain} meta l4proto { tcp, udp, ${echo} } counter name translated ${mark} ${translation}`,
    ];
  });
}

/** A unit by its weight; in it the kernel takes a port by chance. */
function choiceOf(ip: string, { units }: TranslationChoice): string {
  let total = 0;
  const places = units.map(({ unit, weight }) => {
    const first = total;
    total += weight;
    return `${weight === 1 ? first : `${first}-${total - 1}`} : goto ${unitChain(ip, unit)}`;
  });
  return `numgen random mod ${total} vmap { ${places.join(", ")} }`;
}

/** What is new towards a destination for which this address has no port. */
function fullRules(ip: string, { full }: TranslationChoice): string[] {
  const places = full.flatMap((key) => {
    const [protocol, destination, port] = key.split(" ");
    return port === undefined ? [] : [`${destination} . ${protocol} . ${port}`];
  });
  if (places.length === 0) return [];
  const name = familyOf(ip) === 4 ? "ip" : "ip6";
  return [`${name} daddr . meta l4proto . th dport { ${places.join(", ")} } goto refuse_full`];
}

/** One sender keeps one address (RFC 4787 REQ-2); when another address comes or goes few senders change theirs. */
function spreadStatements(rule: number, family: Family, all: readonly string[]): string[] {
  const ips = all.filter((ip) => familyOf(ip) === family);
  const [first] = ips;
  // Other rules may have an address of this family.
  if (first === undefined)
    return [`add rule ${TABLE} room${rule} meta nfproto ipv${family} goto refuse_ports`];
  const name = family === 4 ? "ip" : "ip6";
  const to = (kind: "by" | "full"): string => {
    if (ips.length === 1) return `meta nfproto ipv${family} goto ${nameOf(kind, first)}`;
    const places = Array.from(
      { length: SENDER_PLACES },
      (_, place) => `${place} : goto ${nameOf(kind, addressOf(place, ips))}`,
    );
    return `meta nfproto ipv${family} jhash ${name} saddr mod ${SENDER_PLACES} vmap { ${places.join(", ")} }`;
  };
  return [`add rule ${TABLE} addresses${rule} ${to("by")}`, `add rule ${TABLE} room${rule} ${to("full")}`];
}

function addressOf(place: number, ips: readonly string[]): string {
  return ips.reduce((best, ip) =>
    rendezvousWeight(String(place), ip) > rendezvousWeight(String(place), best) ? ip : best,
  );
}

function openStatements(family: Family, usable: readonly ChosenAddress[]): string[] {
  const left = usable.filter(({ ip }) => familyOf(ip) === family).map(({ remainingMs }) => remainingMs);
  if (left.length === 0) return [];
  const longestMs = Math.max(...left);
  const ends = Number.isFinite(longestMs) ? ` timeout ${Math.floor(longestMs)}ms` : "";
  return [`add element ${TABLE} open { ipv${family}${ends} }`];
}

function unitChain(ip: string, unit: number): string {
  return `${nameOf("by", ip)}_${unit}`;
}

function nameOf(kind: "by" | "full", ip: string): string {
  return `${kind}_${ip.replaceAll(/[.:]/g, "_")}`;
}

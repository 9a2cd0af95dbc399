/**
 * The translation as statements for `nft`, in a table of its own. Of what the senders of the rules send out of the
 * machine:
 *
 *     prerouting -150   marked, so that routing sees that the table is there                                   [SN10]
 *     forward, output   refused aloud: destinations that the policy forbids, flows for which there is no port   [SN7] [SN8] [SN9]
 *     postrouting 90    translated, before anybody else's translation: an address by the sender, a unit by
 *                       chance, a port by chance                                                               [SN2] [SN5]
 *     postrouting 150   dropped, if it has no shared address by now: nothing leaves with another               [SN2]
 *
 * What is answered to somebody who came in, and what goes to a network that is `direct`, is left alone. So is all that
 * stays on the machine or leaves by a device that leads to no other network. The guard stands behind all of it.
 */
import { createHash } from "node:crypto";
import { type Family, familyOf } from "../../core/address-family.ts";
import type { PoolPolicy } from "../../core/pool-policy.ts";
import { UNIT_PORT_COUNT } from "../../core/port-block.ts";
import { rendezvousWeight } from "../../core/rendezvous.ts";
import { type HostRanges, listRules, specialRules } from "./destination-rules.ts";
import { anyOf, cgroupMarks, ofFamily, senderMarks, sendersOf, type Stage } from "./sender-match.ts";
import type { EntryMark } from "./entry-mark.ts";
import type { SnatRule } from "./snat-rule.ts";
import type { TranslationChoice } from "./translation-kernel.ts";

/** The table, in the family `inet`. */
export const TRANSLATION_TABLE = "ipshard_snat";
/** What is counted there, in packets; of `translated` the first of each flow. */
export const TRANSLATION_COUNTERS = [
  "translated",
  "refused_ports",
  "refused_full",
  "refused_destination",
  "refused_protocol",
  "refused_midstream",
  "reported",
  "invalid",
  "untranslated",
  "strays",
] as const;

/** Of its chain at postrouting: what has a lower one there comes before it. */
export const TRANSLATION_PRIORITY = 90;
/** Of its chain at prerouting. */
export const MARKING_PRIORITY = -150;

const TABLE = `inet ${TRANSLATION_TABLE}`;
/** Senders are spread over so many places, and these over the addresses. */
const SENDER_PLACES = 256;
const FAMILIES: readonly Family[] = [4, 6];
const SEGMENTS = "meta l4proto tcp tcp flags & (fin | syn | rst | ack)";

/** What does not change while an agent runs. */
export interface TranslationFrame {
  readonly rules: readonly SnatRule[];
  /** Devices by which what leaves the machine leaves it. */
  readonly devices: readonly string[];
  /** Numbers of the control groups that are there, by path. */
  readonly cgroups: ReadonlyMap<string, number>;
}

/** The name of an empty set by which a later agent sees that the table was made for the same rules. */
export function frameName({ rules, cgroups }: Omit<TranslationFrame, "devices">): string {
  return `of_${createHash("sha256")
    .update(JSON.stringify([rules, ...cgroups]))
    .digest("hex")
    .slice(0, 16)}`;
}

/** An address with what it may use now, and the time that is left. */
export interface ChosenAddress {
  readonly ip: string;
  readonly choice: TranslationChoice;
  readonly remainingMs: number;
}

/** The table anew, with nothing that may be used and everything refused. */
export function frameStatements(frame: TranslationFrame): string[] {
  const { rules, devices } = frame;
  return [
    `add table ${TABLE}`,
    `delete table ${TABLE}`,
    `add table ${TABLE}`,
    ...TRANSLATION_COUNTERS.map((name) => `add counter ${TABLE} ${name}`),
    `add set ${TABLE} ${frameName(frame)} { type mark; }`,
    `add set ${TABLE} outside { type ifname; }`,
    ...(devices.length === 0 ? [] : [`add element ${TABLE} outside { ${quoted(devices)} }`]),
    `add set ${TABLE} shared4 { type ipv4_addr; }`,
    `add set ${TABLE} shared6 { type ipv6_addr; }`,
    // The numbers of addresses in the marks of entries, for a later agent.
    `add map ${TABLE} numbers4 { type ipv4_addr : mark; }`,
    `add map ${TABLE} numbers6 { type ipv6_addr : mark; }`,
    // Families of which there is something to leave by; ends with the leases, whatever becomes of the agent.
    `add set ${TABLE} open { type nf_proto; flags timeout; }`,
    ...refusals(),
    // What comes to a translated port and belongs to no flow: it must not be tracked, or strangers could fill the table.
    `add chain ${TABLE} arrived`,
    `add rule ${TABLE} arrived ct state { untracked, established, related } accept`,
    `add rule ${TABLE} arrived counter name strays`,
    `add rule ${TABLE} arrived meta l4proto tcp reject with tcp reset`,
    `add rule ${TABLE} arrived drop`,
    `add chain ${TABLE} special`,
    ...rules.flatMap((rule, at) => ruleChains(rule, at)),
    ...hookChains(frame),
  ];
}

function refusals(): string[] {
  return (["ports", "full", "destination", "protocol", "midstream"] as const).flatMap((why) => [
    `add chain ${TABLE} refuse_${why}`,
    `add rule ${TABLE} refuse_${why} counter name refused_${why}`,
    `add rule ${TABLE} refuse_${why} meta l4proto tcp reject with tcp reset`,
    `add rule ${TABLE} refuse_${why} reject with icmpx admin-prohibited`,
  ]);
}

function ruleChains(rule: SnatRule, at: number): string[] {
  const direct = FAMILIES.flatMap((family) => {
    const networks = ofFamily(rule.direct, family);
    return networks.length === 0 ? [] : [`${family === 4 ? "ip" : "ip6"} daddr ${anyOf(networks)} return`];
  });
  const chain = (name: string, rules: readonly string[]): string[] => [
    `add chain ${TABLE} ${name}`,
    ...rules.map((text) => `add rule ${TABLE} ${name} ${text}`),
  ];
  return [
    `add chain ${TABLE} lists${at}`,
    `add chain ${TABLE} addresses${at}`,
    `add chain ${TABLE} room${at}`,
    ...chain(`judge${at}`, [
      ...direct,
      // Neighbours of the link, and what answers somebody who came in.
      "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } return",
      "ct direction reply return",
      "ct state established,related return",
      "meta l4proto != { tcp, udp, icmp, icmpv6 } goto refuse_protocol",
      "ct state invalid counter name invalid drop",
      // A flow that the table has forgotten would go on from another port.
      `${SEGMENTS} != syn goto refuse_midstream`,
      "icmp type != echo-request goto refuse_protocol",
      "icmpv6 type != echo-request goto refuse_protocol",
      "jump special",
      `jump lists${at}`,
      "meta nfproto != @open goto refuse_ports",
      `meta l4proto { tcp, udp } goto room${at}`,
    ]),
    ...chain(`translate${at}`, [...direct, `goto addresses${at}`]),
    ...chain(`check${at}`, [
      ...direct,
      "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } return",
      "ct direction reply return",
      "counter name untranslated drop",
    ]),
  ];
}

function hookChains({ rules, cgroups: present }: TranslationFrame): string[] {
  const areOwn = rules.some(({ marks, cgroups }) => marks.length + cgroups.length > 0);
  // Whatever is a flow already was judged with its first packet, also where nobody answers.
  const judged = ["ct status confirmed accept", ...dispatch(rules, "before", "judge")];
  const shared = ["ip saddr @shared4 accept", "ip6 saddr @shared6 accept"];
  return [
    ...hookChain("arrivals", "filter", "prerouting", MARKING_PRIORITY, senderMarks(rules)),
    ...hookChain("forward", "filter", "forward", -10, judged),
    // Programs of this machine are senders only by their mark or their control group.
    ...(areOwn
      ? hookChain("output", "filter", "output", -10, [...cgroupMarks(rules, present), ...judged])
      : []),
    ...hookChain(
      "translate",
      "nat",
      "postrouting",
      TRANSLATION_PRIORITY,
      dispatch(rules, "before", "translate"),
    ),
    ...hookChain("check", "filter", "postrouting", 150, [...shared, ...dispatch(rules, "after", "check")]),
    ...hookChain("input", "filter", "input", -10, [
      "ip daddr @shared4 goto arrived",
      "ip6 daddr @shared6 goto arrived",
    ]),
  ];
}

function hookChain(
  name: string,
  type: "filter" | "nat",
  hook: string,
  priority: number,
  rules: readonly string[],
): string[] {
  return [
    `add chain ${TABLE} ${name} { type ${type} hook ${hook} priority ${priority}; policy accept; }`,
    ...rules.map((text) => `add rule ${TABLE} ${name} ${text}`),
  ];
}

function dispatch(rules: readonly SnatRule[], stage: Stage, to: string): string[] {
  let cgroupCount = 0;
  return rules.flatMap((rule, at) => {
    const matches = sendersOf(rule, cgroupCount, stage);
    cgroupCount += rule.cgroups.length;
    return matches.map((match) => `oifname @outside ${match} goto ${to}${at}`);
  });
}

/** Devices by which what leaves the machine leaves it. */
export function deviceStatements(devices: readonly string[]): string[] {
  return [
    `flush set ${TABLE} outside`,
    ...(devices.length === 0 ? [] : [`add element ${TABLE} outside { ${quoted(devices)} }`]),
  ];
}

/** Which destinations may be reached, from now on. */
export function policyStatements(
  rules: readonly SnatRule[],
  ranges: HostRanges,
  policy: PoolPolicy | null,
): string[] {
  return [
    `flush chain ${TABLE} special`,
    ...specialRules(ranges, policy).map((text) => `add rule ${TABLE} special ${text}`),
    ...rules.flatMap(({ name }, at) => {
      const groups = listRules(policy, name);
      const names = groups.map((_, group) => `list${at}_${group}`);
      const lists = names.flatMap((list, group) => [
        emptied(list),
        groups[group]!.map((text) => `add rule ${TABLE} ${list} ${text}`),
        `add rule ${TABLE} lists${at} jump ${list}`,
      ]);
      return [`flush chain ${TABLE} lists${at}`, ...lists.flat()];
    }),
  ];
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

function emptied(chain: string): string[] {
  return [`add chain ${TABLE} ${chain}`, `flush chain ${TABLE} ${chain}`];
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
  if (first === undefined) return [];
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

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(", ");
}

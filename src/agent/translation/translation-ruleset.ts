/**
 * The translation as statements for `nft`, in a table of its own. Of what the senders of the rules send out of the
 * machine:
 *
 *     prerouting -150   marked, so that routing sees that the table is there                                   [SN10]
 *     prerouting -110   refused: strangers who come to a translated port, before anybody leads them elsewhere   [SN7]
 *     forward, output   refused aloud: destinations that the policy forbids, flows for which there is no port   [SN7] [SN8] [SN9]
 *     postrouting 90    translated, before anybody else's translation: an address by the sender, a unit by
 *                       chance, a port by chance                                                               [SN2] [SN5]
 *     postrouting 150   dropped, if it has no shared address by now: nothing leaves with another               [SN2]
 *
 * What is answered to somebody who came in, and what goes to a network that is `direct`, is left alone. So is all that
 * stays on the machine or leaves by a device that leads to no other network. The guard stands behind all of it.
 */
import { createHash } from "node:crypto";
import type { Family } from "../../core/address-family.ts";
import type { PoolPolicy } from "../../core/pool-policy.ts";
import { type HostRanges, listRules, REFUSE, specialRules } from "./destination-rules.ts";
import { anyOf, cgroupMarks, ofFamily, senderMarks, sendersOf, type Stage } from "./sender-match.ts";
import type { SnatRule } from "./snat-rule.ts";

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
/** Behind tracking, before all that gives a packet another destination (-100). */
const STRANGERS_PRIORITY = -110;

const TABLE = `inet ${TRANSLATION_TABLE}`;
const FAMILIES: readonly Family[] = [4, 6];
/** What a router has passed on has fewer hops left: nobody's neighbour. */
const NEIGHBOURS =
  "ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } return";
/**
 * Comes from senders, with the source of somebody outside: nothing would translate it, and an answer to it would be one
 * to somebody who came in.
 */
const FORGED = "iifname @inside jump forged";
const SEGMENTS = "meta l4proto tcp tcp flags & (fin | syn | rst | ack)";

/** What the table knows of the machine's devices, by their names. */
export interface FrameDevices {
  /** By them what leaves the machine leaves it. */
  readonly outside: readonly string[];
  /** By them, and by none of those, come packets of senders. */
  readonly inside: readonly string[];
}

/** What does not change while an agent runs. */
export interface TranslationFrame {
  readonly rules: readonly SnatRule[];
  readonly devices: FrameDevices;
  /** Numbers of the control groups that are there, by path. */
  readonly cgroups: ReadonlyMap<string, number>;
}

/** The name of an empty set by which a later agent sees that the table is as it would make it. */
export function frameName(frame: Omit<TranslationFrame, "devices">): string {
  // A group that is made anew has another number, and is a rule of the same text.
  const text = JSON.stringify([tableStatements(frame), ...frame.cgroups]);
  return `of_${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;
}

/** The table anew, with nothing that may be used and everything refused. */
export function frameStatements(frame: TranslationFrame): string[] {
  return [
    ...tableStatements(frame),
    `add set ${TABLE} ${frameName(frame)} { type mark; }`,
    ...deviceStatements(frame.devices),
  ];
}

function tableStatements(frame: Omit<TranslationFrame, "devices">): string[] {
  const { rules } = frame;
  return [
    `add table ${TABLE}`,
    `delete table ${TABLE}`,
    `add table ${TABLE}`,
    ...TRANSLATION_COUNTERS.map((name) => `add counter ${TABLE} ${name}`),
    `add set ${TABLE} outside { type ifname; }`,
    `add set ${TABLE} inside { type ifname; }`,
    `add set ${TABLE} shared4 { type ipv4_addr; }`,
    `add set ${TABLE} shared6 { type ipv6_addr; }`,
    // The numbers of addresses in the marks of entries, for a later agent.
    `add map ${TABLE} numbers4 { type ipv4_addr : mark; }`,
    `add map ${TABLE} numbers6 { type ipv6_addr : mark; }`,
    // Families of which there is something to leave by; ends with the leases, whatever becomes of the agent.
    `add set ${TABLE} open { type nf_proto; flags timeout; }`,
    ...refusals(),
    // What comes to a translated port and belongs to no flow: it must not be tracked, or strangers could fill the table,
    // and not be led on to what this machine publishes by its own addresses.
    `add chain ${TABLE} arrived`,
    `add rule ${TABLE} arrived ct state { untracked, established, related } accept`,
    `add rule ${TABLE} arrived counter name strays`,
    `add rule ${TABLE} arrived meta l4proto tcp reject with tcp reset`,
    `add rule ${TABLE} arrived drop`,
    `add chain ${TABLE} special`,
    `add chain ${TABLE} forged`,
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
    // Nobody is served before there is a policy. [PY6]
    ...chain(`lists${at}`, [REFUSE]),
    `add chain ${TABLE} addresses${at}`,
    `add chain ${TABLE} room${at}`,
    ...chain(`judge${at}`, [
      ...direct,
      // Neighbours of the link, and what answers somebody who came in.
      NEIGHBOURS,
      "ct direction reply return",
      "ct state established return",
      // Of a flow that is known these are errors. Whatever else a helper expects is judged like all that is new.
      "ct state related meta l4proto { icmp, icmpv6 } return",
      "meta l4proto != { tcp, udp, icmp, icmpv6 } goto refuse_protocol",
      "ct state invalid counter name invalid drop",
      // A flow that the table has forgotten would go on from another port.
      `${SEGMENTS} != syn goto refuse_midstream`,
      "icmp type != echo-request goto refuse_protocol",
      "icmpv6 type != echo-request goto refuse_protocol",
      "jump special",
      `jump lists${at}`,
      "meta nfproto != @open goto refuse_ports",
      `goto room${at}`,
    ]),
    ...chain(`translate${at}`, [...direct, `goto addresses${at}`]),
    ...chain(`check${at}`, [
      ...direct,
      NEIGHBOURS,
      "ct direction reply return",
      "counter name untranslated drop",
    ]),
  ];
}

function hookChains({ rules, cgroups: present }: Omit<TranslationFrame, "devices">): string[] {
  const areOwn = rules.some(({ marks, cgroups }) => marks.length + cgroups.length > 0);
  // Whatever is a flow already was judged with its first packet, also where nobody answers.
  const isKnown = "ct status confirmed accept";
  const judged = dispatch(rules, "before", "judge");
  const shared = ["ip saddr @shared4 accept", "ip6 saddr @shared6 accept"];
  return [
    ...hookChain("arrivals", "filter", "prerouting", MARKING_PRIORITY, senderMarks(rules)),
    ...hookChain("forward", "filter", "forward", -10, [isKnown, FORGED, ...judged]),
    // Programs of this machine are senders only by their mark or their control group.
    ...(areOwn
      ? hookChain("output", "filter", "output", -10, [...cgroupMarks(rules, present), isKnown, ...judged])
      : []),
    ...hookChain(
      "translate",
      "nat",
      "postrouting",
      TRANSLATION_PRIORITY,
      dispatch(rules, "before", "translate"),
    ),
    ...hookChain("check", "filter", "postrouting", 150, [...shared, ...dispatch(rules, "after", "check")]),
    ...hookChain("strangers", "filter", "prerouting", STRANGERS_PRIORITY, [
      "ip daddr @shared4 fib daddr type local goto arrived",
      "ip6 daddr @shared6 fib daddr type local goto arrived",
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

/** Replaces what the table knows of devices. */
export function deviceStatements({ outside, inside }: FrameDevices): string[] {
  const sides = { outside, inside };
  return [
    ...Object.keys(sides).map((side) => `flush set ${TABLE} ${side}`),
    ...Object.entries(sides)
      .filter(([, names]) => names.length > 0)
      .map(([side, names]) => `add element ${TABLE} ${side} { ${quoted(names)} }`),
    `flush chain ${TABLE} forged`,
    ...outside.map(
      (name) => `add rule ${TABLE} forged fib saddr oifname "${name}" counter name invalid drop`,
    ),
  ];
}

/** Which destinations may be reached, from now on. Without a policy the lists stay as they are. */
export function policyStatements(
  rules: readonly SnatRule[],
  ranges: HostRanges,
  policy: PoolPolicy | null,
): string[] {
  return [
    `flush chain ${TABLE} special`,
    ...specialRules(ranges, policy).map((text) => `add rule ${TABLE} special ${text}`),
    ...rules.flatMap(({ name }, at) => {
      if (policy === null) return [];
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

/** A chain that is there, and empty. */
export function emptied(chain: string): string[] {
  return [`add chain ${TABLE} ${chain}`, `flush chain ${TABLE} ${chain}`];
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(", ");
}

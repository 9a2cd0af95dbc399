/**
 * What other programs have in the kernel's ruleset that the translation cannot stand, or that cannot stand the translation.
 * [HS6]
 */
import { type Finding, note, problem } from "../../process/finding.ts";
import type { Listed } from "../../linux/nftables/listing.ts";
import { parseRange } from "../../policy/special-ranges.ts";
import { entryMark } from "./entry-mark.ts";
import {
  comparisonsOf,
  type Comparison,
  type Expression,
  isOf,
  networksOf,
  type Senders,
} from "./senders.ts";
import { SENDER_MARK } from "./sender-match.ts";
import { MARKING_PRIORITY, TRANSLATION_PRIORITY } from "./translation-ruleset.ts";

/** An object of nft's JSON, with what those have that are looked at. */
interface RulesetObject {
  readonly family: string;
  readonly table: string;
  /** Of a rule. */
  readonly chain: string;
  readonly expr?: readonly Expression[];
  readonly name: string;
  /** Of a chain that is called by a hook. */
  readonly type?: string;
  readonly hook?: string;
  readonly prio?: number;
  /** Of a flowtable. */
  readonly dev?: string | readonly string[];
}

/** Tables that are ours. */
const OWN = /^ipshard(_|$)/;
const ALL_BITS = 0xffff_ffff;
/** Chains lead to others; a ruleset that goes on beyond this is not followed. */
const MOST_STEPS = 10_000;
const REWRITING: readonly string[] = ["masquerade", "snat"];
const REWRITING_TARGETS: ReadonlySet<string> = new Set(["MASQUERADE", "SNAT", "NETMAP"]);
const ENDING = ["accept", "drop", "return", "goto"];

/** Everything that is found in a ruleset. */
export function rulesetFindings(listed: readonly Listed[], senders: Senders): Finding[] {
  const of = (kind: string): RulesetObject[] =>
    listed.flatMap((object) => {
      const found = object[kind] as RulesetObject | undefined;
      return found === undefined || OWN.test(found.table) ? [] : [found];
    });
  const rules = of("rule");
  return [
    ...of("chain").flatMap((chain) => chainFindings(chain, rules, senders)),
    ...markFindings(rules),
    ...packetMarkFindings(rules, of("chain"), senders),
    ...of("ct helper").map(({ family, table, name }) =>
      note(
        `The table ${named(family, table)} has the helper ${name}: ports that it opens for senders are not leased, ` +
          "and the guard drops what uses them. Let no rule assign it to what they send.",
      ),
    ),
    ...of("flowtable").map(({ family, table, name, dev }) =>
      problem(
        `The flowtable ${name} of the table ${named(family, table)} carries flows between ${[dev ?? []].flat().join(", ")} ` +
          "past the guard and the translation: they would go on when their lease is over. " +
          "Let no rule add what senders send to it (`flow add`), or take the devices out.",
      ),
    ),
  ];
}

/** Whoever gives a packet a source first has done so for all of its flow. */
function chainFindings(chain: RulesetObject, rules: readonly RulesetObject[], senders: Senders): Finding[] {
  const { type, hook, family, table, name, prio = 0 } = chain;
  if (type !== "nat" || hook !== "postrouting") return [];
  const place = `The chain ${name} of the table ${named(family, table)}`;
  const { sources, direct } = sendersOf(senders, family);
  const rewrites = rewritesFrom(chain, rules, sources);
  if (prio <= TRANSLATION_PRIORITY) {
    if (!rewrites.some((path) => mayMeet(path, "saddr", sources))) return [];
    return [
      problem(
        `${place} translates before ipshard does (priority ${prio}), and what it gives another source is dropped ` +
          `(untranslated). Give it a priority above ${TRANSLATION_PRIORITY}, or have it pass the senders over${
            sources.length === 0 ? "" : `: ${sources.join(", ")}`
          }.`,
      ),
    ];
  }
  if (direct.length === 0) return [];
  const areMet = rewrites.some((path) => mayMeet(path, "saddr", sources) && mayMeet(path, "daddr", direct));
  if (!areMet) return [];
  return [
    note(
      `${place} also translates what senders send to networks that are direct (${direct.join(", ")}), ` +
        "which so see this host instead of them. Have it pass these networks over, if that is not meant.",
    ),
  ];
}

function sendersOf(
  { sources, direct }: Senders,
  family: string,
): { readonly sources: readonly string[]; readonly direct: readonly string[] } {
  const isMeant = (network: string): boolean =>
    family === "inet" || network.includes(":") === (family === "ip6");
  return { sources: sources.filter(isMeant), direct: direct.filter(isMeant) };
}

/** The comparisons on the way to each rule that gives packets another source. */
function rewritesFrom(
  base: RulesetObject,
  rules: readonly RulesetObject[],
  sources: readonly string[],
): Comparison[][] {
  const { family, table } = base;
  const own = rules.filter((rule) => rule.family === family && rule.table === table);
  const byChain = Map.groupBy(own, ({ chain }) => chain);
  const found: Comparison[][] = [];
  let stepCount = 0;
  const follow = (chain: string, before: readonly Comparison[], above: readonly string[]): void => {
    for (const rule of byChain.get(chain) ?? []) {
      stepCount += 1;
      if (stepCount > MOST_STEPS) return;
      const path = [...before, ...comparisonsOf(rule)];
      if (isRewriting(rule)) found.push(path);
      const next = targetOf(rule);
      if (next !== null && !above.includes(next)) follow(next, path, [...above, next]);
      // Behind it no packet of the senders comes.
      if (isEndOf(rule, sources)) return;
    }
  };
  follow(base.name, [], [base.name]);
  return found;
}

function expressionsOf(rule: RulesetObject): readonly Expression[] {
  return rule.expr ?? [];
}

function isRewriting(rule: RulesetObject): boolean {
  return expressionsOf(rule).some((expression) => {
    const target = expression["xt"] as { type?: string; name?: string } | undefined;
    const isTarget = target?.type === "target" && REWRITING_TARGETS.has(target.name ?? "");
    return isTarget || REWRITING.some((verdict) => verdict in expression);
  });
}

function targetOf(rule: RulesetObject): string | null {
  for (const expression of expressionsOf(rule)) {
    const led = (expression["jump"] ?? expression["goto"]) as { target?: string } | undefined;
    if (led?.target !== undefined) return led.target;
  }
  return null;
}

/** Whether no packet of these sources comes by this rule, but those that another program has chosen by a mark. */
function isEndOf(rule: RulesetObject, sources: readonly string[]): boolean {
  const expressions = expressionsOf(rule);
  if (!expressions.some((expression) => ENDING.some((verdict) => verdict in expression))) return false;
  const matches = expressions.flatMap(({ xt }) => (xt as { type?: string; name?: string } | undefined) ?? []);
  const comparisons = comparisonsOf(rule);
  if (comparisons.some(isOfMark) || matches.some(({ name }) => name === "mark")) return true;
  if (matches.some(({ type }) => type === "match")) return false;
  return comparisons.every((comparison) => {
    const networks = isOf("payload", "saddr")(comparison) ? networksOf(comparison.right) : null;
    if (comparison.op !== "==" || networks === null || sources.length === 0) return false;
    return sources.every((source) => networks.some((network) => holds(network, source)));
  });
}

function isOfMark(comparison: Comparison): boolean {
  const [masked] = (comparison.left["&"] ?? []) as Expression[];
  const left = masked ?? comparison.left;
  return isOf("meta", "mark")({ ...comparison, left });
}

/** Whether what has one of these networks as its source or destination may come by here; what cannot be judged may. */
function mayMeet(
  path: readonly Comparison[],
  field: "saddr" | "daddr",
  networks: readonly string[],
): boolean {
  if (networks.length === 0) return true;
  return path.filter(isOf("payload", field)).every(({ op, right }) => {
    const compared = networksOf(right);
    if (compared === null) return true;
    return op === "!="
      ? networks.some((network) => !compared.some((one) => holds(one, network)))
      : networks.some((network) => compared.some((one) => holds(one, network) || holds(network, one)));
  });
}

/** Whether a network has all of another. */
function holds(outer: string, inner: string): boolean {
  const [network, bits] = parseRange(outer);
  const [address, innerBits] = parseRange(inner);
  return network.kind() === address.kind() && bits <= innerBits && address.match(network, bits);
}

function markFindings(rules: readonly RulesetObject[]): Finding[] {
  const { mask } = entryMark(0, 0);
  const findings = new Map<string, Finding>();
  for (const rule of rules) {
    const place = placeOf(rule);
    const bits = Math.max(
      0,
      ...expressionsOf(rule).map((expression) => changedBits(expression, "ct") & mask),
    );
    const advice = `the bits ${hex(mask)} are ipshard's, which ends flows of a lease by them. Give it a mask that spares them.`;
    if (bits !== 0) findings.set(place, problem(`${place} changes the mark of tracked flows: ${advice}`));
    const isHidden = expressionsOf(rule).some(
      ({ xt }) => (xt as { name?: string } | undefined)?.name === "CONNMARK",
    );
    if (isHidden && !findings.has(place))
      findings.set(place, note(`${place} may change the mark of tracked flows (CONNMARK): ${advice}`));
  }
  return [...findings.values()];
}

/** Routing lets only those senders out that the translation has marked: a later mark must leave that be. [SN10] */
function packetMarkFindings(
  rules: readonly RulesetObject[],
  chains: readonly RulesetObject[],
  senders: Senders,
): Finding[] {
  const mask = Number(SENDER_MARK);
  const isBetween = (rule: RulesetObject): boolean => {
    const own = chains.find(
      ({ family, table, name }) => family === rule.family && table === rule.table && name === rule.chain,
    );
    // A chain without a hook is called by others.
    return own?.hook === undefined || (own.hook === "prerouting" && (own.prio ?? 0) >= MARKING_PRIORITY);
  };
  const changing = rules.filter(
    (rule) =>
      isBetween(rule) &&
      expressionsOf(rule).some((expression) => (changedBits(expression, "meta") & mask) !== 0) &&
      mayMeet(comparisonsOf(rule), "saddr", sendersOf(senders, rule.family).sources),
  );
  const places = new Set(changing.map(placeOf));
  return [...places].map((place) =>
    note(
      `${place} changes the mark of packets: of those from senders the bit ${SENDER_MARK} is ipshard's, and without it they are refused. ` +
        "Give it a mask that spares it, or have it pass the senders over.",
    ),
  );
}

/** Bits of a mark, of a flow or of a packet, that a statement may change. */
function changedBits(statement: Expression, of: "ct" | "meta"): number {
  const { key, value } = (statement["mangle"] ?? {}) as { key?: Expression; value?: unknown };
  return isMark(key, of) ? (bitsOf(value, of) ?? ALL_BITS) : 0;
}

function isMark(expression: Expression | undefined, of: "ct" | "meta"): boolean {
  return (expression?.[of] as { key?: string } | undefined)?.key === "mark";
}

/** Bits in which a value may differ from the mark that was; null where it has nothing of that. */
function bitsOf(value: unknown, of: "ct" | "meta"): number | null {
  if (typeof value !== "object" || value === null) return null;
  const expression = value as Expression;
  if (isMark(expression, of)) return 0;
  for (const operator of ["&", "|", "^"]) {
    const [left, right] = (expression[operator] ?? []) as unknown[];
    const before = bitsOf(left, of);
    if (before === null || typeof right !== "number") continue;
    return (operator === "&" ? before | ~right : before | right) >>> 0;
  }
  return null;
}

function placeOf({ chain, family, table }: RulesetObject): string {
  return `The chain ${chain} of the table ${named(family, table)}`;
}

function named(family: string, table: string): string {
  return `${family} ${table}`;
}

function hex(bits: number): string {
  return `0x${(bits >>> 0).toString(16)}`;
}

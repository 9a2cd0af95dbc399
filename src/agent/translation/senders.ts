/**
 * Whom the kernel translates: as the rules of a host say it, or as the table in the kernel says it to whoever does not know
 * them. [HS6]
 */
import type { Listed } from "../../linux/nftables/listing.ts";
import { CGROUP_COMMENT } from "./sender-match.ts";
import type { SnatRule } from "./snat-rule.ts";
import { TRANSLATION_TABLE } from "./translation-ruleset.ts";

/** Senders of all rules of a host. */
export interface Senders {
  readonly sources: readonly string[];
  readonly devices: readonly string[];
  readonly direct: readonly string[];
  readonly cgroups: readonly SendingGroup[];
}

/** A control group whose programs are senders. */
export interface SendingGroup {
  readonly path: string;
  /** Path of the group that the kernel takes for it; null where nobody has asked. */
  readonly inKernel: string | null;
}

/** An expression of nft's JSON; each has one key. */
export type Expression = Readonly<Record<string, unknown>>;

/** A comparison of nft's JSON. */
export interface Comparison {
  readonly op: string;
  readonly left: Expression;
  readonly right: unknown;
}

interface OwnRule {
  readonly chain: string;
  readonly comment?: string;
  readonly expr?: readonly Expression[];
}

/** As the rules say it. */
export function sendersOfRules(rules: readonly SnatRule[]): Senders {
  return {
    sources: unique(rules.flatMap(({ sources }) => sources)),
    devices: unique(rules.flatMap(({ devices }) => devices)),
    direct: unique(rules.flatMap(({ direct }) => direct)),
    cgroups: rules.flatMap(({ cgroups }) => cgroups.map((path) => ({ path, inKernel: null }))),
  };
}

/** As the kernel says it; null where it translates nothing. */
export function sendersInKernel(listed: readonly Listed[]): Senders | null {
  const own = listed.flatMap(({ rule }) =>
    rule?.["table"] === TRANSLATION_TABLE ? [rule as unknown as OwnRule] : [],
  );
  if (own.length === 0) return null;
  const rulesOf = (isMeant: (chain: string) => boolean): OwnRule[] =>
    own.filter(({ chain }) => isMeant(chain));
  const judged = rulesOf((chain) => chain === "forward").flatMap(comparisonsOf);
  const first = rulesOf((chain) => /^translate\d+$/.test(chain)).flatMap(comparisonsOf);
  return {
    sources: unique(judged.filter(isOf("payload", "saddr")).flatMap(({ right }) => networksOf(right) ?? [])),
    devices: unique(judged.filter(isOf("meta", "iifname")).flatMap(({ right }) => textsOf(right))),
    direct: unique(first.filter(isOf("payload", "daddr")).flatMap(({ right }) => networksOf(right) ?? [])),
    cgroups: rulesOf((chain) => chain === "output").flatMap(groupOf),
  };
}

/** The comparisons of a rule, in their order. */
export function comparisonsOf({ expr = [] }: { readonly expr?: readonly Expression[] }): Comparison[] {
  return expr.flatMap(({ match }) => (match as Comparison | undefined) ?? []);
}

/** Whether a comparison is about a field of packets, such as `saddr`, or about a key of `meta`. */
export function isOf(kind: "payload" | "meta" | "socket", name: string): (comparison: Comparison) => boolean {
  return ({ left }) => {
    const named = left[kind] as { field?: string; key?: string } | undefined;
    return (named?.field ?? named?.key) === name;
  };
}

/** Networks with which something is compared, in CIDR form; null for what cannot be read, such as a named set. */
export function networksOf(right: unknown): string[] | null {
  if (typeof right === "string") return /^[@$]/.test(right) ? null : [asNetwork(right)];
  const { set, prefix } = (right ?? {}) as { set?: unknown[]; prefix?: { addr: string; len: number } };
  if (prefix !== undefined) return [`${prefix.addr}/${prefix.len}`];
  if (set === undefined) return null;
  const each = set.map(networksOf);
  return each.some((networks) => networks === null) ? null : each.flatMap((networks) => networks ?? []);
}

function asNetwork(text: string): string {
  return text.includes("/") ? text : `${text}/${text.includes(":") ? 128 : 32}`;
}

function textsOf(right: unknown): string[] {
  // A named set is the translation's own, and says of nobody that they are translated.
  if (typeof right === "string") return right.startsWith("@") ? [] : [right];
  const { set } = (right ?? {}) as { set?: unknown[] };
  return set?.flatMap(textsOf) ?? [];
}

function groupOf({ comment = "", ...rule }: OwnRule): SendingGroup[] {
  const compared = comparisonsOf(rule).find(isOf("socket", "cgroupv2"));
  if (compared === undefined || !comment.startsWith(CGROUP_COMMENT)) return [];
  return [{ path: comment.slice(CGROUP_COMMENT.length), inKernel: String(compared.right) }];
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}

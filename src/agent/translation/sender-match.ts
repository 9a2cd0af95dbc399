/**
 * How nftables knows the senders of a rule: one expression for each way. The same senders are asked for before the
 * translation, in it and after it, where their source is another. [SN1] [SN2]
 */
import { isIPv4 } from "node:net";
import type { SnatRule } from "./snat-rule.ts";

/** Where a packet is asked: before it is translated, or after. */
export type Stage = "before" | "after";

/** Bits of a mark by which programs of a control group are known behind the hook that knows their socket. */
const CGROUP_MARK_SHIFT = 20;
const CGROUP_MARK_MASK = 0x00f0_0000;

/** The bit of a packet's mark by which routing sees that the ruleset has met it. */
export const SENDER_MARK = "0x1000";
/** How the comment of a rule of a control group begins; its path follows. */
export const CGROUP_COMMENT = "cgroup ";
/** What the kernel keeps of a comment. */
const LONGEST_COMMENT = 127;

/** Networks of one family. */
export function ofFamily(networks: readonly string[], family: 4 | 6): readonly string[] {
  return networks.filter((network) => isIPv4(network.split("/")[0]!) === (family === 4));
}

/** An anonymous set, or the one value. */
export function anyOf(values: readonly (string | number)[]): string {
  return values.length === 1 ? String(values[0]) : `{ ${values.join(", ")} }`;
}

/**
 * Expressions of which any is true of a packet of this rule's senders. `firstCgroup` is the number of the first of
 * the rule's control groups among those of all rules.
 */
export function sendersOf(rule: SnatRule, firstCgroup: number, stage: Stage): string[] {
  const { sources, devices, marks, cgroups } = rule;
  const matches: string[] = [];
  for (const [family, name] of [
    [4, "ip"],
    [6, "ip6"],
  ] as const) {
    const networks = ofFamily(sources, family);
    if (networks.length === 0) continue;
    // What this machine sends itself comes in nowhere: its programs are senders only by a mark or a control group.
    matches.push(`meta iif != 0 ${name} saddr ${anyOf(networks)}`);
    if (stage === "after") matches.push(`meta iif != 0 ct original ${name} saddr ${anyOf(networks)}`);
  }
  if (devices.length > 0) matches.push(`iifname ${anyOf(devices.map((device) => `"${device}"`))}`);
  for (const { value, mask } of marks) matches.push(`meta mark & ${hex(mask)} == ${hex(value)}`);
  const numbers = cgroups.map((_, at) => hex((firstCgroup + at + 1) << CGROUP_MARK_SHIFT));
  if (numbers.length > 0) matches.push(`meta mark & ${hex(CGROUP_MARK_MASK)} ${anyOf(numbers)}`);
  return matches;
}

/** Statements that mark what comes to be forwarded from the senders of the rules. */
export function senderMarks(rules: readonly SnatRule[]): string[] {
  const forwarded = rules.flatMap((rule) => sendersOf({ ...rule, marks: [], cgroups: [] }, 0, "before"));
  return forwarded.map((match) => `${match} meta mark set meta mark | ${SENDER_MARK}`);
}

/** Statements that mark what programs of the control groups send, as far as these are there, for the hooks behind. */
export function cgroupMarks(rules: readonly SnatRule[], present: ReadonlyMap<string, number>): string[] {
  const all = rules.flatMap(({ cgroups }) => cgroups);
  return all.flatMap((path, at) => {
    if (!present.has(path)) return [];
    const mark = hex((at + 1) << CGROUP_MARK_SHIFT);
    const level = path.split("/").length;
    return `socket cgroupv2 level ${level} "${path}" meta mark set meta mark & ${hex(~CGROUP_MARK_MASK >>> 0)} | ${mark}${cgroupComment(path)}`;
  });
}

/** The kernel keeps a number of the control group, which the next one of its path has not: the comment has the path. */
function cgroupComment(path: string): string {
  const text = `${CGROUP_COMMENT}${path}`;
  return text.length > LONGEST_COMMENT ? "" : ` comment "${text}"`;
}

function hex(bits: number): string {
  return `0x${(bits >>> 0).toString(16)}`;
}

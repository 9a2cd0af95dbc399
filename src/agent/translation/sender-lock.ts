/**
 * A second lock on the senders, in routing: it holds where the ruleset is gone, since another program has flushed it.
 * The ruleset marks all that comes from the senders; what has no mark may go to networks that the machine knows a way
 * to, and finds its way to all others prohibited. [SN10]
 *
 *     60  iif lo goto 63                                         what this machine sends itself
 *     61  from 10.88.0.0/16 fwmark 0/0x1000 lookup main, but for the default route
 *     62  from 10.88.0.0/16 fwmark 0/0x1000 prohibit
 *     63  nop
 *
 * Programs of this machine are known by a mark or a control group alone, and this lock does not know them.
 */
import { runCommand } from "../../linux/kernel-commands.ts";
import { ofFamily, SENDER_MARK } from "./sender-match.ts";
import type { SnatRule } from "./snat-rule.ts";

/** Priorities of the rules; whatever else a machine has mostly comes behind. */
const OWN = 60;
const KNOWN_WAYS = 61;
const PROHIBITED = 62;
const END = 63;
const FAMILIES = [4, 6] as const;
/** Everybody, in two: to the kernel a rule from everybody is the same as one from anybody, and it takes no second. */
const HALVES: Readonly<Record<string, readonly string[]>> = {
  "0.0.0.0/0": ["0.0.0.0/1", "128.0.0.0/1"],
  "::/0": ["::/1", "8000::/1"],
};

interface ListedRule {
  readonly priority: number;
  readonly src: string;
  readonly srclen?: number;
  readonly iif?: string;
  readonly fwmask?: string;
  readonly goto?: number;
  readonly nop?: null;
}

/** Puts the lock on for these rules, and takes off what earlier ones had; says whether they had. Changes nothing that is right. */
export async function lockSenders(rules: readonly SnatRule[]): Promise<boolean> {
  let hadOthers = false;
  for (const family of FAMILIES) {
    const wanted = new Set(wantedRules(rules, family));
    const present = await presentRules(family);
    for (const rule of wanted) if (!present.includes(rule)) await tell(family, "add", rule);
    // Also the second of two alike.
    const surplus = present.filter((rule, at) => !wanted.has(rule) || present.indexOf(rule) !== at);
    for (const rule of surplus) await tell(family, "del", rule);
    hadOthers ||= surplus.length > 0;
  }
  return hadOthers;
}

function wantedRules(rules: readonly SnatRule[], family: 4 | 6): string[] {
  const senders = [
    ...ofFamily(
      rules.flatMap(({ sources }) => sources),
      family,
    ).flatMap((source) => (HALVES[source] ?? [source]).map((network) => `from ${network}`)),
    ...rules.flatMap(({ devices }) => devices).map((device) => `iif ${device}`),
  ];
  if (senders.length === 0) return [];
  return [
    // Its target first: a rule that leads nowhere is not followed.
    `priority ${END} nop`,
    `priority ${OWN} iif lo goto ${END}`,
    ...senders.flatMap((sender) => [
      `priority ${KNOWN_WAYS} ${sender} fwmark 0/${SENDER_MARK} lookup main suppress_prefixlength 0`,
      `priority ${PROHIBITED} ${sender} fwmark 0/${SENDER_MARK} prohibit`,
    ]),
  ];
}

async function presentRules(family: 4 | 6): Promise<string[]> {
  const listed = JSON.parse(await runCommand(["ip", `-${family}`, "-j", "rule", "show"])) as ListedRule[];
  return listed.flatMap((rule) => {
    const { priority } = rule;
    if (priority === END && rule.nop === null) return [`priority ${END} nop`];
    if (priority === OWN && rule.goto === END) return [`priority ${OWN} iif lo goto ${END}`];
    if (rule.fwmask !== SENDER_MARK) return [];
    const sender =
      rule.iif === undefined
        ? `from ${rule.src}/${rule.srclen ?? (family === 4 ? 32 : 128)}`
        : `iif ${rule.iif}`;
    if (priority === KNOWN_WAYS)
      return [`priority ${KNOWN_WAYS} ${sender} fwmark 0/${SENDER_MARK} lookup main suppress_prefixlength 0`];
    return priority === PROHIBITED
      ? [`priority ${PROHIBITED} ${sender} fwmark 0/${SENDER_MARK} prohibit`]
      : [];
  });
}

async function tell(family: 4 | 6, verb: "add" | "del", rule: string): Promise<void> {
  await runCommand(["ip", `-${family}`, "rule", verb, ...rule.split(" ")]);
}

/** What keeps a machine from translating, in sentences that say what to do. [HS6] */
import { type Finding, note, problem } from "../../process/finding.ts";
import type { Family } from "../../core/address-family.ts";
import { ofFamily } from "./sender-match.ts";
import { rulesetFindings } from "./ruleset-findings.ts";
import type { Senders } from "./senders.ts";
import type { TranslationFacts } from "./translation-facts.ts";

const FAMILIES: readonly Family[] = [4, 6];
const FORWARDING = { 4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding" } as const;
/** Use of the tracking table from which on somebody should do something. */
const NEARLY_FULL = 0.8;
/** Programs of ours. */
const OWN = /^ipshard/;

/** All that is found; nothing on a good machine. */
export function translationFindings(facts: TranslationFacts): Finding[] {
  return [
    ...forwardingFindings(facts),
    ...wayFindings(facts),
    ...senderFindings(facts),
    ...filterFindings(facts),
    ...trackingFindings(facts),
    ...helperFindings(facts),
    ...bypassFindings(facts),
    ...rulesetFindings(facts.listed, facts.senders),
    ...legacyFindings(facts),
  ];
}

/** Who they are, in words. */
export function sendersText({ sources, devices, cgroups }: Senders): string {
  const named = [...sources, ...devices, ...cgroups.map(({ path }) => path)];
  return named.length === 0 ? "senders that are known by a mark" : named.join(", ");
}

/** Packets of these come in by a device; of devices nobody has said which family they send. */
function familiesOf({ sources, devices }: Senders): readonly Family[] {
  return FAMILIES.filter(
    (family) => ofFamily(sources, family).length > 0 || (family === 4 && devices.length > 0),
  );
}

function forwardingFindings({ senders, settings }: TranslationFacts): Finding[] {
  return familiesOf(senders).flatMap((family) => {
    const name = FORWARDING[family];
    if (settings.get(name) === "1") return [];
    const who = [...ofFamily(senders.sources, family), ...senders.devices].join(", ");
    return [
      problem(
        `This machine does not forward IPv${family}, so nothing of ${who} leaves: set ${dotted(name)} to 1.`,
      ),
    ];
  });
}

function wayFindings({ senders, waysOut }: TranslationFacts): Finding[] {
  return familiesOf(senders).flatMap((family) => {
    if (waysOut[family].length > 0) return [];
    const who = [...ofFamily(senders.sources, family), ...senders.devices].join(", ");
    return [
      problem(
        `There is no default route for IPv${family}, so the kernel translates nothing of ${who}: ` +
          `add one (ip -${family} route add default via …).`,
      ),
    ];
  });
}

function senderFindings({ senders, links, missingGroups }: TranslationFacts): Finding[] {
  const names = new Set(links.map(({ name }) => name));
  return [
    ...senders.devices
      .filter((device) => !names.has(device))
      .map((device) =>
        problem(
          `The device ${device} of --snat is not there, so nothing comes by it that could be translated: ` +
            "is that its name (ip link)? One that comes later counts from then on.",
        ),
      ),
    ...senders.cgroups.flatMap(({ path, inKernel }) => {
      if (missingGroups.includes(path)) {
        return [
          problem(
            `The control group ${path} of --snat is not there, so nobody is translated by it: ` +
              `is it /sys/fs/cgroup/${path}? One that comes later counts within a second, ` +
              "and until then its programs send with the machine's own address.",
          ),
        ];
      }
      if (inKernel === null || inKernel === path) return [];
      return [
        problem(
          `The control group ${path} of --snat was made anew, and the kernel does not know its programs: ` +
            "an agent that runs tells it within a second. Does it run?",
        ),
      ];
    }),
  ];
}

/** A strict filter takes only what comes from where the answer would go. */
function filterFindings({ senders, settings, waysOut }: TranslationFacts): Finding[] {
  const all = Number(settings.get("net/ipv4/conf/all/rp_filter") ?? "0");
  const isStrict = (device: string): boolean =>
    Math.max(all, Number(settings.get(`net/ipv4/conf/${device}/rp_filter`) ?? "0")) === 1;
  const ways = [...new Set(waysOut[4])];
  return [
    ...senders.devices
      .filter(isStrict)
      .map((device) =>
        note(
          `net.ipv4.conf.${device}.rp_filter is strict: of what comes by ${device} the kernel drops whatever it would answer ` +
            "by another device. Set it to 2, unless each sender's route leads there.",
        ),
      ),
    ...(ways.length < 2 ? [] : ways)
      .filter(isStrict)
      .map((device) =>
        note(
          `net.ipv4.conf.${device}.rp_filter is strict and there are default routes by ${ways.join(" and ")}: ` +
            "a reply that comes by the other one is dropped. Set it to 2.",
        ),
      ),
  ];
}

function trackingFindings({ tracking, hasConntrack }: TranslationFacts): Finding[] {
  const missing = problem(
    "The program conntrack is not installed, and the agent sees by it which ports the kernel uses: " +
      "install it (the package conntrack, or conntrack-tools).",
  );
  const share = tracking === null ? 0 : tracking.entryCount / tracking.limit;
  const filled = (): Finding =>
    problem(
      `The kernel's tracking table has ${tracking!.entryCount} of ${tracking!.limit} entries (${Math.floor(share * 100)} %), ` +
        `and ${share >= 1 ? "new flows are dropped" : "when it is full new flows are dropped"}: ` +
        "raise net.netfilter.nf_conntrack_max, or find out whose they are (conntrack -L).",
    );
  return [...(hasConntrack ? [] : [missing]), ...(share < NEARLY_FULL ? [] : [filled()])];
}

function helperFindings({ settings, helperModules }: TranslationFacts): Finding[] {
  const name = "net/netfilter/nf_conntrack_helper";
  const why = "opens ports that are not leased, and the guard drops what uses them";
  return [
    ...(settings.get(name) === "1" ? [problem(`${dotted(name)} is 1: the kernel ${why}. Set it to 0.`)] : []),
    ...(helperModules.length === 0
      ? []
      : [
          note(
            `${helperModules.join(", ")}: where a rule assigns such a helper to senders, it ${why}. ` +
              `Without it they use passive modes: modprobe -r ${helperModules.join(" ")}`,
          ),
        ]),
  ];
}

function bypassFindings({ links, waysOut, filters, settings }: TranslationFacts): Finding[] {
  const leading = new Set([...waysOut[4], ...waysOut[6]]);
  const findings: Finding[] = [];
  for (const { name, isBridge, xdp } of links.filter((link) => leading.has(link.name))) {
    const ports = links.filter(({ bridge }) => bridge === name).map((link) => link.name);
    const areSeen = ["iptables", "ip6tables"].every(
      (program) => settings.get(`net/bridge/bridge-nf-call-${program}`) === "1",
    );
    if (isBridge && ports.length > 1 && !areSeen) {
      findings.push(
        note(
          `The way out ${name} is a bridge of ${ports.join(", ")}: what one of them sends to another is not routed, ` +
            "so it leaves without translation and past the guard. Put containers behind a bridge of their own, " +
            "or set net.bridge.bridge-nf-call-iptables and net.bridge.bridge-nf-call-ip6tables to 1.",
        ),
      );
    }
    if (xdp !== null && !OWN.test(xdp)) findings.push(programFinding(name, `XDP (${xdp})`));
    const ways = filters.get(name) ?? [];
    if (ways.length > 0) findings.push(programFinding(name, `tc (${ways.join(" and ")})`));
  }
  return findings;
}

function programFinding(device: string, program: string): Finding {
  return note(
    `The way out ${device} has a program of ${program}: what it sends on by itself comes by neither the guard nor the translation. ` +
      "See that it leaves packets from and to shared addresses to the kernel.",
  );
}

function legacyFindings({ senders, hasLegacyRules }: TranslationFacts): Finding[] {
  if (!hasLegacyRules || senders.direct.length === 0) return [];
  return [
    note(
      "iptables-legacy has a table nat of its own, which cannot be seen here. Its rules come behind ipshard's, and may meet what " +
        `senders send to networks that are direct (${senders.direct.join(", ")}): see iptables-legacy -t nat -S.`,
    ),
  ];
}

/** A setting as `sysctl` writes it. */
function dotted(name: string): string {
  return name.replaceAll("/", ".");
}

/** What the doctor of a host says of the translation by the kernel; here nothing is looked at. */
import { describe, expect, test } from "vitest";
import type { Listed } from "../../src/linux/nftables/listing.ts";
import type { Finding } from "../../src/process/finding.ts";
import { rulesetFindings } from "../../src/agent/translation/ruleset-findings.ts";
import { type Senders, sendersInKernel, sendersOfRules } from "../../src/agent/translation/senders.ts";
import { readSnatRules } from "../../src/agent/translation/snat-rule.ts";
import type { TranslationFacts } from "../../src/agent/translation/translation-facts.ts";
import { sendersText, translationFindings } from "../../src/agent/translation/translation-findings.ts";

const SENDERS = sendersOfRules(
  readSnatRules(["source=10.88.0.0/16 fd00:88::/32, direct=10.0.0.0/8, name=pods"], "eu"),
);
const SOUND: TranslationFacts = {
  senders: SENDERS,
  waysOut: { 4: ["lan0"], 6: ["lan0"] },
  listed: [],
  links: [{ name: "lan0", isBridge: false, bridge: null, xdp: null }],
  settings: new Map([
    ["net/ipv4/ip_forward", "1"],
    ["net/ipv6/conf/all/forwarding", "1"],
  ]),
  filters: new Map(),
  tracking: { entryCount: 7, limit: 1_000 },
  hasConntrack: true,
  helperModules: [],
  hasLegacyRules: false,
  missingGroups: [],
};

function told(found: readonly Finding[]): string[] {
  return found.map(({ severity, sentence }) => `${severity}: ${sentence}`);
}

function findings(changes: Partial<TranslationFacts>): string[] {
  return told(translationFindings({ ...SOUND, ...changes }));
}

function withSettings(...changed: [name: string, value: string][]): ReadonlyMap<string, string> {
  return new Map([...SOUND.settings, ...changed]);
}

describe("of a machine that translates", () => {
  test("[HS6] nothing is found on a good one", () => {
    expect(findings({})).toEqual([]);
    expect(sendersText(SENDERS)).toBe("10.88.0.0/16, fd00:88::/32");
  });

  test("[HS6] one that forwards for one family only is told who loses by it", () => {
    expect(findings({ settings: withSettings(["net/ipv6/conf/all/forwarding", "0"]) })).toEqual([
      "problem: This machine does not forward IPv6, so nothing of fd00:88::/32 leaves: set net.ipv6.conf.all.forwarding to 1.",
    ]);
    const ofDevice = sendersOfRules(readSnatRules(["device=pod0"], "eu"));
    const links = [...SOUND.links, { name: "pod0", isBridge: false, bridge: null, xdp: null }];
    expect(findings({ senders: ofDevice, links, settings: new Map() })).toEqual([
      "problem: This machine does not forward IPv4, so nothing of pod0 leaves: set net.ipv4.ip_forward to 1.",
    ]);
  });

  test("[HS6] a family without a default route is named", () => {
    expect(findings({ waysOut: { 4: [], 6: ["lan0"] } })).toEqual([
      expect.stringMatching(
        /^problem: There is no default route for IPv4, .* translates nothing of 10\.88\.0\.0\/16: add one/,
      ),
    ]);
  });

  test("[HS6] senders that cannot be are named: a device, a control group, one that was made anew", () => {
    const rules = readSnatRules(["device=gone0, cgroup=system.slice/a.service"], "eu");
    const path = "system.slice/a.service";
    const senders = sendersOfRules(rules);
    expect(findings({ senders, missingGroups: [path] })).toEqual([
      expect.stringMatching(/^problem: The device gone0 of --snat is not there/),
      expect.stringMatching(/^problem: The control group system\.slice\/a\.service of --snat is not there/),
    ]);
    const anew = { ...SENDERS, cgroups: [{ path, inKernel: "system.slice/b.service" }] };
    expect(findings({ senders: anew })).toEqual([
      expect.stringMatching(/^problem: The control group .*a\.service of --snat was made anew/),
    ]);
    expect(findings({ senders: { ...SENDERS, cgroups: [{ path, inKernel: path }] } })).toEqual([]);
  });

  test("[HS6] strict filters are named where more than one way leads out, and on devices of senders", () => {
    const lan = "net/ipv4/conf/lan0/rp_filter";
    expect(findings({ settings: withSettings([lan, "1"]) })).toEqual([]);
    expect(
      findings({ settings: withSettings([lan, "1"]), waysOut: { 4: ["lan0", "lan1"], 6: ["lan0"] } }),
    ).toEqual([expect.stringMatching(/^note: net\.ipv4\.conf\.lan0\.rp_filter is strict/)]);
    const senders: Senders = { ...SENDERS, devices: ["lan0"] };
    expect(findings({ senders, settings: withSettings([lan, "1"]) })).toEqual([
      expect.stringMatching(/^note: net\.ipv4\.conf\.lan0\.rp_filter is strict: of what comes by lan0/),
    ]);
  });

  test("[HS6] the tracking table is spoken of from 80 % on", () => {
    expect(findings({ tracking: { entryCount: 799, limit: 1_000 } })).toEqual([]);
    expect(findings({ tracking: null })).toEqual([]);
    expect(findings({ tracking: { entryCount: 800, limit: 1_000 } })).toEqual([
      expect.stringContaining("has 800 of 1000 entries (80 %), and when it is full new flows are dropped"),
    ]);
    expect(findings({ tracking: { entryCount: 1_000, limit: 1_000 } })).toEqual([
      expect.stringContaining("(100 %), and new flows are dropped"),
    ]);
  });

  test("[HS6] what is missing, and what opens ports, is named", () => {
    expect(findings({ hasConntrack: false })).toEqual([
      expect.stringMatching(/^problem: The program conntrack is not installed/),
    ]);
    expect(findings({ settings: withSettings(["net/netfilter/nf_conntrack_helper", "1"]) })).toEqual([
      expect.stringMatching(/^problem: net\.netfilter\.nf_conntrack_helper is 1: .* Set it to 0\.$/),
    ]);
    expect(findings({ helperModules: ["nf_nat_ftp", "nf_nat_sip"] })).toEqual([
      expect.stringMatching(/^note: nf_nat_ftp, nf_nat_sip: .* modprobe -r nf_nat_ftp nf_nat_sip$/),
    ]);
    expect(findings({ hasLegacyRules: true })).toEqual([
      expect.stringMatching(/^note: iptables-legacy .* \(10\.0\.0\.0\/8\)/),
    ]);
  });

  test("[HS6] what leaves past the kernel's hooks is named: bridged frames, and programs on the way out", () => {
    const links = [
      { name: "lan0", isBridge: true, bridge: null, xdp: "balancer" },
      { name: "eth0", isBridge: false, bridge: "lan0", xdp: null },
      { name: "pod0", isBridge: false, bridge: "lan0", xdp: "of_pods" },
    ];
    expect(findings({ links, filters: new Map([["lan0", ["egress"]]]) })).toEqual([
      expect.stringMatching(/^note: The way out lan0 is a bridge of eth0, pod0/),
      expect.stringMatching(/^note: The way out lan0 has a program of XDP \(balancer\)/),
      expect.stringMatching(/^note: The way out lan0 has a program of tc \(egress\)/),
    ]);
    const seen = withSettings(
      ["net/bridge/bridge-nf-call-iptables", "1"],
      ["net/bridge/bridge-nf-call-ip6tables", "1"],
    );
    const own = [{ ...links[0]!, xdp: "ipshard_steer" }, ...links.slice(1)];
    expect(findings({ links: own, settings: seen })).toEqual([]);
  });
});

const IS_SENDER = comparison("saddr", { prefix: { addr: "10.88.0.0", len: 16 } });

function comparison(field: string, right: unknown, op = "=="): Record<string, unknown> {
  return { match: { op, left: { payload: { protocol: "ip", field } }, right } };
}

function chain(name: string, prio?: number): Listed {
  const base = prio === undefined ? {} : { type: "nat", hook: "postrouting", prio };
  return { chain: { family: "ip", table: "others", name, ...base } };
}

function rule(of: string, ...expr: Record<string, unknown>[]): Listed {
  return { rule: { family: "ip", table: "others", chain: of, expr } };
}

function inRuleset(...listed: Listed[]): string[] {
  return told(rulesetFindings(listed, SENDERS));
}

describe("of other programs' translation", () => {
  const BEFORE = "The chain leave of the table ip others translates before ipshard does";
  const DIRECT = "The chain leave of the table ip others also translates what senders send to networks";

  test("[HS6] what comes first and meets the senders is a problem, by whatever chains it gets there", () => {
    const direct = rule("leave", IS_SENDER, { masquerade: null });
    expect(inRuleset(chain("leave", 90), direct)).toEqual([expect.stringContaining(BEFORE)]);
    const far = [rule("leave", { jump: { target: "more" } }), rule("more", { snat: { addr: "192.0.2.9" } })];
    expect(inRuleset(chain("leave", 50), chain("more"), ...far)).toEqual([expect.stringContaining(BEFORE)]);
    const target = rule("leave", { xt: { type: "target", name: "MASQUERADE" } });
    expect(inRuleset(chain("leave", 0), target)).toEqual([expect.stringContaining(BEFORE)]);
  });

  test("[HS6] what comes first and passes the senders over is none", () => {
    const others = comparison("saddr", "172.17.0.2");
    expect(inRuleset(chain("leave", 50), rule("leave", others, { masquerade: null }))).toEqual([]);
    const masquerade = rule("leave", { masquerade: null });
    expect(inRuleset(chain("leave", 50), rule("leave", IS_SENDER, { return: null }), masquerade)).toEqual([]);
    const except = comparison("saddr", { set: [{ prefix: { addr: "10.0.0.0", len: 8 } }] }, "!=");
    expect(inRuleset(chain("leave", 50), rule("leave", except, { masquerade: null }))).toEqual([]);
    const isFilter: Listed = { chain: { ...chain("leave", 50).chain, type: "filter" } };
    expect(inRuleset(isFilter, masquerade)).toEqual([]);
  });

  test("[HS6] what comes behind is a note, where it meets what is direct", () => {
    const masquerade = { masquerade: null };
    expect(inRuleset(chain("leave", 100), rule("leave", IS_SENDER, masquerade))).toEqual([
      expect.stringMatching(`^note: ${DIRECT}`),
    ]);
    const elsewhere = comparison("daddr", { prefix: { addr: "10.0.0.0", len: 8 } }, "!=");
    expect(inRuleset(chain("leave", 100), rule("leave", elsewhere, masquerade))).toEqual([]);
    // As kube-proxy has it.
    const mark = { match: { op: "!=", left: { "&": [{ meta: { key: "mark" } }, 16_384] }, right: 16_384 } };
    const marked = [rule("leave", mark, { return: null }), rule("leave", masquerade)];
    expect(inRuleset(chain("leave", 100), ...marked)).toEqual([]);
    expect(told(rulesetFindings([chain("leave", 100), ...marked], { ...SENDERS, direct: [] }))).toEqual([]);
  });

  test("[HS6] chains that lead in a circle are followed once", () => {
    const circle = [rule("leave", { jump: { target: "more" } }), rule("more", { jump: { target: "leave" } })];
    expect(inRuleset(chain("leave", 50), chain("more"), ...circle)).toEqual([]);
  });
});

describe("of other programs' marks, helpers and shortcuts", () => {
  const ctMark = { ct: { key: "mark" } };
  const set = (value: unknown): Listed => rule("marks", { mangle: { key: ctMark, value } });
  const isFound = expect.stringMatching(/^problem: The chain marks .* the bits 0x7fffc000 are ipshard's/);

  test.each([
    ["all of it", 5, true],
    ["that of the packet", { meta: { key: "mark" } }, true],
    ["other bits, by and", { "&": [ctMark, 0xff] }, true],
    ["other bits, with a mask", { "|": [{ "&": [ctMark, 0xffff_ff7f] }, 0x80] }, false],
    ["a bit of ours, with a mask", { "|": [{ "&": [ctMark, 0xffff_bfff] }, 0x4000] }, true],
    ["other bits, by or", { "|": [ctMark, 0x80] }, false],
    ["a bit of ours, by xor", { "^": [ctMark, 0x2000_0000] }, true],
  ])("[HS6] a rule that sets %s is judged by the bits", (_, value, isProblem) => {
    expect(inRuleset(set(value))).toEqual(isProblem ? [isFound] : []);
  });

  const packetMark = { meta: { key: "mark" } };
  const setOnPackets = { mangle: { key: packetMark, value: ctMark } };

  test("[HS6] a mark of packets is named where it comes between ours and routing, and meets senders", () => {
    const isNamed = [expect.stringMatching(/^note: The chain marks .* the bit 0x1000 is ipshard's/)];
    const at = (hook: string, prio: number): Listed => ({
      chain: { family: "ip", table: "others", name: "marks", type: "filter", hook, prio },
    });
    expect(inRuleset(chain("marks"), rule("marks", setOnPackets))).toEqual(isNamed);
    expect(inRuleset(at("prerouting", -100), rule("marks", setOnPackets))).toEqual(isNamed);
    expect(inRuleset(at("prerouting", -200), rule("marks", setOnPackets))).toEqual([]);
    expect(inRuleset(at("postrouting", 0), rule("marks", setOnPackets))).toEqual([]);
    expect(inRuleset(rule("marks", comparison("saddr", "192.0.2.9"), setOnPackets))).toEqual([]);
    const masked = { mangle: { key: packetMark, value: { "|": [packetMark, 0x4000] } } };
    expect(inRuleset(rule("marks", masked))).toEqual([]);
  });

  test("[HS6] a mark of flows that cannot be seen is a note", () => {
    expect(inRuleset(rule("marks", { xt: { type: "target", name: "CONNMARK" } }))).toEqual([
      expect.stringMatching(/^note: The chain marks .* may change the mark of tracked flows \(CONNMARK\)/),
    ]);
  });

  test("[HS6] helpers and flowtables are named, our own tables are not", () => {
    const helper = { family: "ip", table: "others", name: "ftp" };
    const flowtable = { family: "inet", table: "others", name: "fast", dev: ["lan0", "pod0"] };
    expect(inRuleset({ "ct helper": helper }, { flowtable })).toEqual([
      expect.stringMatching(/^note: The table ip others has the helper ftp/),
      expect.stringMatching(/^problem: The flowtable fast of the table inet others .* lan0, pod0 past/),
    ]);
    const own = set(5).rule!;
    expect(inRuleset({ rule: { ...own, table: "ipshard_snat" } })).toEqual([]);
  });
});

test("[HS6] whom the kernel translates, its table says", () => {
  const table = { family: "inet", table: "ipshard_snat" };
  const of = (name: string, ...expr: unknown[]): Listed => ({ rule: { ...table, chain: name, expr } });
  const iifname = { match: { op: "==", left: { meta: { key: "iifname" } }, right: { set: ["a0", "b0"] } } };
  const group = { match: { op: "==", left: { socket: { key: "cgroupv2" } }, right: "other" } };
  const output = of("output", group).rule!;
  expect(
    sendersInKernel([
      of("forward", IS_SENDER),
      of("forward", comparison("saddr", "fd00::1")),
      of("forward", iifname),
      of("translate0", comparison("daddr", { set: ["1.2.3.4", { prefix: { addr: "10.0.0.0", len: 8 } }] })),
      { rule: { ...output, comment: "cgroup mine" } },
    ]),
  ).toEqual({
    sources: ["10.88.0.0/16", "fd00::1/128"],
    devices: ["a0", "b0"],
    direct: ["1.2.3.4/32", "10.0.0.0/8"],
    cgroups: [{ path: "mine", inKernel: "other" }],
  });
  expect(sendersInKernel([rule("leave")])).toBeNull();
});

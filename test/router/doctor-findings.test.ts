/** What a router's doctor says of what it has observed; here nothing is observed. */
import { describe, expect, test } from "vitest";
import type { Finding } from "../../src/process/finding.ts";
import { KernelFault } from "../../src/linux/kernel-commands.ts";
import { contactFindings } from "../../src/router/doctor/host-contact.ts";
import {
  dropFinding,
  kernelFaultFinding,
  kernelFindings,
  type KernelFacts,
} from "../../src/router/doctor/kernel-tables.ts";
import {
  type Device,
  machineFindings,
  type MachineFacts,
  type PathFacts,
} from "../../src/router/doctor/forwarding.ts";
import { statusFindings, type StatusFacts } from "../../src/router/doctor/status.ts";
import { type XdpFacts, xdpFindings } from "../../src/router/doctor/xdp-program.ts";
import type { RouterConfig } from "../../src/router/steering/router-config.ts";
import { DROP_REASONS, type DropReason } from "../../src/router/steering/drop-reasons.ts";
import { CONFIG, IPV4, IPV6 } from "./steering-fixture.ts";

const NOW_MS = Date.UTC(2026, 10, 23);
const DAY_MS = 86_400_000;
const NO_DROPS = Object.fromEntries(DROP_REASONS.map((reason) => [reason, 0])) as Record<DropReason, number>;

function told(findings: readonly Finding[]): string[] {
  return findings.map(({ severity, sentence }) => `${severity}: ${sentence}`);
}

describe("the standing of a router", () => {
  const SOUND: StatusFacts = {
    pool: "eu",
    tokenFile: "r1.token",
    token: {
      fault: null,
      identity: { role: "router", subject: "r1", pools: ["eu"], expiresAtMs: NOW_MS + 20 * DAY_MS },
    },
    router: { pid: 7, isPaused: false },
    health: { fault: null, isReady: true },
  };
  const RENEWAL = "npx ipshard token --role router --name r1 --pool eu > r1.token";

  function findings(changes: Partial<StatusFacts>): string[] {
    return told(statusFindings({ ...SOUND, ...changes }, NOW_MS));
  }

  function withToken(pools: readonly string[], expiresAtMs: number): string[] {
    const identity = { role: "router", subject: "r1", pools, expiresAtMs } as const;
    return findings({ token: { fault: null, identity } }).slice(0, -1);
  }

  test("[RT11] that is sound is one good sentence", () => {
    expect(findings({})).toEqual(["good: The router (pid 7) runs and is ready."]);
    expect(withToken(["*"], NOW_MS + 20 * DAY_MS)).toEqual([]);
  });

  test("[RT11] one that only root can tell from others is not taken for none", () => {
    expect(findings({ router: "hidden", health: null })).toEqual([
      "unknown: Only root sees whether one of the routers that run here is this one.",
    ]);
  });

  test("[RT11] a token that is over, ends soon, is of another pool or cannot be read is named", () => {
    expect(withToken(["eu"], NOW_MS)).toEqual([
      `problem: The token in r1.token has expired; it is read again: ${RENEWAL}`,
    ]);
    expect(withToken(["eu"], NOW_MS + DAY_MS)).toEqual([
      `note: The token in r1.token ends at 2026-11-24T00:00:00.000Z; it is read again: ${RENEWAL}`,
    ]);
    expect(withToken(["us"], NOW_MS + 20 * DAY_MS)).toEqual([
      `problem: The token in r1.token does not permit the pool eu: ${RENEWAL}`,
    ]);
    expect(findings({ token: { fault: "It is a directory." } })[0]).toBe("problem: It is a directory.");
  });

  test("[RT11] a process that is gone, paused, mute or not ready is named", () => {
    expect(findings({ router: null, health: null })[0]).toMatch(/^problem: No router runs here/);
    expect(findings({ router: { pid: 7, isPaused: true }, health: null })).toEqual([
      "problem: The router (pid 7) is stopped by a signal: kill -CONT 7",
    ]);
    expect(findings({ health: { fault: "ECONNREFUSED" } })[0]).toMatch(
      /^problem: .* \/health does not answer \(ECONNREFUSED\): restart it/,
    );
    expect(findings({ health: { fault: null, isReady: false } })[0]).toMatch(/^problem: .* is not ready/);
    expect(findings({ health: null })[0]).toMatch(/^good: .* without --listen/);
  });
});

describe("the kernel of a router", () => {
  const SOUND: KernelFacts = {
    table: "ipshard",
    missingTables: [],
    shortChains: [],
    elements: { wantedCount: 25, missing: [], surplus: [] },
    unrouted: [],
    trackedCount: 0,
    drops: { byReason: NO_DROPS, byIp: new Map() },
    trialFault: null,
  };

  function findings(changes: Partial<KernelFacts>): string[] {
    return told(kernelFindings({ ...SOUND, ...changes }));
  }

  test("[RT11] that has what it should have is one good sentence", () => {
    expect(findings({})).toEqual(["good: The kernel has all 25 elements that the pool's table makes."]);
    expect(findings({ elements: null, trackedCount: null })).toEqual([]);
  });

  test("[RT11] tables, rules, routes and elements that are missing are named, each once", () => {
    const missing = ["192.0.2.1:2048", "192.0.2.1:4096"];
    const elements = { wantedCount: 25, missing, surplus: ["2001:db8::1:1024"] };
    expect(findings({ missingTables: ["netdev"], elements })).toEqual([
      expect.stringMatching(/^problem: The kernel has no table netdev ipshard: nothing is steered/),
    ]);
    expect(
      findings({
        shortChains: ["inet untracked"],
        unrouted: [{ host: "h3", family: 6, device: "vxlan0", hasRule: true }],
      }),
    ).toEqual([
      expect.stringContaining("problem: Rules are missing in inet untracked of the table ipshard."),
      expect.stringContaining("leads IPv6 packets to h3 is not in the kernel: bring vxlan0 up"),
      expect.stringMatching(/^good/),
    ]);
    expect(findings({ elements })).toEqual([
      expect.stringMatching(/^problem: Of 25 elements .* lacks 2, such as 192\.0\.2\.1:2048: .* Restart/),
      expect.stringMatching(/^problem: The kernel has 1 elements .* such as 2001:db8::1:1024: .* Restart/),
    ]);
  });

  test("[RT11] connections that are tracked, and a kernel that is too old, are named", () => {
    expect(findings({ trackedCount: 3 })[0]).toMatch(/^problem: The kernel tracks 3 connections/);
    expect(findings({ trialFault: "Error: Not supported" })[0]).toMatch(
      /^problem: This kernel or nftables cannot carry the rules; .* Error: Not supported$/,
    );
  });

  test("[RT11] that cannot be looked into is named by what would help", () => {
    const missing = new KernelFault("command-missing", "the program nft is not installed");
    const refused = new KernelFault("transaction-refused", "Operation not permitted");
    expect(told([kernelFaultFinding(missing, true), kernelFaultFinding(refused, false)])).toEqual([
      "problem: nft is not installed: apt-get install nftables",
      "unknown: Only root sees what the kernel steers by: sudo npx ipshard doctor router",
    ]);
    expect(told([kernelFaultFinding(refused, true)])).toEqual([
      "unknown: The kernel cannot be looked into: Operation not permitted.",
    ]);
    expect(() => kernelFaultFinding(new Error("a bug"), true)).toThrow("a bug");
  });

  test("[RT11] what it dropped is told by reason", () => {
    expect(dropFinding(SOUND).sentence).toBe("No packet for a shared address has been dropped here.");
    const byReason = { ...NO_DROPS, unleased: 12, echo_request: 3 };
    expect(dropFinding({ ...SOUND, drops: { byReason, byIp: new Map() } }).sentence).toMatch(
      /: 12 unleased, 3 echo request\.$/,
    );
  });
});

describe("a router that steers by XDP", () => {
  const SOUND: XdpFacts = {
    modes: new Map([
      ["up0", "driver"],
      ["lo", "generic"],
    ]),
    strangers: new Map(),
    missingTables: [],
    handedTo: [],
    unforwarded: [],
    wrong: [],
    addressCount: 2,
    memoryBytes: 3 * 2 ** 20,
    drops: { byReason: NO_DROPS, byIp: new Map() },
  };

  function found(changes: Partial<XdpFacts>): string[] {
    return told(xdpFindings({ ...SOUND, ...changes }));
  }

  test("[RT11] that is sound is told so, with its memory", () => {
    expect(found({})).toEqual([
      "good: The program steers at up0, in the driver.",
      "good: The program steers at lo.",
      "note: The program's maps take 3.0 MB of the kernel's memory.",
      "good: The program steers all 2 addresses as the pool's table says.",
    ]);
  });

  test("[RT11] what is missing, another's or wrong is a problem, and what is slow a note", () => {
    const said = found({
      modes: new Map<string, "generic" | null>([
        ["up0", "generic"],
        ["up1", null],
        ["up2", null],
      ]),
      strangers: new Map([["up2", "filter"]]),
      missingTables: ["inet"],
      handedTo: ["lan0"],
      unforwarded: ["lan0"],
      wrong: ["192.0.2.1:2048"],
    });
    const beginnings = [
      "note: The driver of up0 runs no XDP program",
      "problem: The program is not at up1",
      "problem: up2 has the XDP program filter of somebody else",
      "problem: The rules behind the program are gone (inet)",
      "note: The kernel cannot redirect frames to lan0",
      "note: IPv4 is not forwarded on lan0",
      "note: The program's maps take",
      "problem: Of the ports of 2 addresses 1 parts are not steered as the pool's table says, such as 192.0.2.1:2048",
    ];
    expect(said).toHaveLength(beginnings.length);
    for (const [at, beginning] of beginnings.entries()) expect(said[at]).toContain(beginning);
    expect(found({ wrong: null })).toHaveLength(3);
  });
});

describe("the ways through a router", () => {
  const NAMES = ["lo", "up0", "lan0", "vxlan0"];

  /** All devices up, but for what is said of one of them. */
  function devicesBut(name: string, changes: Partial<Device>): Device[] {
    const up = { isUp: true, hasCarrier: true, ips: [] };
    return NAMES.map((each) => Object.assign({ name: each }, up, each === name ? changes : {}));
  }

  const DEVICES = devicesBut("", {});
  const OUT: PathFacts = { way: "out", ip: IPV4, device: "lan0", host: null, leavesBy: "up0", refusal: null };
  const SELF: PathFacts = { ...OUT, way: "self", device: "up0", host: "h1", leavesBy: "local" };
  const ROUTED: PathFacts = { ...OUT, way: "routed", device: "up0", host: "h3", leavesBy: "vxlan0" };
  const INVALID = { leavesBy: null, refusal: "Invalid argument" };
  const AS_HOST: RouterConfig = { ...CONFIG, hosts: new Map([["h1", { kind: "self" }]]) };
  const WITH_TUNNEL: RouterConfig = {
    ...CONFIG,
    hosts: new Map([["h3", { kind: "routed", device: "vxlan0", nextHops: [] }]]),
  };
  const SOUND: MachineFacts = {
    config: CONFIG,
    ips: [IPV4],
    devices: DEVICES,
    paths: [OUT],
    settings: new Map(),
  };

  function problems(
    changes: Partial<MachineFacts>,
    settings: Readonly<Record<string, string>> = {},
  ): string[] {
    const facts = { ...SOUND, ...changes, settings: new Map(Object.entries(settings)) };
    const findings = machineFindings(facts);
    expect(findings.every(({ severity }) => severity === "problem")).toBe(true);
    return findings.map(({ sentence }) => sentence);
  }

  test("[RT11] that are open need no word", () => {
    expect(problems({})).toEqual([]);
    expect(problems({ config: AS_HOST, paths: [SELF] })).toEqual([]);
    expect(problems({ config: WITH_TUNNEL, paths: [OUT, ROUTED] })).toEqual([]);
  });

  test("[RT11] a device that is missing, down or without a link is named with its purpose", () => {
    expect(problems({ devices: devicesBut("up0", { isUp: false }), paths: [] })).toEqual([
      "The device up0, by which packets from the Internet come, is down: ip link set dev up0 up",
    ]);
    const without = DEVICES.filter(({ name }) => name !== "up0");
    expect(problems({ devices: without, paths: [] })[0]).toContain("There is no device up0");
    const loose = devicesBut("lan0", { hasCarrier: false });
    expect(problems({ devices: loose, paths: [] })[0]).toContain(
      "lan0, on which hosts are neighbours, has no carrier",
    );
  });

  test.each([
    ["net/ipv4/ip_forward", "0", "sysctl -w net.ipv4.ip_forward=1"],
    ["net/ipv4/conf/lan0/forwarding", "0", "sysctl -w net.ipv4.conf.lan0.forwarding=1"],
    ["net/ipv4/conf/lan0/rp_filter", "1", "sysctl -w net.ipv4.conf.lan0.rp_filter=0"],
    ["net/ipv4/conf/all/rp_filter", "2", "sysctl -w net.ipv4.conf.all.rp_filter=0"],
  ])("[RT11] of a way that %s = %s closes it is said what opens it", (name, value, cure) => {
    expect(problems({ paths: [{ ...OUT, ...INVALID }] }, { [name]: value })).toEqual([
      expect.stringMatching(new RegExp(`^What hosts send from ${IPV4} by this router, .* ${cure}$`)),
    ]);
  });

  test("[RT11] of a way that no setting closes the kernel's own words are told", () => {
    const unreachable = { ...OUT, leavesBy: null, refusal: "Network is unreachable" };
    expect(problems({ paths: [unreachable] })[0]).toContain("it has no route there (Network is unreachable)");
    expect(problems({ paths: [{ ...OUT, ...INVALID }] })[0]).toContain('the kernel says "Invalid argument"');
  });

  test("[RT11] IPv6 that is not forwarded is named once, however many addresses there are", () => {
    const paths = [
      { ...OUT, ip: IPV6 },
      { ...OUT, ip: "2001:db8:1::2" },
    ];
    expect(problems({ paths }, { "net/ipv6/conf/all/forwarding": "0" })).toEqual([
      "This router does not forward IPv6: sysctl -w net.ipv6.conf.all.forwarding=1",
    ]);
  });

  test("[RT9] [RT11] an address is on a router exactly if the router is a host", () => {
    const devices = devicesBut("lo", { ips: [IPV4] });
    expect(problems({ devices, paths: [{ ...OUT, ...INVALID }] })).toEqual([
      expect.stringMatching(/^192\.0\.2\.1 is on lo of this machine, which is no host/),
    ]);
    expect(problems({ config: AS_HOST, devices, paths: [SELF] })).toEqual([]);
    expect(problems({ config: AS_HOST, paths: [{ ...SELF, leavesBy: "up0" }] })).toEqual([
      expect.stringMatching(/^192\.0\.2\.1 is not on this machine, though it is the host h1/),
    ]);
  });

  test("[RT9] [RT11] a router that is a host must take others' packets from its own address", () => {
    const devices = devicesBut("lo", { ips: [IPV4] });
    const forged = { config: AS_HOST, devices, paths: [SELF, { ...OUT, ...INVALID }] };
    expect(problems(forged)).toEqual([
      expect.stringMatching(/for forged\. sysctl -w net\.ipv4\.conf\.lan0\.accept_local=1$/),
    ]);
    expect(problems(forged, { "net/ipv4/conf/lan0/accept_local": "1" })[0]).not.toContain("forged");
  });

  test("[RT8] [RT11] packets that leave by another way than the tunnel are named", () => {
    const astray = { ...ROUTED, leavesBy: "up0" };
    expect(problems({ config: WITH_TUNNEL, paths: [astray] })).toEqual([
      expect.stringMatching(
        /^Packets to 192\.0\.2\.1 for h3, in by up0, do not leave by vxlan0: they leave by up0/,
      ),
    ]);
    expect(problems({ config: WITH_TUNNEL, paths: [{ ...ROUTED, leavesBy: "local" }] })[0]).toContain(
      "the address is on this machine",
    );
  });
});

describe("the hosts of a router", () => {
  const HOLDER = { host: "h1", family: 4, portCount: 512 } as const;
  const HOP = { kind: "next-hop", device: "lan0", nextHop: "203.0.113.81" } as const;

  test.each([
    [{ kind: "nowhere" }, /^problem: Nobody has said how to reach h1 by IPv4: .* 512 IPv4 ports are dropped/],
    [{ ...HOP, hasAnswered: false }, /^problem: Nobody answers at 203\.0\.113\.81 on lan0/],
    [{ ...HOP, hasAnswered: true }, /^good: h1 is there at 203\.0\.113\.81 on lan0/],
    [{ kind: "self" }, /^good: h1 is this machine/],
    [{ kind: "device", device: "wg0" }, /^note: h1 is reached by wg0, which cannot be asked/],
  ] as const)("[RT12] %j is a sentence", (contact, sentence) => {
    expect(told(contactFindings([{ ...HOLDER, contact }]))).toEqual([expect.stringMatching(sentence)]);
  });

  test("[RT12] that hold nothing are nobody", () => {
    expect(told(contactFindings([]))).toEqual([expect.stringMatching(/^note: No host holds ports now/)]);
  });
});

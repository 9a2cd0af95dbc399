/**
 * A host that translates for containers, broken in every way that its doctor knows: what the doctor says of it, and, where
 * something is lost by it, that it is.
 */
import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ExaminedTranslation } from "../../src/agent/doctor/host-translation.ts";
import { Deployment } from "./deployment.ts";
import { CLI, EDGE_URL, ORIGIN_PORT } from "./edge-side.ts";
import type { LabProcess } from "./lab-process.ts";
import { ORIGINS_IPV4, ORIGINS_IPV6, SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";
import { until } from "./until.ts";

const SNAT = "source=10.88.0.0/16 fd00:88::/32, direct=10.0.0.0/8, name=pods";
const KEEPER = join(import.meta.dirname, "host-keeper.ts");
const SOUND = "good: The kernel translates what these send out of this machine: 10.88.0.0/16, fd00:88::/32.";
/** Enough to fill four fifths of a table of any size that a kernel has by itself. */
const MOST_ENTRIES = 400_000;

let deployment: Deployment;
let keeper: LabProcess;

beforeAll(async () => {
  deployment = await Deployment.start({
    hosts: 1,
    routers: 1,
    containers: true,
    agentArgs: [`--snat=${SNAT}`],
  });
  keeper = deployment.lab.spawnNode("h1", KEEPER, [join(deployment.lab.directory, "host-setup.json")]);
  await keeper.waitFor("ready\n");
}, 180_000);

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

async function onHost(...commands: readonly string[]): Promise<string> {
  let said = "";
  for (const command of commands) said += (await deployment.lab.exec("h1", ["sh", "-ec", command])).stdout;
  return said;
}

async function told(by: LabProcess = keeper): Promise<string[]> {
  const answer = await by.ask("translation");
  const { findings } = JSON.parse(answer) as ExaminedTranslation;
  return findings.map(({ severity, sentence }) => `${severity}: ${sentence}`);
}

/** What the doctor says beyond what is good while the host is broken; mended, it says nothing. */
async function toldOf(breaking: readonly string[], mending: readonly string[]): Promise<string[]> {
  await onHost(...breaking);
  const [sound, ...said] = await told();
  await onHost(...mending);
  expect([sound, ...(await told())]).toEqual([SOUND, SOUND]);
  return said;
}

/** As whom an origin sees a container; null if it does not. */
async function senderOf(url: string): Promise<string | null> {
  const curl = deployment.lab.spawn("c1", ["curl", "-sgf", "--max-time", "2", url]);
  return (await curl.exited) === 0 ? (JSON.parse(curl.said) as { address: string }).address : null;
}

const [IPV4_URL, IPV6_URL] = [
  `http://${ORIGINS_IPV4[0]}:${ORIGIN_PORT}/seen`,
  `http://[${ORIGINS_IPV6[0]}]:${ORIGIN_PORT}/seen`,
];

test("[HS6] the doctor of a host that translates finds nothing wrong, and knows why it forwards", async () => {
  await until(async () => (await senderOf(IPV4_URL)) === SHARED_IPV4);
  await until(async () => (await senderOf(IPV6_URL)) === SHARED_IPV6);
  const token = await deployment.tokenFile("client", "doctor");
  const args = [
    `--edge=${EDGE_URL}`,
    `--client-token-file=${token}`,
    `--gateway=${deployment.gatewayOf("h1")}`,
    `--to=${IPV4_URL}`,
    "--allow-plain-http",
  ];
  const { stdout } = await deployment.lab.exec("h1", [process.execPath, CLI, "doctor", ...args]);
  expect(stdout).toContain(SOUND.replace("good: ", "ok      "));
  expect(stdout).not.toMatch(/^problem/m);
  expect(stdout).not.toContain("which only a router needs");
  expect(await told()).toEqual([SOUND]);
});

describe("[HS6] the doctor names", () => {
  test("what stands before the translation, and what is lost by it", async () => {
    await onHost(
      "nft add table inet others",
      "nft 'add chain inet others leave { type nat hook postrouting priority 50; }'",
      "nft add rule inet others leave oifname lan0 masquerade",
    );
    expect(await senderOf(IPV4_URL)).toBeNull();
    expect(await onHost("nft list counter inet ipshard_snat untranslated")).not.toContain("packets 0 ");
    expect(await toldOf([], ["nft delete table inet others"])).toEqual([
      expect.stringContaining(
        "problem: The chain leave of the table inet others translates before ipshard does (priority 50)",
      ),
    ]);
    expect(await senderOf(IPV4_URL)).toBe(SHARED_IPV4);
  });

  test("what stands behind it, where that meets what is direct", async () => {
    const rule = "nft add rule ip nat POSTROUTING ip saddr 10.88.0.0/16";
    await onHost(
      "nft add table ip nat",
      "nft 'add chain ip nat POSTROUTING { type nat hook postrouting priority 100; }'",
    );
    expect(
      await toldOf([`${rule} ip daddr != 10.0.0.0/8 masquerade`], ["nft flush chain ip nat POSTROUTING"]),
    ).toEqual([]);
    expect(
      await toldOf(
        ["iptables-nft -t nat -A POSTROUTING -s 10.88.0.0/16 -j MASQUERADE"],
        ["nft delete table ip nat"],
      ),
    ).toEqual([
      expect.stringContaining(
        "note: The chain POSTROUTING of the table ip nat also translates what senders send to networks that are direct",
      ),
    ]);
  });

  test("forwarding that is off, of either family", async () => {
    await onHost("sysctl -q -w net.ipv4.ip_forward=0");
    expect(await senderOf(IPV4_URL)).toBeNull();
    expect(
      await toldOf(
        ["sysctl -q -w net.ipv6.conf.all.forwarding=0"],
        ["sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"],
      ),
    ).toEqual([
      expect.stringContaining(
        "problem: This machine does not forward IPv4, so nothing of 10.88.0.0/16 leaves: set net.ipv4.ip_forward to 1.",
      ),
      expect.stringContaining(
        "problem: This machine does not forward IPv6, so nothing of fd00:88::/32 leaves",
      ),
    ]);
  });

  test("a default route that is gone", async () => {
    const route = (await onHost("ip -4 route show default")).trim();
    expect(await toldOf(["ip -4 route del default"], [`ip -4 route add ${route}`])).toEqual([
      expect.stringContaining(
        "problem: There is no default route for IPv4, so the kernel translates nothing of 10.88.0.0/16",
      ),
    ]);
  });

  test("a device of a rule that is not there, and a strict filter on one that is", async () => {
    const rule = "nft add rule inet ipshard_snat forward oifname @outside iifname";
    await onHost(`${rule} '{ "pod0", "gone0" }' counter`, "sysctl -q -w net.ipv4.conf.pod0.rp_filter=1");
    const said = await told();
    await onHost("sysctl -q -w net.ipv4.conf.pod0.rp_filter=0", handleOf("iifname", "forward"));
    expect(said.slice(1).toSorted()).toEqual([
      expect.stringContaining("note: net.ipv4.conf.pod0.rp_filter is strict: of what comes by pod0"),
      expect.stringContaining("problem: The device gone0 of --snat is not there"),
    ]);
  });

  test("a way out that is a bridge of several, and one of several with a strict filter", async () => {
    expect(
      await toldOf(
        [
          "ip link add br9 type bridge",
          ...[1, 2].map((port) => `ip link add port${port} type veth peer name far${port}`),
          ...[1, 2].map((port) => `ip link set port${port} master br9 up`),
          "ip link set br9 up",
          "ip addr add 10.99.0.1/24 dev br9",
          "ip route add default via 10.99.0.2 metric 9999",
          "sysctl -q -w net.ipv4.conf.br9.rp_filter=1 net.bridge.bridge-nf-call-iptables=0",
        ],
        ["ip link del br9", "ip link del port1", "ip link del port2"],
      ),
    ).toEqual([
      expect.stringContaining(
        "note: net.ipv4.conf.br9.rp_filter is strict and there are default routes by lan0 and br9",
      ),
      expect.stringContaining(
        "note: The way out br9 is a bridge of port1, port2: what one of them sends to another is not routed",
      ),
    ]);
  });

  test("programs that may send on by themselves", async () => {
    const { directory } = deployment.lab;
    const source = [
      'typedef int see(void *); __attribute__((section("xdp"), used)) int looks(void *all) { return 2; }',
      '__attribute__((section("classifier"), used)) int looks_back(void *all) { return 0; }',
      'char terms[] __attribute__((section("license"), used)) = "GPL";',
    ];
    await writeFile(join(directory, "looks.c"), `${source.join("\n")}\n`);
    const object = join(directory, "looks.o");
    expect(
      await toldOf(
        [
          `clang -O2 -target bpf -c ${join(directory, "looks.c")} -o ${object}`,
          `ip link set dev lan0 xdpgeneric obj ${object} sec xdp`,
          "tc qdisc add dev lan0 clsact",
          `tc filter add dev lan0 egress bpf direct-action obj ${object} sec classifier`,
        ],
        ["ip link set dev lan0 xdpgeneric off", "tc qdisc del dev lan0 clsact"],
      ),
    ).toEqual([
      expect.stringContaining("note: The way out lan0 has a program of XDP (looks)"),
      expect.stringContaining("note: The way out lan0 has a program of tc (egress)"),
    ]);
  });

  test("a mark that takes ours away, by which senders are known to have been met", async () => {
    await onHost(
      "nft add table ip others",
      "nft 'add chain ip others marks { type filter hook prerouting priority -100; }'",
      "nft add rule ip others marks meta mark set 5",
    );
    expect(await senderOf(IPV4_URL)).toBeNull();
    expect(await toldOf([], ["nft delete table ip others"])).toEqual([
      expect.stringContaining("note: The chain marks of the table ip others changes the mark of packets"),
    ]);
    expect(await senderOf(IPV4_URL)).toBe(SHARED_IPV4);
  });

  test("marks of flows, and helpers, in other tables", async () => {
    expect(
      await toldOf(
        [
          "nft add table ip others",
          "nft 'add chain ip others marks { type filter hook prerouting priority -150; }'",
          "nft add rule ip others marks ct mark set meta mark",
          "nft 'add ct helper ip others ftp { type \"ftp\" protocol tcp; }'",
        ],
        ["nft delete table ip others"],
      ),
    ).toEqual([
      expect.stringContaining(
        "problem: The chain marks of the table ip others changes the mark of tracked flows: the bits 0x7fffc000 are ipshard's",
      ),
      expect.stringContaining("note: The table ip others has the helper ftp"),
    ]);
  });

  test("a control group that is gone, and one that was made anew", async () => {
    const name = "ipshard-doctor-test";
    const group = `/sys/fs/cgroup/${name}`;
    const ask = `echo translation | ${process.execPath} ${KEEPER} ${join(deployment.lab.directory, "unused.json")}`;
    const rule = `socket cgroupv2 level 1 "${name}" counter comment "cgroup ${name}"`;
    // A machine of the laboratory has no control groups but where somebody mounts them.
    const said = await onHost(
      [
        "mount -t cgroup2 none /sys/fs/cgroup",
        `rmdir ${group} 2>/dev/null || true`,
        `mkdir ${group}`,
        "nft 'add chain inet ipshard_snat output'",
        `nft 'add rule inet ipshard_snat output ${rule}'`,
        ask,
        `rmdir ${group}`,
        ask,
        `mkdir ${group}`,
        ask,
        `rmdir ${group}`,
        "nft flush chain inet ipshard_snat output && nft delete chain inet ipshard_snat output",
      ].join("\n"),
    );
    const answers = said.split("\n").filter((line) => line.startsWith("{"));
    const sentences = answers.map((line) =>
      (JSON.parse(line) as ExaminedTranslation).findings.slice(1).map(({ sentence }) => sentence),
    );
    expect(sentences).toEqual([
      [],
      [expect.stringContaining(`The control group ${name} of --snat is not there`)],
      [expect.stringContaining(`The control group ${name} of --snat was made anew`)],
    ]);
  });

  test("a program that is not installed", async () => {
    const { directory } = deployment.lab;
    for (const program of ["nft", "ip", "tc"]) {
      const { stdout } = await deployment.lab.exec("h1", ["sh", "-c", `command -v ${program}`]);
      await symlink(stdout.trim(), join(directory, program));
    }
    const argv = ["env", `PATH=${directory}`, process.execPath, KEEPER, join(directory, "unused.json")];
    const lacking = deployment.lab.spawn("h1", argv);
    await lacking.waitFor("ready\n");
    expect(await told(lacking)).toEqual([
      SOUND,
      expect.stringContaining("problem: The program conntrack is not installed"),
    ]);
    await lacking.kill();
  });

  test("a tracking table that is nearly full", { timeout: 120_000 }, async () => {
    const limit = Number(await onHost("cat /proc/sys/net/netfilter/nf_conntrack_max"));
    expect(limit).toBeLessThanOrEqual(MOST_ENTRIES);
    const entries = Array.from({ length: Math.ceil(limit * 0.81) }, (_, at) => {
      const [port, host] = [1_024 + (at % 60_000), Math.floor(at / 60_000)];
      return `-I -p udp -s 10.200.0.${host + 1} -d 10.201.0.1 --sport ${port} --dport 9 -t 600`;
    });
    const file = join(deployment.lab.directory, "entries");
    await writeFile(file, `${entries.join("\n")}\n`);
    expect(await toldOf([`conntrack -R ${file} >/dev/null`], ["conntrack -F"])).toEqual([
      expect.stringContaining(`of ${limit} entries (81 %), and when it is full new flows are dropped`),
    ]);
  });
});

test("[HS6] rules of iptables-legacy, which nobody sees, are a note where something is direct", async () => {
  // Whoever looks at its table makes it, and it stays.
  await onHost("iptables-legacy -t nat -S");
  expect(await told()).toEqual([
    SOUND,
    expect.stringContaining("note: iptables-legacy has a table nat of its own"),
  ]);
});

test("[HS6] an agent that starts on such a host logs the same", { timeout: 60_000 }, async () => {
  await deployment.end("h1", "SIGTERM");
  await onHost("sysctl -q -w net.ipv4.ip_forward=0");
  await deployment.startHost("h1");
  await deployment
    .processOf("h1")
    .waitFor("This machine does not forward IPv4, so nothing of 10.88.0.0/16 leaves");
  await onHost("sysctl -q -w net.ipv4.ip_forward=1");
  await until(async () => (await senderOf(IPV4_URL)) === SHARED_IPV4);
  expect(deployment.processOf("h1").said).not.toContain("which only a router needs");
});

/** A command that removes the rules of a chain of ours that have this word. */
function handleOf(word: string, chain: string): string {
  const list = `nft -a list chain inet ipshard_snat ${chain}`;
  const handles = `${list} | sed -n 's/.*${word}.*# handle //p'`;
  return `for handle in $(${handles}); do nft delete rule inet ipshard_snat ${chain} handle $handle; done`;
}

/**
 * `ipshard doctor router` on a router that works, and on one in which things are broken on
 * purpose, one at a time: it names each with what mends it, and exits as it should.
 */
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { Deployment } from "./deployment.ts";
import { ORIGIN_PORT } from "./edge-side.ts";
import {
  EDGE,
  hostOnLan,
  ORIGINS_IPV4,
  routerOnManagement,
  SHARED_IPV4,
  SHARED_IPV6,
  uplinkOf,
} from "./plan.ts";
import { testedProgram } from "../runner/tested-program.ts";

const CLI = testedProgram("cli");
const TIMEOUT = { timeout: 30_000, interval: 200 };

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ hosts: 2, routers: 1 });
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

interface Advice {
  readonly code: number | null;
  readonly said: string;
  readonly problems: readonly string[];
}

/** What the doctor says on r1, and its exit status. */
async function consult(args: readonly string[] = [], env: Record<string, string> = {}): Promise<Advice> {
  const doctor = deployment.lab.spawnNode("r1", CLI, ["doctor", "router", ...args], { env });
  return adviceOf(await doctor.exited, doctor.said);
}

function adviceOf(code: number | null, said: string): Advice {
  const problems = said.split("\n").filter((line) => line.startsWith("problem"));
  return { code, said, problems: problems.map((line) => line.slice("problem ".length)) };
}

/** The options that r1 runs with; what comes later in a list of options wins, or is added. */
async function ownOptions(...more: readonly string[]): Promise<string[]> {
  const state = join(deployment.lab.directory, "r1");
  return [
    `--edge=http://${EDGE.ipv4}:8787`,
    "--allow-plain-http",
    "--pool=default",
    `--token-file=${await deployment.tokenFile("router", "r1")}`,
    `--state=${state}`,
    "--ingress=up0",
    "--link=lan0",
    `--listen=${routerOnManagement(1).ipv4}:9000`,
    ...more,
  ];
}

/** Runs a line of words on r1. */
async function onRouter(line: string): Promise<void> {
  await deployment.lab.exec("r1", line.split(" "));
}

async function untilRulesAreBack(): Promise<void> {
  await vi.waitUntil(async () => {
    const { stdout } = await deployment.lab.exec("r1", ["nft", "-t", "list", "ruleset"]);
    return stdout.includes("notrack");
  }, TIMEOUT);
  // The router may be at it once more: what a test breaks next it would mend with the rest.
  await vi.waitUntil(async () => (await consult()).problems.length === 0, TIMEOUT);
}

test("[RT11] [RT12] a sound router is told so, and that every host that holds ports is there", async () => {
  for (const args of [[], await ownOptions()]) {
    const { code, said, problems } = await consult(args);
    expect(problems).toEqual([]);
    expect(said).toMatch(/^ok +The router \(pid \d+\) runs and is ready\.$/m);
    expect(said).toMatch(/^ok +The kernel has all \d+ elements that the pool's table makes\.$/m);
    for (const number of [1, 2]) {
      for (const ip of Object.values(hostOnLan(number))) {
        expect(said).toMatch(new RegExp(`^ok +h${number} is there at ${ip} on lan0, .* 512 IPv`, "m"));
      }
    }
    expect(code, said).toBe(0);
  }
});

test("[RT12] given a destination it ends with a request out of a leased port, whose reply came home", async () => {
  const token = `--client-token-file=${await deployment.tokenFile("client", "doctor")}`;
  const wire = await deployment.lab.capture("internet", "eth0", `tcp and dst host ${SHARED_IPV4}`);
  const { code, said } = await consult([token, `--to=http://${ORIGINS_IPV4[0]}:${ORIGIN_PORT}/seen`]);
  expect(code, said).toBe(0);
  const [, port] =
    /^ok +A request left from 192\.0\.2\.1 port (\d+) of h[12], and its reply \(200\) came back\.$/m.exec(
      said,
    )!;
  expect(await wire.count(`dst port ${port}`)).toBeGreaterThan(0);
  // One of the two families only.
  expect(said).toMatch(/^note +http:\S+ cannot be asked from 2001:db8:1::1/m);
  const refused = await consult([token]);
  expect(refused.said).toContain("--to and --client-token-file belong together. [option-invalid]");
  await deployment.lab.cut("h1", "lan");
  await deployment.lab.cut("h2", "lan");
  const lost = await consult([token, `--to=http://${ORIGINS_IPV4[1]}:${ORIGIN_PORT}/seen`]);
  await deployment.lab.heal("h1", "lan");
  await deployment.lab.heal("h2", "lan");
  expect(lost.problems).toContainEqual(expect.stringMatching(/192\.0\.2\.1 (from|to) http/));
  expect(lost.code).toBe(1);
});

const DEFAULT_ROUTE = `ip route add default nexthop via ${uplinkOf(1).carrier.ipv4} dev up0`;

test.each([
  {
    about: "no forwarding of IPv4",
    broken: ["sysctl -q -w net.ipv4.ip_forward=0"],
    mended: ["sysctl -q -w net.ipv4.ip_forward=1"],
    said: [/from 192\.0\.2\.1 by this router, in by lan0, is dropped: .* sysctl -w net\.ipv4\.ip_forward=1$/],
  },
  {
    about: "no forwarding from the hosts' link",
    broken: ["sysctl -q -w net.ipv4.conf.lan0.forwarding=0"],
    mended: ["sysctl -q -w net.ipv4.conf.lan0.forwarding=1"],
    said: [/from 192\.0\.2\.1 .* sysctl -w net\.ipv4\.conf\.lan0\.forwarding=1$/],
  },
  {
    about: "no forwarding of IPv6",
    broken: ["sysctl -q -w net.ipv6.conf.all.forwarding=0"],
    mended: ["sysctl -q -w net.ipv6.conf.all.forwarding=1"],
    said: [/does not forward IPv6: sysctl -w net\.ipv6\.conf\.all\.forwarding=1$/],
  },
  {
    about: "a strict path filter",
    broken: ["sysctl -q -w net.ipv4.conf.lan0.rp_filter=1"],
    mended: ["sysctl -q -w net.ipv4.conf.lan0.rp_filter=0"],
    said: [/from 192\.0\.2\.1 .* path filter .* sysctl -w net\.ipv4\.conf\.lan0\.rp_filter=0$/],
  },
  {
    about: "a loose path filter",
    // A loose one, but the router has a blackhole for the pool's addresses.
    broken: ["sysctl -q -w net.ipv4.conf.all.rp_filter=2"],
    mended: ["sysctl -q -w net.ipv4.conf.all.rp_filter=0"],
    said: [/from 192\.0\.2\.1 .* path filter .* sysctl -w net\.ipv4\.conf\.all\.rp_filter=0$/],
  },
  {
    about: "no default route",
    broken: ["ip route del default"],
    mended: [DEFAULT_ROUTE],
    said: [/from 192\.0\.2\.1 .* no route there \(Network is unreachable\)/],
  },
  {
    about: "an address on the router",
    broken: [`ip addr add ${SHARED_IPV4}/32 dev lo`],
    mended: [`ip addr del ${SHARED_IPV4}/32 dev lo`],
    said: [
      /^192\.0\.2\.1 is on lo of this machine, which is no host: .* \(ip addr del 192\.0\.2\.1 dev lo\)/,
    ],
  },
])("[RT11] a setting that loses packets is named, and what mends it: $about", async (trouble) => {
  for (const line of trouble.broken) await onRouter(line);
  const { code, said, problems } = await consult();
  for (const line of trouble.mended) await onRouter(line);
  expect(problems, said).toEqual(trouble.said.map((pattern) => expect.stringMatching(pattern)));
  expect(code).toBe(1);
});

test("[RT11] devices that are missing or down are named", async () => {
  await onRouter("ip link add dev spare0 type veth peer name spare1");
  const { code, problems } = await consult(
    await ownOptions("--ingress=ghost0", "--via=h8=neighbour:spare0", "--via=h9=routed:ghost1"),
  );
  await onRouter("ip link del dev spare0");
  expect(problems).toEqual(
    expect.arrayContaining([
      expect.stringContaining("There is no device ghost0, by which packets from the Internet come"),
      expect.stringContaining("There is no device ghost1, by which h9 is reached"),
      expect.stringMatching(
        /^The device spare0, by which h8 is reached, is down: ip link set dev spare0 up$/,
      ),
      expect.stringMatching(/The rule or route that leads IPv4 packets to h9 is not in the kernel/),
    ]),
  );
  expect(code).toBe(1);
});

test("[RT11] rules that are gone and a router that is stopped are named; a running one mends it", async () => {
  const router = deployment.processOf("r1");
  router.signal("SIGSTOP");
  await onRouter("nft flush chain inet ipshard untracked");
  const partly = await consult();
  await onRouter("nft flush ruleset");
  const wholly = await consult();
  router.signal("SIGCONT");
  const paused = expect.stringMatching(/^The router \(pid (\d+)\) is stopped by a signal: kill -CONT \1$/);
  expect(partly.problems).toEqual([
    paused,
    expect.stringContaining("Rules are missing in inet untracked of the table ipshard."),
  ]);
  expect(wholly.problems).toEqual([
    paused,
    expect.stringContaining("The kernel has no table netdev ipshard and inet ipshard: nothing is steered"),
  ]);
  await untilRulesAreBack();
});

test("[RT11] what the kernel has otherwise than the pool's table is named; a restart mends it", async () => {
  await onRouter("nft flush map netdev ipshard via_lan0_ip4_8");
  const element = "{ 0xc0000201 . 61440 : 203.0.113.99 }";
  await deployment.lab.exec("r1", ["nft", `add element netdev ipshard via_lan0_ip4_11 ${element}`]);
  const { code, problems, said } = await consult();
  expect(problems, said).toEqual([
    expect.stringMatching(/^Of \d+ elements .*, the kernel lacks 4, such as 192\.0\.2\.1:\d+: .* Restart/),
    expect.stringMatching(/^The kernel has 1 elements .*, such as 192\.0\.2\.1:61440: .* Restart/),
  ]);
  expect(code).toBe(1);

  await deployment.end("r1", "SIGTERM");
  expect((await consult()).problems).toEqual([expect.stringContaining("No router runs on this machine.")]);
  const stopped = await consult(await ownOptions());
  expect(stopped.problems).toContainEqual(
    expect.stringMatching(/^No router runs here with this state directory: .* Start ipshard router\.$/),
  );
  await deployment.startRouter("r1");
  await deployment.untilSteering(["r1"]);
  expect((await consult()).problems).toEqual([]);
});

test("[RT11] connections that are tracked all the same are named", async () => {
  const tracking = [
    "add table inet tracking",
    "add chain inet tracking early { type filter hook prerouting priority -350; }",
    "add rule inet tracking early ct zone set 7",
    "add chain inet tracking forward { type filter hook forward priority 0; }",
    "add rule inet tracking forward ct state new counter",
  ];
  const { lab, client } = deployment;
  // Without the exemption, as when another program has flushed it a moment ago.
  deployment.processOf("r1").signal("SIGSTOP");
  await onRouter("nft flush chain inet ipshard untracked");
  await lab.exec("r1", ["nft", "-f", "-"], tracking.join("\n"));
  const { status } = await client.request(await deployment.to("/seen", { from: SHARED_IPV4, host: "h1" }));
  const { problems, said } = await consult();
  await onRouter("nft delete table inet tracking");
  await onRouter("conntrack -F");
  deployment.processOf("r1").signal("SIGCONT");
  expect(status).toBe(200);
  expect(problems, said).toContainEqual(
    expect.stringMatching(/^The kernel tracks \d+ connections of shared addresses/),
  );
  await untilRulesAreBack();
});

test("[RT12] a host that does not answer where its packets go is named", async () => {
  const { lab } = deployment;
  await lab.cut("h2", "lan");
  const { code, problems, said } = await consult();
  await lab.heal("h2", "lan");
  expect(problems.toSorted()).toEqual([
    expect.stringMatching(
      /^Nobody answers at 2001:db8:a::1:2 on lan0, where packets for its 512 IPv6 ports of h2/,
    ),
    expect.stringMatching(
      /^Nobody answers at 203\.0\.113\.82 on lan0, where packets for its 512 IPv4 ports of h2/,
    ),
  ]);
  expect(said).toMatch(/^ok +h1 is there at 203\.0\.113\.81/m);
  expect(code).toBe(1);
});

test("[RT11] an edge that cannot be reached is named, and the kernel is looked into all the same", async () => {
  await deployment.lab.cutManagement("r1");
  const { code, problems, said } = await consult();
  await deployment.lab.healManagement("r1");
  expect(problems, said).toEqual([
    expect.stringMatching(
      /^The edge at http:\S+ does not tell of the pool default: .* new blocks are not steered/,
    ),
  ]);
  expect(said).toMatch(/^unknown Without the pool's table/m);
  expect(code).toBe(1);
});

test("[RT11] a token of another role is named", async () => {
  const file = await deployment.tokenFile("host", "h9");
  const { problems } = await consult(await ownOptions(`--token-file=${file}`));
  expect(problems).toContainEqual(
    `The token in ${file} is not of the role router: make one with ipshard token --role router --name NAME --pool POOL.`,
  );
});

test("[RT11] programs that are missing, and a kernel that cannot carry the rules, are named", async () => {
  const { lab } = deployment;
  const [{ stdout: ip }, { stdout: unshare }] = await Promise.all([
    lab.exec("r1", ["sh", "-c", "command -v ip"]),
    lab.exec("r1", ["sh", "-c", "command -v unshare"]),
  ]);
  const programs = join(lab.directory, "programs");
  await mkdir(programs);
  await symlink(ip.trim(), join(programs, "ip"));
  const without = await consult([], { PATH: programs });
  expect(without.problems, without.said).toEqual(["nft is not installed: apt-get install nftables"]);

  // One that has nothing, and takes nothing.
  const nft = join(programs, "nft");
  const refusal = 'case "$*" in *-i*) echo "Error: Not supported" >&2;;';
  const lack = '*) echo "Error: No such file or directory" >&2; exit 1;; esac';
  await writeFile(nft, `#!/bin/sh\n${refusal} ${lack}\n`);
  await chmod(nft, 0o755);
  await symlink(unshare.trim(), join(programs, "unshare"));
  const old = await consult([], { PATH: programs });
  expect(old.problems, old.said).toContainEqual(
    "This kernel or nftables cannot carry the rules; upgrade them. The trial said: Error: Not supported",
  );
});

test("[RT11] who may not look is told so, and that it could not be found out", async () => {
  const argv = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", process.execPath, CLI];
  const doctor = deployment.lab.spawn("r1", [...argv, "doctor", "router"]);
  const { code, said, problems } = adviceOf(await doctor.exited, doctor.said);
  expect(problems).toEqual([]);
  expect(said).toMatch(/^unknown Only root sees what the kernel steers by: sudo npx ipshard doctor router$/m);
  expect(code).toBe(2);
});

test("[RT11] a router that only root can see into is not taken for none", async () => {
  const missing = "-net_admin,-sys_ptrace";
  const argv = ["setpriv", `--bounding-set=${missing}`, `--inh-caps=${missing}`, process.execPath, CLI];
  const ask = async (args: readonly string[]): Promise<Advice> => {
    const doctor = deployment.lab.spawn("r1", [...argv, "doctor", "router", ...args]);
    return adviceOf(await doctor.exited, doctor.said);
  };
  const [bare, told] = [await ask([]), await ask(await ownOptions())];
  expect(bare.said).toMatch(
    /^unknown A router runs \(pid \d[\d, ]*\), but only root sees .*: sudo npx ipshard doctor router$/m,
  );
  expect(told.said).toMatch(
    /^unknown Only root sees whether one of the routers that run here is this one\.$/m,
  );
  for (const { code, problems } of [bare, told]) expect([code, problems]).toEqual([2, []]);
});

test("[RT11] a router that is sound again is told so", async () => {
  await untilRulesAreBack();
  const { code, said } = await consult();
  expect(code, said).toBe(0);
  for (const ip of [SHARED_IPV4, SHARED_IPV6]) {
    const { status } = await deployment.client.request(await deployment.to("/seen", { from: ip }));
    expect(status).toBe(200);
  }
});

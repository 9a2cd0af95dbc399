/** The ruleset of a translation, rule by rule, with no edge behind it: what a container sees, and what is on the wire. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { NO_LIMITS, OPEN_DESTINATIONS, type PoolPolicy } from "../../src/core/pool-policy.ts";
import type { Lab } from "./lab.ts";
import { ORIGINS_IPV4, ORIGINS_IPV6, SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";
import { sightingsIn } from "./sightings.ts";
import { ORIGIN_PORT, REFUSED, TranslationRig } from "./translation-rig.ts";

const MORE_IPV4 = [SHARED_IPV4, "192.0.2.2", "192.0.2.3"];
const FAMILIES = [
  { name: "IPv4", shared: SHARED_IPV4, origin: ORIGINS_IPV4[0], other: ORIGINS_IPV4[1] },
  { name: "IPv6", shared: SHARED_IPV6, origin: ORIGINS_IPV6[0], other: ORIGINS_IPV6[1] },
] as const;

let rig: TranslationRig;
let lab: Lab;

beforeAll(async () => {
  rig = await TranslationRig.create();
  ({ lab } = rig);
});

beforeEach(() => rig.begin());

afterEach(() => rig.clear());

afterAll(() => rig?.lab.destroy());

test.each(FAMILIES)(
  "[SN2] [SN7] without a lease everything is refused, with one all leaves by it: $name",
  async (family) => {
    const { shared, origin } = family;
    await rig.open();
    expect(await rig.seen("c1", origin)).toBe(REFUSED);
    expect(await rig.countOf("refused_ports")).toBeGreaterThan(0);
    await rig.choose(shared, [32]);
    for (const role of ["c1", "b1"] as const) expect(await rig.seen(role, origin)).toBe(shared);
    // Of the time that is left nothing is left.
    expect(await rig.ask("choose", shared, [32], 0, [])).toBe("ok");
    expect(await rig.seen("c1", origin)).toBe(REFUSED);
  },
);

test.each(FAMILIES)(
  "[SN8] towards a full destination what is new is refused, and to others it goes on: $name",
  async (family) => {
    const { shared, origin, other } = family;
    await rig.open();
    await rig.choose(shared, [32], [`tcp ${origin} ${ORIGIN_PORT}`]);
    expect(await rig.seen("c1", origin)).toBe(REFUSED);
    expect(await rig.countOf("refused_full")).toBe(1);
    expect(await rig.seen("c1", other)).toBe(shared);
    await rig.choose(shared, [32]);
    expect(await rig.seen("c1", origin)).toBe(shared);
  },
);

test("[SN2] one sender keeps one address, many share all of them, and each leaves by its units alone", async () => {
  await rig.open();
  const units = [32, 40, 48];
  for (const [at, ip] of MORE_IPV4.entries()) await rig.choose(ip, [units[at]!]);
  const senders = Array.from({ length: 30 }, (_, at) => `10.88.1.${100 + at}`);
  await lab.exec("c1", ["ip", "-batch", "-"], senders.map((ip) => `addr add ${ip}/24 dev eth0`).join("\n"));
  const wire = await lab.capture("internet", "eth0", `udp and dst host ${ORIGINS_IPV4[0]}`);
  const program = `
import socket
for time in range(4):
    for at in range(30):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("10.88.1.%d" % (100 + at), 0))
        s.sendto(b"x", ("${ORIGINS_IPV4[0]}", 5000 + at))
`;
  await lab.exec("c1", ["python3", "-c", program]);
  await wire.reaches(120);
  const sent = sightingsIn(await wire.packets());
  const bySender = new Map<number, Set<string>>();
  for (const { from, fromPort, toPort } of sent) {
    bySender.set(toPort, (bySender.get(toPort) ?? new Set()).add(from));
    expect(Math.floor(fromPort / 64)).toBe(units[MORE_IPV4.indexOf(from)]);
  }
  expect([...bySender.values()].map(({ size }) => size)).toEqual(senders.map(() => 1));
  expect(new Set(sent.map(({ from }) => from))).toEqual(new Set(MORE_IPV4));
  // Flows are told by address; those of a unit end, and no others.
  const flows = await rig.ask<Record<string, { ip: string }[]>>("flows");
  expect(Object.keys(flows).toSorted()).toEqual(MORE_IPV4);
  expect(await rig.ask("end", MORE_IPV4[1], [40])).toBe("ok");
  expect(Object.keys(await rig.ask<object>("flows")).toSorted()).toEqual([MORE_IPV4[0], MORE_IPV4[2]]);
});

test.each(FAMILIES)(
  "[SN9] the pool's policy holds, in the kernel: $name",
  async ({ shared, origin, other }) => {
    const bracketed = other.includes(":") ? `[${other}]` : other;
    const policy: PoolPolicy = {
      version: 1,
      destinations: { ...OPEN_DESTINATIONS, deny: [`${bracketed}:8000-9000`] },
      special: [],
      tenants: {},
      anyTenant: { destinations: OPEN_DESTINATIONS, limits: NO_LIMITS },
      revoked: [],
    };
    await rig.open();
    await rig.choose(shared, [32]);
    expect(await rig.seen("c1", other)).toBe(shared);
    expect(await rig.ask("policy", policy)).toBe("ok");
    expect(await rig.seen("c1", other)).toBe(REFUSED);
    expect(await rig.seen("c1", origin)).toBe(shared);
    const wire = await lab.capture("internet", "eth0", `host ${other}`);
    expect(
      await rig.ask("policy", { ...policy, destinations: { ...policy.destinations, mode: "report" } }),
    ).toBe("ok");
    expect(await rig.seen("c1", other)).toBe(shared);
    expect(await rig.countOf("reported")).toBeGreaterThan(0);
    expect(await wire.count()).toBeGreaterThan(0);
    expect(await rig.ask("policy", { ...policy, anyTenant: null })).toBe("ok");
    expect(await rig.seen("c1", origin)).toBe(REFUSED);
    expect(await rig.countOf("refused_destination")).toBe(2);
  },
);

test("[SN9] special addresses are refused, and the host's own networks are not the Internet", async () => {
  await rig.open();
  await rig.choose(SHARED_IPV4, [32]);
  expect(await rig.seen("c1", "169.254.169.254")).toBe(REFUSED);
  expect(await rig.seen("c1", "192.168.1.1")).toBe(REFUSED);
  // Not by the way out: containers of one host talk to each other as themselves.
  await lab.exec("c1", ["ping", "-c", "1", "-W", "2", "172.17.1.2"]);
  expect(await rig.countOf("refused_destination")).toBe(2);
  expect(await rig.countOf("untranslated")).toBe(0);
});

test("[SN7] what begins in its middle, and other protocols, are refused", async () => {
  await rig.open();
  await rig.choose(SHARED_IPV4, [32]);
  const connected = `
import socket, sys
s = socket.create_connection(("${ORIGINS_IPV4[0]}", ${ORIGIN_PORT}), timeout=5)
print("connected", flush=True)
sys.stdin.readline()
try:
    s.sendall(b"GET /seen HTTP/1.0\\r\\n\\r\\n"); print("answered", len(s.recv(100)), flush=True)
except OSError as fault: print("fault", type(fault).__name__, flush=True)
`;
  const client = lab.spawn("c1", ["python3", "-u", "-c", connected]);
  await client.waitFor("connected\n");
  // The kernel forgets it, and would go on with it from another port.
  expect(await rig.ask("end", SHARED_IPV4, [32])).toBe("ok");
  expect(await client.ask("go on")).toBe("fault ConnectionResetError");
  expect(await rig.countOf("refused_midstream")).toBeGreaterThan(0);

  const wire = await lab.capture("internet", "eth0", "ip proto 132");
  const sctp = `
import socket
socket.socket(socket.AF_INET, socket.SOCK_RAW, 132).sendto(b"\\x00" * 32, ("${ORIGINS_IPV4[0]}", 0))
`;
  await lab.exec("c1", ["python3", "-c", sctp]);
  expect(await rig.countOf("refused_protocol")).toBe(1);
  expect(await wire.count()).toBe(0);
});

test("[SN2] what somebody else translates before it leaves by no other address: it does not leave", async () => {
  await rig.open();
  await rig.choose(SHARED_IPV4, [32]);
  const before = [
    "add table ip operator",
    "add chain ip operator first { type nat hook postrouting priority 80; }",
    'add rule ip operator first oifname "lan0" masquerade',
  ];
  await lab.exec("h1", ["nft", "-f", "-"], before.join("\n"));
  const wire = await lab.capture("internet", "eth0", `tcp and port ${ORIGIN_PORT}`);
  // Nobody can refuse it aloud any more, so the client waits.
  expect(await rig.seen("c1", ORIGINS_IPV4[0])).toBe(28);
  expect(await rig.countOf("untranslated")).toBeGreaterThan(0);
  expect(await wire.count()).toBe(0);
  await lab.exec("h1", ["nft", "delete", "table", "ip", "operator"]);
  expect(await rig.seen("c1", ORIGINS_IPV4[0])).toBe(SHARED_IPV4);
});

test("[SN1] programs of the machine are translated by their mark, and others are left alone", async () => {
  await rig.open(["mark=0x5/0xff, name=jobs"]);
  await rig.choose(SHARED_IPV4, [32]);
  const marked = `
import socket, json
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, 36, 5); s.settimeout(5)
s.connect(("${ORIGINS_IPV4[0]}", ${ORIGIN_PORT}))
s.sendall(b"GET /seen HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n")
data = b""
while chunk := s.recv(4096): data += chunk
print(json.loads(data.split(b"\\r\\n\\r\\n")[1])["address"])
`;
  const { stdout } = await lab.exec("h1", ["python3", "-c", marked]);
  expect(stdout.trim()).toBe(SHARED_IPV4);
  expect(await rig.seen("h1", ORIGINS_IPV4[0])).toBe("203.0.113.81");
});

test("[SN1] [SN10] programs of a control group are translated, also when it has been made anew", async () => {
  const group = `ipshard-${process.pid}`;
  // `ip netns exec` brings a /sys of its own, without the control groups.
  const within = (script: string): string[] => [
    "unshare",
    "--mount",
    "sh",
    "-c",
    `mount -t cgroup2 none /sys/fs/cgroup && ${script}`,
  ];
  const inGroup = within(`echo $$ > /sys/fs/cgroup/${group}/cgroup.procs && exec "$@"`).concat("sh");
  const directory = (verb: "mkdir" | "rmdir"): Promise<unknown> =>
    lab.exec("h1", within(`${verb} /sys/fs/cgroup/${group}`));
  await rig.begin((argv) => within(`exec ${argv.join(" ")}`));
  await rig.open([`cgroup=/${group}, name=jobs`]);
  await rig.choose(SHARED_IPV4, [32]);
  for (const _ of ["first", "anew"]) {
    await directory("mkdir");
    try {
      expect(await rig.ask("restore")).toBe(false);
      expect(await rig.seen("h1", ORIGINS_IPV4[0], inGroup)).toBe(SHARED_IPV4);
      expect(await rig.seen("h1", ORIGINS_IPV4[0])).toBe("203.0.113.81");
    } finally {
      await directory("rmdir");
    }
  }
});

test("[SN7] what comes to a translated port and belongs to no flow is answered, and not remembered", async () => {
  await rig.open();
  await rig.choose(SHARED_IPV4, [32]);
  const knock = lab.spawn("internet", ["curl", "-s", "-m", "5", `http://${SHARED_IPV4}:2050/`]);
  expect(await knock.exited).toBe(REFUSED);
  expect(await rig.countOf("strays")).toBe(1);
  expect((await lab.trackedConnections("h1")).filter((line) => line.includes("dport=2050"))).toEqual([]);
});

test("[SN1] [SN10] everybody may be a sender, and so may one address, also for an agent that starts again", async () => {
  for (const rules of [["source=0.0.0.0/0 ::/0"], ["source=10.88.1.2 fd00:88:1::2"]]) {
    for (const _ of ["first", "again"]) await rig.open(rules);
    await rig.choose(SHARED_IPV4, [32]);
    await rig.choose(SHARED_IPV6, [33]);
    expect(await rig.seen("c1", ORIGINS_IPV4[0])).toBe(SHARED_IPV4);
    expect(await rig.seen("c1", ORIGINS_IPV6[0])).toBe(SHARED_IPV6);
  }
});

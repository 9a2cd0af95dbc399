/** Everything that a container may send: names, datagrams in a row, too long ones, echoes, and what comes back of errors. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { SENDERS } from "./containers.ts";
import { Deployment } from "./deployment.ts";
import { ORIGIN_PORT } from "./edge-side.ts";
import { fragmentsDropped } from "./guard-counters.ts";
import {
  behindVeth,
  ORIGINS_IPV4,
  ORIGINS_IPV6,
  type Role,
  SHARED_IPV4,
  SHARED_IPV6,
  uplinkOf,
} from "./plan.ts";
import { isIn } from "./sightings.ts";
import { until } from "./until.ts";

const CONTAINER = "c1" satisfies Role;
const ECHO_PORT = 7_000;
/** Where nobody listens. */
const CLOSED_PORT = 7_999;
const SNAT = `--snat=${SENDERS}`;
const FAMILIES = [
  { name: "IPv4", family: "ipv4", shared: SHARED_IPV4, origin: ORIGINS_IPV4[0] },
  { name: "IPv6", family: "ipv6", shared: SHARED_IPV6, origin: ORIGINS_IPV6[0] },
] as const;

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ hosts: 1, routers: 1, containers: true, agentArgs: [SNAT] });
  const { lab } = deployment;
  const udpOrigin = join(import.meta.dirname, "udp-origin.ts");
  const nameServer = join(import.meta.dirname, "name-server.ts");
  const origins = FAMILIES.map(({ origin }) => origin);
  await lab.spawnNode("internet", udpOrigin, [`${ECHO_PORT}`, ...origins]).waitFor("listening");
  for (const origin of origins) {
    await lab.spawnNode("internet", nameServer, [origin, "53"]).waitFor("listening");
  }
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

/** Runs a few lines of Python in the container, with a socket `s` of UDP that is connected to this place. */
async function byDatagrams(origin: string, port: number, lines: readonly string[]): Promise<string> {
  const script = [
    "import socket, sys",
    's = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)',
    "s.connect((sys.argv[1], int(sys.argv[2])))",
    ...lines,
  ].join("\n");
  const { stdout } = await deployment.lab.exec(CONTAINER, [
    "/usr/bin/python3",
    "-c",
    script,
    origin,
    `${port}`,
  ]);
  return stdout.trim();
}

async function ownBlocks(ip: string) {
  return (await deployment.blocksOf(ip)).filter(({ host, state }) => host === "h1" && state === "leased");
}

test.each(FAMILIES)("names are resolved by a server on the Internet: $name", async ({ origin }) => {
  const { lab } = deployment;
  for (const [type, address] of [
    ["A", ORIGINS_IPV4[0]],
    ["AAAA", ORIGINS_IPV6[0]],
  ]) {
    const { stdout } = await lab.exec(CONTAINER, ["dig", "+short", `@${origin}`, "origin.test", type!]);
    expect(stdout.trim()).toBe(address);
  }
});

test.each(FAMILIES)(
  "[SN2] datagrams of one socket, as QUIC sends them, keep their port, and all are answered: $name",
  async ({ shared, origin }) => {
    const heard = await byDatagrams(origin, ECHO_PORT, [
      "s.settimeout(20)",
      "for n in range(300):",
      '  s.send(b"%d " % n + b"x" * 1200); print(s.recv(2000).decode().rstrip("x").strip())',
    ]);
    const lines = heard.split("\n").map((line) => line.split(" "));
    expect(lines.map(([, , number]) => Number(number))).toEqual(Array.from({ length: 300 }, (_, at) => at));
    const sources = new Set(lines.map(([ip, port]) => `${ip} ${port}`));
    expect(sources.size).toBe(1);
    const [ip, port] = [...sources][0]!.split(" ");
    expect([ip, isIn(await ownBlocks(shared), Number(port))]).toEqual([shared, true]);
  },
);

test.each(FAMILIES)(
  "[SN12] [GU2] of a datagram of 60,000 octets no fragment leaves, and the guard counts them: $name",
  async ({ shared, origin }) => {
    const { lab } = deployment;
    const wire = await lab.capture("internet", "eth0", "udp or ip[6:2] & 0x3fff != 0 or ip6[6] == 44");
    const before = await fragmentsDropped(lab, "h1", shared);
    await byDatagrams(origin, ECHO_PORT, ['s.send(b"x" * 60000)']);
    // It is put together on the host and split again behind the translation, up to the first piece that is dropped.
    await until(async () => (await fragmentsDropped(lab, "h1", shared)) > before);
    // What just fits does leave; whatever was to come before it has come.
    const largest = shared === SHARED_IPV4 ? 1_472 : 1_452;
    const heard = await byDatagrams(origin, ECHO_PORT, [
      "s.settimeout(20)",
      `s.send(b"x" * ${largest - 60}); print(len(s.recv(2000)))`,
    ]);
    expect(Number(heard)).toBeGreaterThan(largest - 60);
    expect((await wire.packets()).length).toBe(2);
  },
);

test.each(FAMILIES)(
  "[SN2] echoes are answered, with an identifier of the host's own ports: $name",
  async ({ shared, origin }) => {
    const { lab } = deployment;
    const wire = await lab.capture("internet", "eth0", "icmp[0] == 8 or (icmp6 and ip6[40] == 128)");
    const { stdout } = await lab.exec(CONTAINER, ["ping", "-n", "-c5", "-i0.2", origin]);
    expect(stdout).toContain("5 packets transmitted, 5 received, 0% packet loss");
    const requests = await wire.packets(`src host ${shared}`);
    expect(requests).toHaveLength(5);
    const own = await ownBlocks(shared);
    const ids = requests.map((line) => Number(/ id (\d+)/.exec(line)![1]));
    expect(ids.filter((id) => !isIn(own, id))).toEqual([]);
  },
);

test.each(FAMILIES)(
  "traceroute sees every hop but the router that steers, by datagrams, echoes and TCP alike: $name",
  async ({ family, origin }) => {
    // A router has no way to a shared address by itself: it steers what comes from the Internet.
    const hops = [behindVeth(1).gateway[family], "*", uplinkOf(1).carrier[family], origin];
    for (const way of [["-U", "-p", "33434"], ["-I"], ["-T", "-p", `${ORIGIN_PORT}`]]) {
      const words = ["traceroute", "-n", "-q1", "-N1", "-w5", "-m8", ...way, origin];
      const { stdout } = await deployment.lab.exec(CONTAINER, words);
      const seen = [...stdout.matchAll(/^ *\d+ +(\S+)/gm)].map(([, hop]) => hop);
      expect(seen, stdout).toEqual(hops);
    }
  },
);

test.each(FAMILIES)(
  "a large upload of a container passes a narrow link, of which it is told: $name",
  async ({ family, shared, origin }) => {
    const { lab } = deployment;
    const byteCount = 5_000_000;
    const body = Buffer.alloc(byteCount, "u").toString();
    await lab.narrowBackbone(1300);
    const told = await lab.capture(
      "c1",
      "eth0",
      "(icmp[0] == 3 and icmp[1] == 4) or (icmp6 and ip6[40] == 2)",
    );
    const place = origin.includes(":") ? `[${origin}]` : origin;
    const url = `http://${place}:${ORIGIN_PORT}/upload`;
    const { stdout } = await lab.exec(CONTAINER, ["curl", "-sgf", "--data-binary", "@-", url], body);
    await lab.narrowBackbone(1500);
    const sha256 = createHash("sha256").update(body).digest("hex");
    expect(JSON.parse(stdout)).toMatchObject({ address: shared, byteCount, sha256 });
    expect(await told.count(`dst host ${behindVeth(1).container[family]}`)).toBeGreaterThan(0);
  },
);

test.each(FAMILIES)(
  "an origin that refuses is heard of at once: a closed port of UDP and of TCP: $name",
  async ({ origin }) => {
    const said = await byDatagrams(origin, CLOSED_PORT, [
      "s.settimeout(20)",
      's.send(b"anybody?")',
      "try: s.recv(100)",
      "except OSError as fault: print(type(fault).__name__)",
    ]);
    expect(said).toBe("ConnectionRefusedError");
    const place = origin.includes(":") ? `[${origin}]` : origin;
    const asking = deployment.lab.spawn(CONTAINER, ["curl", "-sg", `http://${place}:${CLOSED_PORT}/`]);
    // "Could not connect", and not 28, which is that nobody answered.
    expect(await asking.exited).toBe(7);
  },
);

test.each(FAMILIES)(
  "[SN2] what the container says of datagrams that it does not take reaches who sent them: $name",
  async ({ shared, origin }) => {
    const { lab } = deployment;
    const wire = await lab.capture("internet", "eth0", "icmp[0] == 3 or (icmp6 and ip6[40] == 1)");
    // The socket is closed before the answer comes, and the container's kernel says that nobody takes it.
    // A kernel says so rarely, and an answer may be quicker than the end of its socket: so again and again.
    const asking = byDatagrams(origin, ECHO_PORT, [
      "import time",
      "for n in range(400):",
      '  t = socket.socket(s.family, socket.SOCK_DGRAM); t.connect(s.getpeername()); t.send(b"x"); t.close()',
      "  if n % 20 == 0: time.sleep(0.5)",
    ]);
    await wire.reaches(1);
    await asking;
    expect((await wire.packets())[0]).toContain(`${shared} > ${origin}: ICMP`);
  },
);

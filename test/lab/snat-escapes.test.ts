/** Ways by which a container, a stranger or another program might get around the translation, and what becomes of them. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { DEFAULT_POOL_POLICY, type PoolPolicy } from "../../src/core/pool-policy.ts";
import { SENDERS } from "./containers.ts";
import type { Lab } from "./lab.ts";
import { frame, icmp, packet, type Payload, type Route, udp } from "./packets.ts";
import {
  behindVeth,
  EDGE,
  hostOnLan,
  ORIGINS_IPV4,
  ORIGINS_IPV6,
  type Place,
  type Role,
  SHARED_IPV4,
  SHARED_IPV6,
} from "./plan.ts";
import { REFUSED, TranslationRig } from "./translation-rig.ts";

const UNITS = [32, 33];
const [ORIGIN] = ORIGINS_IPV4;
const ORIGINS: Place = { ipv4: ORIGIN, ipv6: ORIGINS_IPV6[0] };
const { container: CONTAINER, device: DEVICE } = behindVeth(1);
const FAMILIES = [
  { name: "IPv4", family: "ipv4", shared: SHARED_IPV4 },
  { name: "IPv6", family: "ipv6", shared: SHARED_IPV6 },
] as const;
/** Of no network that anybody here knows. */
const FORGED: Place = { ipv4: "10.99.0.9", ipv6: "fd99::9" };

let rig: TranslationRig;
let lab: Lab;

beforeAll(async () => {
  rig = await TranslationRig.create();
  ({ lab } = rig);
});

beforeEach(() => rig.begin());

afterEach(() => rig.clear("operator"));

afterAll(() => rig?.lab.destroy());

/** Translates for these rules, with units of both addresses. */
async function translate(rules?: readonly string[]): Promise<void> {
  await rig.open(rules);
  for (const ip of [SHARED_IPV4, SHARED_IPV6]) await rig.choose(ip, UNITS);
}

function seen(role: Role, origin: string = ORIGIN): Promise<string | number> {
  return rig.seen(role, origin);
}

async function runPython(role: Role, program: string): Promise<string> {
  return (await lab.exec(role, ["python3", "-c", program])).stdout.trim();
}

/** Answers at all addresses of its machine. */
const SERVICE = `
import socket, threading
def new(kind):
    s = socket.socket(socket.AF_INET6, kind); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", 2060)); return s
tcp, udp = new(socket.SOCK_STREAM), new(socket.SOCK_DGRAM)
tcp.listen()
def echo():
    while True: udp.sendto(b"UDP", udp.recvfrom(100)[1])
threading.Thread(target=echo, daemon=True).start()
print("listening", flush=True)
while True: tcp.accept()[0].sendall(b"TCP")
`;

/** Prints which protocols have an answer there. */
function caller(ip: string): string {
  const family = ip.includes(":") ? "AF_INET6" : "AF_INET";
  return `
import socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    s = socket.socket(socket.${family}, kind); s.settimeout(2)
    try:
        s.connect(("${ip}", 2060))
        if kind == socket.SOCK_DGRAM: s.send(b"x")
        print(s.recv(3).decode(), end=" ")
    except OSError: pass
`;
}

/** Has the container send packets to its host, as they are. */
async function put(...packets: readonly (readonly [Route, Payload])[]): Promise<void> {
  const macs = [await lab.macOf("c1", "eth0"), await lab.macOf("h1", DEVICE)] as const;
  await lab.inject(
    "c1",
    "eth0",
    packets.map(([route, payload]) => frame(...macs, packet(route, payload))),
  );
}

test("[SN2] [SN7] neighbour discovery has no way out: what a container puts into it stays here", async () => {
  await translate();
  const wire = await lab.capture("internet", "eth0", `src host ${CONTAINER.ipv6} or src host ${SHARED_IPV6}`);
  const route = { from: CONTAINER.ipv6, to: ORIGINS.ipv6 };
  const data = Buffer.from("a secret of sixteen bytes and more");
  await put(
    ...[133, 135, 136].map((type) => [route, icmp(route, { type, code: 0, rest: 0, data })] as const),
  );
  expect(await rig.countOf("refused_protocol")).toBe(3);
  // What comes behind it has come, so all that was sent has.
  expect(await seen("c1", ORIGINS.ipv6)).toBe(SHARED_IPV6);
  await wire.reaches(3);
  expect(await wire.count(`src host ${CONTAINER.ipv6}`)).toBe(0);
});

test.each(FAMILIES)(
  "[SN2] a container cannot send with an address of nobody, nor answer somebody that it made up: $name",
  async ({ family, shared }) => {
    await translate();
    const wire = await lab.capture("internet", "eth0", "udp");
    const [own, origin] = [CONTAINER[family], ORIGINS[family]];
    const seed = { from: origin, to: own };
    const answer = { from: own, to: origin };
    const forged = { from: FORGED[family], to: origin };
    await put(
      [forged, udp(forged, { sourcePort: 5, destinationPort: 99 })],
      [seed, udp(seed, { sourcePort: 53, destinationPort: 999 })],
      [answer, udp(answer, { sourcePort: 999, destinationPort: 53 })],
    );
    await wire.reaches(1);
    expect((await wire.packets()).length).toBe(1);
    expect(await wire.count(`src host ${shared}`)).toBe(1);
    expect(await rig.countOf("invalid")).toBe(2);
  },
);

test("[SN7] a stranger at a translated port gets to nothing that the machine publishes by its own addresses", async () => {
  await translate();
  // As of a NodePort: whatever comes to any address of this machine goes to a container.
  const published = `
add table inet operator
add chain inet operator before { type nat hook prerouting priority dstnat; }
add rule inet operator before fib daddr type local tcp dport 2050 dnat ip to ${CONTAINER.ipv4}:7000
add chain inet operator after { type nat hook postrouting priority srcnat; }
add rule inet operator after ct status dnat oifname "${DEVICE}" masquerade
`;
  await lab.exec("h1", ["nft", "-f", "-"], published);
  const service = lab.spawn("c1", ["python3", "-u", "-m", "http.server", "7000"]);
  await service.waitFor("Serving");
  const called = async (ip: string): Promise<number | null> =>
    lab.spawn("internet", ["curl", "-s", "-m", "5", "-o", "/dev/null", `http://${ip}:2050/`]).exited;
  expect(await called(hostOnLan(1).ipv4)).toBe(0);
  expect(await called(SHARED_IPV4)).toBe(REFUSED);
  expect(await rig.countOf("strays")).toBe(1);
  expect((await lab.trackedConnections("h1")).filter((line) => line.includes(`dst=${SHARED_IPV4}`))).toEqual(
    [],
  );
  await service.kill();
});

test.each(FAMILIES)(
  "[GU11] a stranger at a leased port reaches no program that listens at all addresses of the machine: $name",
  async ({ family, shared }) => {
    expect(await rig.ask("open", [SENDERS])).toBe("ok");
    expect(await rig.ask("sockets", shared, UNITS)).toBe("ok");
    const service = lab.spawn("h1", ["python3", "-u", "-c", SERVICE]);
    await service.waitFor("listening\n");
    expect(await runPython("r1", caller(hostOnLan(1)[family]))).toBe("TCP UDP");
    expect(await runPython("internet", caller(shared))).toBe("");
    await service.kill();
  },
);

test("[SN1] what the machine itself sends is left alone, also where its own address is in a network of senders", async () => {
  const own = hostOnLan(1).ipv4;
  expect(await rig.ask("open", [`source=${own}/26 10.88.0.0/16, name=pods`])).toBe("ok");
  expect(await seen("h1")).toBe(own);
  expect(await rig.ask("choose", SHARED_IPV4, UNITS, 600_000, [])).toBe("ok");
  expect(await seen("h1")).toBe(own);
  expect(await seen("c1")).toBe(SHARED_IPV4);
});

test("[SN7] a sender whose own address has no lease is refused aloud, while others have one", async () => {
  expect(
    await rig.ask("open", [
      "source=10.88.0.0/16, ip=192.0.2.77, name=one",
      "source=172.17.0.0/16, name=other",
    ]),
  ).toBe("ok");
  expect(await rig.ask("choose", SHARED_IPV4, UNITS, 600_000, [])).toBe("ok");
  expect(await seen("b1")).toBe(SHARED_IPV4);
  expect(await seen("c1")).toBe(REFUSED);
  const ping = lab.spawn("c1", ["ping", "-c", "1", "-W", "5", ORIGIN]);
  expect(await ping.exited).toBe(1);
  expect(ping.said).toContain("filtered");
  expect(await rig.countOf("refused_ports")).toBe(2);
  expect(await rig.countOf("untranslated")).toBe(0);
});

test("[SN9] [SN11] over a restart the lists of the pool hold, also where the agent has no copy of its policy", async () => {
  const deny = [ORIGIN];
  const policy: PoolPolicy = {
    ...DEFAULT_POOL_POLICY,
    version: 1,
    destinations: { ...DEFAULT_POOL_POLICY.destinations, mode: "enforce", deny },
  };
  await translate();
  expect(await rig.ask("policy", policy)).toBe("ok");
  expect(await seen("c1")).toBe(REFUSED);
  await rig.begin();
  expect(await rig.ask("open", [SENDERS], "as it was")).toBe("ok");
  expect(await seen("c1")).toBe(REFUSED);
  expect(await rig.ask("policy", DEFAULT_POOL_POLICY)).toBe("ok");
  expect(await seen("c1")).toBe(SHARED_IPV4);
});

test("[SN9] [PY6] before there is a policy nobody is served", async () => {
  expect(await rig.ask("open", [SENDERS], "as it was")).toBe("ok");
  expect(await rig.ask("choose", SHARED_IPV4, UNITS, 600_000, [])).toBe("ok");
  expect(await seen("c1")).toBe(REFUSED);
  expect(await rig.countOf("refused_destination")).toBe(1);
});

test("[SN13] an agent that is not let on changes nothing of another's rules", async () => {
  await translate();
  expect(await rig.ask("not let on", [SENDERS, "source=10.77.0.0/16, name=more"])).toBe("ok");
  expect(await seen("c1")).toBe(SHARED_IPV4);
  expect(await rig.countOf("translated")).toBe(1);
});

test("[SN13] what an earlier agent has left is taken away, also where another program has taken a part of it", async () => {
  await translate();
  await lab.exec("h1", ["nft", "flush", "ruleset"]);
  expect((await lab.exec("h1", ["ip", "rule"])).stdout).toContain("prohibit");
  expect(await rig.ask("forget")).toBe(true);
  for (const family of ["-4", "-6"])
    expect((await lab.exec("h1", ["ip", family, "rule"])).stdout).not.toContain("prohibit");
  expect(await rig.ask("forget")).toBe(false);
});

test("[SN10] where the default route has moved to another device nothing leaves otherwise, also when it is back", async () => {
  await translate();
  const { stdout: before } = await lab.exec("h1", ["ip", "-4", "route", "show", "default"]);
  const wire = await lab.capture("edge", "mgmt0", "udp and dst port 5000");
  const route = { from: CONTAINER.ipv4, to: ORIGIN };
  const sent = [route, udp(route, { sourcePort: 999, destinationPort: 5000 })] as const;
  await lab.exec("h1", ["ip", "route", "replace", "default", "via", EDGE.ipv4, "dev", "mgmt0"]);
  try {
    expect(await rig.ask("restore")).toBe(false);
    await put(sent);
    await wire.reaches(1);
    // There and back again: the second time nobody has looked before something is sent.
    await lab.exec("h1", ["ip", "route", "replace", ...before.trim().split(/\s+/)]);
    expect(await rig.ask("restore")).toBe(false);
    await lab.exec("h1", ["ip", "route", "replace", "default", "via", EDGE.ipv4, "dev", "mgmt0"]);
    await lab.exec("h1", ["conntrack", "-F"]);
    await put(sent);
    await wire.reaches(2);
    expect(await wire.count(`src host ${SHARED_IPV4}`)).toBe(2);
  } finally {
    await lab.exec("h1", ["ip", "route", "replace", ...before.trim().split(/\s+/)]);
  }
});

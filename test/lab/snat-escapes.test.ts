/** Ways by which a container, a stranger or another program might get around the translation, and what becomes of them. */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { DEFAULT_POOL_POLICY, type PoolPolicy } from "../../src/core/pool-policy.ts";
import { removalText } from "../../src/agent/machine/guard-ruleset.ts";
import { Lab } from "./lab.ts";
import type { LabProcess } from "./lab-process.ts";
import {
  behindVeth,
  EDGE,
  hostOnLan,
  ORIGINS_IPV4,
  ORIGINS_IPV6,
  type Role,
  routerOnLan,
  SHARED_IPV4,
  SHARED_IPV6,
} from "./plan.ts";
import { steerStatically } from "./static-steering.ts";

const ORIGIN_PORT = 8080;
const UNITS = [32, 33];
const SENDERS =
  "source=10.88.0.0/16 172.17.0.0/16 fd00:88::/32 fd00:17::/32, direct=10.0.0.0/8 fd00::/8, name=pods";
const [ORIGIN] = ORIGINS_IPV4;
const { container: CONTAINER } = behindVeth(1);
/** Of no network that anybody here knows. */
const FORGED = { ipv4: "10.99.0.9", ipv6: "fd99::9" } as const;
const REFUSED = 7;

let lab: Lab;
let keeper: LabProcess;

beforeAll(async () => {
  lab = await Lab.create({ hosts: 1, routers: 1, containers: true });
  await steerStatically(lab, "r1", [{ host: 1, first: 1024, last: 65_535 }]);
  const origin = lab.spawnNode("internet", join(import.meta.dirname, "web-origin.ts"), [`${ORIGIN_PORT}`]);
  await origin.waitFor("listening");
});

beforeEach(startKeeper);

afterEach(async () => {
  await keeper.kill();
  const tables = ["ipshard_snat", "operator"].map((name) => `add table inet ${name}\ndelete table inet ${name}`);
  await lab.exec("h1", ["nft", "-f", "-"], [removalText(), ...tables].join("\n"));
  await lab.exec("h1", ["conntrack", "-F"]);
});

afterAll(() => lab?.destroy());

async function startKeeper(): Promise<void> {
  keeper = lab.spawnNode("h1", join(import.meta.dirname, "translation-keeper.ts"));
  await keeper.waitFor("ready\n");
}

async function ask<Answer = unknown>(...words: readonly unknown[]): Promise<Answer> {
  return JSON.parse(await keeper.ask(JSON.stringify(words))) as Answer;
}

/** Translates for these rules, with units of both addresses. */
async function translate(rules: readonly string[] = [SENDERS]): Promise<void> {
  expect(await ask("open", rules)).toBe("ok");
  for (const ip of [SHARED_IPV4, SHARED_IPV6]) expect(await ask("choose", ip, UNITS, 600_000, [])).toBe("ok");
}

async function countOf(name: string): Promise<number> {
  return (await ask<Record<string, number>>("counts"))[name]!;
}

/** As whom an origin sees somebody, or how curl ends. */
async function seen(role: Role): Promise<string | number> {
  const asking = lab.spawn(role, ["curl", "-sgf", "-m", "5", `http://${ORIGIN}:${ORIGIN_PORT}/seen`]);
  const code = await asking.exited;
  return code === 0 ? (JSON.parse(asking.said) as { address: string }).address : code!;
}

async function runPython(role: Role, program: string): Promise<string> {
  return (await lab.exec(role, ["python3", "-c", program])).stdout.trim();
}

/** A datagram of UDP, and one after which all before it has been seen. */
function datagrams(...sent: readonly (readonly [string, number, string, number])[]): string {
  return `
import socket, struct
def send(source, port, destination, to):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    udp = struct.pack("!HHHH", port, to, 8 + 6, 0) + b"SECRET"
    s = socket.socket(family, socket.SOCK_RAW, 255)
    if family == socket.AF_INET:
        ends = socket.inet_aton(source) + socket.inet_aton(destination)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        s.sendto(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + ends + udp, (destination, 0))
        return
    ends = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    total = sum(struct.unpack("!%dH" % ((len(ends) + len(udp)) // 2), ends + udp)) + len(udp) + 17
    while total > 0xffff: total = (total & 0xffff) + (total >> 16)
    udp = udp[:6] + struct.pack("!H", ~total & 0xffff) + udp[8:]
    s.setsockopt(socket.IPPROTO_IPV6, 36, 1)
    s.sendto(struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) + ends + udp, (destination, 0))
${sent.map((one) => `send(${JSON.stringify(one).slice(1, -1)})`).join("\n")}
`;
}

/** The laboratory itself: what it says of its network is so. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Lab } from "./lab.ts";
import type { LabProcess } from "./lab-process.ts";
import { addNamespace, removeLeftovers } from "./namespaces.ts";
import { until } from "./until.ts";
import {
  hostOnLan,
  ORIGINS_IPV4,
  ORIGINS_IPV6,
  type Role,
  routerOnLan,
  SHARED_IPV4,
  SHARED_IPV6,
} from "./plan.ts";
import { type Share, steerStatically } from "./static-steering.ts";

const CALLER = join(import.meta.dirname, "caller.ts");
const ORIGIN = join(import.meta.dirname, "echo-origin.ts");
const ORIGIN_PORT = 7000;
const HOSTS = [1, 2, 3] as const;
const SHARES: readonly Share[] = [
  { host: 1, first: 2048, last: 4095 },
  { host: 2, first: 4096, last: 6143 },
  { host: 3, first: 6144, last: 8191 },
];
const FAMILIES = [
  { name: "IPv4", shared: SHARED_IPV4, origins: ORIGINS_IPV4, filter: "ip" },
  { name: "IPv6", shared: SHARED_IPV6, origins: ORIGINS_IPV6, filter: "ip6" },
] as const;

let lab: Lab;
const callers: LabProcess[] = [];

beforeAll(async () => {
  lab = await Lab.create();
  for (const router of ["r1", "r2"] as const) await steerStatically(lab, router, SHARES);
  const origin = lab.spawnNode("internet", ORIGIN, [`${ORIGIN_PORT}`]);
  await origin.waitFor("listening");
  for (const host of HOSTS) callers.push(lab.spawnNode(`h${host}`, CALLER));
});

afterAll(() => lab?.destroy());

function callerOf(host: number): LabProcess {
  return callers[host - 1]!;
}

function firstPortOf(host: number): number {
  return SHARES.find((share) => share.host === host)!.first;
}

test.each(FAMILIES)("replies find the right host by port, over both routers: $name", async (family) => {
  const wires = await Promise.all((["r1", "r2"] as const).map((router) => lab.capture(router, "up0", "tcp")));
  const byHost = await Promise.all(
    HOSTS.map(async (host) => {
      const answers: string[] = [];
      for (let at = 0; at < 40; at += 1) {
        const port = firstPortOf(host) + at;
        const origin = family.origins[at % 2]!;
        answers.push(await callerOf(host).ask(`connect ${family.shared} ${port} ${origin} ${ORIGIN_PORT}`));
      }
      return answers;
    }),
  );
  for (const [at, answers] of byHost.entries()) {
    const first = firstPortOf(at + 1);
    expect(answers).toEqual(answers.map((_, offset) => `ok ${family.shared} ${first + offset}`));
  }
  for (const wire of wires) {
    // Both ways: hosts spread what they send, the carrier spreads what comes back.
    expect(await wire.count(`${family.filter} and src host ${family.shared}`)).toBeGreaterThan(0);
    expect(await wire.count(`${family.filter} and dst host ${family.shared}`)).toBeGreaterThan(0);
  }
  for (const host of HOSTS) expect(await callerOf(host).ask("close")).toBe("ok");
});

test("datagrams find the right host", async () => {
  for (const host of HOSTS) {
    const port = firstPortOf(host) + 100;
    const answer = await callerOf(host).ask(`ask ${SHARED_IPV4} ${port} ${ORIGINS_IPV4[0]} ${ORIGIN_PORT}`);
    expect(answer).toBe(`ok ${SHARED_IPV4} ${port} hello`);
  }
});

test("nobody answers for a shared address on the hosts' network", async () => {
  const own = hostOnLan(2);
  const wire = await lab.capture("r1", "lan0", "arp or (icmp6 and ip6[40] >= 135 and ip6[40] <= 136)");
  await lab.exec("r1", ["ip", "route", "add", `${SHARED_IPV4}/32`, "dev", "lan0"]);
  await lab.exec("r1", ["ip", "route", "add", `${SHARED_IPV6}/128`, "dev", "lan0"]);
  const asker = lab.spawnNode("r1", CALLER);
  const place = routerOnLan(1);
  // h2's own addresses come last: once they are known, every answer to what was asked before has passed.
  for (const ip of [SHARED_IPV4, SHARED_IPV6, own.ipv4, own.ipv6]) {
    const from = ip.includes(":") ? place.ipv6 : place.ipv4;
    expect(await asker.ask(`send ${from} 9000 ${ip} 9 1 8`)).toBe("ok 1");
  }
  await vi.waitUntil(
    async () => {
      const known = await neighboursOf("r1", "lan0");
      return known.includes(own.ipv4) && known.includes(own.ipv6);
    },
    { timeout: 30_000 },
  );
  expect(await neighboursOf("r1", "lan0")).not.toContain(SHARED_IPV4);
  expect(await neighboursOf("r1", "lan0")).not.toContain(SHARED_IPV6);
  const lines = (await wire.packets()).join("\n");
  expect(lines).toContain(`Request who-has ${SHARED_IPV4}`);
  expect(lines).toContain(`who has ${SHARED_IPV6}`);
  expect(lines).not.toContain(`Reply ${SHARED_IPV4}`);
  expect(lines).not.toContain(`tgt is ${SHARED_IPV6}`);
  for (const ip of [`${SHARED_IPV4}/32`, `${SHARED_IPV6}/128`]) {
    await lab.exec("r1", ["ip", "route", "del", ip, "dev", "lan0"]);
  }
});

async function neighboursOf(role: Role, device: string): Promise<string[]> {
  const { stdout } = await lab.exec(role, ["ip", "-j", "neigh", "show", "dev", device]);
  const known = (JSON.parse(stdout) as { dst: string; lladdr?: string }[]).filter(
    ({ lladdr }) => lladdr !== undefined,
  );
  return known.map(({ dst }) => dst);
}

test.each(FAMILIES)(
  "a narrow link is discovered, and its message reaches the right host: $name",
  async (family) => {
    await lab.narrowBackbone(1300);
    const arrivals = await Promise.all(
      HOSTS.map((host) => lab.capture(`h${host}`, "lan0", "icmp[0] == 3 or (icmp6 and ip6[40] == 2)")),
    );
    const port = firstPortOf(2) + 200;
    const answer = await callerOf(2).ask(
      `upload ${family.shared} ${port} ${family.origins[0]} ${ORIGIN_PORT} 2000000`,
    );
    await lab.narrowBackbone(1500);
    expect(answer).toBe("ok 2000000");
    const counts = await Promise.all(arrivals.map((arrival) => arrival.count(`dst host ${family.shared}`)));
    expect(counts[0]).toBe(0);
    expect(counts[1]).toBeGreaterThan(0);
    expect(counts[2]).toBe(0);
  },
);

test("the edge is reached over the management network alone, and can be cut off unnoticed", async () => {
  const edge = lab.spawnNode("edge", ORIGIN, ["7001"]);
  await edge.waitFor("listening");
  const call = "ask 198.51.100.151 9100 198.51.100.129 7001";
  expect(await callerOf(1).ask(call)).toBe("ok 198.51.100.151 9100 hello");
  await lab.cutManagement("h1");
  const wire = await lab.capture("edge", "mgmt0", "udp and port 9200");
  await callerOf(1).ask("send 198.51.100.151 9200 198.51.100.129 7001 3 8");
  const { stdout } = await lab.exec("h1", ["ip", "-j", "link", "show", "dev", "mgmt0"]);
  expect((JSON.parse(stdout) as { operstate: string }[])[0]!.operstate).toBe("UP");
  await lab.healManagement("h1");
  // Whatever was to come has come once a later one has.
  expect(await callerOf(1).ask(call.replace("9100", "9101"))).toBe("ok 198.51.100.151 9101 hello");
  expect(await wire.count()).toBe(0);
  const routes = await lab.exec("edge", ["ip", "-j", "route", "show", "default"]);
  expect(JSON.parse(routes.stdout)).toEqual([]);
});

test("routers keep no connections in mind", async () => {
  for (const router of ["r1", "r2"] as const) expect(await lab.trackedConnections(router)).toEqual([]);
});

test("what a killed run leaves is removed, and what lives is not", async () => {
  const module = join(import.meta.dirname, "lab.ts");
  const script = `
    const { Lab } = await import(${JSON.stringify(module)});
    const lab = await Lab.create({ hosts: 1, routers: 1 });
    lab.spawn("h1", ["tcpdump", "-i", "lan0", "-w", "/dev/null"]);
    console.log(lab.namespaceOf("h1") + " " + lab.directory);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [said] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string];
  const [name, directory] = said.trim().split(" ") as [string, string];
  expect(namespaces()).toContain(name);
  child.kill("SIGKILL");
  await once(child, "close");
  await until(() => !existsSync(directory));
  expect(namespaces()).not.toContain(name);
  expect(namespaces()).toContain(lab.namespaceOf("h1"));
});

test("what a run leaves whose caretaker was killed too is removed by the next", async () => {
  const dead = spawn("true");
  await once(dead, "close");
  const name = `ipshard-${dead.pid}-1-1-h1`;
  await addNamespace(name);
  removeLeftovers();
  expect(namespaces()).not.toContain(name);
  expect(namespaces()).toContain(lab.namespaceOf("h1"));
});

function namespaces(): string[] {
  const listed = execFileSync("ip", ["-j", "netns", "list"], { encoding: "utf8" });
  return (JSON.parse(listed) as { name: string }[]).map(({ name }) => name);
}

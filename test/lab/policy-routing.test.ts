/** Routes to hosts behind a tunnel, while the tunnel comes and goes. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { areHostsRouted, routeHosts, unrouteHosts } from "../../src/router/kernel/policy-routing.ts";
import { DEFAULT_ROUTER_CONFIG, markOf, type RouterConfig } from "../../src/router/steering/router-config.ts";
import { Lab } from "./lab.ts";
import { SHARED_IPV4, SHARED_IPV6, uplinkOf } from "./plan.ts";

const CONFIG: RouterConfig = {
  ...DEFAULT_ROUTER_CONFIG,
  ingressDevices: ["up0"],
  hosts: new Map([
    ["h8", { kind: "routed", device: "lan0", nextHops: [] }],
    ["h9", { kind: "routed", device: "tunnel0", nextHops: [] }],
  ]),
};

let lab: Lab;
let ip: readonly string[];

beforeAll(async () => {
  lab = await Lab.create({ hosts: 1, routers: 1 });
  ip = ["ip", "-n", lab.namespaceOf("r1")];
});

afterAll(() => lab?.destroy());

/** By which device the kernel would send what came from the Internet for a host; null: it would not. */
async function deviceFor(host: string, shared: string): Promise<string | null> {
  const from = uplinkOf(1).carrier[shared.includes(":") ? "ipv6" : "ipv4"];
  const words = ["route", "get", shared, "from", from, "iif", "up0", "mark", String(markOf(CONFIG, host))];
  try {
    const { stdout } = await lab.exec("r1", ["ip", ...words]);
    return / dev (\S+)/.exec(stdout)?.[1] ?? null;
  } catch {
    return null;
  }
}

async function devicesFor(host: string): Promise<(string | null)[]> {
  return [await deviceFor(host, SHARED_IPV4), await deviceFor(host, SHARED_IPV6)];
}

async function link(...words: readonly string[]): Promise<void> {
  await lab.exec("r1", ["ip", "link", ...words]);
}

test("[RT8] [RT10] a tunnel that is down takes only its own hosts along, and comes back when it is up", async () => {
  // Without the tunnel a packet would go by the default route, back to where it came from.
  for (const [net, via] of [
    ["192.0.2.0/24", uplinkOf(1).carrier.ipv4],
    ["2001:db8:1::/64", uplinkOf(1).carrier.ipv6],
  ] as const) {
    await lab.exec("r1", ["ip", "route", "replace", net, "via", via, "dev", "up0"]);
  }
  await routeHosts(CONFIG, ip);
  expect(await devicesFor("h8")).toEqual(["lan0", "lan0"]);
  expect(await devicesFor("h9")).toEqual([null, null]);
  expect(await areHostsRouted(CONFIG, ip)).toBe(true);

  await link("add", "dev", "tunnel0", "type", "veth", "peer", "name", "tunnel1");
  await link("set", "dev", "tunnel0", "up");
  expect(await areHostsRouted(CONFIG, ip)).toBe(false);
  await routeHosts(CONFIG, ip);
  expect(await areHostsRouted(CONFIG, ip)).toBe(true);
  expect(await devicesFor("h9")).toEqual(["tunnel0", "tunnel0"]);

  await link("set", "dev", "tunnel0", "down");
  expect(await devicesFor("h9")).toEqual([null, null]);
  expect(await areHostsRouted(CONFIG, ip)).toBe(true);
  await link("set", "dev", "tunnel0", "up");
  expect(await areHostsRouted(CONFIG, ip)).toBe(false);
  await routeHosts(CONFIG, ip);
  expect(await devicesFor("h9")).toEqual(["tunnel0", "tunnel0"]);

  await unrouteHosts(CONFIG, ip);
  expect(await devicesFor("h9")).toEqual(["up0", "up0"]);
  expect((await lab.exec("r1", ["ip", "rule", "show"])).stdout).not.toContain("fwmark");
});

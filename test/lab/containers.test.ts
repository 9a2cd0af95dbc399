/** Containers behind hosts, before ipshard does anything for them: what the laboratory says of them is so. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Lab } from "./lab.ts";
import { attachByPlugIn, bridgeConfiguration, detachByPlugIn } from "./plug-in.ts";
import {
  type Behind,
  behindBridge,
  behindPlugIn,
  behindVeth,
  hostOnLan,
  ORIGINS_IPV4,
  ORIGINS_IPV6,
  type Role,
} from "./plan.ts";
import { sightingsIn } from "./sightings.ts";

const ORIGIN_PORT = 8080;
const SEEN = [
  `http://${ORIGINS_IPV4[0]}:${ORIGIN_PORT}/seen`,
  `http://[${ORIGINS_IPV6[0]}]:${ORIGIN_PORT}/seen`,
];
const CONTAINERS: readonly { role: Role; place: Behind }[] = [
  { role: "c1", place: behindVeth(1) },
  { role: "b1", place: behindBridge(1) },
];

let lab: Lab;

beforeAll(async () => {
  lab = await Lab.create({ hosts: 1, routers: 1, containers: true });
  const origin = lab.spawnNode("internet", join(import.meta.dirname, "web-origin.ts"), [`${ORIGIN_PORT}`]);
  await origin.waitFor("listening");
});

afterAll(() => lab?.destroy());

/** As whom the Internet sees a container that calls an origin of each family. */
async function sendersOf(role: Role): Promise<string[]> {
  return Promise.all(
    SEEN.map(async (url, at) => {
      const origin = [ORIGINS_IPV4, ORIGINS_IPV6][at]![0];
      const wire = await lab.capture("internet", "eth0", `tcp and dst host ${origin}`);
      const asking = lab.spawn(role, ["curl", "-sg", url]);
      await wire.reaches(1);
      await asking.kill();
      return sightingsIn(await wire.packets())[0]!.from;
    }),
  );
}

async function seenFrom(role: Role): Promise<string[]> {
  const answers = await Promise.all(SEEN.map((url) => lab.exec(role, ["curl", "-sgf", url])));
  return answers.map(({ stdout }) => (JSON.parse(stdout) as { address: string }).address);
}

test.each(CONTAINERS)("$role sends by its host, as itself", async ({ role, place }) => {
  expect(await sendersOf(role)).toEqual([place.container.ipv4, place.container.ipv6]);
});

test("behind a host that masquerades, containers reach the Internet by programs that nobody here wrote", async () => {
  const rules = CONTAINERS.flatMap(({ place }) => [
    `ip saddr ${place.netIpv4} oifname "lan0" masquerade`,
    `ip6 saddr ${place.netIpv6} oifname "lan0" masquerade`,
  ]);
  const chain = `chain leave { type nat hook postrouting priority srcnat; ${rules.join("; ")}; }`;
  await lab.exec("h1", ["nft", "-f", "-"], `table inet others {\n${chain}\n}\n`);
  const { ipv4, ipv6 } = hostOnLan(1);
  for (const { role } of CONTAINERS) {
    expect(await seenFrom(role)).toEqual([ipv4, ipv6]);
    for (const ip of [ORIGINS_IPV4[0], ORIGINS_IPV6[0]]) await lab.exec(role, ["ping", "-c1", "-q", ip]);
  }
  await lab.exec("h1", ["nft", "flush", "ruleset"]);
  await lab.exec("h1", ["conntrack", "-F"]);
});

test("a plug-in of CNI attaches a container, which sends as itself where it does not masquerade", async () => {
  const { container, gateway } = behindPlugIn(1);
  const { ips } = await attachByPlugIn(lab, 1, bridgeConfiguration(1, false));
  expect(ips).toMatchObject([
    { address: `${container.ipv4}/24`, gateway: gateway.ipv4 },
    { address: `${container.ipv6}/64`, gateway: gateway.ipv6 },
  ]);
  expect((await lab.exec("h1", ["nft", "list", "ruleset"])).stdout).toBe("");
  expect(await sendersOf("p1")).toEqual([container.ipv4, container.ipv6]);
  await detachByPlugIn(lab, 1, bridgeConfiguration(1, false));
});

test("where a plug-in of CNI masquerades, the Internet sees its host", async () => {
  const { ipv4, ipv6 } = hostOnLan(1);
  await attachByPlugIn(lab, 1, bridgeConfiguration(1, true));
  expect((await lab.exec("h1", ["nft", "list", "ruleset"])).stdout).toContain("masquerade");
  expect(await seenFrom("p1")).toEqual([ipv4, ipv6]);
  await detachByPlugIn(lab, 1, bridgeConfiguration(1, true));
});

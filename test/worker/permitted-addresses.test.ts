/** Tokens that permit some of a pool's addresses only. */
import { expect, it } from "vitest";
import { ok } from "../../src/core/outcome.ts";
import type { PlacedIp } from "../../src/core/placement.ts";
import { codeOf, gateways, newEgress, placementOf } from "./edge.ts";

const IPS = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"];

/** Hosts on addresses of both families, which say what they were told to leave from. */
async function egressFor(permitted: readonly string[], served = IPS) {
  const egress = await newEgress(2, { restrictions: { ips: permitted } });
  const { pool, pools, hosts } = egress;
  const ips = served.flatMap((ip): readonly PlacedIp[] => placementOf(pool, hosts, ip).ips);
  pools.placement = async () => ok({ pool, ips, resting: [] });
  for (const host of hosts) {
    gateways.set(host, (request) => new Response(request.headers.get("egress") ?? "open"));
  }
  const seen = async (selection?: string, url = "http://origin.test/"): Promise<Set<string>> => {
    const answers = new Set<string>();
    for (let times = 0; times < 30; times += 1) {
      const headers: Record<string, string> = selection === undefined ? {} : { egress: selection };
      const response = await egress.send({ headers }, `?url=${encodeURIComponent(url)}`);
      answers.add(response.ok ? await response.text() : String((await codeOf(response)).code));
    }
    return answers;
  };
  return seen;
}

it("[DE16] no request is sent to leave from another address, whatever the token selects", async () => {
  const seen = await egressFor(["192.0.2.2", "2001:db8::2"]);
  const permitted = new Set(['ip="192.0.2.2"', 'ip="2001:db8::2"']);
  expect(await seen()).toEqual(permitted);
  expect(await seen(undefined, "http://198.51.100.7/")).toEqual(new Set(['ip="192.0.2.2"']));
  for (let session = 0; session < 10; session += 1) {
    const [answer, ...more] = await seen(`session="${session}"`);
    expect(more).toEqual([]);
    expect(permitted).toContain(answer);
  }
  expect(await seen('ip="192.0.2.2"')).toEqual(new Set(['ip="192.0.2.2"']));
});

it("[DE16] another address by name is refused, and so is every one where the pool has none of the token's", async () => {
  const seen = await egressFor(["192.0.2.2"]);
  expect(await seen('ip="192.0.2.1"')).toEqual(new Set(["ip-denied"]));
  expect(await seen('ip="192.0.2.77"')).toEqual(new Set(["ip-denied"]));
  const nowhere = await egressFor(["192.0.2.77"]);
  expect(await nowhere()).toEqual(new Set(["ip-unknown"]));
  expect(await nowhere('session="a", sticky=strict')).toEqual(new Set(["ip-unknown"]));
  expect(await (await egressFor(["192.0.2.77"], []))()).toEqual(new Set(["ip-unknown"]));
});

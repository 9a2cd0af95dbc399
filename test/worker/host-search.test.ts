/** Which hosts are asked for one request after another. */
import { describe, expect, it, vi } from "vitest";
import { ok } from "../../src/core/outcome.ts";
import type { PlacedIp } from "../../src/core/placement.ts";
import type { HostRefusal } from "../../src/core/problems.ts";
import { edgeCounters } from "../../src/worker/runtime/control-plane.ts";
import { FAMILY_MS, FULL_MS } from "../../src/worker/hosts/edge-state.ts";
import { MAX_TRIES } from "../../src/worker/egress/forward-with-failover.ts";
import {
  askedHosts,
  codeOf,
  gatewayRefusal,
  gateways,
  newEgress,
  placementOf,
  type Gateway,
  uploadStatus,
  uploadStatuses,
} from "./edge.ts";

const V4 = ["192.0.2.1", "192.0.2.2"];
const V6 = ["2001:db8::1", "2001:db8::2"];
const OK: Gateway = () => new Response("ok");

function searchFor(url: string): string {
  return `?url=${encodeURIComponent(url)}`;
}

/** The address that a request was to leave from. */
function ipOf(request: Request): string {
  return /ip="([^"]+)"/.exec(request.headers.get("egress") ?? "")![1]!;
}

function isIpv6(request: Request): boolean {
  return ipOf(request).includes(":");
}

/** Two hosts on addresses of both families; they answer as `gateway` does, and say from where. */
async function bothFamilies(serves: (request: Request) => boolean) {
  const egress = await newEgress(2);
  const { pool, pools, hosts } = egress;
  const ips = [...V4, ...V6].flatMap((ip): readonly PlacedIp[] => placementOf(pool, hosts, ip).ips);
  pools.placement = async () => ok({ pool, ips, resting: [] });
  for (const host of hosts) {
    gateways.set(host, async (request) => {
      // As a host's connection does when it has answered and closes.
      await request.body?.cancel();
      return serves(request) ? new Response(ipOf(request)) : gatewayRefusal("address-family-mismatch");
    });
  }
  return egress;
}

describe("the family of a destination", () => {
  it.each([
    ["http://198.51.100.7/", 4],
    ["http://3325256711:8080/", 4],
    ["http://0xc6.51.100.7/", 4],
    ["https://[2001:db8:1::7]/", 6],
    ["http://[::ffff:198.51.100.7]/", 4],
    ["http://[2001:db8::ffff:1:2]/", 6],
    ["http://[::ffff:1:2:3]/", 6],
  ])("[PL7] %s: only addresses of IPv%i are asked", async (url, family) => {
    const { send } = await bothFamilies((request) => isIpv6(request) === (family === 6));
    const seen = new Set<string>();
    for (let count = 0; count < 60; count += 1) {
      const response = await send({}, searchFor(url));
      expect(response.status).toBe(200);
      seen.add(await response.text());
    }
    expect(askedHosts).toHaveLength(60);
    expect([...seen].toSorted()).toEqual(family === 4 ? V4 : V6);
  });

  it("[WK21] of a name is learnt by one refusal, and forgotten after a while", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { send } = await bothFamilies((request) => !isIpv6(request));
    vi.spyOn(Math, "random").mockReturnValue(0.6);
    const ask = async (): Promise<void> => {
      const response = await send({}, searchFor("http://only-a.test/"));
      expect(V4).toContain(await response.text());
    };
    for (let count = 0; count < 40; count += 1) await ask();
    expect(askedHosts).toHaveLength(41);
    vi.setSystemTime(Date.now() + FAMILY_MS);
    await ask();
    expect(askedHosts).toHaveLength(43);
  });

  it("[WK21] of a name with neither is not held against it: each family is asked, then it is refused", async () => {
    const { send } = await bothFamilies(() => false);
    for (let count = 0; count < 3; count += 1) {
      askedHosts.length = 0;
      const response = await send({}, searchFor("http://neither.test/"));
      expect((await codeOf(response)).code).toBe("address-family-mismatch");
      expect(askedHosts).toHaveLength(2);
    }
  });

  it("[WK20] is held against no host", async () => {
    const { send } = await bothFamilies((request) => isIpv6(request));
    for (let count = 0; count < 10; count += 1) await send({}, searchFor("http://only-aaaa.test/"));
    const seen = new Set(askedHosts);
    expect(seen.size).toBe(2);
  });

  it("[WK21] a long body is not sent on a guess: where all is open, the host chooses", async () => {
    const { send, hosts } = await bothFamilies(() => true);
    const told: (string | null)[] = [];
    for (const host of hosts) {
      gateways.set(host, async (request) => {
        await request.body?.cancel();
        told.push(request.headers.get("egress"));
        return new Response("ok");
      });
    }
    const long = { method: "POST", body: new Uint8Array(70_000) };
    const named = searchFor("http://name.test/");
    await send(long, named);
    await send({ ...long, headers: { egress: "session=s1" } }, named);
    expect(told.splice(0)).toEqual([null, 'session="s1"']);
    await send({ method: "POST", body: "short", headers: { "content-length": "5" } }, named);
    await send(long, searchFor("http://198.51.100.7/"));
    await send({ ...long, headers: { egress: "session=s1, sticky=strict" } }, named);
    await send({ ...long, headers: { egress: `ip="${V4[0]}"` } }, named);
    expect(told.filter((egress) => egress?.startsWith("ip="))).toHaveLength(4);
  });

  it("[WK21] a long body that a host refuses of its own choice is not sent on a second guess", async () => {
    const { send, hosts, pool } = await bothFamilies(() => true);
    const told: (string | null)[] = [];
    for (const host of hosts) {
      gateways.set(host, async (request) => {
        await request.body?.cancel();
        told.push(request.headers.get("egress"));
        return told.length === 1 ? gatewayRefusal("address-family-mismatch") : new Response("ok");
      });
    }
    for (const host of hosts) uploadStatuses.set(host, uploadStatus("ended"));
    const long = { method: "POST", body: new Uint8Array(70_000), headers: { egress: `pool=${pool}` } };
    await send(long, searchFor("http://guess.test/"));
    expect(told).toEqual([null, expect.stringMatching(/^ip=/)]);
  });

  it("[WK21] a long body is sent from a named address by a host of one family, and to a known name", async () => {
    const { send, pool, pools, h1, h2 } = await newEgress(2);
    const ips = [...placementOf(pool, [h1], V4[0]).ips, ...placementOf(pool, [h2], V6[0]).ips];
    pools.placement = async () => ok({ pool, ips, resting: [] });
    const told: (string | null)[] = [];
    for (const host of [h1, h2]) {
      gateways.set(host, async (request) => {
        await request.body?.cancel();
        told.push(request.headers.get("egress"));
        return new Response("ok");
      });
    }
    await send({ method: "POST", body: new Uint8Array(70_000) }, searchFor("http://one.test/"));
    expect(told).toEqual([expect.stringMatching(/^ip=/)]);

    const both = await bothFamilies((request) => !isIpv6(request));
    vi.spyOn(Math, "random").mockReturnValue(0.6);
    const known = searchFor("http://known.test/");
    await both.send({}, known);
    for (let count = 0; count < 3; count += 1) {
      const response = await both.send({ method: "POST", body: new Uint8Array(70_000) }, known);
      expect(V4).toContain(await response.text());
    }
  });

  it("[PL7] of a name that begins like an IPv4 address is open", async () => {
    const { send } = await bothFamilies(() => true);
    const seen = new Set<boolean>();
    for (const random of [0, 0.99]) {
      vi.spyOn(Math, "random").mockReturnValue(random);
      const response = await send({}, searchFor("http://198.51.100.7.test/"));
      seen.add((await response.text()).includes(":"));
    }
    expect(seen.size).toBe(2);
  });

  it("[PL6] a session keeps its place within the family, and strict is strict there", async () => {
    const { send } = await bothFamilies((request) => isIpv6(request));
    for (const session of ["a", "b", "c", "d", "e", "f"]) {
      const seen = new Set<string>();
      for (const url of ["http://[2001:db8:1::7]/", "http://aaaa.test/", "http://[2001:db8:1::7]/"]) {
        for (const sticky of ["", ", sticky=strict"]) {
          const headers = { egress: `session="${session}"${sticky}` };
          seen.add(await (await send({ headers }, searchFor(url))).text());
        }
      }
      expect([session, seen.size]).toEqual([session, 1]);
    }
  });

  it("[PL6] an address that the client selects stays, and its host refuses by name", async () => {
    const { send } = await bothFamilies((request) => isIpv6(request));
    const headers = { egress: `ip="${V4[0]}"` };
    for (const url of ["http://[2001:db8:1::7]/", "http://aaaa.test/"]) {
      const response = await send({ headers }, searchFor(url));
      expect((await codeOf(response)).code).toBe("address-family-mismatch");
    }
    expect(askedHosts).toHaveLength(2);
  });
});

describe("hosts that are full", () => {
  it("[WK22] all but one: no request is refused, however many they are", async () => {
    const { send, pool, pools } = await newEgress();
    const hosts = Array.from({ length: 31 }, (_, at) => `full-${pool}-${at}`);
    pools.placement = async () => ok(placementOf(pool, hosts));
    for (const host of hosts) gateways.set(host, () => gatewayRefusal("port-block-exhausted"));
    gateways.set(hosts[17]!, OK);
    for (let count = 0; count < 20; count += 1) expect((await send()).status).toBe(200);
    // Once each is known to be full it is not asked first.
    expect(askedHosts.length).toBeLessThan(31 + 20);
  });

  it("[WK22] is asked last for a while, towards that destination alone", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { send, h1, h2 } = await newEgress(2);
    vi.spyOn(Math, "random").mockReturnValue(0);
    gateways.set(h1, (request) =>
      request.url.includes("busy") ? gatewayRefusal("port-block-exhausted") : new Response("ok"),
    );
    gateways.set(h2, OK);
    await send({}, searchFor("http://busy.test/"));
    await send({}, searchFor("http://busy.test/path"));
    await send({}, searchFor("http://quiet.test/"));
    expect(askedHosts).toEqual([h1, h2, h2, h1]);
    vi.setSystemTime(Date.now() + FULL_MS);
    await send({}, searchFor("http://busy.test/"));
    expect(askedHosts.slice(4)).toEqual([h1, h2]);
  });

  it("[WK22] a session asks every host of its address before it leaves it", async () => {
    const { send, pool, pools, hosts } = await newEgress(3);
    const ips = V4.flatMap((ip) => placementOf(pool, hosts, ip).ips);
    pools.placement = async () => ok({ pool, ips, resting: [] });
    let roomyHost = hosts[0];
    for (const host of hosts) {
      gateways.set(host, (request) =>
        host === roomyHost ? new Response(ipOf(request)) : gatewayRefusal("port-block-exhausted"),
      );
    }
    const headers = { egress: 'session="cart"' };
    const home = await (await send({ headers })).text();
    for (const host of [...hosts, ...hosts]) {
      roomyHost = host;
      expect(await (await send({ headers })).text()).toBe(home);
    }
  });

  it(`[WK11] at most ${MAX_TRIES} are asked for one request`, async () => {
    const { send, pool, pools } = await newEgress();
    const hosts = Array.from({ length: MAX_TRIES + 5 }, (_, at) => `many-${pool}-${at}`);
    pools.placement = async () => ok(placementOf(pool, hosts));
    for (const host of hosts) gateways.set(host, () => gatewayRefusal("port-block-exhausted"));
    expect((await codeOf(await send())).code).toBe("port-block-exhausted");
    expect(new Set(askedHosts).size).toBe(MAX_TRIES);
    expect(askedHosts).toHaveLength(MAX_TRIES);
  });
});

describe("a host that refuses one request", () => {
  /** Two hosts on two addresses, of which the first that is asked refuses; who was asked from where. */
  async function refusingFirst(code: HostRefusal) {
    const { send, pool, pools, hosts } = await newEgress(2);
    const ips = V4.flatMap((ip) => placementOf(pool, hosts, ip).ips);
    pools.placement = async () => ok({ pool, ips, resting: [] });
    vi.spyOn(Math, "random").mockReturnValue(0);
    const asked: string[] = [];
    for (const host of hosts) {
      gateways.set(host, (request) => {
        asked.push(`${host} ${ipOf(request)}`);
        return asked.length === 1 ? gatewayRefusal(code) : new Response("ok");
      });
    }
    return { send, asked };
  }

  it.each(["draining", "connections-exhausted"] as const)(
    "[WK8] [WK20] with %s is asked no more for the next, on no address",
    async (code) => {
      const { send, asked } = await refusingFirst(code);
      await send();
      const [refuser] = asked[0]!.split(" ");
      for (const ip of V4) await send({ headers: { egress: `ip="${ip}"` } });
      const after = asked.slice(1).map((pair) => pair.split(" ")[0]);
      expect(after).toHaveLength(3);
      expect(after).not.toContain(refuser);
    },
  );

  it("[WK8] [WK20] for a lost lease is asked no more on that address, and on others as ever", async () => {
    const { send, asked } = await refusingFirst("lease-lost");
    await send();
    const [refuser, refusedIp] = asked[0]!.split(" ");
    for (const ip of V4) await send({ headers: { egress: `ip="${ip}"` } });
    expect(asked.slice(2)).not.toContain(asked[0]);
    expect(asked.slice(2)).toContain(`${refuser} ${V4.find((ip) => ip !== refusedIp)}`);
  });

  it("[WK11] has its answer cancelled before another is asked, and is counted as a retry", async () => {
    const { send, h1, h2 } = await newEgress(2);
    vi.spyOn(Math, "random").mockReturnValue(0);
    const steps: string[] = [];
    gateways.set(h1, () => {
      const { status, headers } = gatewayRefusal("draining");
      const cancel = (): void => void steps.push("cancelled");
      return new Response(new ReadableStream({ cancel }), { status, headers });
    });
    gateways.set(h2, () => {
      steps.push("asked");
      return new Response("ok");
    });
    const before = { ...edgeCounters };
    expect((await send()).status).toBe(200);
    expect(steps).toEqual(["cancelled", "asked"]);
    expect(edgeCounters.handedOver - before.handedOver).toBe(1);
    expect(edgeCounters.retries - before.retries).toBe(1);
  });
});

describe("an address that is taken away", () => {
  it("[WK20] its hosts are asked again, on another address", async () => {
    const { send, pool, pools, hosts } = await newEgress(2);
    const ips = V4.flatMap((ip) => placementOf(pool, hosts, ip).ips);
    pools.placement = async () => ok({ pool, ips, resting: [] });
    for (const host of hosts) {
      gateways.set(host, (request) =>
        ipOf(request) === V4[0] ? gatewayRefusal("lease-lost") : new Response(ipOf(request)),
      );
    }
    for (let count = 0; count < 30; count += 1) expect(await (await send()).text()).toBe(V4[1]);
    const headers = { egress: `ip="${V4[0]}"` };
    expect((await codeOf(await send({ headers }))).code).toBe("lease-lost");
  });

  it("[WK11] a request that has no host left asks for the placement of now", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { send, pool, pools, h1, h2 } = await newEgress(2);
    pools.placement = async () => ok(placementOf(pool, [h1], V4[0]));
    gateways.set(h1, OK);
    await send();
    pools.placement = async () => ok(placementOf(pool, [h1, h2], V4[1]));
    for (const host of [h1, h2]) {
      gateways.set(host, (request) =>
        ipOf(request) === V4[0] ? gatewayRefusal("lease-lost") : new Response("moved"),
      );
    }
    vi.setSystemTime(Date.now() + 1_000);
    expect(await (await send()).text()).toBe("moved");
  });
});

describe("a refusal after redirects", () => {
  const late = (): Response => {
    const refusal = gatewayRefusal("port-block-exhausted");
    refusal.headers.set("egress-location", "http://second.test/");
    return refusal;
  };

  it("[PL4] is the answer to a request that must not happen twice", async () => {
    const { send, hosts } = await newEgress(2);
    for (const host of hosts) gateways.set(host, late);
    const response = await send({ method: "POST", headers: { "egress-redirect": "follow" } });
    expect((await codeOf(response)).code).toBe("port-block-exhausted");
    expect(askedHosts).toHaveLength(1);
  });

  it("[PL4] sends another to another host, and teaches nothing of its first destination", async () => {
    const { send, h1, h2 } = await newEgress(2);
    vi.spyOn(Math, "random").mockReturnValue(0);
    gateways.set(h1, late);
    gateways.set(h2, OK);
    expect((await send()).status).toBe(200);
    expect((await send()).status).toBe(200);
    expect(askedHosts).toEqual([h1, h2, h1, h2]);
  });
});

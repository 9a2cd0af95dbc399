import { describe, expect, it } from "vitest";
import { ok } from "../../src/core/outcome.ts";
import type { PlacedIp } from "../../src/core/placement.ts";
import { rendezvousWeight } from "../../src/core/rendezvous.ts";
import {
  ask,
  askedHosts,
  codeOf,
  gatewayRefusal,
  gateways,
  newEgress,
  placementOf,
  stubPools,
  tokenFor,
} from "./edge.ts";

const PATH = "/v1/fetch?url=http%3A%2F%2Forigin.test%2F";

describe("a selection", () => {
  it.each([
    ["an unknown key", "contry=de", 400, "selection-key-unknown"],
    ["a repeated key", "pool=eu, pool=eu", 400, "selection-malformed"],
    ["no dictionary", "==", 400, "selection-malformed"],
    ["a bad value", 'pool="NOT A NAME"', 400, "selection-value-invalid"],
    ["an address the pool lacks", 'ip="192.0.2.77"', 404, "ip-unknown"],
    ["a country that is none", "country=germany", 400, "selection-value-invalid"],
    ["a country the pool has no address in", "country=de", 404, "selection-unserved"],
    ["an address that is not in the country", 'ip="192.0.2.1", country=de', 404, "selection-unserved"],
  ])("[WK7] with %s is refused", async (_name, egress, status, code) => {
    const { send } = await newEgress();
    expect(await codeOf(await send({ headers: { egress } }))).toEqual({ status, code });
  });

  it("[WK7] is told which key is wrong, and means the same when it is sent again", async () => {
    const { send } = await newEgress();
    for (let count = 0; count < 2; count += 1) {
      const refused = await send({ headers: { egress: "contry=de" } });
      expect(await refused.json()).toMatchObject({ detail: 'Look at the key "contry".' });
      const refusedWhole = await send({ headers: { egress: "==" } });
      expect(await refusedWhole.json()).not.toHaveProperty("detail");
    }
  });

  it("[WK7] that is no pool is told why", async () => {
    const detailFor = async (pools: string[]): Promise<unknown> => {
      const headers = { "egress-authorization": `Bearer ${await tokenFor({ pools })}` };
      return (await (await ask(PATH, { headers })).json<{ detail: unknown }>()).detail;
    };
    expect(await detailFor([])).toBe("The token names no pool.");
    expect(await detailFor(["*"])).toBe("The token is for every pool: select one.");
  });

  it("[WK7] names one of the token's pools, the first by default", async () => {
    const { env, asked } = spiedPools();
    const token = await tokenFor({ pools: ["first", "second"] });
    const headers = { "egress-authorization": `Bearer ${token}` };
    await ask(PATH, { headers }, env);
    await ask(PATH, { headers: { ...headers, egress: "pool=second" } }, env);
    expect(asked).toEqual(["first", "second"]);
  });

  it("[WK7] must name a pool when the token is for every pool", async () => {
    const { env, asked } = spiedPools();
    const headers = { "egress-authorization": `Bearer ${await tokenFor({ pools: ["*"] })}` };
    expect(await codeOf(await ask(PATH, { headers }, env))).toEqual({ status: 404, code: "pool-unknown" });
    await ask(PATH, { headers: { ...headers, egress: "pool=third" } }, env);
    expect(asked).toEqual(["third"]);
  });

  it("[WK7] finds nothing for a token without pools", async () => {
    const headers = { "egress-authorization": `Bearer ${await tokenFor({ pools: [] })}` };
    expect(await codeOf(await ask(PATH, { headers }))).toEqual({ status: 403, code: "pool-denied" });
  });

  it("[WK7] of an address is what the gateway is told", async () => {
    const { send, h1, pool, pools } = await newEgress();
    const [one] = placementOf(pool, [h1], "192.0.2.1").ips;
    const [two] = placementOf(pool, [h1], "192.0.2.2").ips;
    pools.placement = async () => ok({ pool, resting: [], ips: [one!, two!] });
    gateways.set(h1, (request) => new Response(request.headers.get("egress")));
    for (const ip of ["192.0.2.1", "192.0.2.2"]) {
      const response = await send({ headers: { egress: `ip="${ip}"` } });
      expect(await response.text()).toBe(`ip="${ip}"`);
    }
  });
});

describe("a country and a site", () => {
  it("[PL9] [WK7] choose the address that the gateway is told, one with a session too", async () => {
    const { send, h1, pool, pools } = await newEgress();
    const [de] = placementOf(pool, [h1], "192.0.2.1").ips;
    const [nl] = placementOf(pool, [h1], "192.0.2.2").ips;
    const ips = [
      { ...de!, country: "de", sites: ["fra1"] },
      { ...nl!, country: "nl", sites: ["ams1"] },
    ];
    pools.placement = async () => ok({ pool, resting: [], ips });
    gateways.set(h1, (request) => new Response(request.headers.get("egress")));
    for (const egress of ["country=NL", "site=ams1", "site=ams1, country=nl, session=a, sticky=strict"]) {
      for (let sent = 0; sent < 5; sent += 1) {
        expect(await (await send({ headers: { egress } })).text()).toBe('ip="192.0.2.2"');
      }
    }
    for (const session of ["a", "b", "c", "d"]) {
      const egress = `country=de, session=${session}`;
      expect(await (await send({ headers: { egress } })).text()).toBe('ip="192.0.2.1"');
    }
  });

  it("[PL9] [WK21] leave no choice to the host, though a body cannot come back", async () => {
    const { send, h1, pool, pools } = await newEgress();
    const ips = ["192.0.2.1", "2001:db8::1"].flatMap((ip) =>
      placementOf(pool, [h1], ip).ips.map((placed) => Object.assign({}, placed, { country: "de" })),
    );
    pools.placement = async () => ok({ pool, resting: [], ips });
    gateways.set(h1, async (request) => {
      const told = request.headers.get("egress");
      await request.arrayBuffer();
      return new Response(told ?? "open");
    });
    const body = new Uint8Array(100_000);
    const search = "?url=http%3A%2F%2Fsome.test%2F";
    expect(await (await send({ method: "POST", body }, search)).text()).toBe("open");
    const headers = { egress: "country=de" };
    expect(await (await send({ method: "POST", body, headers }, search)).text()).toMatch(/^ip="/);
  });

  it("[PL9] [PL6] of one family alone: when its host refuses it, no other is asked in vain", async () => {
    const { send, h1, h2, pool, pools } = await newEgress(2);
    const [four] = placementOf(pool, [h1, h2], "192.0.2.1").ips;
    const [six] = placementOf(pool, [h2], "2001:db8::1").ips;
    pools.placement = async () => ok({ pool, resting: [], ips: [{ ...four!, country: "de" }, six!] });
    for (const host of [h1, h2]) gateways.set(host, () => gatewayRefusal("address-family-mismatch"));
    const refused = await send({ headers: { egress: "country=de" } }, "?url=http%3A%2F%2F[2001:db8::9]%2F");
    expect((await codeOf(refused)).code).toBe("address-family-mismatch");
    expect(askedHosts).toHaveLength(1);
  });
});

describe("a pool", () => {
  it.each([
    ["without addresses", [], "pool-empty"],
    ["whose address nobody serves", [{ ip: "192.0.2.1", hosts: [] }], "no-host"],
  ])("[WK7] %s is refused by name", async (_name, ips, code) => {
    const { send, pool, pools } = await newEgress();
    pools.placement = async () => ok({ pool, resting: [], ips });
    expect(await codeOf(await send())).toEqual({ status: 503, code });
  });
});

/** Pools that are empty and say which of them were asked for. */
function spiedPools() {
  const { env } = stubPools({ pool: "any", ips: [], resting: [] });
  const asked: string[] = [];
  const getByName = (name: string) => {
    if (!asked.includes(name)) asked.push(name);
    return { placement: async () => ok({ pool: name, ips: [], resting: [] }) };
  };
  return { asked, env: { ...env, EGRESS_POOL: { getByName } as never } };
}

describe("a session with a ttl", () => {
  const TTL_S = 600;

  /** Seconds from now until when a session is told that it keeps its address; null when nothing is said. */
  async function heldFor(
    places: (serve: (ip: string) => PlacedIp) => readonly PlacedIp[],
    egress: string,
    answer = () => new Response("here", { headers: { "egress-ip": "192.0.2.1" } }),
  ): Promise<number | null> {
    const { send, h1, pool, pools } = await newEgress();
    const ips = places((ip) => placementOf(pool, [h1], ip).ips[0]!);
    pools.placement = async () => ok({ pool, resting: [], ips });
    gateways.set(h1, answer);
    const told = (await send({ headers: { egress } })).headers.get("egress-session-until");
    if (told === null) return null;
    expect(told).toMatch(/^@[0-9]+$/);
    return Number(told.slice(1)) - Date.now() / 1_000;
  }

  /** The first session that ranks this address before that one. */
  function sessionOf(ip: string, before: string): string {
    for (let at = 0; ; at += 1) {
      if (rendezvousWeight(`s${at}`, ip) > rendezvousWeight(`s${at}`, before)) return `s${at}`;
    }
  }

  it("[PL10] is told until when it keeps its address, and no other request is", async () => {
    const one = (serve: (ip: string) => PlacedIp) => [serve("192.0.2.1")];
    const told = await heldFor(one, `session=a, ttl=${TTL_S}`);
    expect(told).toBeGreaterThan(TTL_S - 10);
    expect(told).toBeLessThanOrEqual(TTL_S);
    expect(await heldFor(one, "session=a")).toBeNull();
    // What did not leave from there promises nothing.
    const refusal = () => gatewayRefusal("connection-refused");
    expect(await heldFor(one, `session=a, ttl=${TTL_S}`, refusal)).toBeNull();
  });

  it("[PL10] is promised nothing where its own address has no host", async () => {
    const own = sessionOf("192.0.2.1", "192.0.2.2");
    const places = (serve: (ip: string) => PlacedIp) => [
      { ...serve("192.0.2.1"), hosts: [] },
      serve("192.0.2.2"),
    ];
    expect(await heldFor(places, `session=${own}, ttl=${TTL_S}`)).toBeNull();
  });

  it("[PL10] is told of the time when an address that came lately moves it, of either family", async () => {
    for (const young of ["192.0.2.2", "2001:db8::2"]) {
      const moved = sessionOf(young, "192.0.2.1");
      const places = (serve: (ip: string) => PlacedIp) => [
        serve("192.0.2.1"),
        { ...serve(young), sinceMs: Date.now() - (TTL_S - 100) * 1_000 },
      ];
      const told = await heldFor(places, `session=${moved}, ttl=${TTL_S}`);
      expect(told, young).toBeGreaterThan(90);
      expect(told, young).toBeLessThanOrEqual(100);
    }
  });
});

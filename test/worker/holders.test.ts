/** Who held a port at a time, as the edge's API says it: the address's table, and what the host's log adds. */
import { describe, expect, it } from "vitest";
import type { KnownLease, PortHistory } from "../../src/core/port-history.ts";
import { ok, type Outcome } from "../../src/core/outcome.ts";
import { publicPart } from "../../src/wire/keys.ts";
import { TokenVerifier } from "../../src/wire/tokens.ts";
import {
  administer,
  ask,
  askedHosts,
  codeOf,
  edgeKey,
  environment,
  freshNames,
  gatewayRefusal,
  gateways,
  tokenFor,
} from "./edge.ts";

const IP = "192.0.2.77";
const AT = "2026-11-29T12:03:07.000Z";
const AT_MS = Date.parse(AT);
const LOG = {
  level: "flows",
  destinations: false,
  sinceMs: 1,
  translations: [],
  flows: [
    {
      protocol: "tcp",
      tenant: "acme",
      senders: [{ client: "cart", clientAddress: "10.0.0.9", sinceMs: AT_MS }],
      destinations: [],
      startMs: AT_MS,
      endMs: null,
      cutOffMs: null,
      sent: null,
      received: null,
    },
  ],
  ended: [],
  blocks: [],
  isComplete: true,
};

/** An edge whose address has this history, and whose pools have these hosts. */
function edgeWith(
  history: Partial<PortHistory> | ((atMs: number) => Partial<PortHistory>),
  pool: string,
  hosts: readonly string[] = [],
) {
  const whole = {
    state: "nobody",
    reason: "not-leased",
    holders: [],
    before: null,
    after: null,
    knownSinceMs: 5,
  };
  const asked: unknown[] = [];
  const env = {
    ...environment,
    EGRESS_IP: {
      getByName: (ip: string) => ({
        holdersAt: async (question: { readonly atMs: number }): Promise<Outcome<unknown, "ip-unknown">> => {
          asked.push({ ip, ...question });
          const told = typeof history === "function" ? history(question.atMs) : history;
          return ok({ pool, history: { ...whole, ...told } });
        },
      }),
    } as never,
    EGRESS_POOL: {
      getByName: () => ({
        hosts: async () => ok(hosts.map((host) => ({ host, live: true, gateway: `http://${host}.gateway` }))),
      }),
    } as never,
  };
  const find = async (query: string, pools: readonly string[] = ["*"]): Promise<Response> => {
    const token = await tokenFor({ role: "admin", subject: "abuse-desk", pools });
    return ask(`/v1/holders?${query}`, { headers: { authorization: `Bearer ${token}` } }, env);
  };
  return { asked, find };
}

function askEdge(path: string, token: string): Promise<Response> {
  return ask(path, { headers: { authorization: `Bearer ${token}` } }, environment);
}

function leaseOf(host: string, pool: string, more: Partial<KnownLease> = {}): KnownLease {
  return { base: 5_312, order: 6, host, pool, epoch: 9, sinceMs: 1, untilMs: null, end: null, ...more };
}

function held(host: string, pool: string): Partial<PortHistory> {
  return { state: "held", reason: null, holders: [leaseOf(host, pool)] };
}

const QUERY = `ip=${IP}&port=5320&at=${AT}`;

describe("/v1/holders", () => {
  it("[AT4] names the host and its lease, and what its flow log says", async () => {
    const { pool, h1 } = freshNames();
    const seen: Request[] = [];
    gateways.set(h1, (request) => {
      seen.push(request);
      return Response.json(LOG);
    });
    const { asked, find } = edgeWith(held(h1, pool), pool, ["another", h1]);
    const response = await find(`${QUERY}&protocol=tcp&destination=203.0.113.5:443`);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await response.json()).toEqual({
      ip: IP,
      port: 5_320,
      atMs: AT_MS,
      throughMs: AT_MS,
      state: "held",
      reason: null,
      holders: [
        {
          pool,
          host: h1,
          firstPort: 5_312,
          lastPort: 5_375,
          epoch: 9,
          sinceMs: 1,
          untilMs: null,
          end: null,
          flows: { state: "answered", detail: null, log: LOG },
        },
      ],
      before: null,
      after: null,
      knownSinceMs: 5,
    });
    expect(asked).toEqual([{ ip: IP, port: 5_320, atMs: AT_MS }]);
    const url = new URL(seen[0]!.url);
    expect(url.pathname).toBe("/v1/flows");
    expect(Object.fromEntries(url.searchParams)).toEqual({
      ip: IP,
      port: "5320",
      at: String(AT_MS),
      protocol: "tcp",
      destination: "203.0.113.5:443",
    });
  });

  it("[AT6] asks a host with a token that is good there and then, and says nothing of who asks", async () => {
    const { pool, h1 } = freshNames();
    let token = "";
    gateways.set(h1, ({ headers }) => {
      token = headers.get("egress-authorization")!.slice("Bearer ".length);
      return Response.json(LOG);
    });
    await edgeWith(held(h1, pool), pool, [h1]).find(QUERY);
    const verified = await new TokenVerifier({ keys: [publicPart(edgeKey)] }).verify(token, Date.now());
    expect(verified).toMatchObject({ ok: true, value: { role: "attribution", subject: h1, pools: [pool] } });
    expect(verified.ok && verified.value.expiresAtMs - Date.now()).toBeLessThanOrEqual(60_000);
  });

  it("[AT4] says nobody and unknown apart, and asks no host then", async () => {
    const { pool, h1 } = freshNames();
    const before = leaseOf(h1, pool, { untilMs: AT_MS - 4_000, end: "released" });
    const nobody = await edgeWith({ before }, pool, [h1]).find(QUERY);
    expect(await nobody.json()).toMatchObject({
      state: "nobody",
      reason: "not-leased",
      holders: [],
      before: { host: h1, untilMs: AT_MS - 4_000, end: "released" },
    });
    const unknown = await edgeWith({ state: "unknown", reason: "before-history" }, pool).find(QUERY);
    expect(await unknown.json()).toMatchObject({
      state: "unknown",
      reason: "before-history",
      knownSinceMs: 5,
    });
    expect(askedHosts).toEqual([]);
  });

  it.each([
    ["does not know the host any more", [], null, { state: "host-unknown" }],
    ["knows a host that does not answer", ["h"], null, { state: "unreachable" }],
    [
      "knows a host that refuses",
      ["h"],
      () => gatewayRefusal("attribution-busy"),
      { state: "refused", detail: "attribution-busy" },
    ],
    ["knows a host of an older version", ["h"], () => gatewayRefusal("route-unknown"), { state: "refused" }],
    [
      "knows a host that answers nonsense",
      ["h"],
      () => Response.json({ flows: "all" }),
      { state: "refused" },
    ],
    [
      "knows a host that answers without end",
      ["h"],
      () => new Response(new ReadableStream({ pull: (into) => into.enqueue(new Uint8Array(2 ** 20)) })),
      { state: "unreachable" },
    ],
  ])("[AT6] still names the host where its pool %s", async (_case, known, gateway, expected) => {
    const { pool, h1 } = freshNames();
    if (gateway !== null) gateways.set(h1, gateway);
    const response = await edgeWith(held(h1, pool), pool, known.length > 0 ? [h1] : []).find(QUERY);
    expect(await response.json()).toMatchObject({ state: "held", holders: [{ host: h1, flows: expected }] });
  });

  it("[AT4] [ID6] is for whose pool it was then, whosever it is now", async () => {
    const { h1 } = freshNames();
    const { find } = edgeWith({ ...held(h1, "then"), after: leaseOf("h2", "now") }, "now");
    expect((await find(QUERY, ["then"])).status).toBe(200);
    expect(await codeOf(await find(QUERY, ["now"]))).toEqual({ status: 403, code: "pool-denied" });
    const free = edgeWith({ before: leaseOf("h1", "then"), after: leaseOf("h2", "now") }, "now");
    expect(await codeOf(await free.find(QUERY, ["then"]))).toEqual({ status: 403, code: "pool-denied" });
    expect(await (await free.find(QUERY, ["now"])).json()).toMatchObject({
      before: null,
      after: { host: "h2" },
    });
  });

  it("[AT9] a second is asked about to its end, the host too, and who came within it is named", async () => {
    const { pool, h1, h2 } = freshNames();
    const seen: URL[] = [];
    for (const host of [h1, h2]) {
      gateways.set(host, (request) => {
        seen.push(new URL(request.url));
        return Response.json(LOG);
      });
    }
    const find = async (first: Partial<PortHistory>, last: Partial<PortHistory>) => {
      const edge = edgeWith((atMs) => (atMs === AT_MS ? first : last), pool, [h1, h2]);
      const response = await edge.find(`ip=${IP}&port=5320&at=2026-11-29T12:03:07Z`);
      return response.json<{ state: string; throughMs: number; holders: { host: string }[] }>();
    };
    const came = await find({}, held(h1, pool));
    expect(came).toMatchObject({ state: "held", throughMs: AT_MS + 999, holders: [{ host: h1 }] });
    expect(seen[0]!.searchParams.get("through")).toBe(String(AT_MS + 999));
    expect(await find(held(h1, pool), {})).toMatchObject({ state: "held", holders: [{ host: h1 }] });
    expect((await find(held(h1, pool), held(h1, pool))).holders).toHaveLength(1);
    const next = { ...held(h2, pool), holders: [leaseOf(h2, pool, { epoch: 10 })] };
    expect((await find(held(h1, pool), next)).holders.map(({ host }) => host)).toEqual([h1, h2]);
    expect(await find({}, { state: "unknown", reason: "not-yet" })).toMatchObject({ state: "nobody" });
  });

  it("[AT10] an address as the Internet sees it is found, of one's own pools alone, unless it is several", async () => {
    const { pool } = freshNames();
    const other = `${pool}-other`;
    const seenAs = (ip: string, of: string, body: object) =>
      administer("PUT", `/v1/pools/${of}/ips/${ip}`, body);
    for (const one of [pool, other]) await administer("PUT", `/v1/pools/${one}`, {});
    await seenAs("10.8.0.201", pool, { advertised: "203.0.113.201" });
    const whose = (ip: string) => administer("GET", `/v1/holders?ip=${ip}&port=2048`);
    expect(await (await whose("203.0.113.201")).json()).toMatchObject({
      ip: "10.8.0.201",
      reason: "not-leased",
    });
    const token = await tokenFor({ role: "admin", subject: "abuse-desk", pools: [other] });
    const foreign = await askEdge("/v1/holders?ip=203.0.113.201&port=2048", token);
    expect(await codeOf(foreign)).toEqual({ status: 404, code: "ip-unknown" });
    await seenAs("10.9.0.201", other, { advertised: "203.0.113.201" });
    const several = await whose("203.0.113.201");
    expect(await several.clone().text()).toContain(`10.8.0.201 of pool ${pool}`);
    expect(await codeOf(several)).toEqual({ status: 400, code: "input-invalid" });
    expect(await codeOf(await whose("203.0.113.202"))).toEqual({ status: 404, code: "ip-unknown" });
  });

  it.each([
    "",
    `ip=${IP}`,
    `ip=${IP}&port=65536`,
    `ip=${IP}&port=-1`,
    `ip=${IP}&port=1e3`,
    `ip=192.0.2.077&port=1`,
    `ip=2001:DB8::1&port=1`,
    `ip=example.com&port=1`,
    `${QUERY}x`,
    `${QUERY}&protocol=sctp`,
    `${QUERY}&destination=${"x".repeat(65)}`,
  ])("[AT4] refuses %j", async (query) => {
    const { find, asked } = edgeWith({}, "eu");
    expect(await codeOf(await find(query))).toEqual({ status: 400, code: "input-invalid" });
    expect(asked).toEqual([]);
  });

  it("[AT4] asks the object itself, now if no time is given; of an address that nobody had nothing is known", async () => {
    const { pool } = freshNames();
    await administer("PUT", `/v1/pools/${pool}`, {});
    await administer("PUT", `/v1/pools/${pool}/ips/203.0.113.78`);
    const reserved = await administer("GET", "/v1/holders?ip=203.0.113.78&port=443");
    expect(await reserved.json()).toMatchObject({ state: "nobody", reason: "port-reserved" });
    const free = await (
      await administer("GET", "/v1/holders?ip=203.0.113.78&port=2048")
    ).json<{ atMs: number }>();
    expect(free).toMatchObject({ state: "nobody", reason: "not-leased" });
    expect(Math.abs(free.atMs - Date.now())).toBeLessThan(60_000);
    const early = await administer("GET", "/v1/holders?ip=203.0.113.78&port=2048&at=2020-01-01T00:00:00Z");
    expect(await early.json()).toMatchObject({ state: "unknown", reason: "before-history" });
    const late = await administer("GET", "/v1/holders?ip=203.0.113.78&port=2048&at=2100-01-01T00:00:00Z");
    expect(await late.json()).toMatchObject({ state: "unknown", reason: "not-yet" });
    const other = await administer("GET", "/v1/holders?ip=203.0.113.79&port=2048");
    expect(await codeOf(other)).toEqual({ status: 404, code: "ip-unknown" });
  });
});

describe("/v1/leases", () => {
  /** An edge whose address has had these leases, and what its object was asked. */
  function edgeOf(pool: string, leases: readonly KnownLease[]) {
    const asked: unknown[] = [];
    const leasesOf = async (question: unknown): Promise<Outcome<unknown, "ip-unknown">> => {
      asked.push(question);
      return ok({ pool, leases, knownSinceMs: 5 });
    };
    const env = { ...environment, EGRESS_IP: { getByName: () => ({ leasesOf }) } as never };
    const list = async (query: string, pools: readonly string[] = ["*"]): Promise<Response> => {
      const token = await tokenFor({ role: "admin", subject: "abuse-desk", pools });
      return ask(`/v1/leases?${query}`, { headers: { authorization: `Bearer ${token}` } }, env);
    };
    return { asked, list };
  }

  it("[AT11] tells the latest by one question to the object, and asks no host", async () => {
    const { asked, list } = edgeOf("eu", [leaseOf("h2", "eu", { epoch: 12 }), leaseOf("h1", "eu")]);
    const before = askedHosts.length;
    const response = await list(`ip=${IP}&port=5320&limit=2`);
    expect(response.headers.get("cache-control")).toBe("no-store");
    const { leases, ...more } = await response.json<{ leases: unknown[] }>();
    expect(more).toEqual({ ip: IP, port: 5_320, knownSinceMs: 5 });
    expect(leases).toMatchObject([
      { host: "h2", epoch: 12, firstPort: 5_312, lastPort: 5_375, untilMs: null },
      { host: "h1", epoch: 9 },
    ]);
    await list(`ip=${IP}&port=5320`);
    expect(asked).toEqual([
      { port: 5_320, limit: 2 },
      { port: 5_320, limit: 10 },
    ]);
    expect(askedHosts.length).toBe(before);
  });

  it("[AT11] tells each administrator of the leases in pools of the token alone", async () => {
    const { list } = edgeOf("eu", [leaseOf("h2", "eu"), leaseOf("h1", "us")]);
    const hosts = async (pools: readonly string[]): Promise<string[]> => {
      const { leases } = await (
        await list(`ip=${IP}&port=5320`, pools)
      ).json<{ leases: { host: string }[] }>();
      return leases.map(({ host }) => host);
    };
    expect([await hosts(["eu"]), await hosts(["us"]), await hosts(["eu", "us"])]).toEqual([
      ["h2"],
      ["h1"],
      ["h2", "h1"],
    ]);
    const foreign = await list(`ip=${IP}&port=5320`, ["asia"]);
    expect(await codeOf(foreign)).toEqual({ status: 403, code: "pool-denied" });
  });

  it.each(["0", "101", "-1", "1e1", ""])("[AT11] refuses a limit of %j", async (limit) => {
    const { list, asked } = edgeOf("eu", []);
    const refused = await list(`ip=${IP}&port=5320&limit=${limit}`);
    expect(await codeOf(refused)).toEqual({ status: 400, code: "input-invalid" });
    expect(asked).toEqual([]);
  });

  it("[AT11] [AT10] asks the object itself, also by what the Internet sees", async () => {
    const { pool } = freshNames();
    await administer("PUT", `/v1/pools/${pool}`, {});
    await administer("PUT", `/v1/pools/${pool}/ips/10.8.0.211`, { advertised: "203.0.113.211" });
    const seen = await administer("GET", "/v1/leases?ip=203.0.113.211&port=2048");
    expect(await seen.json()).toMatchObject({ ip: "10.8.0.211", port: 2_048, leases: [] });
    const none = await administer("GET", "/v1/leases?ip=203.0.113.212&port=2048");
    expect(await codeOf(none)).toEqual({ status: 404, code: "ip-unknown" });
  });
});

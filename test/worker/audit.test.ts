/** Each route that changes something leaves an entry, which administrators of the pool can read. */
import type { JWK } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import type { ApiRoute } from "../../src/api/route-shapes.ts";
import { ROUTES } from "../../src/api/routes.ts";
import type { Identity } from "../../src/core/identity.ts";
import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { ask, codeOf, freshNames, tokenFor } from "./edge.ts";

/** Routes of another method than GET that leave no entry, and why. */
const NO_ENTRY: Readonly<Record<string, string>> = {
  join: "a machine's own, by no administrator; the register shows with the join when it was used",
  renewJoined: "a machine's own, by no administrator; the register shows the token that it got",
  makeSignInCode:
    "it signs in whom it was made for, who may do no more by it than by the token; no state is changed",
  makeGatewayToken: "a client asks for a token that is kept nowhere; no state is changed",
};
/** What else than an empty object is to be sent. */
const BODIES: Readonly<Record<string, object>> = {
  putPool: { settings: { quarantineMs: 5_000 } },
  putIp: { tags: ["blue"] },
  putPolicy: { special: ["10.0.0.0/8"] },
  putTenant: { limits: { tunnels: 3 } },
  revokeTokens: { id: "token-of-nobody", endsAtMs: Date.now() + 3_600_000 },
  rotateEdgeKey: { signsInMs: 600_000 },
  offerJoin: { role: "host", name: "joining", pools: ["p"], ttlMs: 60_000 },
  addIssuerKey: { key: await newIssuer() },
  registerToken: { token: await tokenFor({ tokenId: "registered-id" }) },
};
/** What is noted of what was given, where that is not all. */
const GIVEN: Readonly<Record<string, object>> = { registerToken: { id: "registered-id" } };
/** The key that is retired. */
const RETIRED = await newIssuer();
/** What cannot be done to what the test has; all else is done. */
const REFUSED: Readonly<Record<string, string>> = { deleteHost: "host-in-use" };
/** What each leaves of how it was and how it is, where nothing was done before it. */
const DIFFERENCES: Readonly<Record<string, { before: unknown; after: unknown }>> = {
  putPool: { before: { quarantineMs: 120_000 }, after: { quarantineMs: 5_000 } },
  putIp: { before: { tags: [] }, after: { tags: ["blue"] } },
  drainIp: { before: null, after: { drainedSinceMs: expect.any(Number) } },
  drainHost: { before: null, after: { drainedSinceMs: expect.any(Number) } },
  deleteIp: { before: { retiring: null }, after: { retiring: expect.anything() } },
  putTenant: {
    before: { tenants: { shop: { limits: { tunnels: null } } } },
    after: { tenants: { shop: { limits: { tunnels: 3 } } } },
  },
  putPolicy: { before: { special: [] }, after: { special: ["10.0.0.0/8"] } },
  registerToken: { before: null, after: { id: "registered-id", pools: ["eu"] } },
  revokeTokens: { before: null, after: { revoked: ["token-of-nobody"] } },
  offerJoin: { before: null, after: { name: "joining", madeBy: "ada" } },
  addIssuerKey: { before: null, after: expect.anything() },
  rotateEdgeKey: { before: null, after: expect.anything() },
  retireKey: {
    before: { [RETIRED.kid!]: { retiredAtMs: null } },
    after: { [RETIRED.kid!]: { retiredBy: "ada" } },
  },
  deleteTenant: { before: { tenants: { shop: expect.anything() } }, after: {} },
};

interface Entry {
  readonly sequence: number;
  readonly route: string;
  readonly subject: string;
  readonly tokenId: string | null;
  readonly given: object;
  readonly result: string;
  readonly at: string;
  readonly before: unknown;
  readonly after: unknown;
}

let tokenId = 0;
let ipCount = 0;

async function administer(method: string, path: string, body?: object, claims: Partial<Identity> = {}) {
  const token = await tokenFor({
    role: "admin",
    subject: "ada",
    tokenId: `t-${tokenId}`,
    pools: ["*"],
    ...claims,
  });
  const headers: Record<string, string> = { authorization: `Bearer ${token}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  return ask(path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
}

async function newIssuer(): Promise<JWK> {
  return publicPart(await generateKey("issuer"));
}

/** Of a pool, or of the register. */
async function entriesOf(pool: string | null, query = "&limit=200"): Promise<Entry[]> {
  const answer = await administer("GET", `/v1/audit?${pool === null ? "" : `pool=${pool}`}${query}`);
  expect(answer.status).toBe(200);
  return (await answer.json<{ entries: Entry[] }>()).entries;
}

/** A pool with an address, a host and a tenant. */
async function newPool() {
  const { pool, h1: host } = freshNames();
  ipCount += 1;
  const named = { pool, host, ip: `198.18.9.${ipCount}`, tenant: "shop" };
  await administer("PUT", `/v1/pools/${pool}`, {});
  await administer("PUT", `/v1/pools/${pool}/ips/${named.ip}`, {});
  await administer("PUT", `/v1/pools/${pool}/tenants/shop`, {});
  const token = await tokenFor({ role: "host", subject: host, pools: [pool] });
  const headers = { authorization: `Bearer ${token}`, upgrade: "websocket" };
  const { webSocket } = await ask(`/v1/pools/${pool}/connect`, { headers });
  webSocket!.accept();
  const enlisted = new Promise<unknown>((resolve) => {
    webSocket!.addEventListener("message", ({ data }) => resolve(data), { once: true });
  });
  const message = {
    type: "enlist",
    version: 1,
    instance: `instance-of-${host}`,
    gateway: "http://h.gateway",
  };
  webSocket!.send(JSON.stringify(message));
  expect(JSON.parse(String(await enlisted))).toMatchObject({ type: "enlisted" });
  tokenId += 1;
  return named;
}

const changing = Object.entries<ApiRoute>(ROUTES).filter(([, { method }]) => method !== "get");

describe("every route that is no GET", () => {
  it.each(changing.filter(([name]) => !Object.hasOwn(NO_ENTRY, name)))(
    "[AU1] %s leaves an entry of who, when, what, and how it was and is",
    async (name, route) => {
      const named: Readonly<Record<string, string>> = { ...(await newPool()), kid: RETIRED.kid! };
      const log = route.path.includes("{pool}") ? named["pool"]! : null;
      if (name === "retireKey") await administer("POST", "/v1/keys", { key: RETIRED });
      const before = (await entriesOf(log)).at(-1)?.sequence ?? 0;
      const path = route.path.replaceAll(/\{(\w+)\}/g, (_, parameter: string) => named[parameter]!);
      const body = route.request?.body === undefined ? undefined : (BODIES[name] ?? {});
      const answer = await administer(route.method.toUpperCase(), path, body);
      const result = REFUSED[name] ?? "done";
      expect(answer.ok ? "done" : (await codeOf(answer)).code).toBe(result);
      const left = await entriesOf(log, `&after=${before}`);
      expect(left).not.toEqual([]);
      const entry = left.at(-1)!;
      const parameters = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter!);
      const inPath = Object.fromEntries(parameters.map((parameter) => [parameter, named[parameter]]));
      expect(entry).toMatchObject({ route: name, subject: "ada", tokenId: `t-${tokenId}`, result });
      expect(entry.given).toEqual(GIVEN[name] ?? { ...inPath, ...body });
      expect(Math.abs(Date.parse(entry.at) - Date.now())).toBeLessThan(60_000);
      expect(entry).toMatchObject(DIFFERENCES[name] ?? {});
    },
  );

  it("[AU1] is in the table of this test only if there is such a route", () => {
    const names = new Set(changing.map(([name]) => name));
    for (const table of [NO_ENTRY, BODIES, GIVEN, REFUSED, DIFFERENCES]) {
      expect(Object.keys(table).filter((name) => !names.has(name))).toEqual([]);
    }
  });
});

describe("what administrators did in a pool", () => {
  let named: Awaited<ReturnType<typeof newPool>>;

  beforeAll(async () => {
    named = await newPool();
  });

  it("[AU1] begins with the making of the pool, and has what was refused", async () => {
    const { pool } = named;
    const entries = await entriesOf(pool);
    expect(entries.map(({ sequence }) => sequence)).toEqual(entries.map((_, index) => index + 1));
    expect(entries[0]).toMatchObject({ route: "putPool", before: null, given: { pool, settings: {} } });
    await administer("PUT", `/v1/pools/${pool}/policy`, { version: 7 });
    await administer("DELETE", `/v1/pools/${pool}/tenants/nobody`);
    await administer("DELETE", `/v1/pools/${pool}/hosts/${named.host}`);
    await administer("DELETE", `/v1/pools/${pool}/hosts/no-such-host`);
    const after = await entriesOf(pool, `&after=${entries.at(-1)!.sequence}`);
    expect(after.map(({ route, result }) => [route, result])).toEqual([
      ["putPolicy", "policy-changed"],
      ["deleteTenant", "tenant-unknown"],
      ["deleteHost", "host-in-use"],
      ["deleteHost", "begun"],
      ["deleteHost", "host-unknown"],
    ]);
  });

  it("[AU5] is shown to administrators of the pool only, and of a pool that there is", async () => {
    const path = `/v1/audit?pool=${named.pool}`;
    expect((await administer("GET", path, undefined, { pools: [named.pool] })).status).toBe(200);
    const denied = await administer("GET", path, undefined, { pools: ["other"] });
    expect(await codeOf(denied)).toEqual({ status: 403, code: "pool-denied" });
    for (const role of ["client", "host", "router"] as const) {
      expect((await codeOf(await administer("GET", path, undefined, { role }))).code).toBe("role-denied");
    }
    expect((await codeOf(await administer("GET", "/v1/audit?pool=never-made"))).code).toBe("pool-unknown");
  });

  it("[AU5] is shown of the register to administrators of every pool", async () => {
    expect((await administer("GET", "/v1/audit")).status).toBe(200);
    const denied = await administer("GET", "/v1/audit", undefined, { pools: [named.pool] });
    expect(await codeOf(denied)).toEqual({ status: 403, code: "pool-denied" });
  });

  it.each(["?pool=A", "?pool=p&limit=0", "?pool=p&limit=201", "?pool=p&after=-1", "?pool=p&before=x"])(
    "[AU5] is not shown for /v1/audit%s",
    async (query) => {
      const answer = await administer("GET", `/v1/audit${query}`);
      expect(await codeOf(answer)).toEqual({ status: 400, code: "input-invalid" });
    },
  );

  it("[AU5] is read page by page in both directions", async () => {
    const all = (await entriesOf(named.pool)).map(({ sequence }) => sequence);
    const page = async (query: string): Promise<number[]> =>
      (await entriesOf(named.pool, query)).map(({ sequence }) => sequence);
    expect(await page("&limit=2")).toEqual(all.slice(-2));
    expect(await page(`&limit=1&before=${all.at(-1)}`)).toEqual(all.slice(-2, -1));
    expect(await page("&after=0&limit=1")).toEqual([1]);
    expect(await page("&after=1&limit=200")).toEqual(all.slice(1));
  });
});

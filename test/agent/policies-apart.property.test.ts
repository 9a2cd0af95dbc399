/**
 * Tenants with different rules of destinations to the same origins, in every order, over kept connections of
 * both versions of HTTP, through the gateway and the proxy: what was opened for one is used for nobody whose own
 * rules would not have opened it, and never for another tenant.
 */
import * as fc from "fast-check";
import { Agent, request as httpRequest } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { DEFAULT_POOL_POLICY, type DestinationRules, NO_LIMITS } from "../../src/core/pool-policy.ts";
import { type Origin, startOrigin } from "./gateway-rig.ts";
import { type ProxyRig, startProxyRig } from "./proxy-rig.ts";
import { CERTIFICATE, startSecureOrigin } from "./tls-origin.ts";

const TENANTS = ["shop", "office", "lab"] as const;
type Tenant = (typeof TENANTS)[number];
type Kind = "h1" | "tls" | "h2";

/** Where requests go: a name or a literal address, at one of three origins. */
interface Place {
  readonly host: string;
  readonly kind: Kind;
}

const PLACES: readonly Place[] = [
  { host: "one.test", kind: "h1" },
  { host: "two.test", kind: "h1" },
  { host: "127.0.0.1", kind: "h1" },
  { host: "secure.test", kind: "tls" },
  { host: "127.0.0.1", kind: "tls" },
  { host: "secure.test", kind: "h2" },
  { host: "127.0.0.1", kind: "h2" },
];

/** Rules, and by itself what they permit. */
interface Ruled {
  readonly rules: (port: (kind: Kind) => number) => DestinationRules;
  readonly permits: (place: Place) => boolean;
}

const rules = (allow: string[], deny: string[] = []): DestinationRules => ({ mode: "enforce", allow, deny });
const RULED: readonly Ruled[] = [
  { rules: () => rules([]), permits: () => true },
  { rules: () => rules([], ["*.test"]), permits: ({ host }) => host === "127.0.0.1" },
  { rules: () => rules([], ["secure.test", "two.test"]), permits: ({ host }) => /^(?:one|127)/.test(host) },
  { rules: () => rules(["one.test", "secure.test"]), permits: ({ host }) => /^(?:one|secure)/.test(host) },
  { rules: (port) => rules([], [`127.0.0.0/8:${port("h2")}`]), permits: ({ kind }) => kind !== "h2" },
  { rules: (port) => rules([`127.0.0.1:${port("tls")}`]), permits: ({ kind }) => kind === "tls" },
  { rules: () => ({ ...rules([], ["*"]), mode: "open" }), permits: () => true },
  { rules: () => ({ ...rules([], ["*"]), mode: "report" }), permits: () => true },
  { rules: () => rules([], ["*"]), permits: () => false },
];

/** A connection to an origin: for whom it was made, by whose rules. */
interface Served {
  readonly tenants: Set<string>;
  readonly rules: Set<string>;
  readonly kind: Kind;
  requestCount: number;
}

let rig: ProxyRig;
let origins: Record<Kind, Origin>;
let served: Map<unknown, Served>;
let tokens: Record<"gateway" | "client", Record<Tenant, string>>;
const agent = new Agent({ keepAlive: true });

beforeAll(async () => {
  const serve =
    (kind: Kind) =>
    (request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse): void => {
      const connection = "stream" in request ? request.stream.session : request.socket;
      const seen = served.get(connection) ?? { tenants: new Set(), rules: new Set(), kind, requestCount: 0 };
      served.set(connection, seen);
      seen.tenants.add(String(request.headers["x-tenant"]));
      seen.rules.add(String(request.headers["x-rules"]));
      seen.requestCount += 1;
      response.end("ok");
    };
  served = new Map();
  rig = await startProxyRig({
    records: { "one.test": ["127.0.0.1"], "two.test": ["127.0.0.1"], "secure.test": ["127.0.0.1"] },
    authorities: [CERTIFICATE],
    sources: [],
  });
  origins = {
    h1: await startOrigin(serve("h1")),
    tls: await startSecureOrigin("h1", serve("tls")),
    h2: await startSecureOrigin("h2", serve("h2")),
  };
  const tokensOf = async (role: "gateway" | "client"): Promise<Record<Tenant, string>> => {
    const made = TENANTS.map(async (tenant) => [tenant, await rig.tokenSaying({ role, tenant })] as const);
    return Object.fromEntries(await Promise.all(made)) as Record<Tenant, string>;
  };
  tokens = { gateway: await tokensOf("gateway"), client: await tokensOf("client") };
});
afterAll(async () => {
  agent.destroy();
  for (const { close } of Object.values(origins)) close();
  await rig.close();
});
beforeEach(() => served.clear());

let version = 0;
/** Gives each tenant its rules, by their places in the list. */
function rule(chosen: Readonly<Record<Tenant, number>>): void {
  version += 1;
  const port = (kind: Kind): number => origins[kind].port;
  const tenants = Object.fromEntries(
    TENANTS.map((tenant) => [
      tenant,
      { destinations: RULED[chosen[tenant]]!.rules(port), limits: NO_LIMITS },
    ]),
  );
  rig.tenants.take({ ...DEFAULT_POOL_POLICY, version, tenants });
}

/** Sends a request, and says whether it was served; a refusal must be one of the lists'. */
async function isServed(
  tenant: Tenant,
  place: Place,
  rulesNumber: number,
  byProxy: boolean,
): Promise<boolean> {
  const { host, kind } = place;
  const url = `${kind === "h1" ? "http" : "https"}://${host}:${origins[kind].port}/`;
  const marks = { "x-tenant": tenant, "x-rules": String(rulesNumber) };
  const { status, body } = byProxy
    ? await ask(rig.proxyPort, url, {
        ...marks,
        host: new URL(url).host,
        "proxy-authorization": `Bearer ${tokens.client[tenant]}`,
      })
    : await ask(rig.port, `/v1/fetch?url=${encodeURIComponent(url)}`, {
        ...marks,
        "egress-authorization": `Bearer ${tokens.gateway[tenant]}`,
      });
  if (status === 200) return true;
  expect(status).toBe(403);
  expect((JSON.parse(body) as { code: string }).code).toMatch(/^destination-(?:denied|not-allowed)$/);
  return false;
}

function ask(
  port: number,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ port, host: "127.0.0.1", path, headers, agent }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => (body += text));
      response.on("end", () => resolve({ status: response.statusCode!, body }));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end();
  });
}

const someRules = fc.nat(RULED.length - 1);
const change = fc.record({ shop: someRules, office: someRules, lab: someRules });
const sending = fc.record({
  tenant: fc.constantFrom(...TENANTS),
  place: fc.constantFrom(...PLACES),
  byProxy: fc.boolean(),
});
/** Requests that are on their way together, and now and then other rules before them. */
const step = fc.record({
  change: fc.option(change, { freq: 3 }),
  together: fc.array(sending, { minLength: 1, maxLength: 4 }),
});

test("[DE8] [DE11] [DE15] whatever is asked in whatever order, each request is judged and sent by its own tenant's rules", async () => {
  const reused: Record<Kind, number> = { h1: 0, tls: 0, h2: 0 };
  let refusedCount = 0;
  await fc.assert(
    fc.asyncProperty(change, fc.array(step, { minLength: 3, maxLength: 12 }), async (first, steps) => {
      let now = first;
      rule(now);
      for (const { change: next, together } of steps) {
        if (next !== null) rule((now = next));
        await Promise.all(
          together.map(async ({ tenant, place, byProxy }) => {
            const isPermitted = RULED[now[tenant]]!.permits(place);
            // A proxy is asked for plain HTTP; what is secure it tunnels, and keeps nothing.
            const was = await isServed(tenant, place, now[tenant], byProxy && place.kind === "h1");
            expect(was, `${tenant} ${place.host} ${place.kind} by ${now[tenant]}`).toBe(isPermitted);
            if (!was) refusedCount += 1;
          }),
        );
      }
      for (const { tenants, rules: by } of served.values()) {
        expect(tenants.size, "one tenant on a connection").toBe(1);
        expect(by.size, "one set of rules on a connection").toBe(1);
      }
    }),
    { numRuns: 150 },
  );
  // Otherwise it would show nothing.
  for (const { kind, requestCount } of served.values()) reused[kind] += requestCount - 1;
  for (const [kind, count] of Object.entries(reused)) expect(count, kind).toBeGreaterThan(20);
  expect(refusedCount).toBeGreaterThan(100);
}, 60_000);

test("[DE8] two names of one address and one certificate have a connection each, over HTTP/2 too", async () => {
  rule({ shop: 0, office: 0, lab: 0 });
  for (const host of ["secure.test", "127.0.0.1", "secure.test"]) {
    expect(await isServed("shop", { host, kind: "h2" }, 0, false)).toBe(true);
  }
  expect(new Set(Array.from(served.values(), ({ requestCount }) => requestCount))).toEqual(new Set([1, 2]));
  expect(served.size).toBe(2);
});

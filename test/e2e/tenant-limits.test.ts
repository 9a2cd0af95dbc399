/** Tenants' limits with real processes: shared out over hosts and data processes, exact together, and fair. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Agent, request } from "undici";
import { Cluster, POOL, until } from "./cluster.ts";

let cluster: Cluster;
let client: Agent;

beforeAll(async () => {
  cluster = await Cluster.start({
    hosts: ["h1", "h2"],
    settings: { firstBlockOrder: 10, minPortsPerHost: 2_048 },
    agentArgs: ["--processes=2"],
  });
});
afterEach(async () => {
  await cluster.askOrigin("release");
  await client.destroy();
});
afterAll(async () => {
  await cluster?.stop();
});

interface Told {
  readonly status: number;
  readonly code: string | null;
  readonly retryAfter: string | null;
}

/** Asks a host for something at the origin, in the name of a client. */
async function ask(host: string, name: string, path: string): Promise<Told> {
  const { token } = await cluster.apiAs("client", name).makeGatewayToken();
  const url = cluster.through(cluster.originUrl(path), cluster.gatewayOf(host));
  const headers = { "egress-authorization": `Bearer ${token}` };
  const answer = await request(url, { headers, dispatcher: client });
  const text = await answer.body.text();
  const { code = null } = answer.statusCode === 200 ? {} : (JSON.parse(text) as { code?: string });
  const retryAfter = answer.headers["retry-after"];
  return { status: answer.statusCode, code, retryAfter: typeof retryAfter === "string" ? retryAfter : null };
}

async function limit(tenant: string, limits: object): Promise<void> {
  client = new Agent({ connections: null });
  const { version } = await cluster.api.putTenant({ pool: POOL, tenant, limits });
  await until("both hosts have the policy", async () => {
    const { hosts } = await cluster.api.listHosts({ pool: POOL });
    return hosts.every(({ policyVersion }) => policyVersion === version);
  });
}

interface TenantView {
  readonly tenant: string;
  readonly used: Readonly<Record<string, number>>;
  readonly share: Readonly<Record<string, number>>;
  readonly refusals: Readonly<Record<string, number>>;
}

async function view(host: string, tenant: string): Promise<TenantView | undefined> {
  const { tenants } = (await cluster.status(host)) as unknown as { readonly tenants: readonly TenantView[] };
  return tenants.find((one) => one.tenant === tenant);
}

test("[LI4] [LI10] [LI11] over two hosts of two processes each no more is under way than the limit, and one that is alone comes to nearly all of it", async () => {
  await limit("shop", { requestsInFlight: 40 });
  const asked = Array.from({ length: 200 }, (_, at) => ask(at % 2 === 0 ? "h1" : "h2", "shop", "/hold"));
  await until("as many as may be wait", async () => (await cluster.askOrigin("held")) >= 30);
  const refused: Told[] = [];
  const note = async (one: Promise<Told>): Promise<void> => {
    const told = await one;
    if (told.status === 429) refused.push(told);
  };
  const noted = asked.map(note);
  await until("the others are refused", () => refused.length >= 160);
  const held = await cluster.askOrigin("held");
  expect(held).toBeLessThanOrEqual(40);
  expect(held + refused.length).toBe(200);
  for (const { code, retryAfter } of refused) {
    expect(code).toBe("in-flight-limited");
    expect(retryAfter).toMatch(/^[1-9]\d*$/);
  }
  await cluster.askOrigin("release");
  await Promise.all(noted);
  expect((await Promise.all(asked)).filter(({ status }) => status === 200)).toHaveLength(held);
  const views = [await view("h1", "shop"), await view("h2", "shop")];
  const share = views.reduce((sum, one) => sum + (one?.share["requestsInFlight"] ?? 0), 0);
  expect(share).toBeLessThanOrEqual(40);
});

test("[LI2] [LI7] a tenant at ten times its limits takes nothing from another: all of the other's requests are answered, and the flood is refused by name", async () => {
  await limit("flood", { requestsPerSecond: 5, requestsInFlight: 4, ports: 4 });
  const over = new AbortController();
  const flood: Told[] = [];
  const flooding = Array.from({ length: 64 }, async () => {
    while (!over.signal.aborted) flood.push(await ask("h1", "flood", "/seen"));
  });
  const good: Told[] = [];
  for (let round = 0; round < 40; round += 1) {
    good.push(...(await Promise.all(Array.from({ length: 10 }, () => ask("h1", "good", "/seen")))));
  }
  over.abort();
  await Promise.all(flooding);
  expect(good.filter(({ status }) => status !== 200)).toEqual([]);
  const refused = flood.filter(({ status }) => status !== 200);
  expect(refused.length).toBeGreaterThan(flood.length / 2);
  const codes = new Set(refused.map(({ status, code }) => `${status} ${code}`));
  for (const code of codes) expect(code).toMatch(/^429 (requests|in-flight|ports)-limited$/);
  for (const { retryAfter } of refused) expect(retryAfter).toMatch(/^[1-9]\d*$/);
  expect((await view("h1", "good"))?.refusals).toEqual({});
});

test("[LI8] flows of a tenant that is served no more end, in every process", async () => {
  await limit("gone", {});
  const asked = Array.from({ length: 8 }, () => ask("h1", "gone", "/hold"));
  await until("they wait", async () => (await cluster.askOrigin("held")) === 8);
  await cluster.api.putTenant({ pool: POOL, tenant: "shop", limits: {} });
  await cluster.api.putPolicy({ pool: POOL, anyTenant: null });
  await cluster.api.deleteTenant({ pool: POOL, tenant: "gone" });
  const told = await Promise.all(asked);
  expect(told.map(({ code }) => code)).toEqual(Array.from({ length: 8 }, () => "tenant-denied"));
  await cluster.api.putPolicy({ pool: POOL, anyTenant: {} });
});

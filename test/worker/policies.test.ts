import { describe, expect, it } from "vitest";
import { DEFAULT_POOL_POLICY, NO_LIMITS, OPEN_DESTINATIONS } from "../../src/core/pool-policy.ts";
import { edgeCounters } from "../../src/worker/runtime/control-plane.ts";
import { administer, ask, codeOf, freshNames, tokenFor } from "./edge.ts";

const UNRESTRICTED = { destinations: OPEN_DESTINATIONS, limits: NO_LIMITS };

async function newPool(): Promise<string> {
  const { pool } = freshNames();
  await administer("PUT", `/v1/pools/${pool}`, {});
  return pool;
}

async function askAs(role: "host" | "client" | "router", pools: string[], path: string): Promise<Response> {
  const token = await tokenFor({ role, subject: "h1", pools });
  return ask(path, { headers: { authorization: `Bearer ${token}` } });
}

describe("the policy of a pool", () => {
  it("[PY5] is shown and changed by administrators, its tenants one by one", async () => {
    const pool = await newPool();
    const path = `/v1/pools/${pool}`;
    expect(await (await administer("GET", `${path}/policy`)).json()).toEqual(DEFAULT_POOL_POLICY);
    const changed = await administer("PUT", `${path}/policy`, { destinations: { deny: ["*.test:25"] } });
    expect(changed.status).toBe(200);
    const { version, destinations } = await changed.json<{ version: number; destinations: unknown }>();
    expect(destinations).toEqual({ mode: "enforce", allow: [], deny: ["*.test:25"] });
    const tenant = encodeURIComponent("Shop & Söhne");
    const put = await administer("PUT", `${path}/tenants/${tenant}`, { limits: { tunnels: 2 } });
    const policy = { ...UNRESTRICTED, limits: { ...NO_LIMITS, tunnels: 2 } };
    const shown = await put.json<{ version: number }>();
    expect(shown).toEqual({ tenant: "Shop & Söhne", version: shown.version, policy, named: true });
    expect(shown.version).toBeGreaterThan(version);
    expect(await (await administer("GET", `${path}/tenants/${tenant}`)).json()).toEqual(shown);
    expect(await (await administer("GET", `${path}/tenants`)).json()).toEqual({
      version: shown.version,
      anyTenant: UNRESTRICTED,
      tenants: [{ tenant: "Shop & Söhne", policy }],
    });
    await administer("PUT", `${path}/policy`, { anyTenant: null });
    const stranger = await administer("GET", `${path}/tenants/stranger`);
    expect(await stranger.json()).toMatchObject({ policy: null, named: false });
    const removed = await administer("DELETE", `${path}/tenants/${tenant}`);
    expect(await removed.json()).toMatchObject({ policy: null, named: false });
    expect(await codeOf(await administer("DELETE", `${path}/tenants/${tenant}`))).toEqual({
      status: 404,
      code: "tenant-unknown",
    });
  });

  it.each([
    ["policy", { destinations: { mode: "off" } }],
    ["policy", { destinations: { deny: ["a b"] } }],
    ["policy", { destinations: { denied: [] } }],
    ["policy", { tenants: {} }],
    ["policy", { revoked: [] }],
    ["policy", { special: ["10.0.0.1"] }],
    ["tenants/shop", { limits: { ports: -1 } }],
    ["tenants/shop", { limits: { ports: 1.5 } }],
    ["tenants/shop", { mode: "open" }],
    ["tenants/__proto__", {}],
    [`tenants/${"a".repeat(129)}`, {}],
  ])("[PY4] [WK16] is not changed at %s by %j", async (at, body) => {
    const pool = await newPool();
    const answer = await administer("PUT", `/v1/pools/${pool}/${at}`, body);
    expect(await codeOf(answer)).toEqual({ status: 400, code: "input-invalid" });
  });

  it("[PY5] that has changed since is not changed by who names another version", async () => {
    const path = `/v1/pools/${await newPool()}/policy`;
    const first = await (await administer("PUT", path, { version: 0 })).json<{ version: number }>();
    const refused = await administer("PUT", path, { special: ["10.0.0.0/8"], version: 0 });
    expect(await codeOf(refused)).toEqual({ status: 409, code: "policy-changed" });
    expect((await administer("PUT", path, { version: first.version })).status).toBe(200);
  });

  it("[PY3] is read by the hosts of the pool, and by nobody else who is no administrator", async () => {
    const pool = await newPool();
    const path = `/v1/pools/${pool}/policy`;
    expect(await (await askAs("host", [pool], path)).json()).toEqual(DEFAULT_POOL_POLICY);
    expect((await codeOf(await askAs("host", ["other"], path))).code).toBe("pool-denied");
    for (const role of ["client", "router"] as const) {
      expect((await codeOf(await askAs(role, [pool], path))).code).toBe("role-denied");
    }
    expect((await codeOf(await askAs("host", [pool], `/v1/pools/${pool}/tenants`))).code).toBe("role-denied");
    expect((await codeOf(await ask(path))).code).toBe("token-missing");
  });

  it("[PY3] is given to a thousand hosts after one change by asking its object once", async () => {
    const pool = await newPool();
    const path = `/v1/pools/${pool}/policy`;
    const before = await (await administer("PUT", path, {})).json<{ version: number }>();
    await askAs("host", [pool], `${path}?version=${before.version}`);
    const { version } = await (await administer("PUT", path, {})).json<{ version: number }>();
    const calls = edgeCounters.controlPlaneCalls;
    for (let host = 0; host < 1_000; host += 1) {
      const fetched = await askAs("host", [pool], `${path}?version=${version}`);
      expect(await fetched.json()).toMatchObject({ version });
    }
    expect(edgeCounters.controlPlaneCalls - calls).toBe(1);
    // Who names no version, or one that is not known yet, hears it from the pool.
    for (const query of ["", `?version=${version + 1}`]) await askAs("host", [pool], `${path}${query}`);
    expect(edgeCounters.controlPlaneCalls - calls).toBe(3);
  });
});

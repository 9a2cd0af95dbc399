import { describe, expect, it, vi } from "vitest";
import { ROUTES } from "../../src/api/routes.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { PLACELESS } from "../../src/core/whereabouts.ts";
import { administer, ask, codeOf, environment, freshNames, tokenFor } from "./edge.ts";

let ipCount = 0;

/** A pool and an address that nobody has used. */
function fresh() {
  ipCount += 1;
  return { pool: freshNames().pool, ip: `198.51.100.${ipCount}` };
}

/** Speaks to an object as the host h1, one message after the other; the connection stays. */
async function say(stub: Pick<DurableObjectStub, "fetch">, messages: readonly object[]): Promise<WebSocket> {
  const headers = { upgrade: "websocket", "ipshard-host": "h1" };
  const { webSocket } = await stub.fetch("http://object/connect", { headers });
  webSocket!.accept();
  for (const message of messages) {
    const answered = new Promise((resolve) =>
      webSocket!.addEventListener("message", resolve, { once: true }),
    );
    webSocket!.send(JSON.stringify(message));
    await answered;
  }
  return webSocket!;
}

describe("pools", () => {
  it("[WK16] are made, changed, shown and listed", async () => {
    const { pool } = fresh();
    const made = await administer("PUT", `/v1/pools/${pool}`, { settings: { leaseDurationMs: 60_000 } });
    expect(made.status).toBe(200);
    const settings = { ...DEFAULT_POOL_SETTINGS, leaseDurationMs: 60_000 };
    expect(await made.json()).toEqual({
      pool,
      settings,
      ips: [],
      hosts: [],
      slots: null,
      steeringSequence: 0,
      routers: [],
      policyVersion: 0,
    });
    await administer("PUT", `/v1/pools/${pool}`, { settings: { quarantineMs: 1_000 } });
    const shown = await administer("GET", `/v1/pools/${pool}`);
    expect(await shown.json()).toMatchObject({ settings: { ...settings, quarantineMs: 1_000 } });
    const listed = await (await administer("GET", "/v1/pools")).json<{ pools: string[] }>();
    expect(listed.pools).toContain(pool);
  });

  it("[WK16] take addresses, each in one pool only", async () => {
    const { pool, ip } = fresh();
    await administer("PUT", `/v1/pools/${pool}`, {});
    const added = await administer("PUT", `/v1/pools/${pool}/ips/${ip}`, { advertised: "203.0.113.9" });
    expect(added.status).toBe(200);
    const ips = await administer("GET", `/v1/pools/${pool}/ips`);
    const rest = { retiring: null, drain: null, busiestDestination: null };
    const shown = { ip, advertised: "203.0.113.9", ...PLACELESS, ...rest };
    expect(await ips.json()).toEqual({ ips: [shown] });
    const other = fresh().pool;
    await administer("PUT", `/v1/pools/${other}`, {});
    expect(await codeOf(await administer("PUT", `/v1/pools/${other}/ips/${ip}`))).toEqual({
      status: 409,
      code: "ip-elsewhere",
    });
  });

  it("[WK16] [DO19] say where an address is, and what is not said again stays", async () => {
    const { pool, ip } = fresh();
    await administer("PUT", `/v1/pools/${pool}`, {});
    const put = async (changes?: object): Promise<unknown> => {
      const response = await administer("PUT", `/v1/pools/${pool}/ips/${ip}`, changes);
      return (await response.json<{ ips: unknown[] }>()).ips[0];
    };
    const place = { advertised: "203.0.113.9", country: "de", sites: ["fra1", "Rack 7"], tags: ["gold"] };
    const rest = { retiring: null, drain: null, busiestDestination: null };
    expect(await put({ ...place, country: "DE" })).toEqual({ ip, ...place, ...rest });
    expect(await put()).toMatchObject(place);
    expect(await put({})).toMatchObject(place);
    expect(await put({ tags: [] })).toMatchObject({ ...place, tags: [] });
    expect(await put({ sites: ["ams1"] })).toMatchObject({ ...place, sites: ["ams1"], tags: [] });
    expect(await put({ country: null, advertised: null, sites: [] })).toMatchObject(PLACELESS);
  });

  it.each([
    [{ country: "germany" }],
    [{ country: "" }],
    [{ sites: ["fra1", "fra1"] }],
    [{ sites: [" fra1"] }],
    [{ sites: null }],
    [{ sites: "fra1" }],
    [{ sites: Array.from({ length: 65 }, (_, at) => `site${at}`) }],
    [{ tags: [""] }],
    [{ unheardOf: 1 }],
  ])("[WK16] %j is nothing that an address can be", async (changes) => {
    const { pool, ip } = fresh();
    await administer("PUT", `/v1/pools/${pool}`, {});
    const response = await administer("PUT", `/v1/pools/${pool}/ips/${ip}`, changes);
    expect(await codeOf(response)).toEqual({ status: 400, code: "input-invalid" });
  });

  it("[DR1] [DR5] drain an address and resume it, and refuse by name what they do not have", async () => {
    const { pool, ip } = fresh();
    const path = `/v1/pools/${pool}/ips/${ip}`;
    expect(await codeOf(await administer("POST", `${path}/drain`))).toMatchObject({ code: "pool-unknown" });
    await administer("PUT", `/v1/pools/${pool}`, {});
    for (const verb of ["drain", "resume"]) {
      const unknown = { status: 404, code: "ip-unknown" };
      expect(await codeOf(await administer("POST", `${path}/${verb}`))).toEqual(unknown);
      const host = await administer("POST", `/v1/pools/${pool}/hosts/nobody/${verb}`);
      expect(await codeOf(host)).toEqual({ status: 404, code: "host-unknown" });
    }
    await administer("PUT", path);
    const drained = { state: "drained", portCount: 0, flowCount: 0 };
    for (let time = 0; time < 2; time += 1) {
      const answer = await administer("POST", `${path}/drain`);
      expect([answer.status, await answer.json()]).toMatchObject([200, { ips: [{ ip, drain: drained }] }]);
    }
    const resumed = await administer("POST", `${path}/resume`);
    expect(await resumed.json()).toMatchObject({ ips: [{ ip, drain: null }] });
  });

  it("[SM8] say exactly what a static one has room for, and stay static until they are told otherwise", async () => {
    const { pool, ip } = fresh();
    const path = `/v1/pools/${pool}`;
    const put = async (settings: object): Promise<unknown> =>
      (await administer("PUT", path, { settings })).json();
    expect(await put({ staticPortsPerHost: 2_048 })).toMatchObject({
      slots: { slotCount: 0, takenCount: 0 },
    });
    const slots = {
      portsPerSlot: 2_048,
      slotsPerIp: 31,
      lostPortsPerIp: 1_024,
      slotCount: 31,
      takenCount: 0,
    };
    expect(await (await administer("PUT", `${path}/ips/${ip}`)).json()).toMatchObject({ slots });
    expect(await put({ quarantineMs: 1_000 })).toMatchObject({ slots });
    expect(await put({ staticPortsPerHost: null })).toMatchObject({
      slots: null,
      settings: { staticPortsPerHost: null },
    });
  });

  it.each([0, 32, 1_000, 8_192, "2048"])("[ME4] have no slots of %j ports", async (staticPortsPerHost) => {
    const { pool } = fresh();
    const response = await administer("PUT", `/v1/pools/${pool}`, { settings: { staticPortsPerHost } });
    expect(await codeOf(response)).toEqual({ status: 400, code: "input-invalid" });
  });

  it("[SM5] [SM6] refuse by name to change what is leased, and to remove who is heard or nobody", async () => {
    const { pool, ip } = fresh();
    const path = `/v1/pools/${pool}`;
    const remove = (): Promise<Response> => administer("DELETE", `${path}/hosts/h1`);
    expect(await codeOf(await remove())).toEqual({ status: 404, code: "pool-unknown" });
    await administer("PUT", path, { settings: { staticPortsPerHost: 4_096, hostSilenceMs: 500 } });
    expect(await codeOf(await remove())).toEqual({ status: 404, code: "host-unknown" });
    await administer("PUT", `${path}/ips/${ip}`);
    const instance = "instance-of-h1";
    const inPool = await say(environment.EGRESS_POOL.getByName(pool), [
      { type: "enlist", version: 1, instance, gateway: "http://127.0.0.1:1" },
    ]);
    await say(environment.EGRESS_IP.getByName(ip), [
      { type: "join", version: 1, requestId: "a", instance },
      { type: "acquire", requestId: "b", order: 12 },
    ]);
    const changed = await administer("PUT", path, { settings: { staticPortsPerHost: 2_048 } });
    expect(await codeOf(changed)).toEqual({ status: 409, code: "pool-in-use" });
    expect(await codeOf(await remove())).toEqual({ status: 409, code: "host-in-use" });
    const slot = { ip, slot: 0, firstPort: 4_096, lastPort: 8_191 };
    expect(await (await administer("GET", path)).json()).toMatchObject({
      hosts: [{ host: "h1", slots: [slot] }],
    });
    expect(await (await administer("GET", "/v1/hosts/h1")).json()).toMatchObject({
      pools: [{ slots: [slot] }],
    });
    expect(await (await administer("GET", `/v1/ips/${ip}`)).json()).toMatchObject({
      holders: [{ host: "h1", expiresAtMs: null }],
    });
    inPool.close(1000, "done");
    await vi.waitFor(async () => {
      expect(await (await administer("GET", path)).json()).toMatchObject({ hosts: [{ live: false }] });
    });
    expect(await (await remove()).json()).toMatchObject({ hosts: [], slots: { takenCount: 1 } });
  });

  it("[WK16] [RE3] give addresses up, which may then be added elsewhere", async () => {
    const { pool, ip } = fresh();
    const other = fresh().pool;
    for (const name of [pool, other]) await administer("PUT", `/v1/pools/${name}`, {});
    await administer("PUT", `/v1/pools/${pool}/ips/${ip}`);
    const removed = await administer("DELETE", `/v1/pools/${pool}/ips/${ip}`);
    expect(removed.status).toBe(200);
    expect(await removed.json()).toMatchObject({ pool, ips: [] });
    const unknown = { status: 404, code: "ip-unknown" };
    expect(await codeOf(await administer("DELETE", `/v1/pools/${pool}/ips/${ip}`))).toEqual(unknown);
    expect(await codeOf(await administer("GET", `/v1/ips/${ip}`))).toEqual(unknown);
    expect((await administer("PUT", `/v1/pools/${other}/ips/${ip}`)).status).toBe(200);
    expect(await codeOf(await administer("DELETE", `/v1/pools/${pool}/ips/${ip}`))).toEqual(unknown);
    expect(await (await administer("GET", `/v1/ips/${ip}`)).json()).toMatchObject({ pool: other });
  });

  it("[WK16] an address has a table", async () => {
    const { pool, ip } = fresh();
    await administer("PUT", `/v1/pools/${pool}`, {});
    await administer("PUT", `/v1/pools/${pool}/ips/${ip}`);
    expect(await (await administer("GET", `/v1/ips/${ip}`)).json()).toEqual({
      pool,
      retiring: false,
      settings: DEFAULT_POOL_SETTINGS,
      lastEpoch: 0,
      freePortCount: 64_512,
      holders: [],
      blocks: [],
    });
  });

  it.each([
    ["GET", "/v1/pools/nowhere", 404, "pool-unknown"],
    ["GET", "/v1/pools/nowhere/ips", 404, "pool-unknown"],
    ["GET", "/v1/pools/nowhere/hosts", 404, "pool-unknown"],
    ["PUT", "/v1/pools/nowhere/ips/192.0.2.200", 404, "pool-unknown"],
    ["DELETE", "/v1/pools/nowhere/ips/192.0.2.200", 404, "pool-unknown"],
    ["DELETE", "/v1/pools/nowhere/ips/2001:DB8::1", 400, "input-invalid"],
    ["GET", "/v1/ips/192.0.2.201", 404, "ip-unknown"],
    ["GET", "/v1/hosts/nobody", 404, "host-unknown"],
    ["GET", "/v1/nothing", 404, "route-unknown"],
    ["GET", "/v1/pools/a/b/c/d", 404, "route-unknown"],
    ["GET", "/v1/pools/NOT%20A%20NAME", 400, "input-invalid"],
    ["GET", "/v1/ips/not-an-address", 400, "input-invalid"],
    ["GET", "/v1/ips/2001:DB8::1", 400, "input-invalid"],
    ["GET", "/v1/ips/010.0.0.1", 400, "input-invalid"],
  ])("[WK16] %s %s is %i %s", async (method, path, status, code) => {
    const response = await administer(method, path);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(await codeOf(response)).toEqual({ status, code });
  });

  it.each([
    [{ settings: { leaseDurationMs: 10 } }],
    [{ settings: { unheardOf: 1 } }],
    [{ unheardOf: 1 }],
    [{ settings: { firstBlockOrder: 99 } }],
    [[]],
  ])("[WK16] %j is no body of a pool", async (body) => {
    const response = await administer("PUT", "/v1/pools/never", body);
    expect(await codeOf(response)).toEqual({ status: 400, code: "input-invalid" });
    expect((await administer("GET", "/v1/pools/never")).status).toBe(404);
  });

  it("[ME8] settings that cannot be together are refused by name, and no pool is listed for them", async () => {
    const { pool } = fresh();
    const put = (settings: object) => administer("PUT", `/v1/pools/${pool}`, { settings });
    const listed = async () =>
      (await (await administer("GET", "/v1/pools")).json<{ pools: string[] }>()).pools;
    const refused = await put({ maxPortsPerHost: 500 });
    expect(refused.status).toBe(400);
    const detail = expect.stringMatching(/minPortsPerHost=512 .* maxPortsPerHost=500/);
    expect(await refused.json()).toMatchObject({ code: "input-invalid", detail });
    expect(await listed()).not.toContain(pool);
    expect((await put({ minPortsPerHost: 64, maxPortsPerHost: 500 })).status).toBe(200);
    expect(await codeOf(await put({ minPortsPerHost: 512 }))).toEqual({ status: 400, code: "input-invalid" });
    expect(await (await put({})).json()).toMatchObject({ settings: { minPortsPerHost: 64 } });
    const page = await (await administer("GET", `/v1/audit?pool=${pool}`)).json<{ entries: object[] }>();
    expect(page.entries.map((entry) => (entry as { result: string }).result)).toEqual([
      "done",
      "input-invalid",
      "done",
    ]);
  });

  it.each([
    ["{}", "text/plain", "Send it with content-type: application/json."],
    ['{"settings":{"leaseDurationMs":10}}', "application/json", "settings.leaseDurationMs: "],
    ['{"unheardOf":1}', "application/json", "Unrecognized key"],
  ])("[WK16] is told what is wrong with %s as %s", async (body, type, detail) => {
    const token = await tokenFor({ role: "admin", pools: ["*"] });
    const headers = { authorization: `Bearer ${token}`, "content-type": type };
    const told = await ask("/v1/pools/never", { method: "PUT", headers, body });
    const problem = await told.json<{ code: string; detail: string }>();
    expect(problem.code).toBe("input-invalid");
    expect(problem.detail.slice(0, detail.length)).toBe(detail);
    expect(problem.detail.length).toBeGreaterThanOrEqual(detail.length);
  });

  it("[WK16] an unknown path is told where to look", async () => {
    expect(await (await administer("GET", "/v1/nothing")).json()).toMatchObject({
      code: "route-unknown",
      detail: "Requests go to /v1/fetch; all else is in /openapi.json.",
    });
  });

  it("[WK16] what is not JSON is invalid input, not a fault", async () => {
    const token = await tokenFor({ role: "admin", pools: ["*"] });
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const response = await ask("/v1/pools/never", { method: "PUT", headers, body: "{" });
    expect(await codeOf(response)).toEqual({ status: 400, code: "input-invalid" });
  });

  it.each(["/v1/pools/never", "/v1/pools/never/ips/192.0.2.9"])(
    "[WK16] %s: a body of another content type is invalid input, not a fault",
    async (path) => {
      const token = await tokenFor({ role: "admin", pools: ["*"] });
      // What curl calls the body of its -d.
      const type = "application/x-www-form-urlencoded";
      const headers = { authorization: `Bearer ${token}`, "content-type": type };
      const response = await ask(path, { method: "PUT", headers, body: "{}" });
      expect(await codeOf(response)).toEqual({ status: 400, code: "input-invalid" });
      expect((await administer("GET", "/v1/pools/never")).status).toBe(404);
    },
  );

  it.each([
    ["DELETE", "/v1/pools", "GET"],
    ["POST", "/v1/pools/eu", "GET, PUT"],
    ["GET", "/v1/gateway-tokens", "POST"],
    ["PATCH", "/v1/ips/192.0.2.1", "GET"],
  ])("[WK16] %s %s is not supported, %s is", async (method, path, allowed) => {
    const response = await administer(method, path);
    expect(response.headers.get("allow")).toBe(allowed);
    expect(await codeOf(response)).toEqual({ status: 405, code: "method-unsupported" });
  });
});

describe("the control plane at administration", () => {
  it("[WK6] that fails is named", async () => {
    const broken = {
      ...environment,
      POOL_CATALOGUE: { getByName: () => ({ list: () => Promise.reject(new Error("gone")) }) } as never,
    };
    const headers = { authorization: `Bearer ${await tokenFor({ role: "admin", pools: ["*"] })}` };
    const response = await ask("/v1/pools", { headers }, broken);
    expect(await codeOf(response)).toEqual({ status: 503, code: "control-plane-unavailable" });
  });

  it("[WK19] a fault of ours is told in general", async () => {
    const broken = { ...environment, ISSUER_KEYS: "not json" };
    for (const path of ["/v1/pools", "/v1/fetch?url=x"]) {
      const headers = { "egress-authorization": "Bearer x" };
      const response = await ask(path, { headers }, broken);
      expect(await codeOf(response)).toEqual({ status: 500, code: "internal-fault" });
    }
    await ask("/health");
  });
});

describe("the OpenAPI document", () => {
  it("[WK16] describes every route that answers JSON to a token", async () => {
    const headers = { "egress-authorization": `Bearer ${await tokenFor()}` };
    const document = await (
      await ask("/openapi.json", { headers })
    ).json<{
      paths: Record<string, Record<string, { security?: unknown }>>;
      components: { schemas: Record<string, unknown> };
    }>();
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const served = Object.values(ROUTES).map(({ method, path }) => `${method.toUpperCase()} ${path}`);
    expect(operations.toSorted()).toEqual(served.toSorted());
    expect(served).toContain("PUT /v1/pools/{pool}/policy");
    for (const methods of Object.values(document.paths)) {
      for (const operation of Object.values(methods)) expect(operation.security).toEqual([{ bearer: [] }]);
    }
    expect(document).toMatchObject({ openapi: "3.1.0", info: { title: "ipshard edge", version: "1" } });
    expect(document.components).toHaveProperty("securitySchemes.bearer", { type: "http", scheme: "bearer" });
    expect(document.components.schemas).toHaveProperty(
      "PoolSettings.properties.leaseDurationMs.minimum",
      1_000,
    );
  });
});

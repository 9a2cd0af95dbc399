import { expect, test } from "vitest";
import { signInCodeSchema } from "../../src/api/access-schemas.ts";
import { type ApiRequest, edgeApi, type EdgeApiOptions } from "../../src/api/edge-api.ts";
import { EdgeAnswerUnreadable, EdgeRefusal, EdgeUnreachable } from "../../src/api/errors.ts";
import type { ApiRoute } from "../../src/api/route-shapes.ts";
import { ROUTES } from "../../src/api/routes.ts";
import { PROBLEM_CODES, problemDocument, problemKind } from "../../src/core/problems.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { freePort } from "../e2e/cluster.ts";

const EDGE = "https://edge.test/";
const POOL = {
  pool: "eu",
  settings: DEFAULT_POOL_SETTINGS,
  ips: [],
  hosts: [],
  slots: null,
  steeringSequence: 0,
  routers: [],
  policyVersion: 0,
};

/** An edge that always answers this, and what it was asked. */
function stubEdge(answer: unknown, status = 200) {
  const asked: (ApiRequest & { readonly url: string })[] = [];
  const options: EdgeApiOptions = {
    edge: EDGE,
    token: () => `token-${asked.length + 1}`,
    send: async (url, request) => {
      asked.push({ url, ...request });
      return { status, text: async () => (typeof answer === "string" ? answer : JSON.stringify(answer)) };
    },
  };
  return { asked, options, api: edgeApi(options) };
}

test("[AP1] what a call takes goes into the path and the body, as its route says", async () => {
  const { api, asked } = stubEdge(POOL);
  expect(await api.putPool({ pool: "eu", settings: { quarantineMs: 1 } })).toEqual(POOL);
  await api.putIp({ pool: "eu", ip: "2001:db8::1" });
  await api.getPool({ pool: "a/b" });
  const headers = (count: number) => ({ "egress-authorization": `Bearer token-${count}` });
  const inJson = { "content-type": "application/json" };
  expect(asked).toEqual([
    {
      url: "https://edge.test/v1/pools/eu",
      method: "PUT",
      headers: { ...headers(1), ...inJson },
      body: '{"settings":{"quarantineMs":1}}',
    },
    {
      url: "https://edge.test/v1/pools/eu/ips/2001%3Adb8%3A%3A1",
      method: "PUT",
      headers: { ...headers(2), ...inJson },
      body: "{}",
    },
    { url: "https://edge.test/v1/pools/a%2Fb", method: "GET", headers: headers(3) },
  ]);
});

test("[AP1] of an answer what this version knows is kept, and what a newer edge adds is left out", async () => {
  const edge = { controlPlaneCalls: 1, handedOver: 2, handedOverOf: { eu: 2 }, retries: 3, isWhole: true };
  expect(await stubEdge({ ...edge, added: 4 }).api.getEdge()).toEqual(edge);
});

test("[AP1] what belongs into the query goes there, and what is not given does not", async () => {
  const answer = {
    ip: "2001:db8::1",
    port: 5312,
    atMs: 7,
    throughMs: 7,
    state: "nobody",
    reason: "not-leased",
  };
  const { api, asked } = stubEdge({ ...answer, holders: [], before: null, after: null, knownSinceMs: 1 });
  const at = "2026-11-29T12:03:07+01:00";
  expect(await api.findHolders({ ip: "2001:db8::1", port: "5312", at, protocol: undefined })).toMatchObject(
    answer,
  );
  expect(asked[0]!.url).toBe(
    "https://edge.test/v1/holders?ip=2001%3Adb8%3A%3A1&port=5312&at=2026-11-29T12%3A03%3A07%2B01%3A00",
  );
});

test.each(Object.entries<ApiRoute>(ROUTES))("[AP1] %s takes nothing twice under one name", (_name, route) => {
  const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
  const { params, query, body } = route.request ?? {};
  expect(Object.keys(params?.shape ?? {})).toEqual(inPath);
  const inBody = Object.keys(body?.content["application/json"].schema.shape ?? {});
  const inQuery = Object.keys(query?.shape ?? {});
  expect([...inBody, ...inQuery].filter((name) => inPath.includes(name))).toEqual([]);
  // A client that has both would not know which belongs where.
  expect(Math.min(inBody.length, inQuery.length)).toBe(0);
});

test.each(PROBLEM_CODES)("[AP2] a refusal says its code: %s", async (code) => {
  const { title, status } = problemKind(code);
  const document = problemDocument({ code, detail: "In words." });
  const refused = stubEdge(document, status).api.getPool({ pool: "eu" });
  await expect(refused).rejects.toThrow(EdgeRefusal);
  await expect(refused).rejects.toMatchObject({
    code,
    status,
    detail: "In words.",
    message: `The edge refused GET /v1/pools/eu: ${title} In words. (${status}, ${code})`,
  });
});

test("[AP2] a code that this version does not know is a refusal all the same", async () => {
  const refused = stubEdge({ code: "code-of-tomorrow", title: "Not yet." }, 409).api.listPools();
  await expect(refused).rejects.toMatchObject({
    name: "EdgeRefusal",
    code: "code-of-tomorrow",
    detail: null,
    message: "The edge refused GET /v1/pools: Not yet. (409, code-of-tomorrow)",
  });
});

test.each([
  [200, "<html>"],
  [200, { pools: "eu" }],
  [502, "<html>Bad gateway"],
  [404, { error: "nothing here" }],
])("[AP2] what answers %d with %j is no edge", async (status, answer) => {
  const call = stubEdge(answer, status).api.listPools();
  await expect(call).rejects.toThrow(EdgeAnswerUnreadable);
  await expect(call).rejects.toMatchObject({ status });
});

test("[AP2] where the edge's certificate is of an authority that Node does not know, it is said how it comes to", () => {
  const cause = Object.assign(new Error("unable to verify the first certificate"), {
    code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  });
  const { message } = new EdgeUnreachable("https://edge.example.com", new Error("fetch failed", { cause }));
  expect(message).toBe(
    "The edge at https://edge.example.com cannot be reached: unable to verify the first certificate. An authority of your own is trusted with NODE_EXTRA_CA_CERTS=FILE in the environment",
  );
  const refused = new Error("fetch failed", {
    cause: Object.assign(new Error("no"), { code: "ECONNREFUSED" }),
  });
  expect(new EdgeUnreachable("https://edge.example.com", refused).message).not.toContain("NODE_EXTRA");
});

test("[AP2] an edge that does not answer is named, with the reason", async () => {
  const edge = `http://127.0.0.1:${await freePort()}`;
  const call = edgeApi({ edge, token: () => "token" }).listPools();
  await expect(call).rejects.toThrow(EdgeUnreachable);
  await expect(call).rejects.toThrow(`The edge at ${edge} cannot be reached: connect ECONNREFUSED`);
});

test("[AP2] a call that is ended rejects with the reason of its end", async () => {
  const ending = new AbortController();
  const send: EdgeApiOptions["send"] = async () => {
    ending.abort(new Error("enough"));
    throw new TypeError("fetch failed");
  };
  const call = edgeApi({ ...stubEdge({}).options, signal: ending.signal, send }).listPools();
  await expect(call).rejects.toThrow("enough");
});

test("[TR4] a token goes to no other machine in plain text, unless it is forced", () => {
  const options = { edge: "http://edge.example", token: () => "t" };
  expect(() => edgeApi(options)).toThrow(expect.objectContaining({ code: "plain-http-refused" }));
  expect(edgeApi({ ...options, allowPlainHttp: true })).toBeDefined();
  expect(edgeApi({ ...options, edge: new URL("http://127.0.0.1:8787") })).toBeDefined();
});

test.each(["a b", "a\u001b[31mb", "a\r\nb", "", "#x", "a".repeat(129)])(
  "[DA4] a code of a hostile edge is printed nowhere: %j",
  (code) => {
    const endsAt = "2026-11-30T05:00:00.000Z";
    expect(signInCodeSchema.safeParse({ code, endsAt }).success).toBe(false);
    expect(signInCodeSchema.safeParse({ code: "Aa0_-", endsAt }).success).toBe(true);
  },
);

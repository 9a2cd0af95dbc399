import { describe, expect, it } from "vitest";
import { ask, codeOf, environment, gateways, newEgress, tokenFor } from "./edge.ts";

/** What a gateway got, as text that can be compared. */
async function forwarded(headers: Record<string, string>): Promise<Map<string, string>> {
  const { send, h1 } = await newEgress();
  let seen: [string, string][] = [];
  gateways.set(h1, (request) => {
    seen = [...request.headers];
    return new Response("ok");
  });
  expect((await send({ headers })).status).toBe(200);
  return new Map(seen);
}

describe("fields that are for one connection only", () => {
  it.each([
    ["close, x-hop", ["x-hop"]],
    ["X-Hop , x-other,,", ["x-hop", "x-other"]],
    ["keep-alive, authorization", ["authorization"]],
    ["\u00e9, x-hop", ["x-hop"]],
  ])("[WK35] connection: %s", async (connection, dropped) => {
    const fields = { "x-hop": "1", "x-other": "2", authorization: "mine", "x-stays": "3" };
    const seen = await forwarded({ connection, ...fields });
    for (const [name, value] of Object.entries(fields)) {
      expect([name, seen.get(name)]).toEqual([name, dropped.includes(name) ? undefined : value]);
    }
  });

  it("[WK35] a list cannot take away what the edge itself says or was told", async () => {
    const { send, h1, pool } = await newEgress();
    gateways.set(h1, ({ headers }) =>
      Response.json([headers.get("egress"), headers.has("egress-authorization")]),
    );
    const connection = "egress, egress-authorization, host, content-length";
    const response = await send({ headers: { connection, egress: `pool=${pool}` } });
    expect(await response.json()).toEqual(['ip="192.0.2.1"', true]);
    const refused = await send({ headers: { connection, egress: "pool=elsewhere" } });
    expect(await codeOf(refused)).toEqual({ status: 403, code: "pool-denied" });
  });
});

describe("a body that cannot be carried as it was meant", () => {
  it.each([
    ["content-length", "9007199254740993", 413, "body-too-large"],
    ["content-length", "9".repeat(400), 413, "body-too-large"],
    ["content-length", "-1", 400, "request-malformed"],
    ["content-length", "1e3", 400, "request-malformed"],
    ["content-length", "3, 3", 400, "request-malformed"],
    ["content-length", "", 400, "request-malformed"],
    ["transfer-encoding", "gzip, chunked", 501, "request-coding-unsupported"],
    ["transfer-encoding", "chunked, chunked", 501, "request-coding-unsupported"],
    ["transfer-encoding", "identity", 501, "request-coding-unsupported"],
  ])("[WK36] %s: %s", async (name, value, status, code) => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, () => new Response("ok"));
    for (const method of ["POST", "GET"]) {
      expect(await codeOf(await send({ method, headers: { [name]: value } }))).toEqual({ status, code });
    }
    // Nobody was blamed.
    expect((await send()).status).toBe(200);
  });

  it.each(["chunked", "Chunked"])("[WK36] transfer-encoding: %s is carried", async (coding) => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, async (request) => new Response(await request.text()));
    const response = await send({ method: "POST", body: "abc", headers: { "transfer-encoding": coding } });
    expect(await response.text()).toBe("abc");
  });
});

describe("an upgrade that is no WebSocket handshake", () => {
  it.each([
    ["POST", "websocket", "body"],
    ["POST", "WebSocket", null],
    ["PUT", "websocket", "body"],
    ["HEAD", "websocket", null],
    ["GET", "h2c", null],
    ["GET", "h2c, websocket", null],
    ["GET", "", null],
  ])("[WK37] %s with upgrade: %s", async (method, upgrade, body) => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, () => new Response("ok"));
    const response = await send({ method, headers: { upgrade }, body });
    expect(response.status).toBe(501);
    if (method !== "HEAD") expect(await codeOf(response)).toMatchObject({ code: "upgrade-unsupported" });
  });

  it.each([
    ["POST", "WebSocket", "A WebSocket begins with a GET that has no body."],
    ["GET", "h2c", undefined],
  ])("[WK37] %s with upgrade: %s is told why", async (method, upgrade, detail) => {
    const { send } = await newEgress();
    const problem = await (await send({ method, headers: { upgrade } })).json<{ detail?: string }>();
    expect(problem.detail).toBe(detail);
  });

  it.each([
    [{ "content-length": "9".repeat(33) }, `Its content-length is ${"9".repeat(32)}.`],
    [{ "content-length": "x" }, "Its content-length is no number."],
    [{ "transfer-encoding": "gzip" }, "Send the body chunked, or with its length."],
  ])("[WK36] %o is told why", async (headers, detail) => {
    const { send } = await newEgress();
    expect(await (await send({ method: "POST", headers })).json()).toMatchObject({ detail });
  });

  it("[WK37] is refused only to those who may use the egress", async () => {
    const headers = { upgrade: "websocket", "content-length": "9007199254740993" };
    const response = await ask("/v1/fetch?url=x", { method: "POST", headers });
    expect(await codeOf(response)).toEqual({ status: 401, code: "token-missing" });
  });
});

describe("a token in the wrong place", () => {
  it("[WK39] is told where it belongs", async () => {
    const headers = { authorization: `Bearer ${await tokenFor()}` };
    const response = await ask("/v1/fetch?url=x", { headers }, environment);
    expect(await response.json()).toMatchObject({
      code: "token-missing",
      detail: expect.stringContaining("egress-authorization"),
    });
  });

  it.each([
    ["/v1/fetch?url=x", "Send it as egress-authorization: Bearer TOKEN."],
    ["/v1/pools", "Send it as authorization: Bearer TOKEN."],
    ["/nowhere", "Send it as authorization: Bearer TOKEN."],
  ])("[WK39] that is missing at %s is told where to send it", async (path, detail) => {
    expect(await (await ask(path, {}, environment)).json()).toMatchObject({ code: "token-missing", detail });
  });

  it("[WK39] for another pool is told which ones it is for", async () => {
    const headers = { "egress-authorization": `Bearer ${await tokenFor()}`, egress: "pool=elsewhere" };
    const response = await ask("/v1/fetch?url=x", { headers }, environment);
    expect(await response.json()).toMatchObject({
      code: "pool-denied",
      detail: expect.stringContaining("It is for"),
    });
  });

  it("[WK39] of a client is told which role administration takes", async () => {
    const headers = { authorization: `Bearer ${await tokenFor()}` };
    const response = await ask("/v1/pools", { headers }, environment);
    expect(await response.json()).toMatchObject({
      code: "role-denied",
      detail: "It takes the role admin or viewer.",
    });
  });

  it("[WK39] of another role is told which one it takes", async () => {
    const headers = { "egress-authorization": `Bearer ${await tokenFor({ role: "host" })}` };
    const response = await ask("/v1/fetch?url=x", { headers }, environment);
    expect(await response.json()).toMatchObject({
      code: "role-denied",
      detail: "The client role is required.",
    });
  });
});

import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import { PROTOCOL_VERSION } from "../../src/core/messages.ts";
import { administer, ask, codeOf, gateways, tokenFor, uploadQuestions } from "./edge.ts";

const { EGRESS, ANY_EGRESS } = env as unknown as Record<"EGRESS" | "ANY_EGRESS", Fetcher>;
const HOST = "bound-host";
const IP = "203.0.113.77";

beforeAll(async () => {
  await administer("PUT", "/v1/pools/bound", {});
  await administer("PUT", `/v1/pools/bound/ips/${IP}`);
  const token = await tokenFor({ role: "host", subject: HOST, pools: ["bound"] });
  const headers = { authorization: `Bearer ${token}`, upgrade: "websocket" };
  const { webSocket } = await ask("/v1/pools/bound/connect", { headers });
  webSocket!.accept();
  const enlisted = new Promise((resolve) => {
    webSocket!.addEventListener("message", resolve, { once: true });
  });
  const say = (message: object): void => webSocket!.send(JSON.stringify(message));
  const gateway = `http://${HOST}.gateway`;
  say({ type: "enlist", version: PROTOCOL_VERSION, instance: "instance-1", gateway });
  say({ type: "report", draining: false, rooms: [{ ip: IP, portCount: 64, busiestCount: 0 }] });
  await enlisted;
});

describe("the egress as a service binding", () => {
  it("[WK15] [WK43] sends a long upload no further than its gateway allows", async () => {
    gateways.set(HOST, async (request) => {
      const { byteLength } = await request.arrayBuffer();
      return Response.json({ byteLength, name: request.headers.get("egress-upload") });
    });
    const body = new Uint8Array(1_000_000);
    const response = await EGRESS.fetch("https://api.example.com/", { method: "POST", body });
    const { byteLength, name } = await response.json<{ byteLength: number; name: string }>();
    expect(byteLength).toBe(body.length);
    expect(uploadQuestions).toMatchObject([{ host: HOST, name }]);
  });

  it("[WK15] sends a request to its own URL, without a token, in the binding's name and pool", async () => {
    gateways.set(HOST, async (request) => {
      const [, claims] = request.headers.get("egress-authorization")!.split(".");
      const { sub, role, pools } = JSON.parse(atob(claims!)) as Record<string, unknown>;
      const body = await request.text();
      return Response.json({ url: request.url, method: request.method, body, sub, role, pools });
    });
    const destination = "https://api.example.com/x?a=1&b=%20";
    const response = await EGRESS.fetch(destination, { method: "POST", body: "hello" });
    expect(await response.json()).toEqual({
      url: `http://${HOST}.gateway/v1/fetch?url=${encodeURIComponent(destination)}`,
      method: "POST",
      body: "hello",
      sub: "shop",
      role: "gateway",
      pools: ["bound"],
    });
  });

  it("[WK15] without a name sends in one of its own", async () => {
    gateways.set(HOST, (request) => {
      const [, claims] = request.headers.get("egress-authorization")!.split(".");
      return new Response((JSON.parse(atob(claims!)) as { sub: string }).sub);
    });
    const served = await ANY_EGRESS.fetch("http://x.test/", { headers: { egress: "pool=bound" } });
    expect(await served.text()).toBe("service-binding");
  });

  it("[WK15] [WK36] refuses what cannot be carried", async () => {
    const headers = { "transfer-encoding": "gzip, chunked" };
    const refused = await EGRESS.fetch("http://x.test/", { method: "POST", headers });
    expect(await codeOf(refused)).toEqual({ status: 501, code: "request-coding-unsupported" });
  });

  it("[WK15] takes a selection, but leaves its own pool never", async () => {
    gateways.set(HOST, (request) => new Response(request.headers.get("egress")));
    const served = await EGRESS.fetch("http://x.test/", { headers: { egress: `ip="${IP}"` } });
    expect(await served.text()).toBe(`ip="${IP}"`);
    const refused = await EGRESS.fetch("http://x.test/", { headers: { egress: "pool=other" } });
    expect(await codeOf(refused)).toEqual({ status: 403, code: "pool-denied" });
  });

  it("[WK15] without a pool of its own must be told one", async () => {
    gateways.set(HOST, () => new Response("ok"));
    expect(await codeOf(await ANY_EGRESS.fetch("http://x.test/"))).toEqual({
      status: 404,
      code: "pool-unknown",
    });
    const served = await ANY_EGRESS.fetch("http://x.test/", { headers: { egress: "pool=bound" } });
    expect(await served.text()).toBe("ok");
  });
});

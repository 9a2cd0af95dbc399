import { describe, expect, it } from "vitest";
import { ask, codeOf, gateways, newEgress } from "./edge.ts";

const page = { origin: "https://page.test" };

describe("a page in a browser", () => {
  it("[WK14] is let through before it sends", async () => {
    const headers = {
      ...page,
      "access-control-request-method": "PUT",
      "access-control-request-headers": "egress, egress-authorization, authorization",
    };
    const response = await ask("/v1/fetch?url=http%3A%2F%2Fx%2F", { method: "OPTIONS", headers });
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-allow-methods")).toBe("PUT");
    expect(response.headers.get("access-control-allow-headers")).toBe(
      "egress, egress-authorization, authorization",
    );
  });

  it("[WK14] may read what it gets, whatever the origin thinks of pages", async () => {
    const { send, h1 } = await newEgress();
    const headers = {
      "access-control-allow-origin": "https://other.test",
      "access-control-allow-credentials": "true",
      "x-a": "1",
    };
    gateways.set(h1, () => new Response("ok", { headers }));
    const response = await send({ headers: page });
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-expose-headers")).toBe("*");
    expect(response.headers.has("access-control-allow-credentials")).toBe(false);
    expect(response.headers.get("x-a")).toBe("1");
    expect(await response.text()).toBe("ok");
  });

  it("[WK14] may read why it is refused", async () => {
    const response = await ask("/v1/fetch?url=x", { headers: page });
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(await codeOf(response)).toEqual({ status: 401, code: "token-missing" });
  });
});

describe("whoever is not a page", () => {
  it("[WK14] gets the response untouched", async () => {
    const { send, h1 } = await newEgress();
    gateways.set(
      h1,
      () => new Response("ok", { headers: { "access-control-allow-origin": "https://other.test" } }),
    );
    const response = await send();
    expect(response.headers.get("access-control-allow-origin")).toBe("https://other.test");
    expect(response.headers.has("access-control-expose-headers")).toBe(false);
  });

  it("[WK14] reaches the destination with OPTIONS", async () => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, (request) => new Response(request.method));
    const headers = { ...page, "access-control-request-method": "PUT" };
    expect(await (await send({ method: "OPTIONS", headers })).text()).toBe("OPTIONS");
  });
});

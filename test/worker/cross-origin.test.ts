import { describe, expect, it } from "vitest";
import { ask, codeOf, environment, gateways, newEgress } from "./edge.ts";

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
    expect(response.headers.get("access-control-max-age")).toBe("86400");
    expect(response.headers.get("vary")).toBe(
      "access-control-request-headers, access-control-request-method",
    );
  });

  it("[WK14] that names no fields is let through with any", async () => {
    const headers = { ...page, "access-control-request-method": "PUT" };
    const response = await ask("/v1/fetch?url=x", { method: "OPTIONS", headers });
    expect([response.status, response.headers.get("access-control-allow-headers")]).toEqual([204, "*"]);
  });

  it.each([
    ["PUT", { "access-control-request-method": "PUT" }],
    ["OPTIONS", {}],
  ])("[WK1] [WK14] needs a token for a %s with %o", async (method, fields) => {
    const response = await ask("/v1/fetch?url=x", { method, headers: { ...page, ...fields } });
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(await codeOf(response)).toEqual({ status: 401, code: "token-missing" });
  });

  it("[WK14] [WK19] may read of a fault of ours, too", async () => {
    const headers = { ...page, "egress-authorization": "Bearer x" };
    const response = await ask("/v1/fetch?url=x", { headers }, { ...environment, ISSUER_KEYS: "not json" });
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(await codeOf(response)).toEqual({ status: 500, code: "internal-fault" });
  });

  it("[WK14] may read what it gets, whatever the origin thinks of pages", async () => {
    const { send, h1 } = await newEgress();
    const headers = {
      "access-control-allow-origin": "https://other.test",
      "access-control-allow-credentials": "true",
      "x-a": "1",
      vary: "accept",
    };
    gateways.set(h1, () => new Response("ok", { headers }));
    const response = await send({ headers: page });
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-expose-headers")).toBe("*");
    expect(response.headers.has("access-control-allow-credentials")).toBe(false);
    expect(response.headers.get("x-a")).toBe("1");
    expect(response.headers.get("vary")).toBe("accept, egress, egress-authorization, egress-redirect");
    expect(await response.text()).toBe("ok");
  });

  it("[WK14] [WK18] has its WebSocket", async () => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, () => {
      const { 0: client, 1: server } = new WebSocketPair();
      server.accept();
      return new Response(null, { status: 101, webSocket: client });
    });
    const response = await send({ headers: { ...page, upgrade: "websocket" } });
    expect([response.status, response.webSocket === null]).toEqual([101, false]);
  });

  it("[WK14] may read why it is refused", async () => {
    const response = await ask("/v1/fetch?url=x", { headers: page });
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(await codeOf(response)).toEqual({ status: 401, code: "token-missing" });
  });
});

/** What a destination says of its own origin. */
const OF_ORIGIN = {
  "strict-transport-security": "max-age=63072000; includeSubDomains; preload",
  "alt-svc": 'h3="evil.test:443"',
  "clear-site-data": '"*"',
  "public-key-pins": 'pin-sha256="x"; max-age=1',
  "expect-ct": "enforce, max-age=1",
  nel: '{"report_to":"x","max_age":1,"include_subdomains":true}',
  "report-to": '{"group":"x","max_age":1,"endpoints":[{"url":"https://evil.test"}]}',
  "reporting-endpoints": 'x="https://evil.test"',
  "service-worker-allowed": "/",
  "www-authenticate": 'Basic realm="the edge"',
  "use-as-dictionary": 'match="/v1/*"',
  "no-vary-search": "params",
  "set-login": "logged-in",
  "public-key-pins-report-only": 'pin-sha256="x"; max-age=1',
  "secure-session-registration": '(ES256);path="/x"',
  "secure-session-challenge": '"x"',
  "sec-session-registration": '(ES256);path="/x"',
  "sec-session-challenge": '"x"',
  "attribution-reporting-register-source": "{}",
  "attribution-reporting-register-trigger": "{}",
  "attribution-reporting-register-os-source": '"https://evil.test"',
  "attribution-reporting-register-os-trigger": '"https://evil.test"',
  "observe-browsing-topics": "?1",
  "shared-storage-write": "clear",
  "accept-ch": "sec-ch-ua-model",
  "critical-ch": "sec-ch-ua-model",
  "origin-agent-cluster": "?0",
};

describe("the edge's own origin in a browser", () => {
  const cookies = ["a=1; Domain=edge.test; Expires=Wed, 01 Jan 2031 00:00:00 GMT", "b=2"];
  const answer = (): Response => {
    const headers = new Headers(OF_ORIGIN);
    for (const cookie of cookies) headers.append("set-cookie", cookie);
    return new Response("theirs", { status: 401, headers });
  };

  it.each([
    [{ origin: "https://page.test" }],
    [{ origin: "null" }],
    [{ "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors" }],
    [{ "sec-fetch-site": "none", "sec-fetch-mode": "navigate" }],
  ])("[WK38] is not spoken for by a destination, when a page asks with %o", async (fields) => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, answer);
    const response = await send({ headers: fields as Record<string, string> });
    expect([response.status, await response.text()]).toEqual([401, "theirs"]);
    for (const [name, value] of Object.entries(OF_ORIGIN)) {
      expect([name, response.headers.get(name)]).toEqual([name, null]);
      expect([name, response.headers.get(`egress-kept-${name}`)]).toEqual([name, value]);
    }
    expect(response.headers.getSetCookie()).toEqual([]);
    expect(cookies.map((_cookie, at) => response.headers.get(`egress-kept-set-cookie-${at}`))).toEqual(
      cookies,
    );
  });

  it("[WK38] is nobody's concern who is no page: all fields pass as they are", async () => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, answer);
    const { headers } = await send({ headers: { "sec-fetch-mode": "cors" } });
    for (const [name, value] of Object.entries(OF_ORIGIN)) {
      expect([name, headers.get(name)]).toEqual([name, value]);
    }
    expect(headers.getSetCookie()).toEqual(cookies);
    expect([...headers.keys()].filter((name) => name.startsWith("egress-kept-"))).toEqual([]);
  });

  it("[WK38] may ask for its own token", async () => {
    const response = await ask("/v1/fetch?url=x", { headers: page });
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
  });
});

describe("an answer of which the runtime makes nothing", () => {
  it.each([199, 600, 999])("[WK40] with the status %i is refused by name to a page", async (status) => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, () => answerWith(status));
    const response = await send({ headers: page });
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(await codeOf(response)).toEqual({ status: 502, code: "response-malformed" });
  });

  it("[WK40] is not read any further, and holds no port", async () => {
    const { send, h1 } = await newEgress();
    let isCancelled = false;
    const body = new ReadableStream({
      cancel() {
        isCancelled = true;
      },
    });
    gateways.set(h1, () => answerWith(999, body));
    expect((await send({ headers: page })).status).toBe(502);
    expect(isCancelled).toBe(true);
  });

  it.each([200, 599])("[WK40] with the status %i passes to a page", async (status) => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, () => new Response("theirs", { status, headers: { "egress-host": h1 } }));
    const response = await send({ headers: page });
    expect([response.status, await response.text()]).toEqual([status, "theirs"]);
  });

  it("[WK40] passes as it is to whoever is no page", async () => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, () => answerWith(999));
    expect((await send()).status).toBe(999);
  });
});

/** An answer with a status that only the network can bring about. */
function answerWith(status: number, body: BodyInit = "theirs"): Response {
  const headers = { "egress-host": "h1" };
  return Object.defineProperty(new Response(body, { headers }), "status", { value: status });
}

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

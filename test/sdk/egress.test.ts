import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { createEgress, EgressError, type EgressOptions, egressOf } from "../../src/sdk/egress.ts";
import { refuseWith, StandInEdge } from "./stand-in-edge.ts";

const DESTINATION = "http://origin.example/a?b=1&c=%20";
const SOURCE = { "egress-ip": "192.0.2.1", "egress-port": "2051", "egress-host": "h1" };

let edge: StandInEdge;

beforeAll(async () => {
  edge = await StandInEdge.start();
});
afterAll(() => edge.stop());
beforeEach(() => {
  edge.seen.length = 0;
  edge.isEager = false;
  edge.answer = (_seen, response) => response.writeHead(200, SOURCE).end("ok");
});

function egressWith(options: Partial<EgressOptions> = {}) {
  return createEgress({ endpoint: edge.url, token: "the-token", ...options });
}

async function faultOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail("it resolved"),
    (fault: unknown) => fault,
  );
}

test("[CL1] the destination, method, headers and body arrive as they were given", async () => {
  await egressWith({ pool: "eu" }).fetch(`${DESTINATION}#fragment`, {
    method: "post",
    headers: { authorization: "Basic Zm9v", "x-mine": "1" },
    body: "hello",
    egress: { session: 'cart "42"' },
  });
  const seen = edge.takeSeen();
  expect(seen).toMatchObject({
    method: "POST",
    path: "/v1/fetch",
    destination: DESTINATION,
    body: "hello",
  });
  expect(seen.headers).toMatchObject({
    authorization: "Basic Zm9v",
    "x-mine": "1",
    "content-length": "5",
    "content-type": "text/plain;charset=UTF-8",
    "egress-authorization": "Bearer the-token",
    "egress-redirect": "follow",
    egress: 'pool="eu", session="cart \\"42\\""',
  });
});

test("[CL1] a call's own selection wins over the egress's, key by key", async () => {
  const egress = egressWith({ pool: "eu", session: "one" });
  await egress.fetch(DESTINATION, { egress: { session: "two" } });
  expect(edge.takeSeen().headers["egress"]).toBe('pool="eu", session="two"');
  await egressWith().fetch(DESTINATION, { headers: { egress: "pool=sneaked-in" } });
  expect(edge.takeSeen().headers["egress"]).toBeUndefined();
});

test("[CL1] [SE1] a country and a site are selected as anywhere else", async () => {
  await egressWith({ country: "DE" }).fetch(DESTINATION, { egress: { site: "Rack 7" } });
  expect(edge.takeSeen().headers["egress"]).toBe('country="de", site="Rack 7"');
  expect(() => egressWith({ country: "Germany" })).toThrow(/"country".*selection-value-invalid/);
});

test("[CL1] a Request is accepted, with its method, headers and body, and init wins over it", async () => {
  const request = new Request(DESTINATION, {
    method: "PUT",
    headers: { "x-mine": "1" },
    body: "from request",
  });
  await egressWith().fetch(request);
  expect(edge.takeSeen()).toMatchObject({ method: "PUT", body: "from request", destination: DESTINATION });
  expect(request.bodyUsed).toBe(true);
  expect(await faultOf(egressWith().fetch(request))).toBeInstanceOf(TypeError);
  await egressWith().fetch(new Request(DESTINATION, { method: "PUT", body: "old" }), { body: "new" });
  expect(edge.takeSeen()).toMatchObject({ method: "PUT", body: "new" });
});

test("[CL1] a form keeps the boundary that its content-type names", async () => {
  const form = new FormData();
  form.set("field", "value");
  await egressWith().fetch(DESTINATION, { method: "POST", body: form });
  const seen = edge.takeSeen();
  const boundary = /boundary=(.+)$/.exec(seen.headers["content-type"]!)?.[1];
  expect(seen.body).toContain(`--${boundary}`);
});

test("[CL1] what fetch rejects with a TypeError is rejected so, and nothing is sent", async () => {
  const { fetch } = egressWith();
  const getWithBody = { method: "GET", body: "no" };
  for (const call of [
    fetch("/relative"),
    fetch("http://user:password@origin.example/"),
    fetch(DESTINATION, getWithBody),
    fetch(DESTINATION, { method: "CONNECT" }),
    fetch(DESTINATION, { headers: { "bad name": "1" } }),
    fetch(DESTINATION, { redirect: "sideways" as "follow" }),
    fetch(DESTINATION, { egress: { contry: "de" } as object }),
    fetch(DESTINATION, { egress: { pool: "NOT A NAME" } }),
  ]) {
    const fault = await faultOf(call);
    expect(fault).toBeInstanceOf(TypeError);
    expect(fault).not.toBeInstanceOf(EgressError);
  }
  expect(edge.seen).toEqual([]);
});

test("[CL1] options that make no sense are refused at once", () => {
  expect(() => egressWith({ endpoint: "edge.example" })).toThrow(TypeError);
  expect(() => egressWith({ pool: "NOT A NAME" })).toThrow(/"pool".*selection-value-invalid/);
});

test("[CL1] a token function is asked at every call", async () => {
  let count = 0;
  const egress = egressWith({ token: async () => `token-${(count += 1)}` });
  await egress.fetch(DESTINATION);
  expect(edge.takeSeen().headers["egress-authorization"]).toBe("Bearer token-1");
  await egress.fetch(DESTINATION);
  expect(edge.takeSeen().headers["egress-authorization"]).toBe("Bearer token-2");
});

test("[CL1] another fetch may be used, and an endpoint below a path", async () => {
  let asked = "";
  const egress = egressWith({
    endpoint: "https://edge.example/egress/",
    fetch: async (url) => {
      asked = url;
      return new Response("ok", { headers: SOURCE });
    },
  });
  expect(await (await egress.fetch("http://o.example/?a=1")).text()).toBe("ok");
  expect(asked).toBe("https://edge.example/egress/v1/fetch?url=http%3A%2F%2Fo.example%2F%3Fa%3D1");
});

test("[CL1] a streamed body arrives while it is being sent", async () => {
  edge.isEager = true;
  const { promise: firstArrived, resolve: arrived } = Promise.withResolvers<void>();
  edge.answer = (_seen, response, request) => {
    const chunks: string[] = [];
    request.setEncoding("utf8").on("data", (chunk: string) => {
      chunks.push(chunk);
      arrived();
    });
    request.on("end", () => response.writeHead(200, SOURCE).end(chunks.join("")));
  };
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      controller.enqueue(new TextEncoder().encode("first "));
      // The second part is not sent before the first has come through.
      await firstArrived;
      controller.enqueue(new TextEncoder().encode("second"));
      controller.close();
    },
  });
  const response = await egressWith().fetch(DESTINATION, { method: "POST", body, duplex: "half" });
  expect(await response.text()).toBe("first second");
  expect(edge.takeSeen().headers["transfer-encoding"]).toBe("chunked");
});

test("[CL2] the response has the destination's URL, and so has its clone", async () => {
  const response = await egressWith().fetch(`${DESTINATION}#fragment`);
  const clone = response.clone();
  for (const each of [response, clone, clone.clone()]) {
    expect(each).toBeInstanceOf(Response);
    expect(each.url).toBe(DESTINATION);
    expect(each.redirected).toBe(false);
    expect(egressOf(each)).toEqual({ ip: "192.0.2.1", port: 2051, host: "h1" });
  }
  expect(await response.text()).toBe("ok");
  expect(await clone.text()).toBe("ok");
  expect(egressOf(new Response("elsewhere"))).toBeNull();
});

test("[CL2] an error of the destination is a response like any other", async () => {
  for (const status of [404, 503]) {
    edge.answer = (_seen, response) =>
      response.writeHead(status, { ...SOURCE, "proxy-status": "ipshard;received-status=503" }).end("theirs");
    const response = await egressWith().fetch(DESTINATION);
    expect([response.status, response.ok, await response.text()]).toEqual([status, false, "theirs"]);
  }
});

test("[CL2] a body streams: its first part is there before the last is sent", async () => {
  const { promise: mayFinish, resolve: finish } = Promise.withResolvers<void>();
  edge.answer = (_seen, response) => {
    response.writeHead(200, SOURCE).write("first");
    void mayFinish.then(() => response.end("last"));
  };
  const response = await egressWith().fetch(DESTINATION);
  const reader = response.body!.getReader();
  expect(new TextDecoder().decode((await reader.read()).value)).toBe("first");
  finish();
  expect(new TextDecoder().decode((await reader.read()).value)).toBe("last");
});

test("[CL2] HEAD and 204 have no body", async () => {
  edge.answer = (_seen, response) => response.writeHead(200, { ...SOURCE, "content-length": "1000" }).end();
  const head = await egressWith().fetch(DESTINATION, { method: "HEAD" });
  expect(head.headers.get("content-length")).toBe("1000");
  expect(await head.text()).toBe("");
  edge.answer = (_seen, response) => response.writeHead(204, SOURCE).end();
  expect((await egressWith().fetch(DESTINATION)).body).toBeNull();
});

test("[CL2] an abort rejects before the response and breaks the body after it", async () => {
  edge.answer = () => {};
  const early = new AbortController();
  const pending = egressWith().fetch(DESTINATION, { signal: early.signal });
  while (edge.seen.length === 0) await delay(1);
  early.abort();
  expect(await faultOf(pending)).toMatchObject({ name: "AbortError" });

  edge.answer = (_seen, response) => response.writeHead(200, SOURCE).write("first");
  const late = new AbortController();
  const response = await egressWith().fetch(new Request(DESTINATION, { signal: late.signal }));
  late.abort();
  expect(await faultOf(response.text())).toMatchObject({ name: "AbortError" });
  expect(await faultOf(egressWith().fetch(DESTINATION, { signal: AbortSignal.abort() }))).toMatchObject({
    name: "AbortError",
  });
});

test("[CL2] an edge that cannot be reached rejects as fetch does", async () => {
  const gone = await StandInEdge.start();
  await gone.stop();
  const fault = await faultOf(egressWith({ endpoint: gone.url }).fetch(DESTINATION));
  expect(fault).toBeInstanceOf(TypeError);
  expect(fault).not.toBeInstanceOf(EgressError);
});

test("[CL6] fields that the edge kept from the browser have their own names again", async () => {
  const cookies = ["a=1; Expires=Wed, 01 Jan 2031 00:00:00 GMT", "b=2"];
  edge.answer = (_seen, response) =>
    response
      .writeHead(200, {
        ...SOURCE,
        "x-other": "1",
        "egress-kept-strict-transport-security": "max-age=1",
        "egress-kept-set-cookie-0": cookies[0],
        "egress-kept-set-cookie-1": cookies[1],
      })
      .end("ok");
  const response = await egressWith().fetch(DESTINATION);
  for (const { headers } of [response, response.clone()]) {
    expect(headers.get("strict-transport-security")).toBe("max-age=1");
    expect(headers.getSetCookie()).toEqual(cookies);
    expect(headers.get("x-other")).toBe("1");
    expect([...headers.keys()].filter((name) => name.startsWith("egress-kept"))).toEqual([]);
  }
  expect(egressOf(response)).toEqual({ ip: "192.0.2.1", port: 2051, host: "h1" });
});

test("[CL3] a refusal of ipshard's own rejects with its code, status and detail", async () => {
  edge.answer = refuseWith({ code: "destination-prohibited", detail: "10.0.0.1 is private." });
  const fault = await faultOf(egressWith().fetch(DESTINATION));
  expect(fault).toBeInstanceOf(EgressError);
  expect(fault).toBeInstanceOf(TypeError);
  expect(fault).toMatchObject({
    name: "EgressError",
    code: "destination-prohibited",
    status: 403,
    detail: "10.0.0.1 is private.",
  });
  edge.answer = refuseWith({ code: "no-host" });
  expect(await faultOf(egressWith().fetch(DESTINATION, { method: "HEAD" }))).toMatchObject({
    code: "no-host",
    status: 503,
    detail: null,
  });
});

test("[CL3] an origin that imitates a refusal in its body alone is believed to be an origin", async () => {
  edge.answer = (_seen, response) =>
    response
      .writeHead(403, { ...SOURCE, "content-type": "application/problem+json" })
      .end(JSON.stringify({ code: "destination-prohibited" }));
  expect((await egressWith().fetch(DESTINATION)).status).toBe(403);
});

test("[CL9] an answer that nothing of ipshard gave is no answer of the destination", async () => {
  for (const status of [200, 400, 431, 501, 503]) {
    edge.answer = (_seen, response) => response.writeHead(status, { "content-type": "text/plain" }).end("no");
    const fault = await faultOf(egressWith().fetch(DESTINATION));
    expect(fault).toBeInstanceOf(EgressError);
    expect(fault).toMatchObject({
      code: "answer-foreign",
      status,
      detail: expect.stringContaining(`${status}`),
    });
  }
});

test("[CL8] a Request made of what is there goes with its length and is sent again", async () => {
  const moved = refuseWith({ code: "redirect-not-replayable", location: "http://origin.example/b" });
  const form = new FormData();
  form.set("field", "x".repeat(200_000));
  for (const body of ["text", new Uint8Array(300_000), new Blob(["x".repeat(500_000)]), form]) {
    edge.answer = (seen, response, request) =>
      seen.destination === DESTINATION
        ? moved(seen, response, request)
        : response.writeHead(200, SOURCE).end("done");
    const response = await egressWith().fetch(new Request(DESTINATION, { method: "POST", body }));
    expect(response.url).toBe("http://origin.example/b");
    const [first, second] = edge.seen.splice(0);
    expect(first!.body.length).toBeGreaterThan(3);
    expect(second!.body).toBe(first!.body);
    expect(first!.headers["transfer-encoding"]).toBeUndefined();
    expect(first!.headers["content-type"]).toBe(second!.headers["content-type"]);
  }
});

test("[CL8] a Request whose body is still to come is streamed", async () => {
  edge.isEager = true;
  const { promise: firstArrived, resolve: arrived } = Promise.withResolvers<void>();
  edge.answer = (_seen, response, request) => {
    request.once("data", () => arrived());
    request.on("end", () => response.writeHead(200, SOURCE).end("done"));
  };
  let sentCount = 0;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (sentCount === 1) await firstArrived;
      sentCount += 1;
      if (sentCount === 3) controller.close();
      else controller.enqueue(new TextEncoder().encode(`part ${sentCount}`));
    },
  });
  const init = { method: "POST", body, duplex: "half" } as RequestInit;
  expect(await (await egressWith().fetch(new Request(DESTINATION, init))).text()).toBe("done");
  expect(edge.takeSeen().headers["transfer-encoding"]).toBe("chunked");
});

test("[CL7] what fetch itself would refuse is refused, and nothing is asked for with more than it", async () => {
  const { fetch } = egressWith();
  const wrong: unknown[] = [
    5,
    "x",
    { mode: "navigate" },
    { cache: "sometimes" },
    { cache: "only-if-cached" },
  ];
  wrong.push({ credentials: "all" }, { referrer: "http://[" }, { referrerPolicy: "some" }, { signal: {} });
  wrong.push(
    { window: {} },
    { method: "TRACE" },
    { method: "a b" },
    { headers: { a: "\u0000" } },
    { duplex: "full" },
  );
  wrong.push({ method: "POST", body: new ReadableStream() }, { headers: [["a"]] });
  for (const init of wrong)
    expect(await faultOf(fetch(DESTINATION, init as RequestInit))).toBeInstanceOf(TypeError);
  expect(edge.seen).toEqual([]);
  await fetch(DESTINATION, null);
  const { headers } = edge.takeSeen();
  expect([headers["cache-control"], headers["pragma"]]).toEqual([undefined, undefined]);
});

test("[CL4] followed redirects show in url and redirected", async () => {
  edge.answer = (_seen, response) =>
    response.writeHead(200, { ...SOURCE, "egress-location": "http://other.example/end#part" }).end("ok");
  const response = await egressWith().fetch(DESTINATION);
  expect([response.url, response.redirected]).toEqual(["http://other.example/end", true]);
});

test("[CL4] manual returns the redirect, error rejects, and neither is followed", async () => {
  edge.answer = (_seen, response) =>
    response.writeHead(302, { ...SOURCE, location: "http://leak.example/" }).end();
  const response = await egressWith().fetch(DESTINATION, { redirect: "manual" });
  expect([response.status, response.headers.get("location")]).toEqual([302, "http://leak.example/"]);
  expect(edge.takeSeen().headers["egress-redirect"]).toBe("manual");
  const fault = await faultOf(egressWith().fetch(new Request(DESTINATION, { redirect: "error" })));
  expect(fault).toBeInstanceOf(TypeError);
  expect(edge.takeSeen().headers["egress-redirect"]).toBe("manual");
});

test("[CL4] a redirect that wants the body again gets it, but no other origin's credentials", async () => {
  const moved = refuseWith({ code: "redirect-not-replayable", location: "http://other.example/b#x" });
  edge.answer = (seen, response, request) =>
    seen.destination === DESTINATION
      ? moved(seen, response, request)
      : response.writeHead(200, SOURCE).end("done");
  const init = { method: "PUT", headers: { authorization: "Basic Zm9v", cookie: "a=1", "x-mine": "1" } };
  const response = await egressWith().fetch(DESTINATION, { ...init, body: "again" });
  expect([response.url, response.redirected]).toEqual(["http://other.example/b", true]);
  expect(edge.seen.map(({ method, body }) => [method, body])).toEqual([
    ["PUT", "again"],
    ["PUT", "again"],
  ]);
  const { headers } = edge.seen[1]!;
  expect([headers.authorization, headers.cookie, headers["x-mine"]]).toEqual([undefined, undefined, "1"]);
});

test.each([
  ["https://a.example/x", "https://a.example/y", true],
  ["https://a.example/x", "https://a.example:443/y", true],
  ["http://a.example:8080/x", "http://A.example:8080/y", true],
  ["https://a.example/x", "http://a.example/x", false],
  ["http://a.example/x", "https://a.example/x", false],
  ["https://a.example/x", "http://a.example:443/x", false],
  ["https://a.example/x", "https://a.example:444/x", false],
  ["http://a.example:8080/x", "http://a.example/x", false],
  ["https://a.example/x", "https://sub.a.example/x", false],
  ["https://sub.a.example/x", "https://a.example/x", false],
  ["https://a.example/x", "https://aa.example/x", false],
  ["https://a.example/x", "https://a.example.b.example/x", false],
  ["https://a.example/x", "https://a.example./x", false],
])("[CL4] credentials sent again from %s to %s: %s", async (from, location, areKept) => {
  const moved = refuseWith({ code: "redirect-not-replayable", location });
  edge.answer = (seen, response, request) =>
    seen.destination === from ? moved(seen, response, request) : response.writeHead(200, SOURCE).end();
  const headers = { authorization: "Basic Zm9v", cookie: "a=1", "x-mine": "1" };
  await egressWith().fetch(from, { method: "PUT", headers, body: "again" });
  expect(edge.seen).toHaveLength(2);
  const { authorization, cookie, "x-mine": mine } = edge.seen[1]!.headers;
  const kept = areKept ? ["Basic Zm9v", "a=1"] : [undefined, undefined];
  expect([authorization, cookie, mine]).toEqual([...kept, "1"]);
});

test("[CL4] credentials that were left behind do not come back with the way home", async () => {
  const places = ["https://a.example/x", "http://a.example/x", "https://a.example/y"];
  edge.answer = (seen, response, request) => {
    const next = places[places.indexOf(seen.destination!) + 1];
    if (next === undefined) response.writeHead(200, SOURCE).end();
    else refuseWith({ code: "redirect-not-replayable", location: next })(seen, response, request);
  };
  const headers = { authorization: "Basic Zm9v", cookie: "a=1" };
  await egressWith().fetch(places[0]!, { method: "PUT", headers, body: "again" });
  expect(edge.seen.map(({ headers: sent }) => [sent.authorization, sent.cookie])).toEqual([
    ["Basic Zm9v", "a=1"],
    [undefined, undefined],
    [undefined, undefined],
  ]);
});

test("[CL4] a streamed body cannot be sent again, and redirects end at the twentieth", async () => {
  edge.answer = refuseWith({ code: "redirect-not-replayable", location: DESTINATION });
  const body = new Blob(["once"]).stream();
  const streamed = egressWith().fetch(DESTINATION, { method: "POST", body, duplex: "half" });
  expect(await faultOf(streamed)).toMatchObject({ code: "redirect-not-replayable" });
  edge.takeSeen();
  const endless = egressWith().fetch(DESTINATION, { method: "POST", body: "again" });
  expect(await faultOf(endless)).toMatchObject({ code: "redirect-not-replayable" });
  expect(edge.seen.length).toBe(21);
});

/** What a call hands to the platform's `fetch`, and what it makes of the answer. */
import { expect, test } from "vitest";
import type { SentBody } from "../../src/sdk/destination-body.ts";
import { createEgress, EgressError, type EgressOptions, egressOf } from "../../src/sdk/egress.ts";

const DESTINATION = "http://origin.example/a";
const SOURCE = { "egress-ip": "192.0.2.1", "egress-port": "2051", "egress-host": "h1" };

interface Call {
  readonly url: string;
  readonly init: RequestInit & { readonly headers: Headers; readonly duplex?: string };
}

/** An egress whose edge answers as it is told, and the calls that it got. */
function egressOver(answer: () => Response, options: Partial<EgressOptions> = {}) {
  const calls: Call[] = [];
  const egress = createEgress({
    endpoint: "https://edge.example",
    token: "the-token",
    fetch: async (url, init) => {
      calls.push({ url, init: init as Call["init"] });
      return answer();
    },
    ...options,
  });
  return { fetch: egress.fetch, calls };
}

const ok = (): Response => new Response("ok", { headers: SOURCE });

/** What the platform gets for a call. */
async function initFor(...call: Parameters<ReturnType<typeof egressOver>["fetch"]>): Promise<Call["init"]> {
  const { fetch, calls } = egressOver(ok);
  await fetch(...call);
  return calls[0]!.init;
}

async function faultOf(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => expect.fail("it resolved"),
    (fault: Error) => fault,
  );
}

test("[CL1] the edge gets no cookies of its own, follows nothing by the platform, and keeps all other options", async () => {
  const init = await initFor(DESTINATION, {
    credentials: "include",
    redirect: "follow",
    mode: "same-origin",
    cache: "no-store",
    referrerPolicy: "no-referrer",
  });
  expect(init).toMatchObject({
    credentials: "omit",
    redirect: "manual",
    cache: "no-store",
    referrerPolicy: "no-referrer",
    method: "GET",
  });
  for (const absent of ["mode", "body", "duplex", "signal"]) expect(init).not.toHaveProperty(absent);
});

test("[CL1] a Request's options are kept, and those of init win over them", async () => {
  const controller = new AbortController();
  const options = { integrity: "sha256-a", keepalive: true, cache: "reload" } as const;
  const request = (): Request => new Request(DESTINATION, { ...options, signal: controller.signal });
  const kept = await initFor(request());
  expect(kept).toMatchObject(options);
  expect(kept.signal?.aborted).toBe(false);
  controller.abort();
  expect(kept.signal?.aborted).toBe(true);
  const other = { integrity: "sha256-b", keepalive: false, cache: "no-cache" } as const;
  expect(await initFor(new Request(DESTINATION, options), other)).toMatchObject(other);
  expect((await initFor(request(), { signal: null })).signal).toBe(null);
});

test("[CL7] of a plain Request nothing is asked for that it did not ask for", async () => {
  const init = await initFor(new Request(DESTINATION));
  for (const absent of ["integrity", "keepalive", "cache", "body", "duplex"]) {
    expect(init).not.toHaveProperty(absent);
  }
});

test("[CL1] only a body that is streamed is called half duplex", async () => {
  const post = (body: SentBody): Promise<Call["init"]> =>
    initFor(DESTINATION, { method: "POST", body, duplex: "half" });
  expect(await post("text")).not.toHaveProperty("duplex");
  const streamed = await post(new Blob(["text"]).stream());
  expect([streamed.duplex, await new Response(streamed.body).text()]).toEqual(["half", "text"]);
});

test("[CL1] headers of init win as a whole, also where only the body is the call's own", async () => {
  const request = (): Request => new Request(DESTINATION, { method: "POST", headers: { "x-mine": "1" } });
  const own = await initFor(request(), { body: "text" });
  expect([own.headers.get("x-mine"), own.headers.get("content-type")]).toEqual(["1", null]);
  const other = await initFor(request(), { body: "text", headers: { "x-other": "2" } });
  expect([other.headers.get("x-mine"), other.headers.get("x-other")]).toEqual([null, "2"]);
  // Of a body that was read out of a Request the platform could not find the type again.
  const whole = await initFor(new Request(DESTINATION, { method: "POST", body: "text" }));
  expect(whole.headers.get("content-type")).toBe("text/plain;charset=UTF-8");
});

test("[CL4] the redirect mode of a Request counts, and that of init before it", async () => {
  const modeFor = async (...call: Parameters<typeof initFor>): Promise<string | null> =>
    (await initFor(...call)).headers.get("egress-redirect");
  expect(await modeFor(DESTINATION)).toBe("follow");
  expect(await modeFor(new Request(DESTINATION, { redirect: "manual" }))).toBe("manual");
  expect(await modeFor(new Request(DESTINATION, { redirect: "manual" }), { redirect: "follow" })).toBe(
    "follow",
  );
  const fault = await faultOf(initFor(DESTINATION, { redirect: "sideways" as "follow" }));
  expect(fault).toMatchObject({ name: "TypeError", message: '"sideways" is not a redirect mode.' });
});

test("[CL1] an endpoint may end with slashes, and may be a URL", async () => {
  for (const endpoint of ["https://edge.example/below//", new URL("https://edge.example/below/")]) {
    const { fetch, calls } = egressOver(ok, { endpoint });
    await fetch(DESTINATION);
    expect(calls[0]!.url).toBe("https://edge.example/below/v1/fetch?url=http%3A%2F%2Forigin.example%2Fa");
  }
  expect(() => egressOver(ok, { endpoint: "edge.example" })).toThrow(
    "The endpoint edge.example is not an absolute URL.",
  );
});

test("[CL1] a call can do without what the egress selects, and is told which member is refused", async () => {
  const { fetch, calls } = egressOver(ok, { pool: "eu", session: "one" });
  await fetch(DESTINATION, { egress: { session: undefined } as object });
  expect(calls[0]!.init.headers.get("egress")).toBe('pool="eu"');
  const fault = await faultOf(fetch(DESTINATION, { egress: { contry: "de" } as object }));
  expect(fault.message).toContain(`The egress selection's "contry" is refused: `);
});

test("[CL7] a second argument is an object or nothing", async () => {
  const { fetch, calls } = egressOver(ok);
  expect(await faultOf(fetch(DESTINATION, 5 as unknown as object))).toMatchObject({
    name: "TypeError",
    message: "The second argument of fetch is an object.",
  });
  const callable = Object.assign(() => {}, { method: "PUT" });
  await fetch(DESTINATION, callable);
  expect(calls.map(({ init }) => init.method)).toEqual(["PUT"]);
});

test("[CL2] an egress may fetch through another", async () => {
  const inner = egressOver(() => new Response("ok", { headers: { ...SOURCE, "egress-kept-age": "1" } }));
  const outer = createEgress({ endpoint: "https://outer.example", token: "t", fetch: inner.fetch });
  const response = await outer.fetch(DESTINATION);
  expect([response.url, response.redirected, await response.clone().text()]).toEqual([
    DESTINATION,
    false,
    "ok",
  ]);
  expect(response.headers.get("age")).toBe("1");
});

test("[CL2] where a request left from is known from address, port and host together", () => {
  const without = (name: keyof typeof SOURCE, value?: string): Response => {
    const headers = new Headers(SOURCE);
    headers.delete(name);
    if (value !== undefined) headers.set(name, value);
    return new Response("", { headers });
  };
  expect(egressOf(new Response("", { headers: SOURCE }))).toEqual({
    ip: "192.0.2.1",
    port: 2051,
    host: "h1",
  });
  expect(egressOf(without("egress-ip"))).toBe(null);
  expect(egressOf(without("egress-host"))).toBe(null);
  expect(egressOf(without("egress-port"))).toBe(null);
  expect(egressOf(without("egress-port", "many"))).toBe(null);
  expect(egressOf(without("egress-port", "20.5"))).toBe(null);
});

test("[CL6] cookies are told from fields that are only named like them", async () => {
  const kept = {
    "egress-kept-set-cookie-9": "a=1",
    "egress-kept-set-cookie-10": "b=2",
    "egress-kept-set-cookie-x": "3",
    "egress-kept-my-set-cookie-1": "4",
    "egress-kept-set-cookie-1-of-mine": "5",
  };
  const { fetch } = egressOver(() => new Response("ok", { headers: { ...SOURCE, ...kept } }));
  const { headers } = await fetch(DESTINATION);
  expect(headers.getSetCookie().toSorted()).toEqual(["a=1", "b=2"]);
  const others = ["set-cookie-x", "my-set-cookie-1", "set-cookie-1-of-mine"];
  expect(others.map((name) => headers.get(name))).toEqual(["3", "4", "5"]);
});

test("[CL4] the mode error rejects every redirect, in words, lets its body go, and takes all else", async () => {
  for (const status of [301, 302, 303, 307, 308]) {
    const redirect = new Response("unread", { status, headers: { ...SOURCE, location: "/b" } });
    const { fetch } = egressOver(() => redirect);
    const fault = await faultOf(fetch(DESTINATION, { redirect: "error" }));
    expect(fault).toMatchObject({
      name: "TypeError",
      message: expect.stringMatching(/origin\.example\/a redirects/),
    });
    expect(await redirect.text().catch(() => "let go")).toBe("let go");
    const followed = egressOver(() => new Response(null, { status, headers: SOURCE }));
    expect((await followed.fetch(DESTINATION)).status).toBe(status);
  }
  for (const status of [200, 304, 404]) {
    const { fetch } = egressOver(() => new Response(null, { status, headers: SOURCE }));
    expect((await fetch(DESTINATION, { redirect: "error" })).status).toBe(status);
  }
});

test("[CL4] [CL9] a redirect of which a browser shows nothing is the destination's", async () => {
  const opaque = (): Response =>
    Object.defineProperty(new Response(null), "type", { value: "opaqueredirect" });
  expect((await egressOver(opaque).fetch(DESTINATION, { redirect: "manual" })).url).toBe(DESTINATION);
  const fault = await faultOf(egressOver(opaque).fetch(DESTINATION, { redirect: "error" }));
  expect(fault).not.toBeInstanceOf(EgressError);
  expect(fault.message).toContain('the redirect mode is "error"');
});

test("[CL9] a stranger's answer is told by its status, and its body let go", async () => {
  const answers = [
    new Response("no", { status: 503, statusText: "Service Unavailable" }),
    new Response("no", { status: 400 }),
  ];
  const said = ["It said 503 Service Unavailable.", "It said 400."];
  for (const [at, answer] of answers.entries()) {
    const fault = await faultOf(egressOver(() => answer).fetch(DESTINATION));
    expect(fault).toMatchObject({ code: "answer-foreign", detail: said[at] });
    expect(fault.message).toBe(
      `Something other than ipshard answered in place of the edge. ${said[at]} [answer-foreign]`,
    );
    expect(await answer.text().catch(() => "let go")).toBe("let go");
  }
});

test("[CL3] a refusal says its title, its detail if it has one, and its code", async () => {
  const headers = { "proxy-status": 'ipshard;details="no-host"' };
  const faultFor = (body: string): Promise<Error> =>
    faultOf(egressOver(() => new Response(body, { status: 503, headers })).fetch(DESTINATION));
  expect((await faultFor('{"title":"Nobody is there."}')).message).toBe("Nobody is there. [no-host]");
  expect((await faultFor('{"title":"Nobody.","detail":"Try later."}')).message).toBe(
    "Nobody. Try later. [no-host]",
  );
  for (const unreadable of ["", "<html>", '{"title":5,"detail":{}}']) {
    expect(await faultFor(unreadable)).toMatchObject({
      message: "The egress was refused. [no-host]",
      detail: null,
      status: 503,
    });
  }
});

test("[CL4] a redirect whose place is not told, or is no place, is not followed", async () => {
  const places = [{}, { "egress-location": "" }, { "egress-location": "nowhere" }];
  for (const place of places) {
    const headers = { "proxy-status": 'ipshard;details="redirect-not-replayable"', ...place };
    const { fetch, calls } = egressOver(() => new Response(null, { status: 409, headers }));
    const fault = await faultOf(fetch(DESTINATION, { method: "PUT", body: "again" }));
    expect(fault).toMatchObject({ code: "redirect-not-replayable" });
    expect(calls).toHaveLength(1);
  }
});

test("[TR4] a token goes to no other machine in plain text, unless it is forced", () => {
  const at = (endpoint: string | URL, more = {}): unknown => createEgress({ endpoint, token: "t", ...more });
  for (const endpoint of [
    "http://edge.example",
    "http://10.0.0.1:8787/",
    new URL("http://[2001:db8::1]/"),
    "http://127.0.0.1.example",
    "http://localhost.example",
  ]) {
    expect(() => at(endpoint)).toThrow(TypeError);
    expect(() => at(endpoint)).toThrow(
      expect.objectContaining({
        code: "plain-http-refused",
        message: expect.stringContaining("allowPlainHttp"),
      }),
    );
    expect(at(endpoint, { allowPlainHttp: true })).toBeDefined();
  }
  for (const endpoint of [
    "https://edge.example",
    "http://127.1:8787",
    "http://[::1]/",
    "http://localhost:1",
  ]) {
    expect(at(endpoint)).toBeDefined();
  }
});

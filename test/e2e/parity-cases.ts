/** Calls of `fetch`, told by what can be seen of them, to be made by the SDK and by `fetch` itself. */

/** `fetch`, whoever's. */
export type Fetch = (input: string | URL | Request, init?: RequestInit | null) => Promise<Response>;

/** One call: what it shows is compared. */
export interface ParityCase {
  readonly name: string;
  readonly run: (fetch: Fetch, origin: string, other: string) => Promise<unknown>;
}

/** What there is to see of a response. */
async function seen(response: Response): Promise<unknown> {
  const { status, statusText, ok, url, redirected, type } = response;
  const headers = [...response.headers].filter(([name]) => !IGNORED.test(name));
  let body: unknown;
  try {
    body = await response.text();
  } catch (fault) {
    body = nameOf(fault);
  }
  const echoed = typeof body === "string" && body.startsWith('{"method"') ? JSON.parse(body) : body;
  return { status, statusText, ok, url, redirected, type, headers, body: echoed, used: response.bodyUsed };
}

/** Ours, and what belongs to a connection or the moment. */
const IGNORED = /^(egress-.*|proxy-status|date|connection|keep-alive|transfer-encoding|content-length)$/;

/** The kind of what was thrown: that an EgressError is more than a TypeError is no difference. */
export function nameOf(fault: unknown): string {
  if (fault instanceof TypeError) return "TypeError";
  return fault instanceof Error ? fault.name : `thrown ${String(fault)}`;
}

const cases: ParityCase[] = [];

function call(name: string, path: string, init?: () => RequestInit | null): void {
  cases.push({ name, run: async (fetch, origin) => seen(await fetch(origin + path, init?.())) });
}

function custom(name: string, run: ParityCase["run"]): void {
  cases.push({ name, run });
}

function streamOf(...parts: readonly string[]): ReadableStream<Uint8Array> {
  const left = [...parts];
  return new ReadableStream({
    pull(controller) {
      const part = left.shift();
      if (part === undefined) controller.close();
      else controller.enqueue(new TextEncoder().encode(part));
    },
  });
}

function formOf(): FormData {
  const form = new FormData();
  form.set("field", "value \u00e9");
  form.set("file", new Blob(["content"], { type: "text/csv" }), "a.csv");
  return form;
}

const BODIES: Readonly<Record<string, () => unknown>> = {
  "a string": () => "h\u00e9llo",
  "an empty string": () => "",
  bytes: () => new Uint8Array([0, 255, 10, 13]),
  "a buffer": () => new Uint8Array([1, 2, 3]).buffer,
  "a view": () => new DataView(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2),
  "a blob": () => new Blob(["blob"], { type: "text/x-own" }),
  "an empty blob": () => new Blob([]),
  "a large blob": () => new Blob(["x".repeat(3_000_000)]),
  parameters: () => new URLSearchParams({ a: "1", b: "\u00e9" }),
  "a form": formOf,
  "a stream": () => streamOf("one ", "two"),
  "a generator": async function* generate() {
    yield new TextEncoder().encode("yielded");
  },
  "a number": () => 5,
  "an object": () => ({}),
  null: () => null,
  undefined: () => undefined,
};

function initWith(method: string, make: () => unknown): RequestInit {
  const body = make();
  const isStream =
    body instanceof ReadableStream ||
    (typeof body === "object" && body !== null && Symbol.asyncIterator in body);
  return { method, body, ...(isStream ? { duplex: "half" } : {}) } as RequestInit;
}

for (const [kind, make] of Object.entries(BODIES)) {
  for (const method of ["POST", "PUT", "DELETE"]) {
    call(`${method} with ${kind}`, "/echo", () => initWith(method, make));
  }
  call(`GET with ${kind}`, "/echo", () => initWith("GET", make));
  custom(`a Request with ${kind}`, async (fetch, origin) =>
    seen(await fetch(new Request(`${origin}/echo`, initWith("POST", make)))),
  );
  call(`a 307 after ${kind}`, "/redirect?code=307&to=/echo", () => initWith("POST", make));
  custom(`a 307 after a Request with ${kind}`, async (fetch, origin) =>
    seen(await fetch(new Request(`${origin}/redirect?code=307&to=/echo`, initWith("POST", make)))),
  );
}

const METHODS = ["get", "HEAD", "head", "post", "patch", "PATCH", "options", "OPTIONS", "PROPFIND", "REPORT"];
METHODS.push("SEARCH", "MKCOL", "PURGE", "QUERY", "M-SEARCH", "FOO", "CONNECT", "TRACE", "", "a b", "\u00e9");
for (const method of METHODS) call(`the method "${method}"`, "/echo", () => ({ method }));

const FIELDS: readonly (readonly [string, string])[] = [
  ["x-own", "1"],
  ["X-UPPER", "Case"],
  ["x-empty", ""],
  ["x-spaces", "  in  between  "],
  ["x-latin", "caf\u00e9"],
  ["x-wide", "\u20ac"],
  ["x-line", "a\nb"],
  ["bad name", "1"],
  ["accept", "text/plain"],
  ["accept-encoding", "identity"],
  ["accept-language", "de"],
  ["user-agent", "mine/1"],
  ["authorization", "Basic x"],
  ["cookie", "a=1; b=2"],
  ["referer", "http://from.example/"],
  ["origin", "http://page.example"],
  ["cache-control", "max-age=0"],
  ["range", "bytes=0-1"],
  ["if-none-match", '"v1"'],
  ["content-type", "text/own"],
  ["content-length", "3"],
  ["host", "other.example"],
  ["connection", "close"],
  ["connection", "x-own"],
  ["keep-alive", "timeout=1"],
  ["te", "trailers"],
  ["trailer", "x"],
  ["transfer-encoding", "chunked"],
  ["upgrade", "h2c"],
  ["expect", "100-continue"],
  ["proxy-authorization", "Basic x"],
  ["http2-settings", "x"],
  ["x-forwarded-for", "192.0.2.7"],
  ["cf-connecting-ip", "192.0.2.7"],
  ["via", "1.1 mine"],
  ["forwarded", "for=192.0.2.7"],
  ["egress-own", "1"],
  ["dnt", "1"],
  ["priority", "u=1"],
];
for (const [name, value] of FIELDS) {
  call(`the field ${name}: ${JSON.stringify(value)}`, "/echo", () => ({ headers: [[name, value]] }));
}
call("fields in an object", "/echo", () => ({ headers: { a: "1", B: "2" } }));
call("fields in Headers", "/echo", () => ({ headers: new Headers({ a: "1" }) }));
call("a field twice", "/echo", () => ({
  headers: [
    ["a", "1"],
    ["A", "2"],
  ],
}));
call("a type of one's own for a form", "/echo", () => ({
  method: "POST",
  body: formOf(),
  headers: { "content-type": "text/x" },
}));
call("fields of another kind", "/echo", () => ({ headers: "a: 1" as never }));

const PLACES = [
  "/echo#part",
  "/echo?",
  "/echo?a=%20&b=+&c=\u00e9#x",
  "/echo?url=http%3A%2F%2Fx",
  "/%65cho",
  "/a/../echo",
];
PLACES.push(
  "//echo",
  "/e cho",
  "/echo?a=1&a=2",
  "/echo?%",
  "/echo?a=\ud800",
  "/\u00fc",
  "/echo;x=1",
  "/echo?a=b\\c",
);
for (const place of PLACES) call(`the place ${JSON.stringify(place)}`, place);
for (const input of [
  "",
  "/relative",
  "http://",
  "http://u:p@127.0.0.20/",
  "ftp://127.0.0.20/",
  "data:,x",
  "about:blank",
]) {
  custom(`the input ${JSON.stringify(input)}`, async (fetch) => seen(await fetch(input)));
}
custom("a URL", async (fetch, origin) => seen(await fetch(new URL(`${origin}/echo`))));
custom("what only says a URL", async (fetch, origin) =>
  seen(await fetch({ toString: () => `${origin}/echo` } as never)),
);
custom("a Request and init", async (fetch, origin) => {
  const request = new Request(`${origin}/echo`, { method: "PUT", body: "old", headers: { a: "1" } });
  return seen(await fetch(request, { method: "POST", body: "new", headers: { b: "2" } }));
});
custom("a Request whose body init replaces", async (fetch, origin) => {
  const request = new Request(`${origin}/echo`, { method: "PUT", body: "old", headers: { a: "1" } });
  return [await seen(await fetch(request, { method: "PUT", body: "new" })), request.bodyUsed];
});
custom("a Request twice", async (fetch, origin) => {
  const request = new Request(`${origin}/echo`, { method: "PUT", body: "once" });
  return [await seen(await fetch(request)), request.bodyUsed, await seen(await fetch(request))];
});
custom("a Request's clone", async (fetch, origin) => {
  const request = new Request(`${origin}/echo`, { method: "PUT", body: "once" });
  return [await seen(await fetch(request.clone())), request.bodyUsed, await seen(await fetch(request))];
});
custom("no arguments", async (fetch) => seen(await (fetch as () => Promise<Response>)()));

const INITS: readonly unknown[] = [null, undefined, {}, 5, "x", true, [], () => {}];
for (const init of INITS)
  call(`init ${typeof init} ${JSON.stringify(init)}`, "/echo", () => init as RequestInit);
const OPTIONS: Readonly<Record<string, readonly unknown[]>> = {
  redirect: ["follow", "manual", "error", "sideways", null, 5],
  mode: ["cors", "no-cors", "same-origin", "navigate", "x"],
  credentials: ["omit", "include", "same-origin", "x"],
  cache: ["default", "no-store", "reload", "no-cache", "force-cache", "only-if-cached", "x"],
  referrer: ["", "about:client", "http://from.example/", "http://["],
  referrerPolicy: ["", "no-referrer", "x"],
  integrity: ["", "x", "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="],
  keepalive: [true, "x"],
  signal: [null, {}, 5],
  window: [null, {}],
  duplex: ["half", "full"],
  priority: ["high", "x"],
  unknown: ["x"],
};
for (const [option, values] of Object.entries(OPTIONS)) {
  for (const value of values) {
    call(`${option}: ${JSON.stringify(value)}`, "/echo", () => ({ [option]: value }));
  }
}

for (const code of [301, 302, 303, 307, 308]) {
  for (const method of ["GET", "HEAD", "POST", "PUT"]) {
    const init = (): RequestInit => ({ method, ...(method[0] === "P" ? { body: "body" } : {}) });
    call(`${code} after ${method}`, `/redirect?code=${code}&to=/echo`, init);
  }
  call(`${code} returned`, `/redirect?code=${code}&to=/echo`, () => ({ redirect: "manual" }));
  call(`${code} refused`, `/redirect?code=${code}&to=/echo`, () => ({ redirect: "error" }));
}
for (const code of [300, 304, 305, 306, 399])
  call(`${code} with a location`, `/redirect?code=${code}&to=/echo`);
for (const to of [
  "/echo#part",
  "http://[",
  "ftp://x/",
  "//",
  "?left=0",
  "http://u:p@127.0.0.20/",
  "data:,x",
]) {
  call(`a redirect to ${JSON.stringify(to)}`, `/redirect?to=${encodeURIComponent(to)}`);
}
call("a redirect to nowhere", "/redirect");
call("a redirect that keeps the fragment", "/redirect?to=/echo#kept");
for (const left of [1, 20, 21]) call(`${left} redirects`, `/hops?left=${left}`);
for (const code of [302, 307]) {
  custom(`a ${code} to another origin with credentials`, async (fetch, origin, other) => {
    const headers = { authorization: "Basic x", cookie: "a=1", "x-own": "1", "proxy-authorization": "x" };
    const url = `${origin}/redirect?code=${code}&to=${encodeURIComponent(`${other}/echo`)}`;
    return seen(await fetch(url, { method: "POST", body: "b", headers }));
  });
}

for (const code of [
  200, 201, 203, 204, 205, 206, 226, 400, 401, 403, 404, 405, 407, 413, 418, 421, 426, 429, 431,
]) {
  call(`the status ${code}`, `/status?code=${code}`);
}
for (const code of [500, 501, 502, 503, 504, 511, 599, 600, 999])
  call(`the status ${code}`, `/status?code=${code}`);
call("a reason of its own", "/status?code=200&reason=Quite%20Fine");
call("HEAD of what has a length", "/large?bytes=5&length=1", () => ({ method: "HEAD" }));
for (const path of [
  "/headers",
  "/broken-gzip",
  "/trailers",
  "/no-framing",
  "/short",
  "/garbage",
  "/reset",
  "/nowhere",
]) {
  call(`the answer ${path}`, path);
}
for (const coding of ["gzip", "deflate", "br", "unknown"])
  call(`the coding ${coding}`, `/encoded?coding=${coding}`);
for (const bytes of [0, 1, 3_000_000]) {
  call(`${bytes} bytes in chunks`, `/large?bytes=${bytes}`);
  call(`${bytes} bytes of known length`, `/large?bytes=${bytes}&length=1`);
}
custom("nobody listens", async (fetch) => seen(await fetch("http://127.0.0.20:1/")));

const READINGS: Readonly<Record<string, (response: Response) => Promise<unknown>>> = {
  json: (response) => response.json(),
  bytes: async (response) => [...(await response.bytes())],
  arrayBuffer: async (response) => (await response.arrayBuffer()).byteLength,
  blob: async (response) => (await response.blob()).type,
  clone: async (response) => [await response.clone().text(), await response.text(), response.bodyUsed],
  twice: async (response) => [await response.text(), await response.text()],
  cancel: async (response) => [await response.body!.cancel(), response.bodyUsed],
  locked: async (response) => [response.body!.getReader() !== null, await response.text()],
  immutable: async ({ headers }) => headers.set("a", "1"),
};
for (const [name, read] of Object.entries(READINGS)) {
  custom(`reading: ${name}`, async (fetch, origin) => read(await fetch(`${origin}/headers`)));
}
custom("reading: formData", async (fetch, origin) => [...(await (await fetch(`${origin}/form`)).formData())]);

custom("aborted before", async (fetch, origin) =>
  seen(await fetch(`${origin}/echo`, { signal: AbortSignal.abort() })),
);
custom("aborted before, for a reason", async (fetch, origin) =>
  seen(await fetch(`${origin}/echo`, { signal: AbortSignal.abort(new RangeError("mine")) })),
);
custom("aborted while it waits", async (fetch, origin) =>
  seen(await fetch(`${origin}/silent`, { signal: AbortSignal.timeout(200) })),
);
custom("a Request aborted while it waits", async (fetch, origin) =>
  seen(await fetch(new Request(`${origin}/silent`, { signal: AbortSignal.timeout(200) }))),
);
custom("aborted within the body", async (fetch, origin) => {
  const control = new AbortController();
  const response = await fetch(`${origin}/slow-body`, { signal: control.signal });
  setTimeout(() => control.abort(), 50);
  return seen(response);
});

/** All calls. */
export const PARITY_CASES: readonly ParityCase[] = cases;

/** What the caller of `fetch` wants sent to the destination, read as `fetch` would read it. [CL1] */
import { withoutFragment } from "./destination-response.ts";

/** A request to the destination. */
export interface DestinationRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: Headers;
  readonly redirect: "follow" | "manual" | "error";
  /** Everything for the call to the edge but method and headers. */
  readonly init: RequestInit;
}

type Redirect = DestinationRequest["redirect"];

/**
 * Reads the arguments of `fetch`. Throws the TypeErrors that `fetch` rejects with: the
 * platform's own Request judges URL, method and headers.
 */
export async function readRequest(
  input: string | URL | Request,
  init: RequestInit,
): Promise<DestinationRequest> {
  const { body, redirect: wantedRedirect, signal: wantedSignal, ...rest } = init;
  const given = input instanceof Request ? input : null;
  const redirect = toRedirect(wantedRedirect ?? given?.redirect ?? "follow");
  const signal = wantedSignal === undefined ? given?.signal : wantedSignal;
  // Without the body, which stays what it is: a string can be sent twice, a stream cannot. A
  // Request of the caller's is not taken apart, so that its body is read only when it is sent.
  const { method = given?.method, headers = given?.headers } = rest;
  const judged = new Request(given?.url ?? input, {
    ...(method === undefined ? {} : { method }),
    ...(headers === undefined ? {} : { headers }),
  });
  const edgeInit: RequestInit & { duplex?: "half" } = { ...rest, redirect: "manual", ...platformInit() };
  delete edgeInit.method;
  delete edgeInit.headers;
  delete edgeInit.mode;
  if (signal) edgeInit.signal = signal;
  if (given?.integrity && rest.integrity === undefined) edgeInit.integrity = given.integrity;
  const sent = body ?? (given === null ? null : await bodyOf(given));
  if (sent !== null) edgeInit.body = sent;
  if (isStream(sent)) edgeInit.duplex = "half";
  return {
    url: withoutFragment(judged.url),
    method: judged.method,
    headers: judged.headers,
    redirect,
    init: edgeInit,
  };
}

/**
 * The same request, to where a redirect that keeps method and body leads; null if the place
 * is unknown or the body is gone.
 */
export function replayed(request: DestinationRequest, location: string | null): DestinationRequest | null {
  if (location === null || !URL.canParse(location) || isStream(request.init.body)) return null;
  const headers = new Headers(request.headers);
  if (new URL(location).origin !== new URL(request.url).origin) {
    // Credentials are for the origin that they were given for.
    headers.delete("authorization");
    headers.delete("cookie");
  }
  return { ...request, url: withoutFragment(location), headers };
}

function toRedirect(mode: string): Redirect {
  if (mode === "follow" || mode === "manual" || mode === "error") return mode;
  throw new TypeError(`${JSON.stringify(mode)} is not a redirect mode.`);
}

async function bodyOf(request: Request): Promise<BodyInit | null> {
  if (request.bodyUsed) throw new TypeError("The body of the Request has already been used.");
  if (request.body) return request.body;
  // Where Request has no `body`, its bytes can still be had.
  if (request.body === null || request.method === "GET" || request.method === "HEAD") return null;
  const bytes = await request.arrayBuffer();
  return bytes.byteLength === 0 ? null : bytes;
}

function isStream(body: unknown): boolean {
  if (typeof body !== "object" || body === null) return false;
  return body instanceof ReadableStream || Symbol.asyncIterator in body;
}

/**
 * The browser's cookies and cache for the edge are not the destination's. Where there are
 * none, as in Workers, even naming them is an error.
 */
function platformInit(): RequestInit {
  return {
    ...("credentials" in Request.prototype ? { credentials: "omit" } : {}),
    ...("cache" in Request.prototype ? { cache: "no-store" } : {}),
  };
}

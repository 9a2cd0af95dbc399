/** What the caller of `fetch` wants sent to the destination, read as `fetch` would read it. [CL1] */
import { isStream, type SentBody, settledBody } from "./destination-body.ts";
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
 * platform's own Request judges all of them. [CL7]
 */
export async function readRequest(
  input: string | URL | Request,
  init: RequestInit,
): Promise<DestinationRequest> {
  // The edge never lets the platform follow, and not every platform knows all modes.
  const { redirect: wantedRedirect, ...judgedInit } = init;
  const given = input instanceof Request ? input : null;
  const mode = wantedRedirect === undefined ? (given?.redirect ?? "follow") : wantedRedirect;
  const redirect = toRedirect(mode);
  const judged = new Request(input, judgedInit);

  const { method: _method, headers: _headers, body, mode: _mode, ...rest } = judgedInit;
  const signal = rest.signal === undefined ? given?.signal : rest.signal;
  const edgeInit: RequestInit & { duplex?: "half" } = { ...rest, redirect: "manual", ...platformInit() };
  delete edgeInit.duplex;
  if (signal) edgeInit.signal = signal;
  if (given !== null) keepOptions(edgeInit, given);
  // The body of a Request always reads as a stream, even if it was made from a string.
  const isOwn = body !== undefined && body !== null;
  const sent: SentBody | null = !isOwn ? await settledBody(judged) : isStream(body) ? judged.body : body;
  if (sent !== null) edgeInit.body = sent;
  if (isStream(sent)) edgeInit.duplex = "half";
  return {
    url: withoutFragment(judged.url),
    method: judged.method,
    // Of a body that is sent as it is the platform finds the type, and a form's boundary, again.
    headers: isOwn && sent === body ? new Headers(init.headers ?? given?.headers) : judged.headers,
    redirect,
    init: edgeInit,
  };
}

function toRedirect(given: unknown): Redirect {
  // `fetch` converts any value to text.
  const mode = String(given);
  if (mode === "follow" || mode === "manual" || mode === "error") return mode;
  throw new TypeError(`${JSON.stringify(mode)} is not a redirect mode.`);
}

/** What a Request was made with and its `init` does not overrule. */
function keepOptions(init: RequestInit, given: Request): void {
  if (given.integrity && init.integrity === undefined) init.integrity = given.integrity;
  if (given.keepalive && init.keepalive === undefined) init.keepalive = true;
  if (given.cache !== undefined && given.cache !== "default") init.cache ??= given.cache;
}

/**
 * The browser's cookies for the edge are not the destination's. Where there are none, as in
 * Workers, even naming them is an error.
 */
function platformInit(): RequestInit {
  return "credentials" in Request.prototype ? { credentials: "omit" } : {};
}

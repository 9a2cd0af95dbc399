/**
 * What must be right about the head of a request before anything else is asked: the form of its
 * target, its host, its framing. [GW10] [GW12]
 *
 * Node reads heads strictly, but leaves to its user what RFC 9112 says of their meaning.
 */
import type { IncomingMessage } from "node:http";
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import { UPLOAD_NAME } from "../../../wire/upload-status.ts";
import type { ClientRequest } from "./client-exchange.ts";
import type { RequestHeaders } from "../http/forwarded-headers.ts";

/** A request's target, split at the question mark. */
export interface RequestTarget {
  readonly path: string;
  /** Without the question mark; empty without one. */
  readonly query: string;
}

/** RFC 9112 section 3.2.2: a server takes this form too. */
const ABSOLUTE_FORM = /^https?:\/\/[^/?#]*/i;
/** RFC 3986: a name or an address, then perhaps a port. */
const HOST = /^(?:\[[\da-f:.]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?$/i;
const CHUNKED = /^chunked$/i;

/** Said to whoever asks a gateway as one asks a proxy. [TR7] */
export const TAKEN_FOR_A_PROXY =
  "This is a gateway and no proxy. A host's proxies listen where its agent was told to by --proxy.";

/** The target of a request, whichever form it has. */
export function targetOf(request: IncomingMessage): RequestTarget {
  const written = request.url!;
  let target = written;
  if (!written.startsWith("/")) {
    target = written.replace(ABSOLUTE_FORM, "");
    if (target.length < written.length && !target.startsWith("/")) target = `/${target}`;
  }
  const queryAt = target.indexOf("?");
  if (queryAt === -1) return { path: target, query: "" };
  return { path: target.slice(0, queryAt), query: target.slice(queryAt + 1) };
}

/** Whether a request's target is a whole URL, as proxies are asked for it. */
export function isWholeUrl(request: IncomingMessage): boolean {
  return ABSOLUTE_FORM.test(request.url!);
}

/** Judges version, host and framing. */
export function judgeHead(httpVersion: string, headers: RequestHeaders): Outcome<true, Problem> {
  const isHttp11 = httpVersion === "1.1";
  if (!isHttp11 && httpVersion !== "1.0") return malformed("Only HTTP/1.1 and HTTP/1.0 are spoken.");
  // RFC 9112 section 3.2.
  if (headers.hosts.length > 1) return malformed("There is more than one host field.");
  const host = headers.hosts[0];
  if (host === undefined && isHttp11) return malformed("The host field is missing.");
  if (host !== undefined && !HOST.test(host)) return malformed("The host field names no host.");
  const { transferCoding } = headers;
  if (transferCoding !== null) {
    // RFC 9112 section 6.1: such a message is taken for broken.
    if (!isHttp11) return malformed("HTTP/1.0 has no transfer-encoding.");
    if (!CHUNKED.test(transferCoding)) {
      return refuse({ code: "request-coding-unsupported", detail: transferCoding });
    }
  }
  if (headers.isTokenRepeated) return malformed("There is more than one token.");
  if (headers.upload !== null && !UPLOAD_NAME.test(headers.upload)) {
    return malformed("egress-upload is not one name of an upload.");
  }
  return ok(true);
}

function malformed(detail: string): Outcome<true, Problem> {
  return refuse({ code: "request-malformed", detail });
}

/** Whether a request asks for a WebSocket; any other upgrade is ignored (RFC 9110 section 7.8). */
export function isWebSocketRequest(request: ClientRequest): boolean {
  const { method, httpVersion, headers } = request;
  if (method !== "GET" || httpVersion !== "1.1" || headers.upgrade === undefined) return false;
  return listIncludes(headers.upgrade, "websocket") && listIncludes(headers.connection ?? "", "upgrade");
}

function listIncludes(list: string, wanted: string): boolean {
  return list.split(",").some((member) => member.trim().toLowerCase() === wanted);
}

/**
 * What the edge has to see in the head of a request itself, since the runtime takes it off
 * before a gateway could: lengths, transfer codings, upgrades, and which fields are for this
 * connection only. [WK35] [WK36] [WK37]
 */
import type { Problem } from "../../core/problems.ts";
import { problem } from "../runtime/problem.ts";

/** Why a request cannot be carried as it was meant; null when it can. */
export function objectionTo(request: Request): Problem | null {
  const { headers } = request;
  const length = headers.get("content-length");
  if (length !== null && !Number.isSafeInteger(wholeNumber(length))) {
    return /^\d+$/.test(length)
      ? { code: "body-too-large", detail: `Its content-length is ${length.slice(0, 32)}.` }
      : { code: "request-malformed", detail: "Its content-length is no number." };
  }
  const coding = headers.get("transfer-encoding");
  if (coding !== null && coding.toLowerCase() !== "chunked") {
    return { code: "request-coding-unsupported", detail: "Send the body chunked, or with its length." };
  }
  const upgrade = headers.get("upgrade");
  return upgrade === null ? null : objectionToUpgrade(request, upgrade);
}

/** The answer to a request for a TCP connection that asks for no WebSocket; null when it does. [RC1] */
export function objectionToConnect({ headers }: Request): Response | null {
  if (headers.has("upgrade")) return null;
  return problem({ code: "upgrade-required" }, { upgrade: "websocket" });
}

/**
 * The fields of a request for its next hop. They are copied as a whole and never read and set
 * again: the runtime keeps the very bytes of a value that is no UTF-8 only as long as nobody
 * has made text of it.
 */
export function forwardedFields(request: Request): Headers {
  const headers = new Headers(request.headers);
  const listed = headers.get("connection");
  if (listed === null || isOrdinary(listed)) return headers;
  for (const name of listed.split(",")) {
    const field = name.trim().toLowerCase();
    // RFC 9110 section 7.6.1. The gateway never sees this list, so it must be heeded here.
    if (field !== "upgrade" && isFieldName(field)) headers.delete(field);
  }
  return headers;
}

function objectionToUpgrade(request: Request, upgrade: string): Problem | null {
  const isHandshake = upgrade.toLowerCase() === "websocket";
  // RFC 6455 section 4.1: a handshake is a GET. A body would be lost on the way.
  if (isHandshake && request.method === "GET" && request.body === null) return null;
  const detail = isHandshake ? "A WebSocket begins with a GET that has no body." : null;
  return { code: "upgrade-unsupported", ...(detail === null ? {} : { detail }) };
}

function wholeNumber(text: string): number {
  return /^\d+$/.test(text) ? Number(text) : NaN;
}

function isOrdinary(connection: string): boolean {
  const listed = connection.toLowerCase();
  return listed === "keep-alive" || listed === "close" || listed === "upgrade";
}

function isFieldName(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name);
}

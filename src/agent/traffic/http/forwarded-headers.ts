/**
 * Header fields on their way through: what is ours or belongs to one connection stays here,
 * all else passes as it was written, repeated fields and their order included. [GW3]
 */
import {
  EGRESS,
  EGRESS_AUTHORIZATION,
  EGRESS_REDIRECT,
  EGRESS_REQUEST_ID,
  EGRESS_UPLOAD,
  HOP_BY_HOP,
  isOwnHeader,
  PROXY_NAME,
  PROXY_STATUS,
} from "../../../wire/header-names.ts";
import { readRequestId } from "../../../wire/request-id.ts";

/** Names and values in turn, as Node takes them. */
export type RawHeaders = string[];

/** What the gateway reads off a request, in one pass. */
export interface RequestHeaders {
  /** What the destination gets; `host` is not among it. */
  readonly forwarded: RawHeaders;
  readonly authorization: string | null;
  readonly egressAuthorization: string | null;
  readonly egress: string | null;
  readonly redirect: string | null;
  /** The name of an upload. */
  readonly upload: string | null;
  /** What the request is called, if somebody has said. */
  readonly requestId: string | null;
  readonly hasBody: boolean;
  /** Every `host` field; there should be one. */
  readonly hosts: readonly string[];
  /** All of `transfer-encoding`. */
  readonly transferCoding: string | null;
  /** There is more than one `egress-authorization`, or more than one `proxy-authorization`. */
  readonly isTokenRepeated: boolean;
  readonly proxyAuthorization: string | null;
}

const ZERO = /^0+$/;

/** Fields that say who stands before us; the destination must learn nothing of the client from us. */
function isEdgeHeader(name: string): boolean {
  return (
    name.startsWith("cf-") || name.startsWith("x-forwarded-") || name === "cdn-loop" || name === "x-real-ip"
  );
}

/**
 * Splits the fields of a request; `raw` is Node's `rawHeaders`. Behind an edge some fields are the
 * edge's and stay here; what a client sends through a proxy is its own.
 */
export function readRequestHeaders(raw: readonly string[], isBehindEdge = true): RequestHeaders {
  const forwarded: RawHeaders = [];
  let authorization: string | null = null;
  let egressAuthorization: string | null = null;
  let egress: string | null = null;
  let redirect: string | null = null;
  let upload: string | null = null;
  let requestId: string | null = null;
  let hasBody = false;
  let connection = "";
  const hosts: string[] = [];
  let transferCoding: string | null = null;
  let isTokenRepeated = false;
  let proxyAuthorization: string | null = null;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    const value = raw[at + 1]!;
    if (name === "host") hosts.push(value);
    else if (name === "connection") connection += `,${value}`;
    else if (name === EGRESS_AUTHORIZATION) {
      isTokenRepeated ||= egressAuthorization !== null;
      egressAuthorization = value;
    } else if (name === "proxy-authorization") {
      isTokenRepeated ||= proxyAuthorization !== null;
      proxyAuthorization = value;
    }
    // Repeated dictionaries are one dictionary (RFC 9651), in which a repeated key is refused.
    else if (name === EGRESS) egress = egress === null ? value : `${egress}, ${value}`;
    // Two modes are none, whichever they are.
    else if (name === EGRESS_REDIRECT) redirect = redirect === null ? value : `${redirect}, ${value}`;
    else if (name === "transfer-encoding") {
      hasBody = true;
      transferCoding = transferCoding === null ? value : `${transferCoding}, ${value}`;
    } else if (!HOP_BY_HOP.has(name) && name !== "expect" && !isOwnHeader(name)) {
      if (isBehindEdge && isEdgeHeader(name)) continue;
      if (name === "authorization") authorization = value;
      // What is no number is no zero either.
      else if (name === "content-length" && value !== "0" && !ZERO.test(value)) hasBody = true;
      forwarded.push(name, value);
    } else if (name === EGRESS_REQUEST_ID) requestId = readRequestId(value);
    else if (name === EGRESS_UPLOAD) upload = upload === null ? value : `${upload}, ${value}`;
  }
  return {
    forwarded: withoutListed(forwarded, connection),
    authorization,
    egressAuthorization,
    egress,
    redirect,
    upload,
    requestId,
    hasBody,
    hosts,
    transferCoding,
    isTokenRepeated,
    proxyAuthorization,
  };
}

/** The fields of a response as the client gets them, without `proxy-status`, which comes apart. */
export interface ResponseHeaders {
  readonly forwarded: RawHeaders;
  readonly proxyStatus: string | null;
}

/** Filters the fields of a response; `raw` are names and values in turn, a character for each byte. */
export function readResponseHeaders(raw: readonly string[], status = 200): ResponseHeaders {
  // These have no content, so no length either (RFC 9110 section 8.6).
  const hasNoLength = status === 204 || status < 200;
  const forwarded: RawHeaders = [];
  let connection = "";
  let proxyStatus: string | null = null;
  for (let at = 0; at < raw.length; at += 2) {
    const written = raw[at]!;
    const value = raw[at + 1]!;
    const name = written.toLowerCase();
    if (name === "connection") connection += `,${value}`;
    else if (name === PROXY_STATUS) {
      proxyStatus = proxyStatus === null ? value : `${proxyStatus}, ${value}`;
    } else if (!HOP_BY_HOP.has(name) && !isOwnHeader(name)) {
      if (hasNoLength && name === "content-length") continue;
      forwarded.push(written, value);
    }
  }
  return { forwarded: withoutListed(forwarded, connection), proxyStatus };
}

/**
 * `proxy-status` of a response that came from the destination: whatever stood there before,
 * and us (RFC 9209). Ours always ends it, so that no origin can pass for a refusal of ours.
 */
export function relayedProxyStatus(received: string | null, status: number): string {
  const own = `${PROXY_NAME};received-status=${status}`;
  return received === null ? own : `${received}, ${own}`;
}

/** The value of a field, the first if there are several; null without one. */
export function valueOf(headers: readonly string[], name: string): string | null {
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at]!.toLowerCase() === name) return headers[at + 1]!;
  }
  return null;
}

/** Drops what the connection field lists (RFC 9110 section 7.6.1). */
function withoutListed(headers: RawHeaders, connection: string): RawHeaders {
  if (connection === "" || connection === ",keep-alive" || connection === ",close") return headers;
  const listed = new Set(
    connection
      .toLowerCase()
      .split(",")
      .map((name) => name.trim()),
  );
  // Framing and addressing are not the peer's to take away.
  listed.delete("content-length");
  return headers.filter((_, at) => !listed.has(headers[at - (at % 2)]!.toLowerCase()));
}

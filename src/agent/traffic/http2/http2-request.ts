/**
 * The fields of a request over HTTP/2, checked before any of it is sent: a peer ends the whole
 * connection for what it cannot read, and others are on it. [OR1]
 */
import { EgressFault } from "../../egress/faults.ts";
import { trimmed } from "../http/field-value.ts";
import type { RawHeaders } from "../http/forwarded-headers.ts";
import type { OutgoingRequest } from "../http/origin-transport.ts";

/** What a field counts besides its bytes in a peer's limit (RFC 9113 section 6.5.2). */
const LIST_OVERHEAD_BYTES = 32;

const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const PATH = /^(?:\/[\x21-\x7e\x80-\xff]*|\*)$/;
const AUTHORITY = /^[\x21-\x7e]+$/;
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// oxlint-disable-next-line no-control-regex
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Of one connection, or said by a pseudo-field. */
const DROPPED: ReadonlySet<string> = new Set([
  "connection",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
]);

/** Names and values by turns, the pseudo-fields first. Throws `EgressFault` for what cannot be sent. */
export function requestFields(
  { method, path, headers, takesTrailers }: OutgoingRequest,
  authority: string,
  maxListBytes: number,
): RawHeaders {
  if (!METHOD.test(method) || method === "CONNECT" || !PATH.test(path) || !AUTHORITY.test(authority)) {
    throw new EgressFault("request-malformed", "The request line cannot be sent.");
  }
  const fields = [":method", method, ":scheme", "https", ":authority", authority, ":path", path];
  if (takesTrailers) fields.push("te", "trailers");
  pushFields(fields, headers);
  judgeSize(fields, maxListBytes);
  return fields;
}

/** Names and values by turns of what goes behind a body. Throws `EgressFault` for what cannot be sent. */
export function trailerFields(trailers: RawHeaders, maxListBytes: number): RawHeaders {
  const fields: RawHeaders = [];
  pushFields(fields, trailers);
  judgeSize(fields, maxListBytes);
  return fields;
}

function pushFields(fields: RawHeaders, headers: RawHeaders): void {
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!.toLowerCase();
    if (DROPPED.has(name)) continue;
    if (!NAME.test(name)) throw new EgressFault("request-malformed", "The name of a field cannot be sent.");
    // Blanks around a value are not part of it.
    const value = trimmed(headers[at + 1]!);
    if (!VALUE.test(value))
      throw new EgressFault("request-malformed", `The value of ${name} cannot be sent.`);
    fields.push(name, value);
  }
}

function judgeSize(fields: RawHeaders, maxListBytes: number): void {
  let listBytes = 0;
  for (const text of fields) listBytes += text.length;
  listBytes += (fields.length / 2) * LIST_OVERHEAD_BYTES;
  if (listBytes > maxListBytes) {
    throw new EgressFault("headers-too-large", `The destination takes ${maxListBytes} bytes over HTTP/2.`);
  }
}

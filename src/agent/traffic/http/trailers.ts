/**
 * Fields behind a body (RFC 9110 section 6.5). Whoever reads them has acted on the head already, and
 * some put them among its fields, so what a head alone may say goes no further. [PX14]
 */
import { HOP_BY_HOP, isOwnHeader, PROXY_STATUS } from "../../../wire/header-names.ts";
import { trimmed } from "./field-value.ts";
import type { RawHeaders } from "./forwarded-headers.ts";

/** Longest trailer section, as it would be written in lines. */
export const MAX_TRAILER_BYTES = 32 * 1024;

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/**
 * RFC 9110 section 6.5.1: framing, routing, request modifiers, authentication, control of the response
 * and form of the content. `etag`, `content-digest` and `authentication-info` may come late by their
 * own definitions.
 */
const OF_HEADS: ReadonlySet<string> = new Set([
  "content-length",
  "forwarded",
  "host",
  "via",
  "x-real-ip",
  "cache-control",
  "expect",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "max-forwards",
  "pragma",
  "range",
  "authorization",
  "cookie",
  "set-cookie",
  "www-authenticate",
  "age",
  "date",
  "expires",
  "location",
  "retry-after",
  "vary",
  "warning",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-location",
  "content-range",
  "content-type",
]);

/** Those trailers of a message that go on; `head` are its fields, which may name some that do not. */
export function passedTrailers(trailers: readonly string[], head: readonly string[]): RawHeaders {
  const passed: RawHeaders = [];
  if (trailers.length === 0) return passed;
  const ofConnection = connectionOptions(head);
  for (let at = 0; at < trailers.length; at += 2) {
    const name = trailers[at]!.toLowerCase();
    if (isPassed(name) && !ofConnection.has(name)) passed.push(trailers[at]!, trailers[at + 1]!);
  }
  return passed;
}

/** What `trailer` says of those that go on; null where it says nothing of them. */
export function announcedTrailers(head: readonly string[]): string | null {
  let announced: string | null = null;
  for (let at = 0; at < head.length; at += 2) {
    const field = head[at]!;
    if (field.length !== 7 || field.toLowerCase() !== "trailer") continue;
    for (const listed of head[at + 1]!.split(",")) {
      const name = trimmed(listed);
      if (!NAME.test(name) || !isPassed(name.toLowerCase())) continue;
      announced = announced === null ? name : `${announced}, ${name}`;
    }
  }
  return announced;
}

/** Whether `te` says that its sender takes trailers (RFC 9110 section 10.1.4). */
export function asksForTrailers(te: string): boolean {
  return te.split(",").some((coding) => trimmed(coding).toLowerCase() === "trailers");
}

function isPassed(name: string): boolean {
  return !(
    HOP_BY_HOP.has(name) ||
    OF_HEADS.has(name) ||
    isOwnHeader(name) ||
    // An origin's could pass for a refusal of ours.
    name === PROXY_STATUS ||
    name.startsWith("x-forwarded-")
  );
}

/** RFC 9110 section 7.6.1: what `connection` lists is dropped from trailers, too. */
function connectionOptions(head: readonly string[]): ReadonlySet<string> {
  const options = new Set<string>();
  for (let at = 0; at < head.length; at += 2) {
    if (head[at]!.toLowerCase() !== "connection") continue;
    for (const option of head[at + 1]!.split(",")) options.add(trimmed(option).toLowerCase());
  }
  return options;
}

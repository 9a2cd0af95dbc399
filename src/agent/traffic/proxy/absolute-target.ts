/**
 * A whole URL as the target of a request (RFC 9112 section 3.2.2). Its host, in the URL standard's
 * reading, says where the request goes; what the origin is asked for stays as the client wrote it,
 * every byte (RFC 9110 section 7.7). [PX7]
 */
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import { checkDestination } from "../../egress/destination-url.ts";

/** What a target says. */
export interface AbsoluteTarget {
  readonly url: URL;
  readonly hostname: string;
  /** Path and query, or the asterisk. */
  readonly asked: string;
}

const ABSOLUTE = /^https?:\/\//i;
const WEBSOCKET = /^ws(?=s?:\/\/)/i;
const SCHEME = /^([a-z][a-z\d+.-]*):\/\//i;
/**
 * Where the authority ends all readers of a URL must agree: so no backslash is in it or behind it, and
 * it is not empty. A fragment is not sent.
 */
const PARTS = /^https?:\/\/[^/?#\\]+(?![^/?#])([^#]*)/i;
/** The parser of heads lets some of them through, and the URL standard drops them. */
const UNSENDABLE = /[^\x21-\x7e\x80-\xff]/;

/** Reads a target. One that is no whole URL is meant for a server, which a proxy is not. */
export function readAbsoluteTarget(target: string, method: string): Outcome<AbsoluteTarget, Problem> {
  // Clients of WebSockets write their own schemes; the handshake is a request of HTTP.
  const text = target.replace(WEBSOCKET, "http");
  if (!ABSOLUTE.test(text)) {
    const scheme = SCHEME.exec(text)?.[1];
    if (scheme !== undefined) return refuse({ code: "url-scheme-unsupported", detail: `${scheme}:` });
    return refuse({ code: "proxy-target-invalid" });
  }
  const written = PARTS.exec(text)?.[1];
  if (written === undefined || UNSENDABLE.test(text)) return refuse({ code: "url-malformed" });
  const checked = checkDestination(text);
  if (!checked.ok) return checked;
  const { value: url } = checked;
  return ok({ url, hostname: url.hostname, asked: askedFor(written, method) });
}

function askedFor(written: string, method: string): string {
  if (written.startsWith("/")) return written;
  // RFC 9112 section 3.2.4: no path at all asks for the server as a whole.
  return written === "" && method === "OPTIONS" ? "*" : `/${written}`;
}

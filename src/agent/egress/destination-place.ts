/** A destination as a host and a port, without a protocol: what a tunnel leads to. [PX5] */
import { isIP } from "node:net";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem } from "../../core/problems.ts";

/** Where a tunnel leads. */
export interface DestinationPlace {
  /** A name in lower case or an address; IPv6 in brackets, as in a URL. */
  readonly hostname: string;
  readonly port: number;
}

const AUTHORITY = /^(\[[\da-f:.]{2,45}\]|[^\s:[\]@/?#%\\]{1,253}):(\d{1,5})$/i;
/** As DNS has it, and `_` besides, which names in use have. */
const NAME = /^(?=[^.])(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.(?!$)|\.?$))+$/;
/** What the C library reads as an IPv4 address, and we do not: numbers and hexadecimal ones. */
const NUMERIC = /^(?:0x[\da-f]*|\d+)$/;

/** Reads `host:port`, as in CONNECT (RFC 9110 section 9.3.6). */
export function parsePlace(text: string): Outcome<DestinationPlace, Problem> {
  const match = AUTHORITY.exec(text);
  if (match === null) return refuse({ code: "connect-target-invalid" });
  return placeOf(match[1]!, Number(match[2]));
}

/** Judges a host (IPv6 in brackets) and a port. */
export function placeOf(host: string, port: number): Outcome<DestinationPlace, Problem> {
  if (!(port >= 1 && port <= 65_535)) return refuse({ code: "url-port-invalid" });
  const hostname = host.toLowerCase();
  if (hostname.startsWith("[")) {
    return isIP(hostname.slice(1, -1)) === 6
      ? ok({ hostname, port })
      : refuse({ code: "connect-target-invalid" });
  }
  if (isIP(hostname) === 4) return ok({ hostname, port });
  if (!NAME.test(hostname) || hostname.length > 253) return refuse({ code: "connect-target-invalid" });
  // A name whose last label is a number would be an address to others (as in the URL standard).
  const last = hostname.replace(/\.$/, "").split(".").at(-1)!;
  if (NUMERIC.test(last)) return refuse({ code: "connect-target-invalid" });
  return ok({ hostname, port });
}

/** The host as a dial takes it. */
export function dialHostOf({ hostname }: DestinationPlace): string {
  return hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
}

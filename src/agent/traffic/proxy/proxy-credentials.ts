/**
 * What a client of a proxy says of itself: its token and its selection, however they come. What is
 * wrong with the selection is told to those only who may ask. [PX2]
 */
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import { parseProxyUserName } from "../../../wire/proxy-user-name.ts";

/** Credentials as they were sent, of which nothing has been verified. */
export interface ProxyCredentials {
  /** Null where none was sent: the source may do. */
  readonly token: Outcome<string, Problem> | null;
  /** As in the field `egress`; null for nothing in particular. */
  readonly selection: Outcome<string | null, Problem>;
}

/** Of a client that says nothing of itself. */
export const NO_CREDENTIALS: ProxyCredentials = { token: null, selection: ok(null) };
const UNREADABLE: ProxyCredentials = { token: refuse({ code: "token-malformed" }), selection: ok(null) };
/** Whoever writes a login there knows of no field. */
const USER_NAME =
  "A proxy reads the selection in the user name, as pool=eu,session=cart-42; an empty one selects nothing.";
const SCHEME = /^(basic|bearer) +(\S+)$/i;

/** Clients send the same with each request, and to read it costs more than all that is decided by it. */
const known = new Map<string, ProxyCredentials>();
const MOST_KNOWN = 1_024;
/** Longer ones are read each time, so that strangers fill no memory. */
const LONGEST_KNOWN = 2_048;

/** Reads `proxy-authorization`; null for a request without one. */
export function credentialsOfHeader(header: string | null): ProxyCredentials {
  if (header === null) return NO_CREDENTIALS;
  let credentials = known.get(header);
  if (credentials === undefined) {
    credentials = readHeader(header);
    if (header.length <= LONGEST_KNOWN) {
      if (known.size >= MOST_KNOWN) known.clear();
      known.set(header, credentials);
    }
  }
  return credentials;
}

function readHeader(header: string): ProxyCredentials {
  const match = SCHEME.exec(header.trim());
  if (match === null) return UNREADABLE;
  const value = match[2]!;
  if (match[1]!.toLowerCase() === "bearer") return { token: ok(value), selection: ok(null) };
  const text = Buffer.from(value, "base64").toString("utf8");
  // A token has no colon, but a selected IPv6 address has: so the last one.
  const colonAt = text.lastIndexOf(":");
  if (colonAt === -1) return UNREADABLE;
  return credentialsOf(text.slice(0, colonAt), text.slice(colonAt + 1));
}

/** Reads a user name and a password. */
export function credentialsOf(userName: string, password: string): ProxyCredentials {
  const read = parseProxyUserName(userName);
  const token = (read.ok ? read.value.tokenBeginning : "") + password;
  return {
    token: token === "" ? null : ok(token),
    selection: read.ok ? ok(read.value.selection) : refuse({ code: read.refusal.code, detail: USER_NAME }),
  };
}

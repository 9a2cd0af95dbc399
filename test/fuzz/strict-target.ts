/** What the target of a request to a proxy says, by the letter of RFC 9112 section 3.2 and RFC 3986. */

/** What the origin is to see. */
export interface StrictTarget {
  /** As written, or null where several spellings are right. */
  readonly host: string | null;
  readonly path: string;
  readonly doubts: readonly string[];
}

const ABSOLUTE = /^http:\/\/([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?$/i;
const PLAIN_HOST = /^(?:[a-z][\w-]*(?:\.[a-z][\w-]*)*|(?:\d{1,3}\.){3}\d{1,3})(?::[1-9]\d{0,4})?$/i;
const PATH = /^(?:[\w.~!$&'()*+,;=:@/-]|%[\da-f]{2})*$/i;

/** Null for what is no absolute URL of `http`. */
export function readTarget(method: string, target: string): StrictTarget | null {
  const match = ABSOLUTE.exec(target);
  if (match === null) return null;
  const [, authority = "", path = "", query = "", fragment] = match;
  const doubts: string[] = [];
  if (!PLAIN_HOST.test(authority) || Number(authority.split(":")[1] ?? 1) > 65_535) doubts.push("authority");
  if (fragment !== undefined) doubts.push("fragment");
  if (!PATH.test(path) || !PATH.test(query.slice(1).replaceAll("?", ""))) doubts.push("characters");
  // RFC 9112 section 3.2.4: only there an empty path is no slash.
  const isOfServer = method === "OPTIONS" && path === "" && query === "";
  return {
    host: doubts.includes("authority") ? null : authority.toLowerCase(),
    path: isOfServer ? "*" : `${path === "" ? "/" : path}${query}`,
    doubts,
  };
}

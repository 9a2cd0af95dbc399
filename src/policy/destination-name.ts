/**
 * One spelling for each host: lists and requests are compared in it, so that no other spelling of a
 * name slips by. [DE10]
 */
import ipaddr from "ipaddr.js";

/** Longest name that DNS has. */
const MAX_NAME_LENGTH = 253;
/** What the URL standard would cut off, decode or take for something else than a host. */
// oxlint-disable-next-line no-control-regex -- those are meant
const NO_HOST = /[\u0000-\u0020\u007f%/?#@:\\[\]]/;
const LABELS = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/;
/** Lower case, and no number at the end: the URL standard changes nothing of it, if it takes it at all. */
const PLAIN = /^(?:[a-z0-9_-]+\.)*[a-z][a-z0-9_-]*$/;

/**
 * The name or IPv4 address that the URL standard reads in a host: lower case, punycode, ASCII digits, no
 * dot at the end. Null for what it does not take for a host.
 */
export function canonicalHost(text: string): string | null {
  if (text === "" || NO_HOST.test(text)) return null;
  const hostname = URL.parse(`http://${text}/`)?.hostname;
  if (hostname === undefined || hostname === "") return null;
  return withoutRoot(hostname);
}

/**
 * The name that a request asks for, as lists have it. DNS compares bytes: what is no name by the URL standard, such as
 * punycode that nobody can decode, is still below what is denied.
 */
export function requestedName(text: string): string {
  // Most have that spelling already, and a URL is dear.
  if (PLAIN.test(text)) return text;
  return canonicalHost(text) ?? withoutRoot(text.toLowerCase());
}

/** Whether a canonical host is a name that DNS may have, and no address. */
export function isDnsName(host: string): boolean {
  if (host.length > MAX_NAME_LENGTH || !LABELS.test(host) || ipaddr.isValid(host)) return false;
  return host.split(".").every((label) => label.length <= 63);
}

/** With and without the dots of the root it is the same name. */
function withoutRoot(name: string): string {
  let end = name.length;
  while (end > 1 && name[end - 1] === ".") end -= 1;
  return name.slice(0, end);
}

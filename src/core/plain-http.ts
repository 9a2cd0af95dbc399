/**
 * Where a token may go in plain text: nowhere but within the machine, unless somebody has said that the
 * network is their own. [TR4]
 */

/** The code by which every part of ipshard refuses to send a token over plain HTTP, or to take one. */
export const PLAIN_HTTP_REFUSED = "plain-http-refused";

const LOOPBACK_V4 = /^(?:::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/i;

/** Whether a host of a URL, or an address, is this very machine. Names are taken for what RFC 6761 says. */
export function isLoopback(host: string): boolean {
  const bare = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  if (LOOPBACK_V4.test(bare) || bare === "::1") return true;
  // As a URL has it.
  if (/^::ffff:7f[\da-f]{2}:[\da-f]{1,4}$/i.test(bare)) return true;
  return /^(?:.+\.)?localhost\.?$/i.test(bare);
}

/** Whether a URL leads away from this machine without TLS. */
export function isPlainElsewhere({
  protocol,
  hostname,
}: {
  readonly protocol: string;
  readonly hostname: string;
}): boolean {
  return (protocol === "http:" || protocol === "ws:") && !isLoopback(hostname);
}

/** Says what is wrong with sending a token there, and what to do; `force` is how one insists. */
export function plainHttpSentence(url: string, force: string): string {
  return (
    `${url} is plain HTTP to another machine: whoever is on the way would read the token. ` +
    `Use https, or a tunnel that ends on this machine; ${force} is for a network that is yours alone.`
  );
}

/** The fault of a program that calls ipshard's libraries so; a TypeError, as for all options that make no sense. */
export function plainHttpFault(
  url: string,
  force: string,
): TypeError & { readonly code: typeof PLAIN_HTTP_REFUSED } {
  return Object.assign(new TypeError(plainHttpSentence(url, force)), { code: PLAIN_HTTP_REFUSED } as const);
}

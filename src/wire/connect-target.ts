/**
 * Where a TCP connection is wanted: `host:port`, the form of CONNECT and of `cloudflare:sockets`, as the
 * SDK takes it and the edge looks at it. The host that dials judges it anew, and more strictly. [RC1]
 */

/** A destination that was written correctly. It may still be refused. */
export interface ConnectTarget {
  /** As in a URL: in lower case, an IPv6 address in brackets. */
  readonly hostname: string;
  readonly port: number;
}

const HOST_AND_PORT = /^(\[[\da-f:.]{2,45}\]|[^\s:/?#@[\]\\]{1,255}):(\d{1,5})$/i;
const MAX_PORT = 65_535;

/** Reads `host:port`; null for what is not of this form. Addresses and names get their one spelling. */
export function parseConnectTarget(text: string): ConnectTarget | null {
  const [, host, digits] = HOST_AND_PORT.exec(text) ?? [];
  const port = Number(digits);
  if (host === undefined || port < 1 || port > MAX_PORT) return null;
  // The one judge of names there is: 127.1 and 0x7f000001 become the address that they are.
  const url = URL.parse(`http://${host}/`);
  if (url === null || url.hostname === "" || url.port !== "") return null;
  return { hostname: url.hostname, port };
}

/** The text of a target, as `parseConnectTarget` reads it. An IPv6 address may come without brackets. */
export function formatConnectTarget({ hostname, port }: ConnectTarget): string {
  const isBare = hostname.includes(":") && !hostname.startsWith("[");
  return `${isBare ? `[${hostname}]` : hostname}:${port}`;
}

/** What a port is held towards, as one text: the key by which the binder looks it up, and people read it. */
import { isIP } from "node:net";
import type { Destination } from "../../core/busiest-destination.ts";

/** The key of a TCP destination. */
export function destinationKey(ip: string, port: number): string {
  return `tcp ${ip} ${port}`;
}

/**
 * The key of UDP. A socket there serves all destinations at once, and its port can have no second one: so it
 * is held once, towards everybody. [UD1]
 */
export const UDP_KEY = "udp any";

/** What a key stands for; undefined for one that is not of one destination, or has a zone, which means something here only. */
export function destinationOf(key: string): Destination | undefined {
  const [protocol, ip = "", port] = key.split(" ");
  if ((protocol !== "tcp" && protocol !== "udp") || isIP(ip) === 0 || ip.includes("%")) return undefined;
  return { protocol, ip, port: Number(port) };
}

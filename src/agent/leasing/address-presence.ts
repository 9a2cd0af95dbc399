/**
 * Whether an address is on this machine. A host must not lease ports that it cannot bind.
 * A datagram socket is bound and closed again: nothing is sent, and no TCP port is touched. [PM2]
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";

/** Null if the address can be bound, else the system's code, such as `EADDRNOTAVAIL`. */
export async function whyAbsent(ip: string): Promise<string | null> {
  const socket = createSocket({ type: isIPv6(ip) ? "udp6" : "udp4", ipv6Only: isIPv6(ip) });
  try {
    socket.bind({ address: ip, port: 0, exclusive: true });
    await once(socket, "listening");
    return null;
  } catch (fault) {
    return (fault as NodeJS.ErrnoException).code ?? String(fault);
  } finally {
    socket.close();
  }
}

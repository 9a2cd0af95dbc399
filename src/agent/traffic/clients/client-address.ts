/** From where a client came to this host. */
import type { ServerHttp2Stream } from "node:http2";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** The address at the other end of a socket, or of the connection on which a stream of HTTP/2 is. */
export function addressOfClient(client: Duplex): string | undefined {
  if (client instanceof Socket) return client.remoteAddress;
  const { session } = client as Partial<ServerHttp2Stream>;
  return session?.destroyed === false ? session.socket.remoteAddress : undefined;
}

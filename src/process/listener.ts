/** Listeners of a process that no stranger at the other end can bring down. [GW11] */
import type { Server } from "node:net";
import type { Duplex } from "node:stream";

/**
 * Gives every socket that a server accepts an error listener for good: Node takes its own away
 * when it hands a socket over, and an error that nobody listens for ends the process. The same
 * goes for the server, which is told when a connection cannot be accepted (no descriptor is left).
 */
export function outliveClients(server: Server, onFault: (fault: Error) => void = ignore): void {
  server.on("connection", (socket) => outliveErrors(socket));
  server.on("error", (fault) => {
    // Until it listens, whoever wanted it to is told.
    if (server.listening) onFault(fault);
  });
}

/** An error of this stream is its own end, which shows as `close`, and nobody else's. */
export function outliveErrors(stream: Duplex): void {
  stream.on("error", ignore);
}

function ignore(): void {
  // Seen as `close`.
}

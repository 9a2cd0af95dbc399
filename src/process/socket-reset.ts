/** The end of a connection by a reset (RST), which its peer cannot take for one in order. */
import type { Socket } from "node:net";

/**
 * Resets a TCP connection. libuv refuses to (EINVAL) in the moment between an `end()` and its FIN, and
 * Node then neither closes the socket nor says so: descriptor and port would be lost. So that
 * moment is waited for. [GW27]
 */
export function resetSocket(socket: Socket): void {
  const isEnding = socket.writableEnded && socket.writableLength === 0 && !socket.writableFinished;
  if (isEnding && !socket.destroyed) socket.once("finish", () => socket.resetAndDestroy());
  else socket.resetAndDestroy();
}

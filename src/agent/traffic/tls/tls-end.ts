/**
 * How a TLS connection came to its end: by the peer's word (close_notify), or because the
 * connection under it ended, which anybody on the way can bring about (RFC 9112 section 9.8).
 *
 * Node tells both alike. But the end that the peer's word makes comes out of bytes that are read,
 * while the transport is being read; that of the transport comes when it is read no more. libuv
 * knows, and says so when it is asked to read. [OR27]
 */
import type { Socket } from "node:net";
import { constants } from "node:os";

/** What Node's sockets are made of, as far as it is asked here. */
interface Handle {
  readonly reading?: boolean;
  readStart?(): number;
}

/** Watches a TLS socket over a transport; tells, once it has ended, whether the peer said so. */
export function watchTlsEnd(secured: Socket, transport: Socket): () => boolean {
  let isInOrder = false;
  const push = secured.push.bind(secured);
  secured.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    // Only now: the transport's own end follows at once.
    if (chunk === null) isInOrder = isBeingRead(secured, transport);
    return push(chunk, encoding);
  };
  return () => isInOrder;
}

function isBeingRead(secured: Socket, transport: Socket): boolean {
  // One that was halted within these very bytes was being read.
  if (handleOf(secured)?.reading === false) return true;
  return handleOf(transport)?.readStart?.() === -constants.errno.EALREADY;
}

function handleOf(socket: Socket): Handle | null {
  const { _handle: handle } = socket as unknown as { readonly _handle?: Handle | null };
  return handle ?? null;
}

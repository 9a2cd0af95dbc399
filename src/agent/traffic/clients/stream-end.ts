/**
 * The end of what is said on a stream of HTTP/2. When Node gives a stream up it first ends it in order,
 * and to a client that has said all it wants to, what broke off would look whole. So the end waits
 * to be asked for, as it does for trailers, and is not given where the stream has failed. [PX12]
 */
import {
  constants,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
  type ServerStreamResponseOptions,
} from "node:http2";

/** For `respond`, of a stream that `endInOrder` was called with. */
export const WAITING: ServerStreamResponseOptions = { waitForTrailers: true };

/** To be called before `respond`; `trailers` is called when all else has been said. */
export function endInOrder(stream: ServerHttp2Stream, trailers?: () => OutgoingHttpHeaders): void {
  stream.once("wantTrailers", () => {
    if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || stream.destroyed) return;
    try {
      stream.sendTrailers(trailers?.() ?? {});
    } catch {
      // Without what it owes it would look whole.
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  });
}

/**
 * The body of a Request, as bytes when they are all there, so that it goes with its length and
 * can be sent again after a redirect, just as `fetch` does it. What is still to come stays a
 * stream. [CL8]
 */

/** What `fetch` takes for a body. */
export type SentBody = NonNullable<RequestInit["body"]>;

/** Turns of the event loop in which a body that is there has been read. */
const MAX_TURNS = 4;
/** The most that is gathered of a body that comes in pieces. */
const GATHERED_BYTES = 8 * 1_048_576;

type Reader = ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
type Piece = Awaited<ReturnType<Reader["read"]>>;

/** Whether a body can be sent but once. */
export function isStream(body: unknown): boolean {
  if (typeof body !== "object" || body === null) return false;
  return body instanceof ReadableStream || Symbol.asyncIterator in body;
}

/** The body of a request: bytes, a stream, or null when there is none. */
export async function settledBody(request: Request): Promise<SentBody | null> {
  if (request.body === null) return null;
  // Where Request has no `body`, its bytes can still be had.
  if (request.body === undefined) return bytesOf(request);
  const reader = request.body.getReader();
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  while (size <= GATHERED_BYTES) {
    const coming = reader.read();
    const piece = await soon(coming);
    if (piece === null) return rest(pieces, coming, reader);
    if (piece.done) return joined(pieces, size);
    pieces.push(piece.value);
    size += piece.value.byteLength;
  }
  return rest(pieces, reader.read(), reader);
}

async function bytesOf(request: Request): Promise<ArrayBuffer | null> {
  if (request.method === "GET" || request.method === "HEAD") return null;
  const bytes = await request.arrayBuffer();
  return bytes.byteLength === 0 ? null : bytes;
}

/** The piece, if it comes without waiting for anything outside; else null. */
async function soon(coming: Promise<Piece>): Promise<Piece | null> {
  let turns = 0;
  const later = async (): Promise<null> => {
    while (turns < MAX_TURNS) {
      turns += 1;
      await new Promise((resolve) => {
        setTimeout(resolve, 0);
      });
    }
    return null;
  };
  return Promise.race([coming, later()]);
}

function joined(pieces: readonly Uint8Array<ArrayBuffer>[], size: number): Uint8Array<ArrayBuffer> {
  const [only, ...others] = pieces;
  if (only !== undefined && others.length === 0) return only;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}

/** What was read, what is being read, and whatever follows, in this order. */
function rest(
  pieces: readonly Uint8Array<ArrayBuffer>[],
  coming: Promise<Piece>,
  reader: Reader,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let next: Promise<Piece> | null = coming;
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
    },
    async pull(controller) {
      const { done, value } = await (next ?? reader.read());
      next = null;
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** An answer that was told, as a response of the destination's: late, or broken off, if that was said. [TE2] */
import type { StandInAnswer } from "./stand-in-answer.ts";

const NO_CONTENT: ReadonlySet<number> = new Set([204, 205, 304]);

/** The response; its head has been waited for already. */
export function toldResponse(answer: StandInAnswer): Response {
  const { status = 200, body = "", cutAfterBytes, bodyAfterMs = 0 } = answer;
  const headers = fieldsOf(answer);
  if (NO_CONTENT.has(status)) return new Response(null, { status, headers });
  const bytes = new TextEncoder().encode(body);
  if (!headers.has("content-type")) headers.set("content-type", "text/plain;charset=UTF-8");
  if (!headers.has("content-length")) headers.set("content-length", String(bytes.length));
  if (cutAfterBytes === undefined && bodyAfterMs === 0) return new Response(bytes, { status, headers });
  return new Response(bodyOf(bytes, cutAfterBytes ?? null, bodyAfterMs), { status, headers });
}

/** Resolves when so much time has passed. */
export function pass(timeMs: number): Promise<void> {
  return timeMs === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, timeMs));
}

function bodyOf(
  bytes: Uint8Array<ArrayBuffer>,
  cutAfterBytes: number | null,
  afterMs: number,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let isSent = false;
  const pull = async (
    controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>,
  ): Promise<void> => {
    if (isSent) {
      // Not with what came before it: its reader is to have that first.
      await pass(CUT_AFTER_MS);
      controller.error(new Error("The stand-in was told to break off here."));
      return;
    }
    await pass(afterMs);
    isSent = true;
    if (cutAfterBytes !== 0) controller.enqueue(bytes.slice(0, cutAfterBytes ?? bytes.length));
    if (cutAfterBytes === null) controller.close();
  };
  // Nothing ahead of its being asked for: what is still in the queue would be lost by the break.
  return new ReadableStream({ pull }, { highWaterMark: 0 });
}

/** Long enough for what was sent before to have been read. */
const CUT_AFTER_MS = 20;

function fieldsOf({ headers = {} }: StandInAnswer): Headers {
  const fields = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    for (const one of typeof value === "string" ? [value] : value) fields.append(name, one);
  }
  return fields;
}

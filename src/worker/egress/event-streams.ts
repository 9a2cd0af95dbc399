/**
 * Event streams of hosts that are gone.
 *
 * Such a stream may rest for hours, so whoever reads it cannot tell rest from loss by waiting, as one
 * can of any other body. It alone is looked after therefore, at the price of passing through here,
 * and it breaks off when its host is gone. All other bodies pass untouched. [WK44]
 */
import { HostWatch, STREAM_PACE_MS, type Waiting } from "../hosts/host-watch.ts";
import { say } from "../runtime/log.ts";

/** The answer; if it is an event stream it ends with an error when the host that sends it is gone. */
export function lookAfterStream(answer: Response, sender: Waiting): Response {
  if (answer.body === null || !isEventStream(answer)) return answer;
  const { readable, writable } = new IdentityTransformStream();
  const passage = new Passage(answer.body, writable);
  const breakOff = (): void => {
    const { host, pool } = sender;
    say("warn", "a host was lost within an event stream", { host: host.host, pool, code: "host-lost" });
    passage.breakOff(new Error("the host fell silent"));
  };
  const watch = new HostWatch(sender, breakOff, STREAM_PACE_MS);
  void passage.ended.then(() => watch.stop());
  return new Response(readable, answer);
}

/** One that stays the same in another stream: a coded one would be coded anew. */
function isEventStream({ status, headers }: Response): boolean {
  if (status !== 200 || headers.get("content-type")?.startsWith("text/event-stream") !== true) return false;
  return !headers.has("content-encoding") && !headers.has("content-length");
}

/** Of one stream into another, event by event: the runtime joins not all kinds of streams itself. */
class Passage {
  /** Fulfilled when nothing passes any more, for whatever reason: both sides have been told. */
  readonly ended: Promise<void>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  constructor(from: ReadableStream<Uint8Array>, to: WritableStream<Uint8Array>) {
    this.#reader = from.getReader();
    this.#writer = to.getWriter();
    this.ended = this.#pass().catch((fault: unknown) => this.breakOff(fault));
  }

  breakOff(fault: unknown): void {
    this.#writer.abort(fault).catch(() => {});
    this.#reader.cancel(fault).catch(() => {});
  }

  async #pass(): Promise<void> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) return this.#writer.close();
      await this.#writer.write(value);
    }
  }
}

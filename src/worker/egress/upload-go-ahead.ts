/**
 * Asks a gateway for permission to send the rest of an upload, beyond what is held of it here.
 *
 * The runtime pumps a body into the sockets as fast as they take it, long before a host has
 * refused; what has gone beyond the held part can be given to no other host. So the rest waits
 * until the gateway says that the destination is connected: from then on the host refuses
 * nothing. `100 Continue` would say so, but the runtime shows no interim answers, so the gateway
 * is asked for it. [WK43]
 */
import { EGRESS_AUTHORIZATION, EGRESS_UPLOAD, UPLOADS_PATH } from "../../wire/header-names.ts";
import type { UploadStatus } from "../../wire/upload-status.ts";

/** Longer than a gateway takes to answer; something between must have lost the question. */
const TIMEOUT_MS = 45_000;
/** A connection that had been kept may have ended just then. */
const MAX_QUESTIONS = 2;

/** The go-ahead of one gateway for one attempt of an upload. */
export class GoAhead {
  readonly #url: string;
  readonly #authorization: string;
  readonly #ending = new AbortController();
  #asking: Promise<boolean> | null = null;

  /** Names the upload in the headers with which it is sent. */
  constructor(gateway: string, headers: Headers) {
    const name = crypto.randomUUID();
    headers.set(EGRESS_UPLOAD, name);
    this.#url = gateway + UPLOADS_PATH + name;
    this.#authorization = headers.get(EGRESS_AUTHORIZATION)!;
  }

  /**
   * Whether the rest may be sent; false when the upload's own answer is on its way. A gateway
   * that does not know the question, or cannot answer, delays nothing.
   */
  ask(): Promise<boolean> {
    this.#asking ??= this.#ask();
    return this.#asking;
  }

  /** The attempt is over, or has its answer: nothing is asked any more, and waiting code goes on. */
  end(): void {
    this.#ending.abort();
  }

  async #ask(): Promise<boolean> {
    const { signal } = this.#ending;
    const timer = setTimeout(() => this.end(), TIMEOUT_MS);
    for (let count = 0; count < MAX_QUESTIONS && !signal.aborted; count += 1) {
      try {
        const headers = { [EGRESS_AUTHORIZATION]: this.#authorization };
        const response = await fetch(this.#url, { headers, redirect: "manual", signal });
        const status = response.headers.get(EGRESS_UPLOAD) as UploadStatus | null;
        // A gateway that answers with a body does not know the question.
        await response.body?.cancel();
        clearTimeout(timer);
        return status !== "ended";
      } catch {
        // No connection, or nobody waits any more.
      }
    }
    clearTimeout(timer);
    return true;
  }
}

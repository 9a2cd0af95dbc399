/** Names for the requests of a keeper. [ME2] */
import type { LeaseRequest } from "../../core/messages.ts";

/** What is asked for, without a name. */
export type Unnamed<Request = LeaseRequest> = Request extends LeaseRequest
  ? Omit<Request, "requestId">
  : never;

/** They do not repeat over restarts: the edge answers an id that it knows with the same block. */
export class RequestIds {
  readonly #prefix: string;
  #count = 0;

  /** `random` gives numbers in [0, 1). */
  constructor(random: () => number) {
    this.#prefix = Math.floor(random() * 2 ** 52).toString(36);
  }

  /** A request that differs from all others by its id. */
  named(request: Unnamed): LeaseRequest {
    const requestId = `${this.#prefix}-${this.#count}`;
    this.#count += 1;
    return { ...request, requestId };
  }
}

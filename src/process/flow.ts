/**
 * Where a fault ends: with the flow that met it, and with nothing else. [GW11]
 *
 * A flow is one exchange with a client, or one connection to a destination. Whoever begins one
 * says how it is ended; all its work then runs in here, and whatever is thrown ends that flow:
 *
 *     at once, in the work itself            `run`, `begin`
 *     later, in a listener of ours           `guard`
 *     anywhere else that it led to, such     the async context, which Node carries along
 *       as a library's own callbacks         and `endFlowAtFault` looks up
 *
 * An event listener runs in the context of whoever emits, so those on shared emitters (a client's
 * socket, a kept-alive connection) need `guard`.
 */
import { AsyncLocalStorage } from "node:async_hooks";

/** Told of what was thrown in a flow; counts and logs. */
export type OnFlowFault = (fault: unknown) => void;

const current = new AsyncLocalStorage<Flow>();

/** One flow, from its first callback to its last. */
export class Flow {
  readonly #onFault: OnFlowFault;
  readonly #end: (fault: unknown) => void;
  #isFailed = false;

  /**
   * `end` must leave nothing of the flow behind, whatever state it is in. Without `onFault` the
   * flow is part of the one in which it begins, and reports to the same.
   */
  constructor(end: (fault: unknown) => void, onFault?: OnFlowFault) {
    this.#end = end;
    const around = current.getStore();
    this.#onFault = onFault ?? (around === undefined ? ignore : around.#onFault);
  }

  /** Works as this flow. */
  run(work: () => void): void {
    try {
      current.run(this, work);
    } catch (fault) {
      this.fail(fault);
    }
  }

  /** Works as this flow, and does not wait for the end of it. */
  begin(work: () => Promise<void>): void {
    this.run(() => {
      work().catch((fault: unknown) => this.fail(fault));
    });
  }

  /** A listener that works as this flow. */
  guard<Arguments extends unknown[]>(listener: (...args: Arguments) => void): (...args: Arguments) => void {
    return (...args) => {
      try {
        current.run(this, listener, ...args);
      } catch (fault) {
        this.fail(fault);
      }
    };
  }

  /** Tells of a fault without ending the flow. */
  report(fault: unknown): void {
    this.#onFault(fault);
  }

  /** Ends the flow, once; what is thrown after that is only reported. */
  fail(fault: unknown): void {
    if (this.#isFailed) {
      this.#onFault(fault);
      return;
    }
    this.#isFailed = true;
    try {
      this.#end(fault);
    } catch (another) {
      this.#onFault(another);
    }
  }
}

/** Ends the flow in which nobody caught this; false when it was thrown in none. */
export function endFlowAtFault(fault: unknown): boolean {
  const flow = current.getStore();
  flow?.fail(fault);
  return flow !== undefined;
}

function ignore(): void {
  // A flow that nobody watches.
}

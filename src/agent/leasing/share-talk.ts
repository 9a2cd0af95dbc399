/** What a host and its pool say to each other of tenants' limits. [LI12] [LI13] */
import type { PoolRequest } from "../../core/messages.ts";
import type { ShareMessage } from "../../core/share-messages.ts";
import type { CancelTimer, Timers } from "../../process/timers.ts";

type Use = PoolRequest & { readonly type: "use" };

/** This host's shares of what tenants may have in the pool. */
export interface TenantShares {
  /** The pool says what this host may have. */
  take(message: ShareMessage): void;
  /** The pool has not been heard for long: others may have some of it by now. [LI13] */
  lapse(): void;
  /** The pool knows nothing of what it was told on another connection. */
  forgetTold(): void;
  /** What the pool is to be told now; null for nothing. */
  due(): Pick<Use, "number" | "tenants"> | null;
  /** Called when more is wanted than there is. */
  onWant: (() => void) | null;
}

/** When a pool has not been heard for so long, what it shares out may be had by others. */
const LAPSE_MS = 30_000;

/** On whatever connection there is. */
export class ShareTalk {
  readonly #shares: TenantShares;
  readonly #timers: Timers;
  readonly #send: (use: Use) => void;
  #isTaken = false;
  #cancelLapse: CancelTimer | null = null;

  constructor(shares: TenantShares, timers: Timers, send: (use: Use) => void) {
    this.#shares = shares;
    this.#timers = timers;
    this.#send = send;
    shares.onWant = () => this.tell();
  }

  /** The pool has taken this host; an older one takes no use. */
  opened(takes: readonly string[]): void {
    this.#isTaken = takes.includes("tenants");
    this.stop();
    this.tell();
  }

  /** The connection has ended. One that is back in time changes nothing. */
  closed(): void {
    this.#isTaken = false;
    this.#shares.forgetTold();
    this.#cancelLapse ??= this.#timers.after(LAPSE_MS, () => this.#shares.lapse(), "idle");
  }

  take(message: ShareMessage): void {
    this.#shares.take(message);
    this.tell();
  }

  /** Tells what is used, if it is worth it. */
  tell(): void {
    const use = this.#isTaken ? this.#shares.due() : null;
    if (use !== null) this.#send({ type: "use", ...use });
  }

  /** Nothing lapses any more. */
  stop(): void {
    this.#cancelLapse?.();
    this.#cancelLapse = null;
  }
}

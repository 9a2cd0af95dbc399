/**
 * The static slots of one address on disk, in step with what the edge says and what is asked of it: a
 * slot is written down before its keeper hears of it, and struck out before it is given back. So no
 * life of this host begins with a slot that may be another's. [SM9]
 */
import type { Logger } from "pino";
import type { Lease } from "../../core/lease-commands.ts";
import type { LeaseReply, LeaseRequest } from "../../core/messages.ts";
import { isStatic } from "../../core/static-slots.ts";

/** Where slots are kept over restarts, by pool and address. */
export interface SlotStore {
  of(pool: string): ReadonlyMap<string, readonly Lease[]>;
  /** Keeps exactly these of an address; done when they are on disk for good. */
  keep(pool: string, ip: string, slots: readonly Lease[]): Promise<void>;
}

/** Which slots of whom. */
export interface SlotRecordOptions {
  readonly store: SlotStore;
  readonly pool: string;
  readonly ip: string;
  readonly log: Logger;
}

/** One per address of a host. */
export class SlotRecord {
  readonly #options: SlotRecordOptions;
  /** What comes while something is being written waits for that; null while nothing is. */
  #writing: Promise<void> | null = null;
  /** The request that waits for its answer. One that comes late, or twice, is of the past: it may list what was given back since. */
  #askedId: string | null = null;

  constructor(options: SlotRecordOptions) {
    this.#options = options;
  }

  /** What is kept. */
  slots(): readonly Lease[] {
    const { store, pool, ip } = this.#options;
    return store.of(pool).get(ip) ?? [];
  }

  /** Passes an answer on: at once if it has nothing new, else when that is on disk. */
  received(reply: LeaseReply, pass: () => void): void {
    if (this.#writing !== null) return void this.#writing.then(() => this.received(reply, pass));
    if (reply.type !== "answer" || reply.requestId !== this.#askedId) return pass();
    const slots = isStatic(reply.settings) ? reply.leases : [];
    const isNews = slots.some((slot) => !isAmong(this.slots(), slot));
    const passOn = (): void => {
      this.#askedId = null;
      pass();
    };
    if (isNews) return this.#write(slots, passOn);
    passOn();
    if (slots.length < this.slots().length) this.#write(slots, () => {});
  }

  /** Does what came after an answer that waits for the disk when that is passed on, else at once. */
  inOrder(what: () => void): void {
    if (this.#writing === null) what();
    else void this.#writing.then(() => this.inOrder(what));
  }

  /** Strikes out all: the edge has no table any more in which they could stand. */
  forget(): void {
    this.inOrder(() => {
      if (this.slots().length > 0) this.#write([], () => {});
    });
  }

  /** Sends a request: a release when what it gives back is struck out. */
  sending(request: LeaseRequest, send: () => void): void {
    this.#askedId = request.requestId;
    this.#send(request, send);
  }

  #send(request: LeaseRequest, send: () => void): void {
    if (this.#writing !== null) return void this.#writing.then(() => this.#send(request, send));
    // Meanwhile it was answered, or there is another connection.
    if (request.requestId !== this.#askedId) return;
    if (request.type !== "release") return send();
    const left = this.slots().filter(({ epoch }) => epoch !== request.epoch);
    if (left.length === this.slots().length) send();
    else this.#write(left, send);
  }

  #write(slots: readonly Lease[], then: () => void): void {
    this.#writing = this.#writeNow(slots, then);
  }

  async #writeNow(slots: readonly Lease[], then: () => void): Promise<void> {
    const { store, pool, ip, log } = this.#options;
    try {
      await store.keep(pool, ip, slots);
    } catch (fault) {
      // Nobody hears of it: the request is asked again, and so this is tried again.
      log.error({ err: fault }, "the static slots of this host cannot be written to its state directory");
      return;
    } finally {
      this.#writing = null;
    }
    then();
  }
}

function isAmong(slots: readonly Lease[], { base, order, epoch }: Lease): boolean {
  return slots.some((slot) => slot.base === base && slot.order === order && slot.epoch === epoch);
}

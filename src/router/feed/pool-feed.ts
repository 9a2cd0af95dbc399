/**
 * The steering of one pool as it arrives: over one WebSocket, a table in parts and then
 * changes, and back over it what the kernel has applied. [ST7] [ST8]
 */
import type { Logger } from "pino";
import { PROTOCOL_VERSION, type RouterReply, type RouterRequest } from "../../core/messages.ts";
import type { SteeringChange, SteeringTable } from "../../core/steering.ts";
import { type Link, type LinkTiming, openEdgeLink, type OpenLink } from "../../link/edge-link.ts";
import { adviceOn } from "../../link/edge-refusals.ts";
import { type CancelTimer, systemTimers, type Timers } from "../../process/timers.ts";
import { parseRouterReply } from "../../wire/message-parsers.ts";

/** Whom a feed serves. */
export interface PoolFeedOptions {
  readonly edge: URL;
  readonly pool: string;
  readonly instance: string;
  readonly token: () => Promise<string>;
  /** Observes: gets the table once, and no grant waits for it. */
  readonly isObserver: boolean;
  readonly onConnected: () => void;
  readonly onTable: (table: SteeringTable) => void;
  readonly onChange: (change: SteeringChange) => void;
  readonly log: Logger;
  readonly linkTiming?: Partial<LinkTiming>;
  readonly openLink?: OpenLink;
  readonly timers?: Timers;
}

/** An opening that was not answered is said again after this time. */
const REPEAT_AFTER_MS = 5_000;

/** From `start` to `stop`. */
export class PoolFeed {
  readonly #options: PoolFeedOptions;
  readonly #link: Link;
  /** The parts of the table that is arriving. */
  #parts: SteeringTable[] = [];
  #cancelRepeat: CancelTimer | null = null;

  constructor(options: PoolFeedOptions) {
    const { edge, pool, token, log, linkTiming, openLink = openEdgeLink } = options;
    this.#options = options;
    this.#link = openLink<RouterReply>({
      name: `pool ${pool}`,
      url: new URL(`/v1/pools/${encodeURIComponent(pool)}/steering`, edge),
      token,
      parse: parseRouterReply,
      onOpen: () => {
        this.#parts = [];
        options.onConnected();
        this.#open();
      },
      onMessage: (reply) => this.#received(reply),
      onClose: () => this.#cancelRepeat?.(),
      log,
      ...(linkTiming === undefined ? {} : { timing: linkTiming }),
    });
  }

  /** Whether the pool can be heard now. */
  get isConnected(): boolean {
    return this.#link.isOpen;
  }

  /** Begins to connect, and goes on trying. */
  start(): void {
    this.#link.start();
  }

  /** Leaves the pool. */
  stop(): void {
    this.#link.stop();
  }

  /** Tells the pool up to where the kernel has applied. */
  acknowledge(sequence: number): void {
    this.#send({ type: "acknowledge", sequence });
  }

  /** Asks for the whole table. */
  resync(): void {
    this.#parts = [];
    this.#send({ type: "resync" });
  }

  /** Repeated until answered, since grants wait until the pool has heard it. [ST14] */
  #open(): void {
    const { instance, isObserver, timers = systemTimers } = this.#options;
    const version = PROTOCOL_VERSION;
    this.#send(isObserver ? { type: "observe", version } : { type: "enroll", version, instance });
    this.#cancelRepeat = timers.after(REPEAT_AFTER_MS, () => this.#open());
  }

  #send(request: RouterRequest): void {
    this.#link.send(request);
  }

  #received(reply: RouterReply): void {
    this.#cancelRepeat?.();
    switch (reply.type) {
      case "refused":
        this.#link.drop(adviceOn(reply.code));
        return;
      case "change":
        this.#options.onChange(reply.change);
        return;
      case "table":
        this.#link.confirm();
        this.#gather(reply.part, reply.parts, reply.table);
        return;
    }
  }

  /** Parts come in order; one out of order means that the table must be asked for again. */
  #gather(part: number, parts: number, table: SteeringTable): void {
    if (part === 1) this.#parts = [];
    if (this.#parts.length !== part - 1) {
      this.resync();
      return;
    }
    this.#parts.push(table);
    if (part < parts) return;
    const gathered = this.#parts;
    this.#parts = [];
    this.#options.onTable({
      sequence: table.sequence,
      ips: gathered.flatMap(({ ips }) => ips),
      entries: gathered.flatMap(({ entries }) => entries),
      nextHops: gathered.flatMap(({ nextHops }) => nextHops),
      isPartial: table.isPartial,
    });
  }
}

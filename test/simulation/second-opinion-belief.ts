/**
 * What a machine can believe of one address by what its agents have asked and read, each as an
 * outsider saw it: the union of all that could be right, however late or often an answer was read.
 *
 * A request that was sent after something had been read was answered later than that was said. So
 * such an answer replaces what was read before, and what it leaves out has ended.
 *
 * A new life of the agent knows nothing, but does not end what its kernel was once allowed: it may
 * have lost its state, and say that it is another host.
 */
import type { SeenBlock, Sighting } from "./history.ts";

/** The clocks of a machine, its kernel's included, run at most this much faster or slower than true time. */
const HOST_CLOCK_DRIFT = 0.01;

/** When something was seen; `forwardMs` is how far the address's clock had ever been set forward by then. */
export interface Moment {
  readonly index: number;
  readonly atMs: number;
  readonly forwardMs: number;
}

/** A request, seen when it was first sent, and the blocks of the answer that was last read. */
export interface Request extends Moment {
  answer: readonly SeenBlock[] | null;
}

/** Time to send that an answer gave, from the sending of its request on. */
export interface Term {
  readonly asked: Moment;
  readonly durationMs: number;
  /** True time when the slowest clock that is allowed has counted it. */
  readonly endsMs: number;
}

/** All that an answer said a machine holds. */
interface Listing {
  readonly requestId: string;
  readonly readIndex: number;
  readonly blocks: readonly SeenBlock[];
}

interface Life {
  /** Of several, none was surely said later than another. */
  listings: readonly Listing[];
  /** The term that ends last. */
  term: Term | null;
  /** Blocks that a newer listing left out, by their epoch. */
  readonly ended: Map<number, EndedBlock>;
}

interface EndedBlock {
  readonly block: SeenBlock;
  /** When the listing without it was read; the time that came with that is none for this block. */
  readonly read: Moment;
  /** What there was until then. */
  readonly term: Term | null;
}

/** By what a machine may think that it may send from a port. */
export interface Belief {
  readonly block: SeenBlock;
  readonly term: Term | null;
  readonly isLate: boolean;
}

/** The length of a lease that was asked for then, as the machine counts it. */
export function termOf(asked: Moment, durationMs: number): Term {
  return { asked, durationMs, endsMs: asked.atMs + durationMs / (1 - HOST_CLOCK_DRIFT) };
}

/** One machine's dealings with one address. */
export class Tenant {
  readonly #requests = new Map<string, Request>();
  #lastRequest: Request | null = null;
  #lives: readonly Life[] = [newLife()];
  readonly #tellingMs: number;

  /** `tellingMs`: how long a kernel may take to be told that a block is lost. */
  constructor(tellingMs: number) {
    this.#tellingMs = tellingMs;
  }

  /** The request that was first sent last. */
  get lastRequest(): Request | null {
    return this.#lastRequest;
  }

  /** Sends a request, for the first time or again. */
  ask(requestId: string, now: Moment): void {
    if (this.#requests.has(requestId)) return;
    this.#lastRequest = { ...now, answer: null };
    this.#requests.set(requestId, this.#lastRequest);
  }

  /** The request of that name, if this machine ever sent it. */
  request(requestId: string): Request | undefined {
    return this.#requests.get(requestId);
  }

  /** Starts its agent anew. */
  restart(nowMs: number): void {
    const isAllowed = ({ term }: Life) => term !== null && nowMs <= term.endsMs;
    this.#lives = [...this.#lives.filter(isAllowed), newLife()];
  }

  /** Reads an answer; one to a request that it never sent says nothing. */
  read(told: Extract<Sighting, { type: "told" }>, now: Moment): void {
    const asked = this.#requests.get(told.requestId);
    if (!asked) return;
    const { requestId, blocks, leaseDurationMs } = told;
    asked.answer = blocks;
    const life = this.#lives.at(-1)!;
    const { term: termBefore } = life;
    if (leaseDurationMs !== null) {
      const term = termOf(asked, leaseDurationMs);
      if (!life.term || term.endsMs > life.term.endsMs) life.term = term;
    }
    const isListed = ({ epoch }: SeenBlock) => blocks.some((block) => block.epoch === epoch);
    const isOlder = ({ readIndex }: Listing) => readIndex < asked.index;
    for (const { blocks: before } of life.listings.filter(isOlder)) {
      for (const block of before) {
        if (!isListed(block) && !life.ended.has(block.epoch))
          life.ended.set(block.epoch, { block, read: now, term: termBefore });
      }
    }
    // A block that was left out once, and is there again: what was said last counts.
    for (const { epoch } of blocks) {
      const ended = life.ended.get(epoch);
      if (ended && ended.read.index < asked.index) life.ended.delete(epoch);
    }
    const isRepeated = (listing: Listing) =>
      listing.requestId === requestId &&
      listing.blocks.length === blocks.length &&
      listing.blocks.every(isListed);
    life.listings = [
      ...life.listings.filter((listing) => !isOlder(listing) && !isRepeated(listing)),
      { requestId, readIndex: now.index, blocks },
    ];
  }

  /** The best reason that it can have to send from a port now; null if there is none. */
  believes(port: number, nowMs: number): Belief | null {
    let best: Belief | null = null;
    for (const life of this.#lives) {
      const allowed = latestAllowed(life, port, nowMs, this.#tellingMs);
      if (!allowed) continue;
      const { block, term } = allowed;
      const isLate = !term || nowMs > term.endsMs;
      const isBetter = !best || (best.isLate === isLate ? block.epoch > best.block.epoch : best.isLate);
      if (isBetter) best = { block, term, isLate };
    }
    return best;
  }

  /** The last block with this port that a newer listing left out, and when that was read. */
  lostBlock(port: number): EndedBlock | null {
    return (
      this.#lives
        .flatMap(({ ended }) => [...ended.values()])
        .findLast(({ block }) => containsPort(block, port)) ?? null
    );
  }

  /** Whether a newer listing has left out the block of an epoch. */
  hasLost(epoch: number): boolean {
    return this.#lives.some(({ ended }) => ended.has(epoch));
  }
}

/** Whether a port is one of a block's. */
export function containsPort({ base, order }: SeenBlock, port: number): boolean {
  return port >= base && port < base + 2 ** order;
}

function newLife(): Life {
  return { listings: [], term: null, ended: new Map() };
}

function latestAllowed(
  { listings, term, ended }: Life,
  port: number,
  nowMs: number,
  tellingMs: number,
): Pick<Belief, "block" | "term"> | null {
  let latest: SeenBlock | null = null;
  for (const { blocks } of listings) {
    for (const block of blocks) {
      const isLater = containsPort(block, port) && !(latest && latest.epoch > block.epoch);
      if (isLater && !ended.has(block.epoch)) latest = block;
    }
  }
  if (latest) return { block: latest, term };
  // What the kernel sends by itself ends when it has been told; the quarantine bears that.
  const isLingering = ({ block, read }: EndedBlock) =>
    nowMs - read.atMs <= tellingMs && containsPort(block, port);
  return [...ended.values()].findLast(isLingering) ?? null;
}

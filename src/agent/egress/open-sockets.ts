/**
 * The connections that an agent has open, with clients and with destinations, and the most that it
 * may have. Each takes a descriptor of its process, which needs some for itself: without them it
 * could not tell the kernel's guard that its leases go on, and all its flows would end. [GW25]
 */

/** Descriptors that an agent keeps for itself: its edge, its listener, name servers, nft, files. */
const OWN_DESCRIPTORS = 192;
/** Of these, what clients may take, so that they can be refused by name. */
const LAST_CLIENTS = 64;
/** From so many on nobody may have more than an equal part. */
const CROWDED_SHARE = 0.75;

/** What has a descriptor until it says that it has closed: a connection, or a socket of UDP. */
interface Closing {
  once(event: "close", listener: () => void): unknown;
}

/** One per agent. */
export class OpenSockets {
  /** Called when there is room for none any more, once until there has been room for a while. */
  onFull: (() => void) | null = null;
  readonly max: number;
  #count = 0;
  #isTold = false;

  constructor(max: number) {
    this.max = max;
  }

  /** For a process that may have so many descriptors. */
  static within(descriptorLimit: number): OpenSockets {
    return new OpenSockets(Math.max(1, descriptorLimit - OWN_DESCRIPTORS));
  }

  /** Whether what is left is shared among those who want some of it. [LI7] */
  get isCrowded(): boolean {
    return this.#count >= this.max * CROWDED_SHARE;
  }

  /** Whether no connection to a destination may be opened. */
  get isFull(): boolean {
    return this.#count >= this.max;
  }

  /** Whether not even a client can be listened to. */
  get isOverfull(): boolean {
    return this.#count >= this.max + LAST_CLIENTS;
  }

  /** Counts a socket until it has closed. */
  note(socket: Closing): void {
    this.#count += 1;
    if (this.isFull && !this.#isTold) {
      this.#isTold = true;
      this.onFull?.();
    }
    socket.once("close", () => {
      this.#count -= 1;
      if (this.#count < this.max / 2) this.#isTold = false;
    });
  }
}

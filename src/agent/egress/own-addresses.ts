/**
 * Whether an address is this machine's own. A connection to one never leaves the machine, and so
 * passes every firewall that stands before it.
 *
 * The kernel is asked, for no list tells all: interfaces without a carrier, whole ranges that
 * are routed to the machine, and what was added a moment ago. A datagram socket that is
 * connected to an address of its own machine has that address for its source; nothing is sent.
 * The answer is kept for a second, so that a connection to a known address costs nothing. Where
 * the kernel cannot be asked, as when no descriptor is left, there is no answer but a fault. [DE6]
 */
import { createSocket, type Socket } from "node:dgram";
import { isIP } from "node:net";
import { monotonicMs } from "../../process/clock.ts";

const KEPT_MS = 1_000;
const MAX_ANSWERS = 4_096;
/** Any: nothing is ever sent there. */
const PORT = 9;

interface Answer {
  readonly isOwn: boolean;
  readonly endsAtMs: number;
}

/** What is asked may be told of more addresses, and of another clock. */
export interface OwnAddressesOptions {
  /** Addresses that count as the machine's own whether or not its kernel has them now. */
  readonly isShared?: (ip: string) => boolean;
  /** Monotonic time in milliseconds. */
  readonly now?: () => number;
}

/** One per agent. */
export class OwnAddresses {
  readonly #isShared: (ip: string) => boolean;
  readonly #now: () => number;
  readonly #answers = new Map<string, Answer>();
  readonly #sockets = new Map<number, Socket>();
  #last: Promise<unknown> = Promise.resolve();
  #closing: NodeJS.Timeout | null = null;

  constructor({ isShared, now }: OwnAddressesOptions = {}) {
    this.#isShared = isShared ?? (() => false);
    this.#now = now ?? monotonicMs;
  }

  /** Whether a canonical address is the machine's own; at once when that is known. */
  isOwn(ip: string): boolean | Promise<boolean> {
    if (this.#isShared(ip)) return true;
    const known = this.#answers.get(ip);
    if (known !== undefined && this.#now() < known.endsAtMs) return known.isOwn;
    // One after the other: a socket is connected to one address at a time.
    const asked = this.#last.then(() => this.#ask(ip));
    this.#last = asked.catch(ignore);
    return asked;
  }

  /** Closes what is open for asking. */
  close(): void {
    if (this.#closing !== null) clearTimeout(this.#closing);
    this.#closing = null;
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  async #ask(ip: string): Promise<boolean> {
    const isOwn = (await this.#sourceTowards(ip)) === ip;
    if (this.#answers.size >= MAX_ANSWERS) this.#answers.clear();
    this.#answers.set(ip, { isOwn, endsAtMs: this.#now() + KEPT_MS });
    return isOwn;
  }

  async #sourceTowards(ip: string): Promise<string | null> {
    const family = isIP(ip);
    const socket = this.#socket(family);
    try {
      return await sourceTowards(ip, socket);
    } catch (fault) {
      // It was not bound and will not be; the next question gets another.
      if (this.#sockets.delete(family)) socket.close();
      if ((fault as NodeJS.ErrnoException).code === "EAFNOSUPPORT") return null;
      throw fault;
    }
  }

  /** Kept for as long as there are questions: to open one costs more than to ask. */
  #socket(family: number): Socket {
    let socket = this.#sockets.get(family);
    if (socket === undefined) {
      socket = createSocket(family === 6 ? { type: "udp6", ipv6Only: true } : { type: "udp4" });
      socket.on("error", ignore);
      socket.unref();
      this.#sockets.set(family, socket);
    }
    if (this.#closing === null) this.#closing = setTimeout(() => this.close(), KEPT_MS).unref();
    else this.#closing.refresh();
    return socket;
  }
}

/** The source that the kernel would take; null where there is no way. Rejects when it cannot be asked. */
function sourceTowards(ip: string, socket: Socket): Promise<string | null> {
  return new Promise((resolve, reject) => {
    // A socket that could not be bound, or was closed, calls nobody back.
    const onClose = (): void => reject(new Error("The socket for asking was closed."));
    socket.once("error", reject);
    socket.once("close", onClose);
    socket.connect(PORT, ip, (fault?: Error) => {
      socket.off("error", reject);
      socket.off("close", onClose);
      if (fault) {
        resolve(null);
        return;
      }
      const { address } = socket.address();
      socket.disconnect();
      resolve(address);
    });
  });
}

function ignore(): void {
  // Told to whoever asked.
}

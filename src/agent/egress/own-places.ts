/**
 * Where this host and its edge listen. Whoever allows a range of this machine's addresses, as tests and machines of one
 * do, does not mean these: through them a client would speak to us in our own name. [DE14]
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { unmapped } from "../../policy/embedded-addresses.ts";

type Soon<Value> = Value | Promise<Value>;

/** Where a kernel takes who dials no address at all. */
const LOOPBACK: ReadonlyMap<string, string> = new Map([
  ["0.0.0.0", "127.0.0.1"],
  ["::", "::1"],
]);

/** One per process that carries traffic. */
export class OwnPlaces {
  readonly #isOwn: (ip: string) => Soon<boolean>;
  readonly #places = new Set<string>();
  readonly #names = new Set<string>();
  /** Ports at which every address of the machine is listened to. */
  readonly #ports = new Set<number>();

  /** `isOwn` says whether an address is the machine's own. */
  constructor(isOwn: (ip: string) => Soon<boolean>) {
    this.#isOwn = isOwn;
  }

  /** Something of ours listens there. */
  add(host: string, port: number): void {
    const ip = unmapped(host);
    if (ip === "0.0.0.0" || ip === "::") this.#ports.add(port);
    else if (isIP(ip) === 0) this.#names.add(`${host.toLowerCase()} ${port}`);
    else this.#places.add(`${ip} ${port}`);
  }

  /**
   * The edge. Its name is ours, and its address where that is a special one: the public one of a cloud's edge is everybody's.
   */
  async addEdge({ hostname, port, protocol }: URL, isSpecial: (ip: string) => boolean): Promise<void> {
    const host = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
    const at = Number(port) || (protocol === "https:" ? 443 : 80);
    this.add(host, at);
    if (isIP(host) !== 0) return;
    // One that cannot be resolved now is met by its name all the same.
    const found = await lookup(host, { all: true }).catch(() => []);
    for (const { address } of found) if (isSpecial(address)) this.add(address, at);
  }

  /** Whether something of ours listens at this address (canonical) and port. */
  isOwnPlace(ip: string, port: number): Soon<boolean> {
    if (this.#places.has(`${LOOPBACK.get(ip) ?? ip} ${port}`)) return true;
    return this.#ports.has(port) ? this.#isOwn(ip) : false;
  }

  /** Whether something of ours goes by this name (in lower case, without a dot at its end). */
  isOwnName(name: string, port: number): boolean {
    return this.#names.has(`${name} ${port}`);
  }
}

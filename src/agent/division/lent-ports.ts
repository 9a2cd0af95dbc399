/**
 * Single ports of this process's units that it holds for others of the host: first offered, then
 * lent, or not wanted. They are held like any port in use, and have no flow here. [MP5]
 */
import type { AddressPorts } from "../egress/address-ports.ts";
import type { LendOffer, LendRequest, LentPort } from "./part-messages.ts";

/** One per address of a data process. */
export class LentPorts {
  readonly #ports: AddressPorts;
  readonly #lent = new Map<string, LentPort>();
  /** By request. */
  readonly #offers = new Map<number, { readonly destination: string; readonly ports: readonly number[] }>();

  constructor(ports: AddressPorts) {
    this.#ports = ports;
  }

  /** Ports that are held for others. */
  get count(): number {
    let count = this.#lent.size;
    for (const { ports } of this.#offers.values()) count += ports.length;
    return count;
  }

  /** These are lent, and these requests are still open: what else was held so is free again. */
  set(lent: readonly LentPort[], requests: readonly LendRequest[]): void {
    const wanted = new Map(lent.map((port) => [keyOf(port), port]));
    for (const [key, port] of this.#lent) {
      if (wanted.has(key)) continue;
      this.#lent.delete(key);
      this.#ports.giveBackApart(port.destination, port.port, true);
    }
    const held = new Set(this.#closeOffers(requests, wanted));
    for (const [key, port] of wanted) {
      if (this.#lent.has(key)) continue;
      if (!held.has(key)) this.#ports.holdPortApart(port.destination, port.port);
      this.#lent.set(key, port);
    }
  }

  /** Whether a request has got its offer. */
  hasOffered({ request }: LendRequest): boolean {
    return this.#offers.has(request);
  }

  /** Holds what is free for a request, as long as that is open. */
  offer({ request, destination, count }: LendRequest): void {
    const ports: number[] = [];
    while (ports.length < count) {
      const port = this.#ports.holdApart(destination);
      if (port === -1) break;
      ports.push(port);
    }
    this.#offers.set(request, { destination, ports });
  }

  /** All offers whose requests are open. */
  offers(): LendOffer[] {
    return Array.from(this.#offers, ([request, { ports }]) => ({ request, ports }));
  }

  /** Ends offers whose requests are not open any more; what was accepted of them is held already. */
  #closeOffers(requests: readonly LendRequest[], wanted: ReadonlyMap<string, LentPort>): string[] {
    const open = new Set(requests.map(({ request }) => request));
    const held: string[] = [];
    for (const [request, { destination, ports }] of this.#offers) {
      if (open.has(request)) continue;
      this.#offers.delete(request);
      for (const port of ports) {
        const key = keyOf({ port, destination });
        if (wanted.has(key)) held.push(key);
        else this.#ports.giveBackApart(destination, port, false);
      }
    }
    return held;
  }
}

function keyOf({ port, destination }: LentPort): string {
  return `${port} ${destination}`;
}

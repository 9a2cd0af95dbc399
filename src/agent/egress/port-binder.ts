/** The egress addresses of this host, each with its ports: what the lease keeper fills and every traffic path takes from. */
import { AddressPorts, type BinderOptions } from "./address-ports.ts";

/** All addresses on which this host may have leases; one per agent. */
export class PortBinder {
  readonly #addresses = new Map<string, AddressPorts>();
  readonly #options: BinderOptions;
  #advertised: Readonly<Record<string, string>> = {};

  constructor(options: BinderOptions = {}) {
    this.#options = options;
  }

  /** The ports of an address, if this host serves it. */
  address(ip: string): AddressPorts | undefined {
    return this.#addresses.get(ip);
  }

  /** The ports of an address, by its own name or by what the Internet calls it. [PF6] */
  addressKnownAs(name: string): AddressPorts | undefined {
    const own = this.#addresses.get(name);
    if (own !== undefined) return own;
    for (const address of this.#addresses.values()) if (address.advertised === name) return address;
    return undefined;
  }

  /** What the Internet sees instead of addresses, be they served yet or not; replaces what was said before. */
  advertise(advertised: Readonly<Record<string, string>>): void {
    this.#advertised = advertised;
    for (const address of this.#addresses.values()) address.advertised = advertised[address.ip] ?? null;
  }

  /** Begins to serve an address; without a term and a block nothing leaves from it. */
  addAddress(ip: string): AddressPorts {
    let address = this.#addresses.get(ip);
    if (address === undefined) {
      address = new AddressPorts(ip, this.#options);
      address.advertised = this.#advertised[ip] ?? null;
      this.#addresses.set(ip, address);
    }
    return address;
  }

  /** Stops serving an address and resets its connections. */
  removeAddress(ip: string): void {
    this.#addresses.get(ip)?.close();
    this.#addresses.delete(ip);
  }

  /** All addresses, in the order they came. */
  addresses(): Iterable<AddressPorts> {
    return this.#addresses.values();
  }
}

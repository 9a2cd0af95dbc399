/** The addresses of a host, whose blocks are noted in its log on their way from the keepers to the ports. [AT5] */
import type { PortControl } from "./egress/port-messages.ts";
import type { BlockLog } from "./flow-log/block-log.ts";
import type { ServedAddresses, ServedPorts } from "./leasing/served-addresses.ts";

/** The same addresses. */
export class NotedAddresses implements ServedAddresses {
  readonly #addresses: ServedAddresses;
  readonly #log: BlockLog;

  constructor(addresses: ServedAddresses, log: BlockLog) {
    this.#addresses = addresses;
    this.#log = log;
  }

  address(ip: string): ServedPorts | undefined {
    return this.#addresses.address(ip);
  }

  addAddress(ip: string): ServedPorts {
    const ports = this.#addresses.addAddress(ip);
    const control = (): PortControl => this.#log.noting(ip, ports.control());
    return {
      ip,
      control,
      capacity: () => ports.capacity(),
      busiestDestination: () => ports.busiestDestination(),
      leases: () => ports.leases(),
      heldCounts: () => ports.heldCounts(),
    };
  }

  advertise(advertised: Readonly<Record<string, string>>): void {
    this.#addresses.advertise(advertised);
  }

  removeAddress(ip: string): void {
    this.#addresses.removeAddress(ip);
  }
}

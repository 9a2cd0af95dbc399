/**
 * The addresses of this host, as those see them who lease: whether their ports are in this process or
 * in several makes no difference here.
 */
import type { Lease } from "../../core/lease-commands.ts";
import type { PortControl } from "../egress/port-messages.ts";

/** The ports of an address. */
export interface ServedPorts {
  readonly ip: string;
  /** For one keeper; a later one replaces it. */
  control(): PortControl;
  /** Ports usable now, and how many of them the busiest destination takes. */
  capacity(): { readonly portCount: number; readonly busiestCount: number };
  /** The destination that takes most ports; null when none does. */
  busiestDestination(): string | null;
  /** Leases that are here, draining ones included. */
  leases(): Iterable<{ readonly lease: Lease; readonly isDraining: boolean }>;
  /** Ports held towards all destinations: in use, and held down. */
  heldCounts(): { readonly inUse: number; readonly heldDown: number };
}

/** All of them. */
export interface ServedAddresses {
  /** The ports of an address, if this host serves it. */
  address(ip: string): ServedPorts | undefined;
  /** Begins to serve an address; without a term and a block nothing leaves from it. */
  addAddress(ip: string): ServedPorts;
  /** What the Internet sees instead of addresses; replaces what was said before. [PF5] */
  advertise(advertised: Readonly<Record<string, string>>): void;
  /** Stops serving an address and resets its connections. */
  removeAddress(ip: string): void;
}

/** The addresses of a host whose ports are in several data processes. */

import { DividedPorts, type PartView } from "../division/divided-ports.ts";
import type { PartCommand, PartReport } from "../division/part-messages.ts";
import type { ServedAddresses, ServedPorts } from "../leasing/served-addresses.ts";
import { type Clock, readClock } from "../../process/clock.ts";
import { rangeOf } from "../../core/port-block.ts";

/** How the processes are told. */
export interface DividedAddressesOptions {
  readonly sendCommand: (part: number, ip: string, command: PartCommand) => void;
  /** A part beside the processes, as far as an address has one: which one, and its units from before. */
  readonly beside?: (ip: string) => { readonly part: number; readonly units: readonly number[] } | null;
  readonly sendServed: (ips: readonly string[], advertised: Readonly<Record<string, string>>) => void;
  readonly clock?: Clock;
}

/** Numbers that a life of an agent may use up in a millisecond. */
const NUMBERS_PER_MS = 1_000;

class DividedAddress implements ServedPorts {
  readonly ip: string;
  readonly division: DividedPorts;

  constructor(ip: string, division: DividedPorts) {
    this.ip = ip;
    this.division = division;
  }

  control = (): ReturnType<ServedPorts["control"]> => this.division.control();
  capacity = (): ReturnType<ServedPorts["capacity"]> => this.division.capacity();
  busiestDestination = (): string | null => this.division.busiestDestination();
  leases = (): ReturnType<ServedPorts["leases"]> => this.division.leases();
  heldCounts = (): ReturnType<ServedPorts["heldCounts"]> => this.division.heldCounts();
}

/** One per agent. */
export class DividedAddresses implements ServedAddresses {
  readonly #options: DividedAddressesOptions;
  /** Those that were ever served: what a process may still use of one must not be forgotten. */
  readonly #known = new Map<string, DividedAddress>();
  readonly #served = new Map<string, DividedAddress>();
  readonly #parts = new Set<number>();
  #advertised: Readonly<Record<string, string>> = {};

  constructor(options: DividedAddressesOptions) {
    this.#options = options;
  }

  address(ip: string): ServedPorts | undefined {
    return this.#served.get(ip);
  }

  addAddress(ip: string): ServedPorts {
    let address = this.#known.get(ip);
    if (address === undefined) {
      address = this.#divide(ip);
      this.#known.set(ip, address);
    }
    if (this.#served.has(ip)) return address;
    this.#served.set(ip, address);
    this.#sendServed();
    for (const part of this.#parts) address.division.tellAgain(part);
    return address;
  }

  removeAddress(ip: string): void {
    if (this.#served.delete(ip)) this.#sendServed();
  }

  advertise(advertised: Readonly<Record<string, string>>): void {
    this.#advertised = advertised;
    this.#sendServed();
  }

  /** What the Internet sees instead of addresses. */
  get advertised(): Readonly<Record<string, string>> {
    return this.#advertised;
  }

  /** Addresses that are served. */
  ips(): string[] {
    return [...this.#served.keys()];
  }

  /** A process has begun. */
  addPart(part: number): void {
    this.#parts.add(part);
    for (const { division } of this.#known.values()) division.addPart(part);
  }

  /** A process has ended. */
  removePart(part: number): void {
    this.#parts.delete(part);
    for (const { division } of this.#known.values()) division.removePart(part);
  }

  /** A process has reported. */
  report(part: number, ip: string, report: PartReport): void {
    this.#known.get(ip)?.division.report(part, report);
  }

  /** Units and flows of each process, of all addresses. */
  views(): PartView[] {
    const views = new Map<number, PartView>();
    for (const { division } of this.#known.values()) {
      for (const { part, unitCount, flowCount } of division.views()) {
        const sum = views.get(part);
        views.set(part, {
          part,
          unitCount: unitCount + (sum?.unitCount ?? 0),
          flowCount: flowCount + (sum?.flowCount ?? 0),
        });
      }
    }
    return [...views.values()];
  }

  /** For the status of the host, as one process would tell it. */
  describe(): Record<string, unknown>[] {
    return Array.from(this.#served.values(), ({ ip, division }) => {
      const { portCount, busiestCount } = division.capacity();
      const { inUse, heldDown } = division.heldCounts();
      return {
        ip,
        usable: portCount > 0,
        portCount,
        busiestCount,
        busiestDestination: division.busiestDestination(),
        heldCount: inUse + heldDown,
        flowCount: inUse,
        blocks: Array.from(division.leases(), ({ lease, isDraining }) => ({
          first: lease.base,
          last: rangeOf(lease).last,
          epoch: lease.epoch,
          draining: isDraining,
          flows: division.flowCount(lease.epoch),
        })),
      };
    });
  }

  #sendServed(): void {
    this.#options.sendServed(this.ips(), this.#advertised);
  }

  #divide(ip: string): DividedAddress {
    const { clock = readClock } = this.#options;
    const division = new DividedPorts({
      clock,
      send: (part, command) => this.#options.sendCommand(part, ip, command),
      // Above all that an agent of this machine has used that was killed: its processes may live.
      firstNumber: Math.floor(clock().monotonicMs) * NUMBERS_PER_MS,
    });
    // First, so that nobody else gets what it has from before.
    const beside = this.#options.beside?.(ip) ?? null;
    if (beside !== null) division.addPart(beside.part, beside.units);
    for (const part of this.#parts) division.addPart(part);
    return new DividedAddress(ip, division);
  }
}

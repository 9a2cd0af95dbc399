/** The two sides of an assignment while it is decided: hosts and addresses, each with what it has. */
import type { AssignableAddress, AssignableHost, AssignmentState, HostPorts } from "./address-assignment.ts";
import type { Family } from "./address-family.ts";
import { LEASABLE_PORT_COUNT } from "./port-block.ts";

/** A host and the addresses of one family that are assigned to it. */
export class AssignedHost {
  readonly states = new Map<AssignedAddress, AssignmentState>();
  readonly #told: AssignableHost;
  /** Addresses that its demand needs. */
  readonly addressCount: number;
  readonly ports: HostPorts;
  #usefulCount = 0;

  constructor(told: AssignableHost, family: Family) {
    this.#told = told;
    this.addressCount = told.addressCounts[family] ?? 1;
    this.ports = told.ports?.[family] ?? { busyCount: 0, unusedCount: 0 };
  }

  get name(): string {
    return this.#told.host;
  }

  get site(): string | null {
    return this.#told.site;
  }

  get weight(): number {
    return this.#told.weight;
  }

  get isLive(): boolean {
    return this.#told.isLive;
  }

  get isDrained(): boolean {
    return this.#told.isDrained;
  }

  /** Addresses that it is to serve, and can. */
  get usefulCount(): number {
    return this.#usefulCount;
  }

  /** Ports that it uses of each of its addresses, on the average. */
  get busyPerAddress(): number {
    return Math.ceil(this.ports.busyCount / Math.max(1, this.#usefulCount));
  }

  /** How much it has for its weight. */
  get burden(): number {
    return this.#usefulCount / this.weight;
  }

  isAbsentFrom({ ip }: AssignedAddress): boolean {
    return this.#told.absent.has(ip);
  }

  isEstablishedOn({ ip }: AssignedAddress): boolean {
    return this.#told.established.has(ip);
  }

  /** Whether something of it is replaced already, or has no ports yet. */
  get isMoving(): boolean {
    for (const [address, state] of this.states) {
      if (state === "replaced") return true;
      if (state === "serving" && !this.isAbsentFrom(address) && !this.isEstablishedOn(address)) return true;
    }
    return false;
  }

  /** Whether it has ports wherever it is to serve. */
  get isSettled(): boolean {
    for (const [address, state] of this.states) {
      if (state === "serving" && !this.isAbsentFrom(address) && !this.isEstablishedOn(address)) return false;
    }
    return true;
  }

  couldServe(address: AssignedAddress): boolean {
    return (
      this.isLive && !this.isDrained && !this.isAbsentFrom(address) && address.mayBeServedFrom(this.site)
    );
  }

  /** Notes on both sides how it stands to an address now. */
  put(address: AssignedAddress, state: AssignmentState): void {
    const isUseful = !this.isAbsentFrom(address);
    const wasServing = this.states.get(address) === "serving";
    this.states.set(address, state);
    address.states.set(this, state);
    if (!isUseful || wasServing === (state === "serving")) return;
    const change = wasServing ? -1 : 1;
    this.#usefulCount += change;
    address.load += change * this.weight;
    if (this.isLive && !this.isDrained) address.liveCount += change;
  }
}

/** An address and the hosts that it is assigned to. */
export class AssignedAddress {
  readonly states = new Map<AssignedHost, AssignmentState>();
  /** Weights of the hosts that are to serve it. */
  load = 0;
  /** Of these, the live ones. */
  liveCount = 0;
  /** Its ports that no host has or will soon have. */
  freePortCount: number;
  readonly #told: AssignableAddress;
  readonly #sites: ReadonlySet<string>;

  constructor(told: AssignableAddress) {
    this.#told = told;
    this.#sites = new Set(told.sites);
    this.freePortCount = told.freePortCount ?? LEASABLE_PORT_COUNT;
  }

  get ip(): string {
    return this.#told.ip;
  }

  get isRetiring(): boolean {
    return this.#told.isRetiring;
  }

  /** Whether no host is to serve it. */
  get isDrained(): boolean {
    return this.#told.isDrained || this.#told.isRetiring;
  }

  /** Hosts that may hold ports of it, those that let go of it included. */
  get hostCount(): number {
    return this.states.size;
  }

  /** Whether hosts of this site may serve it; none may while it is drained. */
  mayBeServedFrom(site: string | null): boolean {
    if (this.isDrained) return false;
    return this.#sites.size === 0 || (site !== null && this.#sites.has(site));
  }

  /** Live hosts with ports that are to go on serving it, without this one. */
  establishedCountBeside(host: AssignedHost): number {
    let count = 0;
    for (const [other, state] of this.states) {
      if (other === host || state !== "serving" || !other.isLive || other.isDrained) continue;
      if (other.isEstablishedOn(this) && !other.isAbsentFrom(this)) count += 1;
    }
    return count;
  }
}

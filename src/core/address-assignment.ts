/**
 * Which hosts of a pool serve which of its addresses. [AS1]
 *
 * A host serves as few addresses as its demand needs, and an address has at least so many live
 * hosts that the loss of one leaves others; hosts spread evenly over addresses. What is assigned
 * already stays, so that a change of either set moves little: it is an argument of each decision.
 * Nothing that serves is taken before its replacement serves.
 *
 * Hosts do not know of one another here, and ports do not matter: who may use which ports is the
 * business of each address. Addresses of the two families are assigned apart, since a host needs
 * both.
 */
import { type Family, familyOf } from "./address-family.ts";
import { rendezvousWeight } from "./rendezvous.ts";
import { AssignedAddress, AssignedHost } from "./assignment-sides.ts";
import { LeastLoaded } from "./least-loaded.ts";

/**
 * How a host stands to an address that is assigned to it: it serves; it serves until what replaces
 * the address serves; or it takes no new flows, and lets go of the address when the last has ended.
 */
export type AssignmentState = "serving" | "replaced" | "leaving";

/** One address of one host. */
export interface Assignment {
  readonly host: string;
  readonly ip: string;
  readonly state: AssignmentState;
}

/** The ports of a host on all addresses of a family together, towards its busiest destinations. */
export interface HostPorts {
  readonly busyCount: number;
  /** Those that it could still use. */
  readonly unusedCount: number;
}

/** A host as far as its assignment goes. */
export interface AssignableHost {
  readonly host: string;
  /** Where it is; null if it does not say. */
  readonly site: string | null;
  /** Its share of the load compared with other hosts: more than 0. */
  readonly weight: number;
  /** Whether it gets requests: it is heard, and does not drain by itself. */
  readonly isLive: boolean;
  /** Whether the operator drains it. */
  readonly isDrained: boolean;
  /** How many addresses of a family its demand needs: 1 where nothing else is said. [AS8] */
  readonly addressCounts: { readonly [Key in Family]?: number };
  /** The addresses where it has ports, as it said last. */
  readonly established: ReadonlySet<string>;
  /** The addresses that are not on its machine, as it said last. */
  readonly absent: ReadonlySet<string>;
  /** Its ports where it serves, as it said last; none where it does not say. */
  readonly ports?: { readonly [Key in Family]?: HostPorts };
}

/** An address as far as its assignment goes. */
export interface AssignableAddress {
  readonly ip: string;
  /** Where it is announced; with none it may be served from everywhere. */
  readonly sites: readonly string[];
  /** Whether the operator drains it. */
  readonly isDrained: boolean;
  /** Whether it leaves the pool: then no host serves it from now on. [RE1] */
  readonly isRetiring: boolean;
  /** Its ports that no host has, as hosts said last; all where none says. */
  readonly freePortCount?: number;
}

/** What an operator sets. */
export interface AssignmentRules {
  /** Live hosts that each address has, if there are as many. */
  readonly leastHosts: number;
  /** Hosts of which each can have its minimum of ports on one address. */
  readonly mostHosts: number;
  /** Whether a host keeps its address for good: nothing is moved for the sake of others. [SM7] */
  readonly isStatic?: boolean;
}

const FAMILIES: readonly Family[] = [4, 6];
/** A further address has so many times more to use than a host has where it serves, or would not help it; */
const FURTHER_GAIN = 2;
/** and at least so many ports. */
const FURTHER_LEAST = 2_048;
/** Loads of two addresses that differ by no more than this share of the larger count as even, */
export const EVEN_SHARE = 0.2;
/** and so do such that differ by no more than so many hosts of the weight in question. */
export const EVEN_HOSTS = 2;

/**
 * What is assigned from now on, given what is. Called again with its own result, and nothing else
 * changed, it changes nothing; when what it replaced has gone, it comes to rest. [AS2] [AS3] [AS4]
 */
export function assignAddresses(
  hosts: readonly AssignableHost[],
  addresses: readonly AssignableAddress[],
  previous: readonly Assignment[],
  rules: AssignmentRules,
): Assignment[] {
  const result: Assignment[] = [];
  for (const family of FAMILIES) {
    const ofFamily = addresses.filter(({ ip }) => familyOf(ip) === family);
    if (ofFamily.length > 0) result.push(...new FamilyAssignment(hosts, ofFamily, previous, rules).decide());
  }
  return result;
}

/** Of one family; it is made for one decision. */
class FamilyAssignment {
  readonly #rules: AssignmentRules;
  readonly #hosts: readonly AssignedHost[];
  readonly #addresses: readonly AssignedAddress[];
  /** What hosts of a site may serve. */
  readonly #bySite = new Map<string | null, readonly AssignedAddress[]>();

  constructor(
    hosts: readonly AssignableHost[],
    addresses: readonly AssignableAddress[],
    previous: readonly Assignment[],
    rules: AssignmentRules,
  ) {
    this.#rules = rules;
    const family = familyOf(addresses[0]!.ip);
    this.#hosts = hosts.map((host) => new AssignedHost(host, family));
    this.#addresses = addresses.map((address) => new AssignedAddress(address));
    for (const { site } of hosts) {
      if (this.#bySite.has(site)) continue;
      this.#bySite.set(
        site,
        this.#addresses.filter((address) => address.mayBeServedFrom(site)),
      );
    }
    this.#takeUp(previous);
  }

  decide(): Assignment[] {
    const leastLoaded = new Map(
      Array.from(this.#bySite, ([site, addresses]) => [site, new LeastLoaded(addresses)]),
    );
    for (const host of this.#hosts) this.#giveNeeded(host, leastLoaded);
    if (this.#rules.isStatic !== true) this.#balance();
    for (const host of this.#hosts) this.#letGo(host);
    return this.#hosts.flatMap(({ name, states }) =>
      Array.from(states, ([address, state]) => ({ host: name, ip: address.ip, state })),
    );
  }

  #balance(): void {
    for (const address of this.#addresses) this.#giveHosts(address);
    for (const addresses of this.#bySite.values()) this.#level(addresses);
    for (const host of this.#hosts) this.#trim(host);
  }

  /** What is assigned already, but for what may not stay so. */
  #takeUp(previous: readonly Assignment[]): void {
    const hosts = new Map(this.#hosts.map((host) => [host.name, host]));
    const addresses = new Map(this.#addresses.map((address) => [address.ip, address]));
    for (const { host: name, ip, state } of previous) {
      const [host, address] = [hosts.get(name), addresses.get(ip)];
      if (host === undefined || address === undefined) continue;
      const mayStay = !host.isDrained && address.mayBeServedFrom(host.site);
      const ended = address.isRetiring ? "leaving" : "replaced";
      host.put(address, state === "leaving" || mayStay ? state : ended);
    }
  }

  /** As many addresses as its demand needs. */
  #giveNeeded(host: AssignedHost, leastLoaded: ReadonlyMap<string | null, LeastLoaded>): void {
    if (host.isDrained) return;
    while (host.usefulCount < host.addressCount) {
      const address =
        host.usefulCount === 0
          ? leastLoaded.get(host.site)!.find((each) => this.#mayServe(host, each))
          : this.#roomiest(host);
      if (address === null) return;
      host.put(address, "serving");
    }
  }

  /**
   * Of the addresses that a host could serve besides its own, the one with most free ports, if these
   * are more than it can use now: where all are equally full, one more would help nobody. [AS8]
   */
  #roomiest(host: AssignedHost): AssignedAddress | null {
    let roomiest: AssignedAddress | null = null;
    let most = Math.max(FURTHER_LEAST, host.ports.unusedCount * FURTHER_GAIN);
    for (const address of this.#bySite.get(host.site)!) {
      if (address.freePortCount < most || !this.#mayServe(host, address)) continue;
      roomiest = address;
      most = address.freePortCount + 1;
    }
    if (roomiest !== null) roomiest.freePortCount -= FURTHER_LEAST;
    return roomiest;
  }

  /** Whether a host could serve an address that it does not serve. */
  #mayServe(host: AssignedHost, address: AssignedAddress): boolean {
    const state = host.states.get(address);
    if (state === "serving") return false;
    return state !== undefined || address.hostCount < this.#rules.mostHosts;
  }

  /** As many live hosts as an address is to have, if there are. */
  #giveHosts(address: AssignedAddress): void {
    if (address.isDrained || address.liveCount >= this.#rules.leastHosts) return;
    const able = this.#hosts
      .filter((host) => host.isLive && !host.isDrained && !host.isAbsentFrom(address))
      .filter((host) => address.mayBeServedFrom(host.site) && this.#mayServe(host, address))
      .map((host) => ({
        host,
        // First those that have its ports still: an address that is taken back goes on where it was. [RE8]
        rank: host.states.has(address) ? 0 : 1,
        burden: host.burden,
        tie: rendezvousWeight(host.name, address.ip),
      }))
      .toSorted((a, b) => a.rank - b.rank || a.burden - b.burden || a.tie - b.tie);
    for (const { host } of able) {
      if (address.liveCount >= this.#rules.leastHosts) return;
      if (this.#mayServe(host, address)) host.put(address, "serving");
    }
  }

  /** Moves hosts from the most loaded addresses of a site to the least loaded, until they are even. [AS3] */
  #level(addresses: readonly AssignedAddress[]): void {
    const stuck = new Set<AssignedAddress>();
    for (;;) {
      let receiver: AssignedAddress | null = null;
      for (const address of addresses) {
        if (stuck.has(address) || address.isDrained) continue;
        if (receiver === null || address.load < receiver.load) receiver = address;
      }
      if (receiver === null) return;
      const donors = donorsTo(receiver, addresses);
      // Nor is there any to an address that has more.
      if (donors.length === 0) return;
      if (!this.#relieve(donors, receiver)) stuck.add(receiver);
    }
  }

  /** Moves one host to this address; false if there is none to be moved. */
  #relieve(donors: readonly AssignedAddress[], receiver: AssignedAddress): boolean {
    for (const donor of donors) {
      for (const [host, state] of donor.states) {
        if (state !== "serving" || !this.#isMovable(host, donor, receiver)) continue;
        receiver.freePortCount -= host.busyPerAddress;
        host.put(receiver, "serving");
        host.put(donor, "replaced");
        return true;
      }
    }
    return false;
  }

  #isMovable(host: AssignedHost, donor: AssignedAddress, receiver: AssignedAddress): boolean {
    if (!host.isLive || host.isDrained || host.isMoving || host.usefulCount > host.addressCount) return false;
    if (host.isAbsentFrom(donor) || host.isAbsentFrom(receiver)) return false;
    if (!receiver.mayBeServedFrom(host.site) || !this.#mayServe(host, receiver)) return false;
    // It takes its load along, and what is in use on the donor stays there for a while.
    if (receiver.freePortCount < host.busyPerAddress * FURTHER_GAIN) return false;
    if (donor.load - receiver.load <= EVEN_HOSTS * host.weight) return false;
    return donor.liveCount > this.#rules.leastHosts;
  }

  /** Takes what a host has beyond its demand, where the address has hosts enough. */
  #trim(host: AssignedHost): void {
    if (!host.isLive || host.isDrained || host.usefulCount <= host.addressCount) return;
    const heaviestFirst = [...host.states]
      .filter(([address, state]) => state === "serving" && !host.isAbsentFrom(address))
      .toSorted(([a], [b]) => b.load - a.load);
    for (const [address] of heaviestFirst) {
      if (host.usefulCount <= host.addressCount) return;
      if (address.establishedCountBeside(host) >= this.#rules.leastHosts) host.put(address, "replaced");
    }
  }

  /** Ends what is replaced, once what replaces it serves. [AS4] */
  #letGo(host: AssignedHost): void {
    const isReady = host.isDrained || host.isSettled;
    for (const [address, state] of host.states) {
      if (state !== "replaced" || !isReady) continue;
      if (!host.isDrained || this.#isTakenOver(address, host)) host.put(address, "leaving");
    }
  }

  /** Whether another serves what a drained host has, or nobody will. */
  #isTakenOver(address: AssignedAddress, host: AssignedHost): boolean {
    if (address.isDrained || address.establishedCountBeside(host) > 0) return true;
    // Nothing is moved there for its sake.
    if (this.#rules.isStatic === true) return true;
    return !this.#hosts.some(
      (other) =>
        other !== host &&
        other.couldServe(address) &&
        // On a full address nobody else can have ports before this host gives its own back.
        (other.states.get(address) === "serving" || this.#mayServe(other, address)),
    );
  }
}

/** Addresses that are not even with this one, which has less; those with most first. [AS3] */
function donorsTo(receiver: AssignedAddress, addresses: readonly AssignedAddress[]): AssignedAddress[] {
  return addresses
    .filter(({ load }) => load - receiver.load > load * EVEN_SHARE)
    .toSorted((a, b) => b.load - a.load);
}

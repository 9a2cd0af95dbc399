/** A pool whose hosts do what they are told at once: what an assignment comes to, step by step. */
import {
  type AssignableAddress,
  type AssignableHost,
  assignAddresses,
  type Assignment,
  type AssignmentRules,
} from "../../src/core/address-assignment.ts";

/** What a host of the pool says of itself. */
export interface ToldHost extends Omit<AssignableHost, "established" | "addressCounts"> {
  /** Of each family. */
  readonly addressCount: number;
}

/** Hosts and addresses may be changed between steps. */
export class PoolOfHosts {
  readonly hosts = new Map<string, ToldHost>();
  readonly addresses = new Map<string, AssignableAddress>();
  readonly rules: AssignmentRules;
  assignments: Assignment[] = [];
  /** Where hosts have ports, as `host ip`. */
  #established = new Set<string>();

  constructor(rules: Partial<AssignmentRules> = {}) {
    this.rules = { leastHosts: 3, mostHosts: 126, ...rules };
  }

  addHost(host: string, told: Partial<ToldHost> = {}): void {
    const defaults = { site: null, weight: 1, isLive: true, isDrained: false, addressCount: 1 };
    this.hosts.set(host, { ...defaults, absent: new Set(), ...told, host });
  }

  changeHost(host: string, told: Partial<ToldHost>): void {
    this.hosts.set(host, { ...this.hosts.get(host)!, ...told });
  }

  addAddress(ip: string, told: Partial<AssignableAddress> = {}): void {
    this.addresses.set(ip, { ip, sites: [], isDrained: false, isRetiring: false, ...told });
  }

  changeAddress(ip: string, told: Partial<AssignableAddress>): void {
    this.addresses.set(ip, { ...this.addresses.get(ip)!, ...told });
  }

  /** Decides once. */
  decide(): Assignment[] {
    const hosts: AssignableHost[] = [];
    for (const host of this.hosts.values()) {
      const established = [...this.addresses.keys()].filter((ip) => this.isEstablished(host.host, ip));
      const addressCounts = { 4: host.addressCount, 6: host.addressCount };
      hosts.push({ ...host, addressCounts, established: new Set(established) });
    }
    this.assignments = assignAddresses(hosts, [...this.addresses.values()], this.assignments, this.rules);
    return this.assignments;
  }

  /** Every live host takes ports where it serves, and has let go where it leaves. */
  follow(): void {
    this.#established = new Set(
      this.assignments
        .filter(({ state, host, ip }) => {
          const told = this.hosts.get(host)!;
          if (!told.isLive) return this.isEstablished(host, ip);
          return state !== "leaving" && !told.absent.has(ip);
        })
        .map(({ host, ip }) => `${host} ${ip}`),
    );
    this.assignments = this.assignments.filter(
      ({ state, host }) => state !== "leaving" || !this.hosts.get(host)!.isLive,
    );
  }

  /** Goes on until nothing changes any more, and answers after how many steps. */
  settle(onStep: () => void = () => {}): number {
    for (let step = 1; step <= 50; step += 1) {
      const before = this.spelling();
      this.decide();
      onStep();
      this.follow();
      if (this.spelling() === before) return step;
    }
    throw new Error("the assignment never comes to rest");
  }

  isEstablished(host: string, ip: string): boolean {
    return this.#established.has(`${host} ${ip}`);
  }

  /** Pairs in a state, as `host ip`. */
  pairs(...states: Assignment["state"][]): Set<string> {
    const those = this.assignments.filter(({ state }) => states.includes(state));
    return new Set(those.map(({ host, ip }) => `${host} ${ip}`));
  }

  hostsOf(address: string): ToldHost[] {
    const those = this.assignments.filter(({ ip, state }) => ip === address && state === "serving");
    return those.map(({ host }) => this.hosts.get(host)!).filter(({ absent }) => !absent.has(address));
  }

  ipsOf(name: string): string[] {
    const told = this.hosts.get(name)!;
    const those = this.assignments.filter(({ host, state }) => host === name && state === "serving");
    return those.map(({ ip }) => ip).filter((ip) => !told.absent.has(ip));
  }

  /** Weights of the hosts that serve an address. */
  loadOf(ip: string): number {
    return this.hostsOf(ip).reduce((sum, { weight }) => sum + weight, 0);
  }

  mayServe({ site, isDrained }: ToldHost, { sites, isDrained: isShut }: AssignableAddress): boolean {
    return !isDrained && !isShut && (sites.length === 0 || (site !== null && sites.includes(site)));
  }

  spelling(): string {
    return JSON.stringify([this.assignments, [...this.#established].toSorted()]);
  }
}

/** The n-th address of a family. */
export function nthIp(number: number, family: 4 | 6 = 4): string {
  return family === 4 ? `192.0.${2 + (number >> 8)}.${number & 255}` : `2001:db8::${number.toString(16)}`;
}

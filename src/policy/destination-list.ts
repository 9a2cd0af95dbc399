/** A list of destinations, read once and asked often. [DE10] [DE11] */
import ipaddr from "ipaddr.js";
import type { DestinationRules, PolicyMode } from "../core/pool-policy.ts";
import { carriedBy, isWrapping, unmapped } from "./embedded-addresses.ts";
import { type DestinationEntry, parseDestinationEntry, type PortRange } from "./destination-entry.ts";
import { type Address, isIn } from "./special-ranges.ts";

/** A place as lists see it. */
export interface ListedPlace {
  /** As `requestedName` has it; null where an address was asked for. */
  readonly name: string | null;
  readonly address: Address;
  readonly port: number;
}

/** Whether a list denies or permits what is on it. */
export type ListKind = "deny" | "allow";

/** By name; a name may be there with several ranges of ports. */
type ByName = Map<string, DestinationEntry[]>;

/** Entries of one list. */
export class DestinationList {
  readonly #kind: ListKind;
  readonly #any: DestinationEntry[] = [];
  readonly #names: ByName = new Map();
  readonly #below: ByName = new Map();
  readonly #networks: DestinationEntry[] = [];
  readonly isEmpty: boolean;

  /** What is no entry denies everything on a list of denials, and permits nothing on the other kind. */
  constructor(kind: ListKind, texts: readonly string[]) {
    this.#kind = kind;
    this.isEmpty = texts.length === 0;
    for (const text of texts) {
      const read = parseDestinationEntry(text);
      if (read.ok) this.#add(read.value);
      else if (kind === "deny") this.#add({ text, host: { kind: "any" }, ports: null });
    }
  }

  /** Whether names alone can decide: no address helps who is not on it by name. */
  get isOfNamesOnly(): boolean {
    return this.#any.length === 0 && this.#networks.length === 0;
  }

  /** The entry that a place is on; null for none. */
  find(place: ListedPlace): string | null {
    const { name, address, port } = place;
    const named = name === null ? null : this.findName(name, port);
    return named ?? this.#findAddress(address, port) ?? this.#textOf(this.#any, port);
  }

  /**
   * The entry that a name is on, whatever its addresses; null for none. Where the port is not known a denial
   * must be of every port, and a permission of any.
   */
  findName(name: string, port: number | null): string | null {
    const exact = this.#textOf(this.#names.get(name), port);
    if (exact !== null || this.#below.size === 0) return exact;
    for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1)) {
      const below = this.#textOf(this.#below.get(name.slice(dot + 1)), port);
      if (below !== null) return below;
    }
    return null;
  }

  #findAddress(address: Address, port: number): string | null {
    if (this.#networks.length === 0) return null;
    const own = this.#findNetwork(address, port);
    if (own !== null) return own;
    const carried = carriedBy(address);
    if (carried.length === 0) return null;
    const found = carried.map((inner) => this.#findNetwork(inner, port));
    // One denied address inside is enough. It is permitted where what is inside decides alone, and all of it is. [DE2]
    if (this.#kind === "deny") return found.find((entry) => entry !== null) ?? null;
    return isWrapping(address) && !found.includes(null) ? found[0]! : null;
  }

  #findNetwork(address: Address, port: number): string | null {
    const on = this.#networks.find(
      ({ host, ports }) => host.kind === "network" && isIn(address, host.range) && isWithin(port, ports),
    );
    return on?.text ?? null;
  }

  #textOf(entries: readonly DestinationEntry[] | undefined, port: number | null): string | null {
    const isOn = ({ ports }: DestinationEntry): boolean =>
      port === null ? ports === null || this.#kind === "allow" : isWithin(port, ports);
    return entries?.find(isOn)?.text ?? null;
  }

  #add(entry: DestinationEntry): void {
    const { host } = entry;
    if (host.kind === "any") this.#any.push(entry);
    else if (host.kind === "network") this.#networks.push(entry);
    else {
      const names = host.kind === "name" ? this.#names : this.#below;
      const same = names.get(host.name);
      if (same === undefined) names.set(host.name, [entry]);
      else same.push(entry);
    }
  }
}

/** The lists of a pool or a tenant, read once: those of a pool are the same for all of its tenants. */
export class ReadRules {
  readonly mode: PolicyMode;
  readonly deny: DestinationList;
  readonly allow: DestinationList;

  constructor({ mode, deny, allow }: DestinationRules) {
    this.mode = mode;
    this.deny = new DestinationList("deny", deny);
    this.allow = new DestinationList("allow", allow);
  }
}

/** Reads an address for `find`; null for what is none. */
export function listedAddress(text: string): Address | null {
  if (text.includes("%") || !ipaddr.isValid(text)) return null;
  return ipaddr.parse(unmapped(text));
}

function isWithin(port: number, ports: PortRange | null): boolean {
  return ports === null || (port >= ports.first && port <= ports.last);
}

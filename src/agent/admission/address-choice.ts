/** Which of this host's addresses a request leaves from. */
import { isIP } from "node:net";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import { rendezvousWeight } from "../../core/rendezvous.ts";
import type { Problem } from "../../core/problems.ts";
import type { Selection } from "../../core/selection.ts";
import { parseSelection } from "../../wire/selection-header.ts";
import type { AddressPorts } from "../egress/address-ports.ts";
import type { PortBinder } from "../egress/port-binder.ts";
import { FAMILIES, type Family } from "../egress/resolver.ts";

/** Selections that are remembered; the edge sends the same few for every request. */
const REMEMBERED = 1024;

/** Of which families a name has addresses; nothing for what does not resolve. */
export type FamiliesOf = (name: string) => readonly Family[] | Promise<readonly Family[]>;

/** Chooses among the addresses of one pool's host. */
export class AddressChoice {
  readonly #binder: PortBinder;
  readonly #pool: string;
  readonly #familiesOf: FamiliesOf;
  readonly #known = new Map<string, Outcome<Selection, Problem>>();

  constructor(binder: PortBinder, pool: string, familiesOf: FamiliesOf = () => []) {
    this.#binder = binder;
    this.#pool = pool;
    this.#familiesOf = familiesOf;
  }

  /**
   * To be awaited before `choose`, if it is not null: only where a request leaves the address
   * open and this host has both families does it matter which of them the destination has.
   */
  prepare(header: string | null, hostnameOf: () => string | null): Promise<unknown> | null {
    const selected = this.#read(header);
    if (!selected.ok || selected.value.ip !== undefined) return null;
    const families = new Set(this.#usable().map(({ ip }) => isIP(ip)));
    if (families.size < FAMILIES.length) return null;
    const hostname = hostnameOf();
    if (hostname === null) return null;
    const found = this.#familiesOfHost(hostname);
    return found instanceof Promise ? found : null;
  }

  /**
   * The address for an `egress` header; never another than the one it names. Without a name it
   * is one of a family that the destination has, as far as that is known; without a session it is drawn
   * in proportion to the ports that its busiest destination leaves free, so that one which has none
   * left is passed over while another has some. With `permitted` it is one of these and no other.
   * [GW8] [GW26] [RS5] [DE16]
   */
  choose(
    header: string | null,
    hostname: string,
    permitted: readonly string[] | null = null,
  ): Outcome<AddressPorts, Problem> {
    const selected = this.#read(header);
    if (!selected.ok) return selected;
    const { ip, pool, session } = selected.value;
    if (pool !== undefined && pool !== this.#pool) return refuse({ code: "pool-unknown", detail: pool });
    if (ip !== undefined) {
      const address = this.#binder.addressKnownAs(ip);
      const isPermitted =
        permitted === null ||
        permitted.includes(ip) ||
        (address !== undefined && permits(permitted, address));
      if (!isPermitted) return refuse({ code: "ip-denied", detail: ip });
      return address?.isUsable() ? ok(address) : refuse({ code: "lease-lost", detail: ip });
    }
    const own = this.#usable().filter((address) => permitted === null || permits(permitted, address));
    if (own.length === 0) {
      // Another host may have one of them.
      const detail = "This host has none of the addresses that the token permits.";
      return refuse(permitted === null ? { code: "lease-lost" } : { code: "lease-lost", detail });
    }
    const usable = this.#fitting(own, hostname);
    if (session === undefined) return ok(drawByFreePorts(usable));
    return ok(usable.reduce((best, other) => (weigh(session, other) > weigh(session, best) ? other : best)));
  }

  #usable(): AddressPorts[] {
    return [...this.#binder.addresses()].filter((address) => address.isUsable());
  }

  #fitting(usable: AddressPorts[], hostname: string): AddressPorts[] {
    if (usable.length < 2) return usable;
    const families = this.#familiesOfHost(hostname);
    if (families instanceof Promise) return usable;
    const fitting = usable.filter(({ ip }) => families.includes(isIP(ip) as Family));
    // The dial reports what is wrong with the destination.
    return fitting.length > 0 ? fitting : usable;
  }

  #familiesOfHost(hostname: string): readonly Family[] | Promise<readonly Family[]> {
    if (hostname.startsWith("[")) return [6];
    const kind = isIP(hostname);
    return kind === 0 ? this.#familiesOf(hostname) : [kind as Family];
  }

  #read(header: string | null): Outcome<Selection, Problem> {
    const key = header ?? "";
    let known = this.#known.get(key);
    if (known === undefined) {
      const parsed = parseSelection(header);
      known = parsed.ok
        ? judged(parsed.value)
        : refuse({ code: parsed.refusal.code, detail: parsed.refusal.member });
      if (this.#known.size >= REMEMBERED) this.#known.delete(this.#known.keys().next().value!);
      this.#known.set(key, known);
    }
    return known;
  }
}

/**
 * A host knows its addresses and not where they are: that is the pool's, which the edge asks. What a
 * client selects by it is refused here, never ignored. [GW8]
 */
function judged(selection: Selection): Outcome<Selection, Problem> {
  if (selection.country === undefined && selection.site === undefined) return ok(selection);
  const detail = "A host takes no country and no site: select at the edge by them, or here by ip.";
  return refuse({ code: "selection-key-unknown", detail });
}

/** A token names an address by its own name or by what the Internet calls it. */
function permits(permitted: readonly string[], { ip, advertised }: AddressPorts): boolean {
  return permitted.includes(ip) || (advertised !== null && permitted.includes(advertised));
}

function drawByFreePorts(addresses: readonly AddressPorts[]): AddressPorts {
  if (addresses.length === 1) return addresses[0]!;
  const free = addresses.map((address) => {
    const { portCount, busiestCount } = address.capacity();
    return Math.max(0, portCount - busiestCount);
  });
  const total = free.reduce((sum, count) => sum + count, 0);
  let drawn = Math.random() * total;
  for (const [at, address] of addresses.entries()) {
    drawn -= free[at]!;
    if (drawn < 0) return address;
  }
  // None has any left: one that comes free may be of any.
  return addresses[Math.floor(Math.random() * addresses.length)]!;
}

function weigh(session: string, address: AddressPorts): number {
  return rendezvousWeight(session, address.ip);
}

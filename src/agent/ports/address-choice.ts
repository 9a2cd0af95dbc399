/** Which of this host's addresses a request leaves from. */
import { grant, type Outcome, refuse } from "../../core/outcome.ts";
import { rendezvousWeight } from "../../core/placement.ts";
import type { Problem } from "../../core/problems.ts";
import type { Selection } from "../../core/selection.ts";
import { parseSelection } from "../../wire/selection-header.ts";
import type { AddressPorts } from "./address-ports.ts";
import type { PortBinder } from "./port-binder.ts";

/** Selections that are remembered; the edge sends the same few for every request. */
const REMEMBERED = 1024;

/** Chooses among the addresses of one pool's host. */
export class AddressChoice {
  readonly #binder: PortBinder;
  readonly #pool: string;
  readonly #known = new Map<string, Outcome<Selection, Problem>>();

  constructor(binder: PortBinder, pool: string) {
    this.#binder = binder;
    this.#pool = pool;
  }

  /** The address for an `egress` header; never another than the one it names. [GW8] */
  choose(header: string | null): Outcome<AddressPorts, Problem> {
    const selected = this.#read(header);
    if (!selected.ok) return selected;
    const { ip, pool, session } = selected.value;
    if (pool !== undefined && pool !== this.#pool) return refuse({ code: "pool-unknown", detail: pool });
    if (ip !== undefined) {
      const address = this.#binder.address(ip);
      return address?.isUsable() ? grant(address) : refuse({ code: "lease-lost", detail: ip });
    }
    const usable = [...this.#binder.addresses()].filter((address) => address.isUsable());
    if (usable.length === 0) return refuse({ code: "lease-lost" });
    if (session === undefined) return grant(usable[Math.floor(Math.random() * usable.length)]!);
    return grant(
      usable.reduce((best, other) => (weigh(session, other) > weigh(session, best) ? other : best)),
    );
  }

  #read(header: string | null): Outcome<Selection, Problem> {
    const key = header ?? "";
    let known = this.#known.get(key);
    if (known === undefined) {
      const parsed = parseSelection(header);
      known = parsed.ok ? parsed : refuse({ code: parsed.refusal.code, detail: parsed.refusal.member });
      if (this.#known.size >= REMEMBERED) this.#known.delete(this.#known.keys().next().value!);
      this.#known.set(key, known);
    }
    return known;
  }
}

function weigh(session: string, address: AddressPorts): number {
  return rendezvousWeight(session, address.ip);
}

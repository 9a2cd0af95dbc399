/** How a keeper opens a conversation with its address. [ME1] */
import type { ClockReading } from "../../core/lease-term.ts";
import { PROTOCOL_VERSION } from "../../core/messages.ts";
import type { CountedTerm } from "./counted-term.ts";
import type { RefusalCode } from "./keeper-options.ts";
import type { LeaseHoldings } from "./lease-holdings.ts";
import type { Unnamed } from "./request-ids.ts";

/** One per keeper. */
export class Opening {
  readonly #instance: string;
  /** The address is an old copy, and has asked for what is held. [OC3] */
  #mustTell = false;

  constructor(instance: string) {
    this.#instance = instance;
  }

  /** The address has refused a request; whether it asks for what is held. */
  asksFor(code: RefusalCode): boolean {
    this.#mustTell = code === "holdings-wanted";
    return this.#mustTell;
  }

  /** The opening message, with what is held now if it is wanted: without a term nothing may be used. */
  request(holdings: LeaseHoldings, term: CountedTerm, now: ClockReading): Unnamed {
    const opening = { type: "join", version: PROTOCOL_VERSION, instance: this.#instance } as const;
    if (!this.#mustTell) return opening;
    this.#mustTell = false;
    if (term.value === null) return { ...opening, holdings: { leases: [], leftMs: 0 } };
    const leftMs = term.isEndless ? null : Math.max(0, term.leftMs(now));
    return { ...opening, holdings: { leases: holdings.held(), leftMs } };
  }
}

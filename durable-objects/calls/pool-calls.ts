/** What an address asks of its pool. */
import type { Outcome } from "../../src/core/outcome.ts";
import type { Publication } from "../../src/core/publication.ts";

/** The pool of an address, as far as the address speaks to it. */
export interface AddressPool {
  /** Done when the routers have applied it, or their time is over: names those that have not. [ST2] */
  publish(
    ip: string,
    publication: Publication,
  ): Promise<Outcome<readonly string[], PublishRefusal | "pool-unknown">>;
}

/** Why a publication is not taken. */
export type PublishRefusal = "ip-unknown" | "publication-outdated";

/** The pools and addresses that the stand-in plays: which one a request leaves from. [TE1] */
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem } from "../../core/problems.ts";
import { rendezvousWeight } from "../../core/rendezvous.ts";
import type { Selection } from "../../core/selection.ts";

/** An address of a pool. */
export interface StandInAddress {
  readonly ip: string;
  /** In two letters. */
  readonly country?: string;
  readonly site?: string;
}

/** The pools by their names. */
export type StandInPools = Readonly<Record<string, readonly StandInAddress[]>>;

/** Two addresses that are for documentation: nobody takes them for real ones (RFC 5737). */
export const DEFAULT_POOLS: StandInPools = { default: [{ ip: "192.0.2.1" }, { ip: "192.0.2.2" }] };

/** Where a request leaves from. */
export interface Departure {
  readonly ip: string;
  readonly port: number;
  readonly host: string;
}

const HOSTS = ["stand-in-1", "stand-in-2"];
const FIRST_PORT = 2_048;
const PORT_COUNT = 4_096;

/** Chooses for one request after the other. */
export class EgressAddresses {
  readonly #pools: StandInPools;
  #count = 0;

  constructor(pools: StandInPools) {
    this.#pools = pools;
  }

  /** Names of all pools, the first being the default. */
  get names(): readonly string[] {
    return Object.keys(this.#pools);
  }

  /** An address that fits, the same for each request of a session. */
  choose(pool: string, { ip, country, site, session }: Selection): Outcome<Departure, Problem> {
    const addresses = Object.hasOwn(this.#pools, pool) ? this.#pools[pool]! : null;
    if (addresses === null) return refuse({ code: "pool-unknown" });
    if (addresses.length === 0) return refuse({ code: "pool-empty" });
    if (ip !== undefined && addresses.every((address) => address.ip !== ip)) {
      return refuse({ code: "ip-unknown" });
    }
    const fitting = addresses.filter(
      (address) =>
        (ip === undefined || address.ip === ip) &&
        (country === undefined || address.country?.toLowerCase() === country) &&
        (site === undefined || address.site === site),
    );
    if (fitting.length === 0) return refuse({ code: "selection-unserved" });
    this.#count += 1;
    const chosen =
      session === undefined
        ? fitting[this.#count % fitting.length]!
        : fitting.reduce((best, address) =>
            rendezvousWeight(session, address.ip) > rendezvousWeight(session, best.ip) ? address : best,
          );
    return ok({
      ip: chosen.ip,
      port: FIRST_PORT + (this.#count % PORT_COUNT),
      host: HOSTS[this.#count % HOSTS.length]!,
    });
  }
}

/**
 * What a pool asks of an address. The pool repeats an order until the address confirms it. Either may
 * be restarted in between; a repeated or late order does no harm. [RE6]
 */
import type { Outcome } from "../../src/core/outcome.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import type { PortBlock } from "../../src/core/port-block.ts";

/** An address, as far as its pool speaks to it. */
export interface PoolAddress {
  assign(
    pool: string,
    settings: PoolSettings,
    isSteered: boolean,
    order: AddressOrder,
  ): Promise<Outcome<AddressStatus, "ip-elsewhere">>;
  /** Looks at its table, and so ends what is over. */
  describe(): Promise<unknown>;
  /** What is not free of it now. */
  held(): Promise<readonly HeldBlock[]>;
  /**
   * A host is gone for good, by its operator's word: these slots of it end, by their epochs. Others are
   * granted since, so that it may be repeated, and may come late. [SM5]
   */
  removeHost(pool: string, host: string, epochs: readonly number[]): Promise<void>;
  /** Ends what these tokens have opened, or tokens of these keys; may be repeated. [TK6] [TK7] */
  dropTokens(names: readonly string[]): Promise<void>;
}

/** A block that is not free. */
export interface HeldBlock extends PortBlock {
  readonly epoch: number;
  readonly host: string;
  /** Else it is in quarantine, and the host is who had it last. */
  readonly isLeased: boolean;
}

/** What a pool wants of an address, as of a revision of the pool. */
export interface AddressOrder {
  /** An order never undoes one of the same pool with a higher revision. Null is heeded whatever came before. */
  readonly revision: number | null;
  /** To be served from; to grant nothing new; to belong nowhere, if nothing is left of it. */
  readonly wish: "serve" | "retire" | "leave";
}

/** The status of an address, for the pool that asks. */
export type AddressStatus =
  | { readonly status: "serving" }
  /** It serves, and cannot follow the size of slots before nothing is leased. [SM6] */
  | { readonly status: "leased" }
  | RetiringStatus
  /** It does not belong to this pool, or not any more. */
  | { readonly status: "left" }
  /** A newer order was heeded before: the pool has forgotten it, or an old instance of it asks. */
  | { readonly status: "outdated"; readonly revision: number };

/** Nothing new is granted; what there is comes to an end. */
export interface RetiringStatus {
  readonly status: "retiring";
  readonly leasedPortCount: number;
  readonly quarantinedPortCount: number;
  /** Whether no host can be sending from it, and the pool has taken all that was published. */
  readonly isEmpty: boolean;
  /** When it is worth asking again. */
  readonly againInMs: number;
}

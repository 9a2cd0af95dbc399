/** What the register of tokens asks of a pool. */
import type { Role } from "../../src/core/identity.ts";
import type { Outcome } from "../../src/core/outcome.ts";
import type { RevokedToken } from "../../src/core/pool-policy.ts";

/** A pool, as far as the register speaks to it. */
export interface RevokingPool {
  /** May be repeated; done when nobody is connected to the pool or its addresses by these tokens. [TK6] */
  takeRevocations(revoked: readonly PoolRevocation[]): Promise<Outcome<null, "pool-unknown">>;
  /** May be repeated; done when nobody is connected to the pool or its addresses by a token of these keys. [TK7] */
  takeRetiredKeys(kids: readonly string[]): Promise<Outcome<null, "pool-unknown">>;
}

/** A token that was taken back, as pools are told. */
export interface PoolRevocation extends RevokedToken {
  /** Null when the register has never seen the token. */
  readonly role: Role | null;
  /** It is no token but a session of the dashboard, of which hosts need not know. [DA6] */
  readonly isSession?: true | undefined;
}

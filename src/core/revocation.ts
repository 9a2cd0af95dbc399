/** Tokens that are taken back before they end. [TK5] */
import { EVERY_POOL, type Identity } from "./identity.ts";
import type { RevokedToken } from "./pool-policy.ts";

/** A token that is not good any more, and how far the word of whoever said so reaches. */
export interface Revocation extends RevokedToken {
  /** Pools of the administrator: one who is held to pools takes back only what is for these alone. */
  readonly pools: readonly string[];
}

/** Whether a token was taken back. */
export function isRevoked(
  { tokenId, pools }: Pick<Identity, "tokenId" | "pools">,
  revocations: ReadonlyMap<string, Revocation>,
): boolean {
  const revocation = tokenId === undefined ? undefined : revocations.get(tokenId);
  return revocation !== undefined && arePermitted(pools, revocation.pools);
}

/** What is said of a revocation beside whose word it is: in which pools the token may be shown. */
export interface SpreadRevocation extends Revocation {
  readonly spread: readonly string[];
}

/**
 * What two administrators say of one token, together: the word of neither is lost by that of the other, and
 * of two ends the later counts. Null where the new word adds nothing. [TK5]
 */
export function widened<Said extends SpreadRevocation>(
  present: SpreadRevocation | null,
  said: Said,
): Said | null {
  if (present === null) return said;
  if (arePermitted(said.pools, present.pools) && said.expiresAtMs <= present.expiresAtMs) return null;
  return {
    ...said,
    pools: union(present.pools, said.pools),
    spread: union(present.spread, said.spread),
    expiresAtMs: Math.max(present.expiresAtMs, said.expiresAtMs),
  };
}

function union(one: readonly string[], other: readonly string[]): readonly string[] {
  return [...new Set([...one, ...other])];
}

/** Whether an administrator of some pools may decide about what is for these pools. [ID6] */
export function arePermitted(pools: readonly string[], administered: readonly string[]): boolean {
  return administered.includes(EVERY_POOL) || pools.every((pool) => administered.includes(pool));
}

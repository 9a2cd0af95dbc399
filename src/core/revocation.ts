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
  { tokenId, pools }: Identity,
  revocations: ReadonlyMap<string, Revocation>,
): boolean {
  const revocation = tokenId === undefined ? undefined : revocations.get(tokenId);
  return revocation !== undefined && arePermitted(pools, revocation.pools);
}

/** Whether an administrator of some pools may decide about what is for these pools. [ID6] */
export function arePermitted(pools: readonly string[], administered: readonly string[]): boolean {
  return administered.includes(EVERY_POOL) || pools.every((pool) => administered.includes(pool));
}

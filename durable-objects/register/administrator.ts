/** Who changes the register, and how much of it one who is held to pools may fill. [TK4] */
import { EVERY_POOL } from "../../src/core/identity.ts";

/** An administrator, and the pools of the token. */
export interface Administrator {
  readonly name: string;
  readonly pools: readonly string[];
}

/**
 * Whether an administrator may add to what the register has of something. There is one register for all
 * pools, so one who is held to some of them fills at most a quarter of it, and the last quarter is for
 * those of every pool: nobody keeps another from revoking. [TK5] [ID6]
 */
export function hasRoomFor(
  { pools }: Administrator,
  { all, own }: { readonly all: number; readonly own: number },
  moreCount: number,
  mostCount: number,
): boolean {
  if (pools.includes(EVERY_POOL)) return all + moreCount <= mostCount;
  return own + moreCount <= mostCount / 4 && all + moreCount <= (mostCount * 3) / 4;
}

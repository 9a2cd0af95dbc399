/** When a token ends, as it says itself, and from when on that is near. [EL6] [OV10] */
import { decodeJwt } from "jose";

const DAY_MS = 86_400_000;
/** From here on an end is near, or from the last third of a life that is shorter. */
export const NEAR_END_MS = 3 * DAY_MS;

/** Both in Unix milliseconds. */
export interface TokenEnd {
  readonly endsAtMs: number;
  readonly nearFromMs: number;
}

/** The end of a token, which is only read here; null for one that cannot be read, or has none. */
export function endOfToken(token: string): TokenEnd | null {
  try {
    const { exp, iat } = decodeJwt(token);
    if (exp === undefined) return null;
    const lifeMs = iat === undefined ? Infinity : (exp - iat) * 1_000;
    return { endsAtMs: exp * 1_000, nearFromMs: exp * 1_000 - Math.min(NEAR_END_MS, lifeMs / 3) };
  } catch {
    return null;
  }
}

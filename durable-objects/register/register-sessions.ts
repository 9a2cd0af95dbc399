/**
 * What the register has to do with sessions of the dashboard: the codes by which one signs in, and those that
 * were ended. A session itself is nowhere. [DA3]
 *
 * Neither is in the log of changes: nothing of a pool changes by it, and who may change nothing must not be able
 * to push out of the log what others have changed. Both are bounded for each who looks, so that nobody keeps
 * another from signing in or from revoking. [DA4] [DA6]
 */
import { ok, type Outcome, refuse } from "../../src/core/outcome.ts";
import type { ObjectPlatform } from "../platform/object-platform.ts";
import type { Administrator } from "./administrator.ts";
import { type KeptSignIn, SignInStore } from "./sign-in-store.ts";
import type { TokenStore } from "./token-store.ts";

const MOST_CODES = 1_000;
const CODES_OF_ONE = 16;
const MOST_ENDED = 2_000;
const ENDED_OF_ONE = 200;

/** What it needs of the register. */
export interface RegisterParts {
  readonly platform: ObjectPlatform;
  readonly tokens: TokenStore;
  /** Other parts of the edge must hear of a change, and the pools. */
  readonly spread: () => void;
}

/** One per register. */
export class RegisterSessions {
  readonly #parts: RegisterParts;
  readonly #codes: SignInStore;

  constructor(parts: RegisterParts) {
    this.#parts = parts;
    this.#codes = new SignInStore(parts.platform.storage);
  }

  /** Keeps the token under a code until it is asked for, or has ended. */
  keepCode(code: KeptSignIn): Outcome<null, "register-full"> {
    this.#codes.prune(this.#parts.platform.nowMs(), code.madeBy, CODES_OF_ONE - 1);
    if (this.#codes.count() >= MOST_CODES) return refuse("register-full");
    this.#codes.put(code);
    return ok(null);
  }

  /** The token under a code, once. */
  takeCode(id: string): string | null {
    return this.#codes.take(id, this.#parts.platform.nowMs());
  }

  /** Ends a session before its time, everywhere. The same again is no news. */
  end(by: Administrator, id: string, endsAtMs: number): Outcome<null, "register-full"> {
    const { platform, tokens, spread } = this.#parts;
    if (tokens.revocation(id) !== null) return ok(null);
    const nowMs = platform.nowMs();
    tokens.pruneSessions(nowMs);
    const { all, own } = tokens.endedSessionCounts(by.name);
    if (all >= MOST_ENDED || own >= ENDED_OF_ONE) return refuse("register-full");
    const { name, pools } = by;
    tokens.revoke({
      tokenId: id,
      role: null,
      isSession: true,
      pools,
      spread: pools,
      expiresAtMs: Math.ceil(endsAtMs),
      revokedAtMs: nowMs,
      revokedBy: name,
    });
    spread();
    return ok(null);
  }
}

/** Who may use this host: tokens are verified here, against the edge's published keys. [GW7] */
import { type Identity, permitsPool, type Role } from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem } from "../../core/problems.ts";
import type { TokenVerifier } from "../../wire/tokens.ts";

/** How something is asked for: what the token must be, and what is said to those who have another. */
export interface WayOfAsking {
  readonly role: Role;
  /** Where such a token comes from; null for nothing to say. */
  readonly hint: string | null;
}

/** Judges the tokens of clients of this host and its pool. */
export class ClientAccess {
  readonly #verifier: TokenVerifier;
  readonly #pool: string;
  readonly #isRevoked: (identity: Identity) => boolean;

  /** `isRevoked` says of a token that was verified whether it was taken back since. */
  constructor(verifier: TokenVerifier, pool: string, isRevoked: (identity: Identity) => boolean) {
    this.#verifier = verifier;
    this.#pool = pool;
    this.#isRevoked = isRevoked;
  }

  /**
   * The bearer, if the role and the pool are right. Without a promise when the token is known:
   * that is every request but the first of a token.
   */
  identify(
    token: string,
    way: WayOfAsking,
  ): Outcome<Identity, Problem> | Promise<Outcome<Identity, Problem>> {
    const known = this.#verifier.recall(token, Date.now());
    return known === undefined ? this.#verify(token, way) : this.#judge(known, way);
  }

  async #verify(token: string, way: WayOfAsking): Promise<Outcome<Identity, Problem>> {
    const verified = await this.#verifier.verify(token, Date.now());
    return verified.ok ? this.#judge(verified.value, way) : refuse({ code: verified.refusal });
  }

  #judge(identity: Identity, { role, hint }: WayOfAsking): Outcome<Identity, Problem> {
    // Also of those who ask for no way out, such as an administrator for the status.
    if (this.#isRevoked(identity)) return refuse({ code: "token-revoked" });
    if (identity.role !== role) {
      const detail = `The ${role} role is required, not ${identity.role}.`;
      return refuse({ code: "role-denied", detail: hint === null ? detail : `${detail} ${hint}` });
    }
    if (!permitsPool(identity, this.#pool)) return refuse({ code: "pool-denied" });
    return ok(identity);
  }
}

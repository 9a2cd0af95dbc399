/** Who may use this host's gateway: tokens are verified here, against the edge's published keys. [GW7] */
import { type Identity, permitsPool, type Role } from "../../../core/identity.ts";
import { grant, type Outcome, refuse } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import { bearerOf, type TokenVerifier } from "../../../wire/tokens.ts";
import type { RequestHeaders } from "../http/forwarded-headers.ts";

/** A destination's own credentials look the same, so this is a hint and no more. */
const WRONG_FIELD =
  "The token is expected in the field egress-authorization; authorization is the destination's.";
const RIGHT_FIELD = "Send it as egress-authorization: Bearer TOKEN.";
const WHENCE_GATEWAY_TOKENS =
  "Tokens for gateways are made by the edge: POST /v1/gateway-tokens with the token of a client.";

/** Judges the bearer tokens of requests to one pool's gateway. */
export class GatewayAccess {
  readonly #verifier: TokenVerifier;
  readonly #pool: string;

  constructor(verifier: TokenVerifier, pool: string) {
    this.#verifier = verifier;
    this.#pool = pool;
  }

  /**
   * The bearer, if the role and the pool are right. Without a promise when the token is known:
   * that is every request but the first of a token.
   */
  admit(
    { egressAuthorization, authorization }: RequestHeaders,
    role: Role,
  ): Outcome<Identity, Problem> | Promise<Outcome<Identity, Problem>> {
    const header = role === "admin" ? (egressAuthorization ?? authorization) : egressAuthorization;
    if (header === null) {
      return refuse({ code: "token-missing", detail: authorization === null ? RIGHT_FIELD : WRONG_FIELD });
    }
    const token = bearerOf(header);
    if (token === null) return refuse({ code: "token-malformed" });
    const known = this.#verifier.recall(token, Date.now());
    return known === undefined ? this.#verify(token, role) : this.#judge(known, role);
  }

  async #verify(token: string, role: Role): Promise<Outcome<Identity, Problem>> {
    const verified = await this.#verifier.verify(token, Date.now());
    return verified.ok ? this.#judge(verified.value, role) : refuse({ code: verified.refusal });
  }

  #judge(identity: Identity, role: Role): Outcome<Identity, Problem> {
    if (identity.role !== role) {
      const detail = `The ${role} role is required, not ${identity.role}.`;
      return refuse({
        code: "role-denied",
        detail: role === "gateway" ? `${detail} ${WHENCE_GATEWAY_TOKENS}` : detail,
      });
    }
    if (!permitsPool(identity, this.#pool)) return refuse({ code: "pool-denied" });
    return grant(identity);
  }
}

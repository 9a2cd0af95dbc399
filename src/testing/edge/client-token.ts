/** The tokens that the stand-in knows: those it was given, and none else. [TE1] */
import type { Identity } from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem } from "../../core/problems.ts";
import { EGRESS_AUTHORIZATION } from "../../wire/header-names.ts";

const BEARER = /^bearer +(\S+)$/i;
/** Three parts in base64url, as every token has them. */
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** Who asks, or why nobody is believed: with the same hints as the edge's. */
export function identityOf(
  headers: Headers,
  tokens: Readonly<Record<string, readonly string[]>>,
): Outcome<Identity, Problem> {
  const header = headers.get(EGRESS_AUTHORIZATION);
  if (header === null) {
    const detail = headers.has("authorization")
      ? `authorization is for the destination; our token goes in ${EGRESS_AUTHORIZATION}.`
      : `Send it as ${EGRESS_AUTHORIZATION}: Bearer TOKEN.`;
    return refuse({ code: "token-missing", detail });
  }
  const token = BEARER.exec(header)?.[1] ?? "";
  const pools = Object.hasOwn(tokens, token) ? tokens[token]! : null;
  if (pools !== null) return ok(clientOf(pools));
  return refuse({ code: JWT.test(token) ? "token-signature-invalid" : "token-malformed" });
}

/** A client that may use these pools. */
export function clientOf(pools: readonly string[]): Identity {
  return { role: "client", subject: "stand-in", pools, expiresAtMs: Infinity };
}

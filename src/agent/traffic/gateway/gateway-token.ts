/** How tokens come to a gateway: in a field of the request. [GW7] [GW19] */
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import { bearerOf } from "../../../wire/tokens.ts";
import type { WayOfAsking } from "../../admission/client-access.ts";
import type { RequestHeaders } from "../http/forwarded-headers.ts";

/** A way out, and how an upload stands. */
export const FETCHING: WayOfAsking = {
  role: "gateway",
  hint: "Tokens for gateways are made by the edge: POST /v1/gateway-tokens with the token of a client.",
};

/** What its flow log says; the edge asks for its administrators. */
export const ATTRIBUTING: WayOfAsking = { role: "attribution", hint: null };

/** The host's status. */
export const LOOKING: WayOfAsking = { role: "admin", hint: null };

/** A destination's own credentials look the same, so this is a hint and no more. */
const WRONG_FIELD =
  "The token is expected in the field egress-authorization; authorization is the destination's.";
const RIGHT_FIELD = "Send it as egress-authorization: Bearer TOKEN.";

/** The token of a request. Where there is no destination, `authorization` will do. */
export function tokenOf(
  { egressAuthorization, authorization }: RequestHeaders,
  way: WayOfAsking,
): Outcome<string, Problem> {
  const header = way === LOOKING ? (egressAuthorization ?? authorization) : egressAuthorization;
  if (header === null) {
    return refuse({ code: "token-missing", detail: authorization === null ? RIGHT_FIELD : WRONG_FIELD });
  }
  const token = bearerOf(header);
  return token === null ? refuse({ code: "token-malformed" }) : ok(token);
}

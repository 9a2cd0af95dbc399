/** The routes about tokens, keys and joins, as part of the table of routes. [TK4] */
import {
  edgeRotationSchema,
  issuerKeySchema,
  joinedSchema,
  joinOfferSchema,
  joinsSchema,
  joinUseSchema,
  keyInPath,
  keysSchema,
  offeredJoinSchema,
  registrationSchema,
  revocationSchema,
  revokedSchema,
  signInCodeSchema,
  tokenPageSchema,
  tokenSchema,
  tokensSchema,
} from "./access-schemas.ts";
import { answers, takes } from "./route-shapes.ts";

/** All of them, by what they do. */
export const ACCESS_ROUTES = {
  listTokens: {
    method: "get",
    path: "/v1/tokens",
    summary: "Lists the registered tokens that are for pools of the administrator's alone",
    request: { query: tokenPageSchema },
    responses: answers("Some of them, in the order of their ids.", tokensSchema),
  },
  registerToken: {
    method: "post",
    path: "/v1/tokens",
    summary: "Notes a token that an issuer has signed, so that it is listed and found by name",
    request: { body: takes(registrationSchema) },
    responses: answers("What it says.", tokenSchema),
  },
  revokeTokens: {
    method: "post",
    path: "/v1/revocations",
    summary: "Takes tokens back for good, before they end",
    request: { body: takes(revocationSchema) },
    responses: answers("Which, and who has not heard of it yet.", revokedSchema),
  },
  listKeys: {
    method: "get",
    path: "/v1/keys",
    summary: "Lists the keys by which tokens count",
    responses: answers("All of them, and those retired.", keysSchema),
  },
  addIssuerKey: {
    method: "post",
    path: "/v1/keys",
    summary: "Trusts a further issuer",
    request: { body: takes(issuerKeySchema) },
    responses: answers("All keys.", keysSchema),
  },
  rotateEdgeKey: {
    method: "post",
    path: "/v1/edge-keys",
    summary: "Makes a key that the edge signs with from some minutes on; the former ones stay good",
    request: { body: takes(edgeRotationSchema) },
    responses: answers("All keys.", keysSchema),
  },
  retireKey: {
    method: "delete",
    path: "/v1/keys/{kid}",
    summary: "Puts a key out of use for good, and with it all tokens that it signed",
    request: { params: keyInPath },
    responses: answers("All keys.", keysSchema),
  },
  listJoins: {
    method: "get",
    path: "/v1/joins",
    summary: "Lists the joins that were offered of late",
    responses: answers("The latest first.", joinsSchema),
  },
  offerJoin: {
    method: "post",
    path: "/v1/joins",
    summary: "Makes a token by which one machine gets the token of a host or a router, once",
    request: { body: takes(joinOfferSchema) },
    responses: answers("The join, and the token for it.", offeredJoinSchema),
  },
  join: {
    method: "post",
    path: "/v1/join",
    summary: "Uses a join: takes the role join",
    request: { body: takes(joinUseSchema) },
    responses: answers("The token of a host or a router.", joinedSchema),
  },
  renewJoined: {
    method: "post",
    path: "/v1/renewals",
    summary: "Replaces the token of a machine that joined, which is the one that asks",
    responses: answers("A token that lasts longer.", joinedSchema),
  },
  makeSignInCode: {
    method: "post",
    path: "/v1/sign-in-codes",
    summary: "Makes a code by which a browser signs in to the dashboard as whom the token is for, once",
    responses: answers("The code, good for minutes.", signInCodeSchema),
  },
} as const;

/** Who asks and what is selected, from the fields of a request to a proxy. [PX2] */
import type { Identity } from "../../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import type { RequestHeaders } from "../http/forwarded-headers.ts";
import type { Visitor } from "../clients/visitors.ts";
import type { ProxyAccess } from "./proxy-access.ts";
import { credentialsOfHeader, type ProxyCredentials } from "./proxy-credentials.ts";

/** A client, and what it selects. */
export interface ProxyAsker {
  readonly client: Identity;
  /** As in the field `egress`; null for nothing in particular. */
  readonly selection: string | null;
}

/** Of a request. The selection is in the user name or in the field `egress`; in both it would be two. */
export function askerOfRequest(
  access: ProxyAccess,
  { proxyAuthorization, egress }: RequestHeaders,
  visitor: Visitor,
): Outcome<ProxyAsker, Problem> | Promise<Outcome<ProxyAsker, Problem>> {
  const credentials = credentialsOfHeader(proxyAuthorization);
  if (egress === null) return askerOf(access, credentials, visitor);
  const selection = credentials.selection.ok && credentials.selection.value === null ? ok(egress) : TWICE;
  return askerOf(access, { ...credentials, selection }, visitor);
}

/** Of credentials. Without a promise when the token is known. */
export function askerOf(
  access: ProxyAccess,
  credentials: ProxyCredentials,
  visitor: Visitor,
): Outcome<ProxyAsker, Problem> | Promise<Outcome<ProxyAsker, Problem>> {
  const identified = access.identify(credentials.token, visitor.clientAt);
  return identified instanceof Promise
    ? identified.then((client) => joined(client, credentials, visitor))
    : joined(identified, credentials, visitor);
}

const TWICE = refuse({
  code: "selection-malformed",
  detail: "The user name selects, and so does the field egress: use one of them.",
} as const);

/** Who may not ask hears that alone. */
function joined(
  client: Outcome<Identity, Problem>,
  { selection }: ProxyCredentials,
  visitor: Visitor,
): Outcome<ProxyAsker, Problem> {
  visitor.showed(client.ok);
  if (!client.ok) return client;
  return selection.ok ? ok({ client: client.value, selection: selection.value }) : selection;
}

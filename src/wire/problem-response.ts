/** A problem as HTTP: status, `proxy-status` (RFC 9209) and an RFC 9457 body. [ER1] [ER2] */
import { serializeList, Token, type Item } from "structured-headers";
import { type Problem, problemDocument, problemKind } from "../core/problems.ts";
import { EGRESS_LOCATION, PROXY_NAME, PROXY_STATUS } from "./header-names.ts";

/** Ready to be sent by whatever serves HTTP here. */
export interface ProblemReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Of a limit of which nothing more is known. */
const LEAST_RETRY_SECONDS = 1;

/** Renders a problem; a proxy asks for its credentials by a status of their own (RFC 9110 section 15.5.8). */
export function problemReply(problem: Problem, isProxy = false): ProblemReply {
  const { status: written, proxyError } = problemKind(problem.code);
  const status = isProxy && written === 401 ? 407 : written;
  const parameters = new Map<string, Token | string>();
  if (proxyError !== null) parameters.set("error", new Token(proxyError));
  // The code rides along, so that a client which never reads the body can still tell.
  parameters.set("details", problem.code);
  const member: Item = [new Token(PROXY_NAME), parameters];
  return {
    status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      [PROXY_STATUS]: serializeList([member]),
      ...(problem.location === undefined ? {} : { [EGRESS_LOCATION]: problem.location }),
      ...(status === 429 ? { "retry-after": String(problem.retryAfterSeconds ?? LEAST_RETRY_SECONDS) } : {}),
    },
    body: JSON.stringify({ ...problemDocument(problem), status }),
  };
}

const OWN_CODE = new RegExp(`^${PROXY_NAME};(?:error=[a-z_]+;)?details="([a-z-]+)"$`);

/** The code of a refusal of ours by its `proxy-status`; null for anything else. */
export function problemCodeOf(proxyStatus: string | null): string | null {
  return proxyStatus === null ? null : (OWN_CODE.exec(proxyStatus)?.[1] ?? null);
}

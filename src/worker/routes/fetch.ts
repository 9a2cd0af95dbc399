/**
 * The egress API: any method to `/v1/fetch?url=…`, and WebSockets that carry TCP at `/v1/connect?to=…`.
 * The one path on which speed matters.
 */
import type { IdentityRefusal, Role } from "../../core/identity.ts";
import type { Problem } from "../../core/problems.ts";
import { CONNECT_PATH, EGRESS_AUTHORIZATION, FETCH_PATH } from "../../wire/header-names.ts";
import { bearerOf } from "../../wire/tokens.ts";
import { answerPreflight, isFromPage, isPreflight, readableByPages } from "../egress/cross-origin.ts";
import { finish, receive, type Received } from "../egress/finish.ts";
import { relay } from "../egress/relay.ts";
import { objectionTo, objectionToConnect } from "../egress/request-head.ts";
import { identify } from "../identity/authenticate.ts";
import type { Background, Environment } from "../runtime/environment.ts";
import { faultProblem, problem } from "../runtime/problem.ts";

const CLIENT: readonly Role[] = ["client"];

/** Where the path begins in a URL: behind the scheme and its slashes at the earliest. */
const AFTER_SCHEME = "http://".length;

/** The path and query of a URL that is for the egress API; null for any other. */
export function egressTarget(url: string): string | null {
  const at = url.indexOf("/", AFTER_SCHEME + 1);
  const path = url.startsWith(FETCH_PATH, at) ? FETCH_PATH : CONNECT_PATH;
  if (!url.startsWith(path, at)) return null;
  const end = at + path.length;
  return url.length === end || url[end] === "?" ? url.slice(at) : null;
}

/** Answers a request to the egress API; `target` as `egressTarget` gave it. */
export async function answerFetch(
  request: Request,
  target: string,
  env: Environment,
  background: Background,
): Promise<Response> {
  const fromPage = isFromPage(request);
  if (fromPage && isPreflight(request)) return answerPreflight(request);
  const received = receive(request, env);
  let response: Response;
  try {
    response = await answerClient(request, target, env, background, received);
  } catch (fault) {
    response = faultProblem(fault, received.requestId);
  }
  const finished = finish(response, received, env, background);
  return fromPage ? readableByPages(finished) : finished;
}

async function answerClient(
  request: Request,
  target: string,
  env: Environment,
  background: Background,
  { requestId, trace }: Received,
): Promise<Response> {
  const header = request.headers.get(EGRESS_AUTHORIZATION);
  const known = identify(header === null ? null : (bearerOf(header) ?? ""), CLIENT, env, background);
  const identity = known instanceof Promise ? await known : known;
  if (!identity.ok) return problem(refusedIdentity(identity.refusal, request.headers));
  const objection = objectionTo(request);
  if (objection !== null) return problem(objection);
  if (target.startsWith(CONNECT_PATH)) {
    const refusal = objectionToConnect(request);
    if (refusal !== null) return refusal;
  }
  return relay(request, { target, requestId, trace }, identity.value, env, background);
}

/** A refusal, with a hint for people who mixed up two things. */
function refusedIdentity(code: IdentityRefusal, headers: Headers): Problem {
  if (code === "token-missing" && headers.has("authorization")) {
    return {
      code,
      detail: `authorization is for the destination; our token goes in ${EGRESS_AUTHORIZATION}.`,
    };
  }
  if (code === "token-missing") return { code, detail: `Send it as ${EGRESS_AUTHORIZATION}: Bearer TOKEN.` };
  return code === "role-denied" ? { code, detail: "The client role is required." } : { code };
}

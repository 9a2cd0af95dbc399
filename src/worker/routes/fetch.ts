/** The egress API: any method to `/v1/fetch?url=…`. The one path on which speed matters. */
import type { Role } from "../../core/identity.ts";
import { EGRESS_AUTHORIZATION, FETCH_PATH } from "../../wire/header-names.ts";
import { bearerOf } from "../../wire/tokens.ts";
import { answerPreflight, isPreflight, readableByPages } from "../cross-origin.ts";
import type { Background, Environment } from "../environment.ts";
import { identify } from "../middleware/authenticate.ts";
import { faultProblem, problem } from "../problem.ts";
import { relay } from "../relay.ts";

const CLIENT: readonly Role[] = ["client"];

/** Where the path begins in a URL: behind the scheme and its slashes at the earliest. */
const AFTER_SCHEME = "http://".length;

/** The path and query of a URL that is for the egress API; null for any other. */
export function egressTarget(url: string): string | null {
  const at = url.indexOf("/", AFTER_SCHEME + 1);
  if (!url.startsWith(FETCH_PATH, at)) return null;
  const end = at + FETCH_PATH.length;
  return url.length === end || url[end] === "?" ? url.slice(at) : null;
}

/** Answers a request to the egress API; `target` as `egressTarget` gave it. */
export async function answerFetch(
  request: Request,
  target: string,
  env: Environment,
  background: Background,
): Promise<Response> {
  const isFromPage = request.headers.has("origin");
  if (isFromPage && isPreflight(request)) return answerPreflight(request);
  let response: Response;
  try {
    const header = request.headers.get(EGRESS_AUTHORIZATION);
    const known = identify(header === null ? null : (bearerOf(header) ?? ""), CLIENT, env);
    const identity = known instanceof Promise ? await known : known;
    response = identity.ok
      ? await relay(request, target, identity.value, env, background)
      : problem({ code: identity.refusal });
  } catch (fault) {
    response = faultProblem(fault);
  }
  return isFromPage ? readableByPages(response) : response;
}

/** A refusal of the Worker as a `Response`. */
import type { TypedResponse } from "hono";
import type { z } from "zod";
import type { problemSchema } from "../../api/schemas.ts";
import type { Problem } from "../../core/problems.ts";
import { say } from "./log.ts";
import { problemReply } from "../../wire/problem-response.ts";

/** Renders a problem; `headers` are added, such as `allow` to a 405. */
export function problem(refusal: Problem, headers: Readonly<Record<string, string>> = {}): Response {
  const reply = problemReply(refusal);
  // RFC 9110 section 11.6.1 wants a challenge with every 401.
  const challenge = reply.status === 401 ? { "www-authenticate": "Bearer" } : {};
  return new Response(reply.body, {
    status: reply.status,
    headers: {
      ...reply.headers,
      // A client that still sends sees by this where the answer ends. [WK25]
      "content-length": String(new TextEncoder().encode(reply.body).length),
      ...challenge,
      ...headers,
    },
  });
}

/** A refusal as the routes must return it: their types know it by one status, it has many. */
export function refused(
  refusal: Problem,
): Response & TypedResponse<z.infer<typeof problemSchema>, 400, "json"> {
  return problem(refusal) as Response & TypedResponse<z.infer<typeof problemSchema>, 400, "json">;
}

/** The answer to a fault of ours: logged in full, under the name of the request if it has one, told without details. [WK19] [MT9] */
export function faultProblem(fault: unknown, requestId?: string): Response {
  say("error", "internal fault", requestId === undefined ? {} : { requestId }, fault);
  return problem({ code: "internal-fault" });
}

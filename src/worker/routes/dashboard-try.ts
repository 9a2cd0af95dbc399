/**
 * `POST /dashboard/try`: an administrator sends a request through a pool, by the very way that a client's takes,
 * and is told of each step of it: which hosts were asked, the port, its block, the routers, and how long it
 * took; of a refusal what would mend it. [DA9] [DA10]
 */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { bodyLimit } from "hono/body-limit";
import { z } from "zod";
import { nameSchema } from "../../api/schemas.ts";
import { type Identity, permitsPool, poolsAllowed } from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import { REMEDIES } from "../../core/problem-remedies.ts";
import { type Problem, type ProblemCode, problemKind } from "../../core/problems.ts";
import {
  EGRESS,
  EGRESS_HOST,
  EGRESS_IP,
  EGRESS_PORT,
  EGRESS_REQUEST_ID,
  EGRESS_TIMING,
  FETCH_PATH,
  isOwnHeader,
  PROXY_STATUS,
} from "../../wire/header-names.ts";
import { tenantNameSchema } from "../../wire/pool-policy-schema.ts";
import { problemCodeOf } from "../../wire/problem-response.ts";
import { formatSelection } from "../../wire/selection-header.ts";
import { finish, receive } from "../egress/finish.ts";
import type { HostTry } from "../egress/forward-with-failover.ts";
import { relay } from "../egress/relay.ts";
import { authenticate, type EdgeContext } from "../identity/authenticate.ts";
import { selectionOf } from "../identity/pool-choice.ts";
import type { Background, Environment } from "../runtime/environment.ts";
import { say } from "../runtime/log.ts";
import { faultProblem, problem } from "../runtime/problem.ts";
import { type Departed, whereabouts } from "./tried-departure.ts";

/** Whom hosts name in their logs as the sender. */
const CLIENT = "dashboard";
const MOST_MS = 30_000;
const SHOWN_BYTES = 4_096;
const LONGEST_BODY = 65_536;
const WITHOUT_BODY: ReadonlySet<string> = new Set(["GET", "HEAD"]);

const trySchema = z.strictObject({
  pool: nameSchema,
  url: z.string().min(1).max(8_192),
  method: z.enum(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]).default("GET"),
  selection: z.string().max(1_024).default(""),
  tenant: tenantNameSchema.optional(),
  body: z.string().max(LONGEST_BODY).default(""),
});
type Wish = z.output<typeof trySchema>;

/** Serves the route. */
export function serveDashboardTry(app: OpenAPIHono<EdgeContext>): void {
  app.post(
    "/dashboard/try",
    authenticate("admin"),
    bodyLimit({
      maxSize: 2 * LONGEST_BODY,
      onError: () => problem({ code: "input-invalid", detail: "It is too long." }),
    }),
    async (context) => {
      const { env, executionCtx } = context;
      const identity = context.get("identity");
      const wish = trySchema.safeParse(await context.req.json().catch(() => null));
      if (!wish.success) {
        const [issue] = wish.error.issues;
        return problem({ code: "input-invalid", detail: `${issue?.path.join(".")}: ${issue?.message}` });
      }
      const { pool } = wish.data;
      if (!permitsPool(identity, pool))
        return problem({ code: "pool-denied", detail: poolsAllowed(identity) });
      const request = requestOf(wish.data);
      if (!request.ok) return problem(request.refusal);
      const tried = await tryOut(request.value, wish.data, identity, env, executionCtx);
      return context.json(tried, 200, { "cache-control": "no-store" });
    },
  );
}

/** The request as a client would send it. */
function requestOf({ pool, url, method, selection, body }: Wish): Outcome<Request, Problem> {
  const wanted = selectionOf(selection === "" ? null : selection);
  if (!wanted.ok) return wanted;
  if (body !== "" && WITHOUT_BODY.has(method)) {
    return refuse({ code: "input-invalid", detail: `body: ${method} has none.` });
  }
  const headers = { [EGRESS]: formatSelection({ ...wanted.value, pool }) };
  const target = `http://edge${FETCH_PATH}?url=${encodeURIComponent(url)}`;
  return ok(new Request(target, { method, headers, ...(body === "" ? {} : { body }) }));
}

async function tryOut(
  request: Request,
  { pool, tenant }: Wish,
  administrator: Identity,
  env: Environment,
  background: Background,
) {
  const received = receive(request, env);
  const { requestId, atMs } = received;
  const { subject, tokenId, expiresAtMs } = administrator;
  // In the name of a client whose token is the administrator's own: it is revoked with that.
  const identity: Identity = {
    role: "client",
    subject: CLIENT,
    tenant: tenant ?? subject,
    pools: [pool],
    expiresAtMs,
    isTimed: true,
    ...(tokenId === undefined ? {} : { tokenId }),
  };
  say("info", "a request was tried at the dashboard", { subject, requestId, pool, tenant: identity.tenant });
  const tries: HostTry[] = [];
  const { pathname, search } = new URL(request.url);
  const way = { target: pathname + search, requestId, trace: received.trace, tries };
  const endsAtMs = atMs + MOST_MS;
  const answer = await inTime(relay(request, way, identity, env, background), endsAtMs, requestId);
  const headMs = Date.now() - atMs;
  const body = await beginningOf(answer, endsAtMs);
  const tookMs = Date.now() - atMs;
  const finished = finish(new Response(null, answer), received, env, background);
  const departed = departedBy(finished);
  const code = problemCodeOf(finished.headers.get(PROXY_STATUS)) as ProblemCode | null;
  return {
    requestId: finished.headers.get(EGRESS_REQUEST_ID) ?? requestId,
    tookMs,
    status: finished.status,
    answered: code === null,
    refusal: code === null ? null : refusalOf(code, body),
    ...(await whereabouts(departed, pool, env)),
    timings: timingsOf(finished, headMs, tries),
    headers: [...finished.headers].filter(([name]) => !isOwnHeader(name)),
    body,
    attempts: tries.flatMap(({ host, code: why }) => (why === null ? [] : [{ host, code: why }])),
  };
}

/** An answer that comes too late is not read any more. */
async function inTime(answer: Promise<Response>, endsAtMs: number, requestId: string): Promise<Response> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), Math.max(0, endsAtMs - Date.now()));
  });
  try {
    const first = await Promise.race([answer, late]);
    if (first !== null) return first;
    answer.then((response) => response.body?.cancel()).catch(() => {});
    return problem({ code: "response-timeout", detail: `Nothing came within ${MOST_MS / 1_000} s.` });
  } catch (fault) {
    return faultProblem(fault, requestId);
  } finally {
    clearTimeout(timer);
  }
}

/** The first of a body, as text; what has come until the time is over. */
async function beginningOf({ body }: Response, endsAtMs: number): Promise<string> {
  if (body === null) return "";
  const decoder = new TextDecoder();
  const reader = (body as ReadableStream<Uint8Array>).getReader();
  const timer = setTimeout(() => void reader.cancel().catch(() => {}), Math.max(0, endsAtMs - Date.now()));
  let text = "";
  let leftBytes = SHOWN_BYTES;
  try {
    while (leftBytes > 0) {
      const { done, value } = await reader.read();
      if (done) break;
      text += decoder.decode(value.subarray(0, leftBytes), { stream: true });
      leftBytes -= value.length;
    }
  } catch {
    // It broke off: what came is shown.
  } finally {
    clearTimeout(timer);
    await reader.cancel().catch(() => {});
  }
  return text;
}

function departedBy({ headers }: Response): Departed | null {
  const [advertised, port, host] = [EGRESS_IP, EGRESS_PORT, EGRESS_HOST].map((name) => headers.get(name));
  if (advertised == null || port == null || host == null) return null;
  return { advertised, port: Number(port), host };
}

function refusalOf(code: ProblemCode, body: string) {
  const { detail } = documentIn(body);
  const { title } = problemKind(code);
  return { code, title, ...(typeof detail === "string" ? { detail } : {}), remedy: REMEDIES[code] };
}

function documentIn(body: string): { readonly detail?: unknown } {
  try {
    return JSON.parse(body) as { readonly detail?: unknown };
  } catch {
    return {};
  }
}

/** Steps that a redirect made twice are added up; what nobody told is null. */
function timingsOf({ headers }: Response, headMs: number, tries: readonly HostTry[]) {
  const steps = new Map<string, number>();
  for (const [, step, tookMs] of (headers.get(EGRESS_TIMING) ?? "").matchAll(/([\w-]+);dur=([\d.]+)/g)) {
    steps.set(step!, (steps.get(step!) ?? 0) + Number(tookMs));
  }
  const hostMs = tries.at(-1)?.tookMs ?? null;
  return {
    edgeMs: headMs - (hostMs ?? 0),
    hostMs,
    resolveMs: steps.get("resolve") ?? null,
    dialMs: steps.get("dial") ?? null,
    tlsMs: steps.get("tls") ?? null,
    firstByteMs: steps.get("first-byte") ?? null,
  };
}

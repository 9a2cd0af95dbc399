/**
 * Gives a request to a host's gateway and its answer back, both streamed and untouched.
 *
 * Another host is tried when a host refuses for a reason of its own, or is lost, and only
 * while that cannot make anything happen twice: nothing has reached the destination, or the
 * method is idempotent and the body is still here. [WK10] [WK11] [WK12]
 */
import type { Outcome } from "../core/outcome.ts";
import { chooseHost, type Destined, type PlacedIp, type PlacementRefusal } from "../core/placement.ts";
import { isHostRefusal } from "../core/problems.ts";
import { EGRESS, EGRESS_AUTHORIZATION, EGRESS_HOST, PROXY_STATUS } from "../wire/header-names.ts";
import { problemCodeOf } from "../wire/problem-response.ts";
import { edgeCounters } from "./control-plane.ts";
import { penalties, placements } from "./edge-state.ts";
import { problem } from "./problem.ts";
import { bodyOf, type RequestBody } from "./request-body.ts";
import { forwardedFields } from "./request-head.ts";

/** Hosts that are asked for one request, at most. */
export const MAX_TRIES = 3;
/** The most that all request headers together may take, in characters. */
export const MAX_HEADERS_LENGTH = 32_768;

/** A request on its way. */
export interface Errand {
  readonly request: Request;
  /** Path and query at the gateway. */
  readonly target: string;
  readonly pool: string;
  /** The addresses that will do, best first. */
  readonly ranked: readonly PlacedIp[];
  readonly gatewayToken: string;
}

const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);
const NOBODY: ReadonlySet<string> = new Set();

/** Sends the request through the first host that takes it. */
export async function handOver(errand: Errand): Promise<Response> {
  const { request } = errand;
  let body: RequestBody | null = null;
  if (request.body !== null) {
    const read = await bodyOf(request);
    if (!read.ok) return problem({ code: read.refusal });
    body = read.value;
  }
  edgeCounters.handedOver += 1;
  let tried = NOBODY;
  let refused: Response | null = null;
  for (let count = 1; ; count += 1) {
    const chosen = pick(errand.ranked, tried);
    if (!chosen.ok) return refused ?? problem({ code: chosen.refusal });
    // Before the next try, which aborts the one that brought it.
    await refused?.body?.cancel();
    if (count > 1) edgeCounters.retries += 1;
    let answer: Response;
    let mayTryAgain: boolean;
    try {
      answer = await send(errand, chosen.value, body);
      if (answer.status < 400) return answer;
      const verdict = judge(answer);
      if (verdict === "answered") return answer;
      if (verdict === "lost") throw new Error("the answer is not the host's");
      if (verdict === "headers-too-large") return problem({ code: verdict });
      noteRefusal(verdict, errand.pool, chosen.value.host.host);
      mayTryAgain = body === null || body.isReplayable();
    } catch (fault) {
      const failure = clientFailure(errand.request, body);
      if (failure !== null) return problem({ code: failure });
      const { host } = chosen.value.host;
      if (!body?.isJoined()) penalties.add(host, Date.now());
      console.warn("host lost", host, fault instanceof Error ? fault.message : fault);
      answer = problem({ code: "host-lost", detail: `Host ${host} did not answer.` });
      mayTryAgain = canRepeat(request.method, body);
    }
    if (!mayTryAgain || count === MAX_TRIES) return answer;
    refused = answer;
    tried = new Set([...tried, chosen.value.host.host]);
  }
}

/** A host not tried yet; one that failed a moment ago only when there is no other. [WK8] */
function pick(ranked: readonly PlacedIp[], tried: ReadonlySet<string>): Outcome<Destined, PlacementRefusal> {
  const penalised = penalties.current(Date.now());
  if (penalised.size > 0) {
    const chosen = chooseHost(ranked, new Set([...penalised, ...tried]), Math.random);
    if (chosen.ok) return chosen;
  }
  return chooseHost(ranked, tried, Math.random);
}

function send(errand: Errand, { ip, host }: Destined, body: RequestBody | null): Promise<Response> {
  const { request } = errand;
  const headers = forwardedFields(request);
  headers.set(EGRESS, `ip="${ip}"`);
  headers.set(EGRESS_AUTHORIZATION, `Bearer ${errand.gatewayToken}`);
  const url = host.gateway + errand.target;
  const init = { method: request.method, headers, redirect: "manual" } as const;
  return body === null ? fetch(url, init) : fetch(body.next(url, init));
}

type Verdict = "answered" | "lost" | "headers-too-large" | "lease-lost" | "draining" | "port-block-exhausted";

/** What an answer of 400 or more says; anything below is the destination's for sure. */
function judge(answer: Response): Verdict {
  const { status } = answer;
  if (status < 500 && status !== 431) return "answered";
  const code = problemCodeOf(answer.headers.get(PROXY_STATUS));
  if (code !== null) return isHostRefusal(code) ? (code as Verdict) : "answered";
  if (answer.headers.has(EGRESS_HOST)) return "answered";
  // Something between the edge and the gateway speaks: a tunnel, or the gateway's HTTP parser.
  return status === 431 ? "headers-too-large" : "lost";
}

function noteRefusal(code: Verdict, pool: string, host: string): void {
  if (code === "port-block-exhausted") return;
  if (code === "lease-lost") placements.doubt(pool);
  penalties.add(host, Date.now());
}

function canRepeat(method: string, body: RequestBody | null): boolean {
  if (body === null) return IDEMPOTENT.has(method);
  return body.isUntouched() || (IDEMPOTENT.has(method) && body.isReplayable());
}

/** What the client did to make a try fail; null when it was the host. [WK13] */
function clientFailure(
  request: Request,
  body: RequestBody | null,
): "body-length-mismatch" | "headers-too-large" | null {
  if (body?.hasFailed()) return "body-length-mismatch";
  // Adding up costs too much to do it for every request that goes well.
  let length = 0;
  for (const [name, value] of request.headers) length += name.length + value.length;
  return length > MAX_HEADERS_LENGTH ? "headers-too-large" : null;
}

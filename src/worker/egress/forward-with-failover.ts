/**
 * Forwards a request to a host's gateway and returns its answer, both streamed and unchanged.
 *
 * Another host is tried (failover) when a host refuses for a reason of its own, or is lost, and only
 * while nothing can happen twice: nothing has reached the destination, or the method is idempotent
 * and the body is still here. After a loss this is done once: a request that takes hosts down must
 * not go through all of them. [WK10] [WK11] [WK12]
 */
import { type Outcome, refuse } from "../../core/outcome.ts";
import type { Destined, PlacementRefusal } from "../../core/host-choice.ts";
import type { PlacedHost } from "../../core/placement.ts";
import { type HostRefusal, isHostRefusal } from "../../core/problems.ts";
import {
  EGRESS,
  EGRESS_AUTHORIZATION,
  EGRESS_HOST,
  EGRESS_LOCATION,
  EGRESS_REQUEST_ID,
  EGRESS_UPLOAD,
  PROXY_STATUS,
} from "../../wire/header-names.ts";
import { TRACEPARENT } from "../../wire/trace-context.ts";
import { problemCodeOf } from "../../wire/problem-response.ts";
import { health, hostDoubts, longWaits, cooldowns, missHost, placements } from "../hosts/edge-state.ts";
import { OpenQuestions } from "../hosts/host-health.ts";
import { HostWatch } from "../hosts/host-watch.ts";
import { LONG } from "../hosts/long-waits.ts";
import type { LoadPlacement } from "../hosts/placement-cache.ts";
import { edgeCounters, handedOverOf } from "../runtime/control-plane.ts";
import type { Background } from "../runtime/environment.ts";
import { problem } from "../runtime/problem.ts";
import type { Departure, HostSearch } from "./host-search.ts";
import { newerPlacement } from "./newer-placement.ts";
import { bodyOf, type RequestBody } from "./request-body.ts";
import { forwardedFields } from "./request-head.ts";
import { say } from "../runtime/log.ts";

/** Hosts that are asked for one request, at most; each refusal costs one short round trip. */
export const MAX_TRIES = 64;
/** Hosts that are asked, at most, whether they are there to take over from a lost one. */
export const MAX_SUCCESSORS = 3;
/** The most that all request headers together may take, in characters. */
export const MAX_HEADERS_LENGTH = 32_768;

/** A request on its way. */
export interface Forwarding {
  readonly request: Request;
  /** Path and query at the gateway. */
  readonly target: string;
  readonly requestId: string;
  /** In the place of what the client sent; null for just that. */
  readonly traceParent: string | null;
  readonly pool: string;
  readonly search: HostSearch;
  readonly gatewayToken: string;
  readonly load: LoadPlacement;
  readonly background: Background;
  /** Notes which hosts are tried, for whoever wants to know; absent for nobody. */
  readonly tries?: HostTry[] | undefined;
}

/** One host that was asked. */
export interface HostTry {
  readonly host: string;
  readonly ip: string;
  /** Why it was not this one; null for the one that answered. */
  readonly code: string | null;
  readonly tookMs: number;
}

type NextHost = Outcome<Destined, PlacementRefusal>;

/** The result of one attempt; `mayRepeat` is whether another host may be tried. */
interface Attempt {
  readonly answer: Response;
  readonly mayRepeat: boolean;
  readonly isLost: boolean;
}

/** The host was given up, because it is gone. [WK23] */
const GONE = "the host fell silent";

const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** Sends the request through the first host that takes it. */
export async function forward(forwarding: Forwarding): Promise<Response> {
  const { request, search, pool } = forwarding;
  let body: RequestBody | null = null;
  if (request.body !== null) {
    const read = await bodyOf(request);
    if (!read.ok) return problem({ code: read.refusal });
    body = read.value;
  }
  edgeCounters.handedOver += 1;
  handedOverOf.set(pool, (handedOverOf.get(pool) ?? 0) + 1);
  let before: Response | null = null;
  let isAfterLoss = false;
  const questions = new OpenQuestions();
  for (let count = 1; ; count += 1) {
    const next = isAfterLoss ? successor(forwarding, questions) : nextHost(forwarding);
    const chosen = next instanceof Promise ? await next : next;
    if (!chosen.ok) return final(before ?? problem({ code: chosen.refusal }), body);
    // Before the next try, which aborts the one that brought it.
    await before?.body?.cancel();
    if (count > 1) edgeCounters.retries += 1;
    const beganAtMs = Date.now();
    const { answer, mayRepeat, isLost } = await attempt(forwarding, chosen.value, body, questions);
    forwarding.tries?.push(tryOf(chosen.value, answer, Date.now() - beganAtMs));
    if (isLost && isAfterLoss) search.suspect();
    if (!mayRepeat || count === MAX_TRIES || (isLost && isAfterLoss)) return final(answer, body);
    before = answer;
    isAfterLoss ||= isLost;
  }
}

function tryOf({ ip, host }: Destined, { status, headers }: Response, tookMs: number): HostTry {
  const code = status < 400 ? null : problemCodeOf(headers.get(PROXY_STATUS));
  return { host: host.host, ip, code, tookMs };
}

function final(answer: Response, body: RequestBody | null): Response {
  return body === null ? answer : body.linger(answer);
}

/** A host not tried yet; when none is left, by a newer placement if the one at hand was wrong. */
function nextHost(forwarding: Forwarding): NextHost | Promise<NextHost> {
  const chosen = forwarding.search.next();
  return chosen.ok || !forwarding.search.isOutdated ? chosen : renewedHost(forwarding);
}

async function renewedHost({ search, pool, load }: Forwarding): Promise<NextHost> {
  const found = search.isLeaseLost
    ? await newerPlacement(pool, load)
    : await placements.reconsider(pool, Date.now(), load);
  if (found.ok) search.renew(found.value);
  return search.next();
}

/** A host that says it is there: the one repeat after a loss is not spent on a dead one. [WK12] */
async function successor(forwarding: Forwarding, questions: OpenQuestions): Promise<NextHost> {
  const { search } = forwarding;
  for (let count = 1; ; count += 1) {
    const chosen = await nextHost(forwarding);
    if (!chosen.ok || (await health.isThere(chosen.value.host, questions))) return chosen;
    missHost(forwarding.pool, chosen.value.host.host);
    search.lost(chosen.value);
    if (count === MAX_SUCCESSORS) return refuse("no-host");
  }
}

async function attempt(
  forwarding: Forwarding,
  destined: Destined,
  body: RequestBody | null,
  questions: OpenQuestions,
): Promise<Attempt> {
  const { request, search } = forwarding;
  try {
    const departure = search.departure(destined, body === null || body.isHeld);
    const answer = await send(forwarding, destined, departure, body);
    if (answer.status < 400) return answered(answer);
    const verdict = judge(answer);
    if (verdict === "answered") return answered(answer);
    if (verdict === "lost") throw new Error("the answer is not the host's");
    if (verdict === "headers-too-large") return answered(problem({ code: verdict }));
    // After a redirect the first destination has had the request already.
    const isFirstHop = !answer.headers.has(EGRESS_LOCATION);
    // Which of its addresses a host took that had the choice is not known.
    search.refused(verdict, destined, isFirstHop && !departure.isOpen);
    const isUnsent = isFirstHop && (body === null || body.isReplayable());
    const mayRepeat = isUnsent || canRepeat(request.method, body);
    if (mayRepeat) body?.keep();
    return { answer, mayRepeat, isLost: false };
  } catch (fault) {
    const failure = clientFailure(forwarding, body);
    if (failure !== null) return answered(problem({ code: failure }));
    const { host } = destined.host;
    search.lost(destined);
    blame(forwarding, destined, body, fault === GONE, questions);
    const { requestId, pool } = forwarding;
    say("warn", "a host was lost", { requestId, host, pool, code: "host-lost" }, fault);
    const answer = problem({ code: "host-lost", detail: `Host ${host} did not answer.` });
    const mayRepeat = canRepeat(request.method, body) && !search.isSuspect;
    if (mayRepeat) body?.keep();
    return { answer, mayRepeat, isLost: true };
  }
}

function answered(answer: Response): Attempt {
  return { answer, mayRepeat: false, isLost: false };
}

function send(
  forwarding: Forwarding,
  { host }: Destined,
  { egress }: Departure,
  body: RequestBody | null,
): Promise<Response> {
  const { request, target } = forwarding;
  const headers = forwardedFields(request);
  if (egress === null) headers.delete(EGRESS);
  else headers.set(EGRESS, egress);
  headers.set(EGRESS_AUTHORIZATION, `Bearer ${forwarding.gatewayToken}`);
  headers.set(EGRESS_REQUEST_ID, forwarding.requestId);
  if (forwarding.traceParent !== null) headers.set(TRACEPARENT, forwarding.traceParent);
  // Clients must not set it.
  headers.delete(EGRESS_UPLOAD);
  const { gateway } = host;
  const init = { method: request.method, headers, redirect: "manual" } as const;
  if (body === null) return whileThere(forwarding, host, fetch(gateway + target, init));
  const ending = new AbortController();
  const answer = fetch(body.next({ ...init, gateway, target }, ending));
  const end = (): void => ending.abort();
  // At once: what has not been given out of the body can go to another host.
  answer.catch(end);
  return whileThere(forwarding, host, answer, end);
}

/** The answer of a host; given up when the host is gone. [WK23] */
async function whileThere(
  { pool, load, background }: Forwarding,
  host: PlacedHost,
  answer: Promise<Response>,
  onGone: () => void = () => {},
): Promise<Response> {
  const wait = longWaits.begin(background);
  try {
    const first = await Promise.race([answer, wait.isLong]);
    if (first !== LONG) return first;
  } finally {
    wait.end();
  }
  const gone = Promise.withResolvers<never>();
  const giveUp = (): void => {
    gone.reject(GONE);
    onGone();
    // Should it come yet, it must not keep its port.
    answer.then((late) => late.body?.cancel()).catch(() => {});
  };
  const watch = new HostWatch({ host, pool, load }, giveUp);
  try {
    return await Promise.race([answer, gone.promise]);
  } finally {
    watch.stop();
  }
}

/**
 * Puts a lost host on cooldown, until its gateway says that it is there: then only the flow broke,
 * and what a client or a destination sent does not count against a host. While the failure may be
 * the client's fault, the gateway is asked first. [WK8]
 */
function blame(
  { background, pool }: Forwarding,
  { host }: Destined,
  body: RequestBody | null,
  isGone: boolean,
  questions: OpenQuestions,
): void {
  const nowMs = Date.now();
  const isKnown = cooldowns.has(host.host, nowMs);
  const isSure = body === null || body.canBlameHost() || isGone;
  if (isSure) cooldowns.add(host.host, nowMs);
  if (isGone || (isKnown && isSure)) return;
  const asking = isSure ? health.ask(host.gateway, questions) : health.isThere(host, questions);
  background.waitUntil(judgeByWord(pool, host.host, asking));
}

async function judgeByWord(pool: string, host: string, isThere: Promise<boolean>): Promise<void> {
  if (!(await isThere)) return missHost(pool, host);
  cooldowns.remove(host);
  hostDoubts.remove(pool, host);
}

/** What an answer of 400 or more says; anything below is the destination's for sure. */
function judge(answer: Response): HostRefusal | "answered" | "lost" | "headers-too-large" {
  const { status } = answer;
  if (status < 500 && status !== 431) return "answered";
  const code = problemCodeOf(answer.headers.get(PROXY_STATUS));
  if (code !== null) return isHostRefusal(code) ? code : "answered";
  if (answer.headers.has(EGRESS_HOST)) return "answered";
  // This answer comes from something between: a tunnel, or the gateway's HTTP parser.
  return status === 431 ? "headers-too-large" : "lost";
}

function canRepeat(method: string, body: RequestBody | null): boolean {
  if (body === null) return IDEMPOTENT.has(method);
  return body.isUntouched() || (IDEMPOTENT.has(method) && body.isReplayable());
}

/** What the client did to make an attempt fail; null when it was the host. [WK13] */
function clientFailure(
  { request, target }: Forwarding,
  body: RequestBody | null,
): "body-length-mismatch" | "headers-too-large" | null {
  if (body?.hasFailed()) return "body-length-mismatch";
  // Adding up costs too much to do it for every request that goes well.
  let length = target.length;
  for (const [name, value] of request.headers) length += name.length + value.length;
  return length > MAX_HEADERS_LENGTH ? "headers-too-large" : null;
}

/**
 * A request of a known sender through an egress: pool, placement, addresses, gateway token,
 * then forwarding. In steady state every step answers from memory. [WK5]
 */
import type { Identity } from "../../core/identity.ts";
import { ok, type Outcome } from "../../core/outcome.ts";
import { EGRESS, EGRESS_IP, EGRESS_SESSION_UNTIL } from "../../wire/header-names.ts";
import { placementLoader, placements } from "../hosts/edge-state.ts";
import type { Found } from "../hosts/placement-cache.ts";
import { edgeKeysOf } from "../identity/edge-keys.ts";
import { poolOf, selectionOf } from "../identity/pool-choice.ts";
import type { Background, Environment } from "../runtime/environment.ts";
import { problem } from "../runtime/problem.ts";
import { Destination } from "./destination.ts";
import { lookAfterStream } from "./event-streams.ts";
import type { EdgeTrace } from "./edge-trace.ts";
import { forward, type HostTry } from "./forward-with-failover.ts";
import { HostSearch, type Wanted } from "./host-search.ts";

/** Where a request goes at the gateway, by path and query, and what it is called. */
export interface Relayed {
  readonly target: string;
  readonly requestId: string;
  readonly trace: EdgeTrace | null;
  /** Notes which hosts are tried; absent where nobody asks. */
  readonly tries?: HostTry[];
}

/** Sends the request. */
export async function relay(
  request: Request,
  { target, requestId, trace, tries }: Relayed,
  identity: Identity,
  env: Environment,
  background: Background,
): Promise<Response> {
  const selection = selectionOf(request.headers.get(EGRESS));
  if (!selection.ok) return problem(selection.refusal);
  const choice = poolOf(identity, selection.value);
  if (!choice.ok) return problem(choice.refusal);
  const pool = choice.value;

  const nowMs = Date.now();
  const load = placementLoader(env);
  const permittedIps = identity.restrictions?.ips;
  const wanted = { pool, selection: selection.value, destination: new Destination(target), permittedIps };
  const looked = placements.find(pool, nowMs, load, background);
  let found = looked instanceof Promise ? await looked : looked;
  let search = searchIn(found, wanted);
  if (!search.ok || !search.value.isServed) {
    // A host or an address may have come since the copy was made.
    const again = placements.reconsider(pool, Date.now(), load);
    found = again instanceof Promise ? await again : again;
    search = searchIn(found, wanted);
  }
  if (!search.ok) return problem({ code: search.refusal });
  const { refusal } = search.value;
  const { ip } = selection.value;
  if (refusal === "ip-unknown" && ip !== undefined && permittedIps !== undefined) {
    // Whether the pool has it is nothing to whoever may not use it.
    return problem({ code: "ip-denied", detail: ip });
  }
  if (refusal !== null) return problem({ code: refusal });

  const { gatewayTokens } = edgeKeysOf(env);
  const gatewayToken =
    gatewayTokens.recall(identity, pool, nowMs) ?? (await gatewayTokens.renew(identity, pool, nowMs));
  const answer = await forward({
    request,
    target,
    requestId,
    traceParent: trace?.traceParent ?? null,
    pool,
    search: search.value,
    gatewayToken,
    load,
    background,
    tries,
  });
  const told = wanted.selection.ttl === undefined ? answer : tellHold(answer, search.value.heldUntilMs);
  const host = search.value.latest;
  return host === null ? told : lookAfterStream(told, { host, pool, load });
}

/** An answer that came through an address says until when the session keeps it. [PL10] */
function tellHold(answer: Response, heldUntilMs: number | null): Response {
  if (heldUntilMs === null || !answer.headers.has(EGRESS_IP) || answer.webSocket !== null) return answer;
  const told = new Response(answer.body, answer);
  told.headers.set(EGRESS_SESSION_UNTIL, `@${Math.floor(heldUntilMs / 1_000)}`);
  return told;
}

type Search = Outcome<HostSearch, "pool-unknown" | "control-plane-unavailable">;

function searchIn(found: Found, wanted: Wanted): Search {
  return found.ok ? ok(new HostSearch(wanted, found.value)) : found;
}

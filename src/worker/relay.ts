/**
 * A request of a known sender through an egress: pool, placement, addresses, gateway token,
 * then the hand-over. In steady state every step answers from memory. [WK5]
 */
import type { Identity } from "../core/identity.ts";
import type { Outcome } from "../core/outcome.ts";
import { type PlacedIp, type PlacementRefusal, rankIps } from "../core/placement.ts";
import type { Selection } from "../core/selection.ts";
import { EGRESS } from "../wire/header-names.ts";
import { edgeKeysOf } from "./edge-keys.ts";
import { placementLoader, placements } from "./edge-state.ts";
import type { Background, Environment } from "./environment.ts";
import { handOver } from "./hand-over.ts";
import type { Found } from "./placement-cache.ts";
import { poolOf, selectionOf } from "./pool-choice.ts";
import { problem } from "./problem.ts";

/** Sends the request; `target` is the path and query at the gateway. */
export async function relay(
  request: Request,
  target: string,
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
  const looked = placements.find(pool, nowMs, placementLoader(env), background);
  let found = looked instanceof Promise ? await looked : looked;
  let ranked = rank(found, selection.value);
  if (!isServed(ranked)) {
    // A host or an address may have come since the copy was made.
    const again = placements.reconsider(pool, Date.now(), placementLoader(env));
    found = again instanceof Promise ? await again : again;
    ranked = rank(found, selection.value);
  }
  if (!ranked.ok) return problem({ code: ranked.refusal });

  const { gatewayTokens } = edgeKeysOf(env);
  const gatewayToken =
    gatewayTokens.recall(identity, pool, nowMs) ?? (await gatewayTokens.renew(identity, pool, nowMs));
  return handOver({ request, target, pool, ranked: ranked.value, gatewayToken });
}

type Ranked = Outcome<readonly PlacedIp[], PlacementRefusal | "pool-unknown" | "control-plane-unavailable">;

function rank(found: Found, selection: Selection): Ranked {
  return found.ok ? rankIps(found.value, selection, Math.random) : found;
}

function isServed(ranked: Ranked): boolean {
  return ranked.ok && ranked.value.some(({ hosts }) => hosts.length > 0);
}

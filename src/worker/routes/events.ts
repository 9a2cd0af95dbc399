/** `/v1/events`: what happened to a pool, or to an address. For administrators. [EV6] */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { ROUTES } from "../../api/routes.ts";
import { type EventPage, type HistoryEvent, newestOf, placeText } from "../../core/history-event.ts";
import { EVERY_POOL, type Identity, permitsPool, poolsAllowed } from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import { rangeOf } from "../../core/port-block.ts";
import type { Problem } from "../../core/problems.ts";
import { administration, type EdgeContext } from "../identity/authenticate.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import type { Environment } from "../runtime/environment.ts";
import { refused } from "../runtime/problem.ts";

type Events = Outcome<readonly HistoryEvent[], Problem>;

const listEvents = createRoute({
  ...ROUTES.listEvents,
  middleware: administration(),
  security: [{ bearer: [] }],
});

/** Serves the route. */
export function serveEvents(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(listEvents, async (context) => {
    const {
      pool,
      ip,
      since = 0,
      before = null,
      kind = null,
      host = null,
      limit,
    } = context.req.valid("query");
    const page: EventPage = { sinceMs: since, before, kinds: kind, host, limit };
    const asker = { identity: context.get("identity"), env: context.env };
    let found: Events;
    if (pool !== undefined && ip === undefined) found = await eventsOfPool(pool, page, asker);
    else if (ip !== undefined && pool === undefined) found = await eventsOfIp(ip, page, asker);
    else return refused({ code: "input-invalid", detail: "Name either a pool or an address (ip)." });
    if (!found.ok) return refused(found.refusal);
    return context.json({ events: found.value.map(shown) }, 200, { "cache-control": "no-store" });
  });
}

interface Asker {
  readonly identity: Identity;
  readonly env: Environment;
}

async function eventsOfPool(
  pool: string,
  page: EventPage,
  { identity, env }: Asker,
  ip?: string,
): Promise<Events> {
  if (!permitsPool(identity, pool)) return refuse({ code: "pool-denied", detail: poolsAllowed(identity) });
  const stub = env.EGRESS_POOL.getByName(pool);
  const answer = await askControlPlane(async () => stub.events(page, ip));
  if (!answer.ok) return refuse({ code: answer.refusal });
  return answer.value.ok ? answer.value : refuse({ code: answer.value.refusal });
}

/** What the address knows of itself, and its pool of it. */
async function eventsOfIp(ip: string, page: EventPage, asker: Asker): Promise<Events> {
  const { identity, env } = asker;
  const pools = permitsPool(identity, EVERY_POOL) ? null : identity.pools;
  const stub = env.EGRESS_IP.getByName(ip);
  const answer = await askControlPlane(async () => stub.events({ ...page, pools }));
  if (!answer.ok) return refuse({ code: answer.refusal });
  if (!answer.value.ok) return refuse({ code: answer.value.refusal });
  const { pool, events } = answer.value.value;
  const ofPool = await eventsOfPool(pool, page, asker, ip);
  return ofPool.ok ? ok(newestOf([events, ofPool.value], page.limit)) : ofPool;
}

function shown(event: HistoryEvent) {
  const { atMs, kind, pool, ip, host, router, block, epoch, reason, by } = event;
  const { first: firstPort, last: lastPort } = block === null ? { first: null, last: null } : rangeOf(block);
  return {
    id: placeText(event),
    at: new Date(atMs).toISOString(),
    kind,
    pool,
    ip,
    host,
    router,
    firstPort,
    lastPort,
    epoch,
    reason,
    by,
    before: JSON.parse(event.before) as unknown,
    after: JSON.parse(event.after) as unknown,
  };
}

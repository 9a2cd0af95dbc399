/** `/v1/holders`: who held a port at a time, and `/v1/leases`: who held it latest. For administrators. [AT4] [AT11] */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { HeldLease } from "../../api/holder-schemas.ts";
import { ROUTES } from "../../api/routes.ts";
import { type Identity, permitsPool, poolsAllowed } from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import { rangeOf } from "../../core/port-block.ts";
import type { Problem } from "../../core/problems.ts";
import type { KnownLease, LeasesQuestion, PortHistory, PortLeases } from "../../core/port-history.ts";
import { askHost } from "../egress/flow-question.ts";
import { administration, type EdgeContext } from "../identity/authenticate.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import type { Environment } from "../runtime/environment.ts";
import { refused } from "../runtime/problem.ts";
import { advertisedAs, type WireAddress } from "./advertised-address.ts";

/** What the object of an address says. */
interface AddressHistory {
  /** To which it belongs now. */
  readonly pool: string;
  readonly history: PortHistory;
}

const findHolders = createRoute({
  ...ROUTES.findHolders,
  middleware: administration(),
  security: [{ bearer: [] }],
});

const listLeases = createRoute({
  ...ROUTES.listLeases,
  middleware: administration(),
  security: [{ bearer: [] }],
});
const FEW_LEASES = 10;

/** Serves both routes. */
export function serveHolders(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(listLeases, async (context) => {
    const { ip: named, port, limit = FEW_LEASES } = context.req.valid("query");
    const { env } = context;
    const identity = context.get("identity");
    const asked = await ofAddress(named, identity, env, (ip) => leasesOf(ip, { port, limit }, env));
    if (!asked.ok) return refused(asked.refusal);
    const { ip, answer } = asked.value;
    const leases = answer.leases.filter((lease) => permitsPool(identity, lease.pool)).map(told);
    if (leases.length === 0 && !permitsPool(identity, answer.pool))
      return refused({ code: "pool-denied", detail: poolsAllowed(identity) });
    const { knownSinceMs } = answer;
    return context.json({ ip, port, leases, knownSinceMs }, 200, { "cache-control": "no-store" });
  });

  app.openapi(findHolders, async (context) => {
    const { port, at, protocol, destination = null, ip: named } = context.req.valid("query");
    const nowMs = Date.now();
    const { fromMs: atMs, throughMs } = at ?? { fromMs: nowMs, throughMs: nowMs };
    const { env } = context;
    const identity = context.get("identity");
    const asked = { port, atMs, throughMs };
    const found = await ofAddress(named, identity, env, (its) => historyOf(its, asked, env));
    if (!found.ok) return refused(found.refusal);
    const { ip } = found.value;
    const { pool, history } = found.value.answer;
    const { state, reason, knownSinceMs } = history;
    const isPermitted = (lease: KnownLease): boolean => permitsPool(identity, lease.pool);
    // Whose it was then may ask, also where the address is another pool's by now.
    const isOwn = state === "held" ? history.holders.every(isPermitted) : permitsPool(identity, pool);
    if (!isOwn) return refused({ code: "pool-denied", detail: poolsAllowed(identity) });
    const wanted = {
      ip,
      port,
      atMs,
      throughMs,
      protocol: protocol === "icmp" ? null : (protocol ?? null),
      destination,
    };
    const holders = await Promise.all(
      history.holders.map(async (lease) => ({ ...told(lease), flows: await askHost(lease, wanted, env) })),
    );
    const neighbour = (lease: KnownLease | null): HeldLease | null =>
      lease === null || !isPermitted(lease) ? null : told(lease);
    const [before, after] = [neighbour(history.before), neighbour(history.after)];
    const said = { ip, port, atMs, throughMs, state, reason, holders, before, after, knownSinceMs };
    return context.json(said, 200, { "cache-control": "no-store" });
  });
}

type Asked<Answer> = Outcome<Answer, "ip-unknown" | "control-plane-unavailable">;

/** Asks an address of hosts; where there is none of that name, the one that is seen so now. [AT10] */
async function ofAddress<Answer>(
  named: string,
  identity: Identity,
  env: Environment,
  ask: (ip: string) => Promise<Asked<Answer>>,
): Promise<Outcome<{ readonly ip: string; readonly answer: Answer }, Problem>> {
  const own = await ask(named);
  if (own.ok) return ok({ ip: named, answer: own.value });
  if (own.refusal !== "ip-unknown") return refuse({ code: own.refusal });
  const seen = await advertisedAs(named, identity, env);
  if (!seen.ok) return refuse({ code: seen.refusal });
  const [first, ...others] = seen.value;
  if (first === undefined) return refuse({ code: own.refusal });
  if (others.length > 0) return refuse({ code: "input-invalid", detail: severalText(named, seen.value) });
  const answer = await ask(first.ip);
  return answer.ok ? ok({ ip: first.ip, answer: answer.value }) : refuse({ code: answer.refusal });
}

async function leasesOf(
  ip: string,
  question: LeasesQuestion,
  env: Environment,
): Promise<Asked<PortLeases & { readonly pool: string }>> {
  const answer = await askControlPlane(async () => env.EGRESS_IP.getByName(ip).leasesOf(question));
  return answer.ok ? answer.value : answer;
}

/** What the table of an address says; of a whole second, who held the port at its beginning or at its end. [AT9] */
async function historyOf(
  ip: string,
  { port, atMs, throughMs }: { readonly port: number; readonly atMs: number; readonly throughMs: number },
  env: Environment,
): Promise<Asked<AddressHistory>> {
  const stub = env.EGRESS_IP.getByName(ip);
  const ends = throughMs === atMs ? [atMs] : [atMs, throughMs];
  const answers = await Promise.all(
    ends.map((endMs) => askControlPlane(async () => stub.holdersAt({ port, atMs: endMs }))),
  );
  const known: AddressHistory[] = [];
  for (const answer of answers) {
    if (!answer.ok) return answer;
    if (!answer.value.ok) return answer.value;
    known.push(answer.value.value);
  }
  const [first, last] = known as [AddressHistory, AddressHistory?];
  if (last === undefined || last.history.state !== "held") return ok(first);
  if (first.history.state !== "held") return ok(last);
  const isNew = ({ epoch }: KnownLease): boolean =>
    first.history.holders.every((lease) => lease.epoch !== epoch);
  const holders = [...first.history.holders, ...last.history.holders.filter(isNew)];
  return ok({ ...first, history: { ...first.history, holders } });
}

function severalText(named: string, seen: readonly WireAddress[]): string {
  const list = seen.map(({ ip, pool }) => `${ip} of pool ${pool}`).join(", ");
  return `${named} is what the Internet sees of several addresses. Ask for one of these: ${list}`;
}

function told({ pool, host, base, order, epoch, sinceMs, untilMs, end }: KnownLease): HeldLease {
  const { first: firstPort, last: lastPort } = rangeOf({ base, order });
  return { pool, host, firstPort, lastPort, epoch, sinceMs, untilMs, end };
}

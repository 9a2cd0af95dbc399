/**
 * `/metrics`: what the objects say of pools and addresses, as Prometheus reads it, and on a machine of one's
 * own what the one isolate counted. On Cloudflare there are many isolates, and one of them says nothing. [MT8]
 *
 * A scrape asks every object of the pools it is about. So it may name one: `/metrics?pool=eu`.
 */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import { CATALOGUE_NAME } from "../../../durable-objects/bindings.ts";
import type { AddressCounts } from "../../../durable-objects/address/address-status.ts";
import type { PoolDescription } from "../../../durable-objects/pool/pool-view.ts";
import { type Identity, permitsPool } from "../../core/identity.ts";
import { ownProblemCodes } from "../../core/problems.ts";
import { Exposition, EXPOSITION_TYPE } from "../../metrics/exposition.ts";
import { bearerOf } from "../../wire/tokens.ts";
import { administration, type EdgeContext } from "../identity/authenticate.ts";
import { isSameSecret } from "../identity/sessions.ts";
import { askControlPlane, edgeCounters } from "../runtime/control-plane.ts";
import { edgeRefusals } from "../runtime/edge-refusals.ts";
import { edgeTimes } from "../egress/edge-times.ts";
import type { Environment } from "../runtime/environment.ts";
import { problem } from "../runtime/problem.ts";
import { standbyAgeMs } from "./copies.ts";

/** Objects that are asked at the same time. */
const MOST_QUESTIONS = 32;

/** Serves the route. */
export function serveMetrics(app: OpenAPIHono<EdgeContext>): void {
  app.get("/metrics", scraperOr(administration()), async (context) => {
    const { env, req } = context;
    const asked = req.query("pool");
    // Prometheus shows no identity.
    const identity = context.get("identity") as Identity | undefined;
    const permits = (pool: string): boolean =>
      (identity === undefined || permitsPool(identity, pool)) && (asked ?? pool) === pool;
    const catalogue = env.POOL_CATALOGUE.getByName(CATALOGUE_NAME);
    const pools = await askControlPlane(async () => catalogue.list());
    if (!pools.ok) return problem({ code: pools.refusal });
    const named = pools.value.filter(permits);
    if (asked !== undefined && named.length === 0) return problem({ code: "pool-unknown" });
    const text = await new EdgeScrape(env).text(named);
    return context.body(text, 200, { "content-type": EXPOSITION_TYPE, "cache-control": "no-store" });
  });
}

/** Prometheus shows a token that is good for nothing else; an administrator may look as well. */
function scraperOr(others: MiddlewareHandler<EdgeContext>): MiddlewareHandler<EdgeContext> {
  return async (context, next) => {
    const token = bearerOf(context.req.header("authorization"));
    const { METRICS_TOKEN: wanted = "" } = context.env;
    if (token !== null && wanted !== "" && (await isSameSecret(token, wanted))) return next();
    return others(context, next);
  };
}

class EdgeScrape {
  readonly #env: Environment;
  readonly #exposition = new Exposition();
  #silentCount = 0;

  constructor(env: Environment) {
    this.#env = env;
  }

  async text(pools: readonly string[]): Promise<string> {
    if (this.#env.SELF_HOSTED !== undefined) {
      this.#addIsolate();
      const ageMs = await standbyAgeMs(this.#env);
      if (ageMs !== null) this.#exposition.add("ipshard_edge_standby_age_seconds", {}, ageMs / 1_000);
    }
    const found = await Promise.all(pools.map((pool) => this.#pool(pool)));
    const addresses = found.flatMap((pool) => pool?.ips.map(({ ip }) => ({ pool: pool.pool, ip })) ?? []);
    for (let at = 0; at < addresses.length; at += MOST_QUESTIONS) {
      await Promise.all(
        addresses.slice(at, at + MOST_QUESTIONS).map(({ pool, ip }) => this.#address(pool, ip)),
      );
    }
    this.#exposition.add("ipshard_edge_silent_objects", {}, this.#silentCount);
    return this.#exposition.text();
  }

  #addIsolate(): void {
    const exposition = this.#exposition;
    exposition.add("ipshard_edge_requests_total", {}, edgeCounters.handedOver);
    exposition.add("ipshard_edge_retries_total", {}, edgeCounters.retries);
    exposition.add("ipshard_edge_object_calls_total", {}, edgeCounters.controlPlaneCalls);
    for (const [answerer, times] of Object.entries(edgeTimes)) {
      exposition.addTimes("ipshard_edge_first_byte_seconds", { answerer }, times);
    }
    const refusals = new Map([...ownProblemCodes().map((code) => [code, 0] as const), ...edgeRefusals]);
    for (const [code, count] of refusals) exposition.add("ipshard_edge_refusals_total", { code }, count);
  }

  async #pool(pool: string): Promise<PoolDescription | null> {
    const answer = await askControlPlane(async () => this.#env.EGRESS_POOL.getByName(pool).describe());
    if (!answer.ok) this.#silentCount += 1;
    // One that is listed and was never configured is none yet.
    if (!answer.ok || !answer.value.ok) return null;
    const description = answer.value.value;
    this.#addPool(description);
    return description;
  }

  #addPool({ pool, hosts, routers, steeringSequence }: PoolDescription): void {
    const exposition = this.#exposition;
    const live = hosts.filter((host) => host.live);
    const draining = live.filter((host) => host.draining || host.drain !== null).length;
    const counts = { live: live.length - draining, draining, away: hosts.length - live.length };
    for (const [state, count] of Object.entries(counts)) {
      exposition.add("ipshard_edge_pool_hosts", { pool, state }, count);
    }
    const liveRouters = routers.filter((router) => router.live).length;
    exposition.add("ipshard_edge_pool_routers", { pool, state: "live" }, liveRouters);
    exposition.add("ipshard_edge_pool_routers", { pool, state: "away" }, routers.length - liveRouters);
    exposition.add("ipshard_edge_steering_sequence", { pool }, steeringSequence);
    for (const { router, acknowledged, lagging, live: isLive } of routers) {
      const name = "ipshard_edge_router_acknowledged_sequence";
      exposition.add(name, { pool, router }, acknowledged ?? 0);
      exposition.add("ipshard_edge_router_lagging", { pool, router }, lagging && isLive ? 1 : 0);
    }
  }

  async #address(pool: string, ip: string): Promise<void> {
    const answer = await askControlPlane<AddressCounts | null>(async () =>
      this.#env.EGRESS_IP.getByName(ip).counts(),
    );
    if (!answer.ok) this.#silentCount += 1;
    const counts = answer.ok ? answer.value : null;
    if (counts === null) return;
    const { leasedPortCount, quarantinedPortCount, freePortCount, hostCount } = counts;
    this.#exposition.add("ipshard_edge_address_leased_ports", { pool, ip }, leasedPortCount);
    this.#exposition.add("ipshard_edge_address_free_ports", { pool, ip }, freePortCount);
    this.#exposition.add("ipshard_edge_address_quarantined_ports", { pool, ip }, quarantinedPortCount);
    this.#exposition.add("ipshard_edge_address_hosts", { pool, ip }, hostCount);
  }
}

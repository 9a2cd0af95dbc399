/**
 * What pools publish of their addresses, for anybody: `/.well-known/egress-ips.json` and a geofeed, of
 * all pools that are published and of each. A pool that is not is as one that does not exist. [PF1]
 */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { CATALOGUE_NAME } from "../../../durable-objects/bindings.ts";
import { type PublishedPool, publishedPool } from "../../core/egress-facts.ts";
import { ok, refuse } from "../../core/outcome.ts";
import { formatGeofeed, listedFacts } from "../../wire/egress-facts.ts";
import { facts } from "../hosts/edge-state.ts";
import { FACTS_FRESH_MS, type FactsCopy, type LoadFacts } from "../hosts/facts-cache.ts";
import type { EdgeContext } from "../identity/authenticate.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import type { Environment } from "../runtime/environment.ts";
import { problem } from "../runtime/problem.ts";

/** Pools that are asked at the same time. */
const ASKED_AT_ONCE = 16;

interface Rendered {
  readonly type: string;
  readonly body: string;
  /** Follows from what is published alone: the same at each isolate, and as long as nothing changes. */
  readonly tag: string;
}

type Render = (pools: readonly PublishedPool[], asOfMs: number) => Promise<Rendered>;

/** Serves them. */
export function serveEgressFacts(app: OpenAPIHono<EdgeContext>): void {
  app.get("/.well-known/egress-ips.json", (context) => answer(context, null, renderList));
  app.get("/.well-known/geofeed.csv", (context) => answer(context, null, renderGeofeed));
  app.get("/.well-known/egress-ips/:file{.+\\.json}", (context) =>
    answer(context, context.req.param("file").slice(0, -".json".length), renderList),
  );
  app.get("/.well-known/geofeed/:file{.+\\.csv}", (context) =>
    answer(context, context.req.param("file").slice(0, -".csv".length), renderGeofeed),
  );
}

async function answer(context: Context<EdgeContext>, pool: string | null, render: Render): Promise<Response> {
  const found = await facts.find(Date.now, factsLoader(context.env));
  if (!found.ok) return problem({ code: found.refusal }, { "retry-after": "10" });
  const pools = poolsOf(found.value, pool);
  // The same for what is not published and for what is not there.
  if (pools === null) return problem({ code: "pool-unknown" });
  const { type, body, tag } = await render(pools, found.value.asOfMs);
  const headers = {
    etag: tag,
    "cache-control": `public, max-age=${FACTS_FRESH_MS / 1_000}`,
    // Pages may read what everybody may.
    "access-control-allow-origin": "*",
  };
  if (matches(context.req.header("if-none-match"), tag)) return new Response(null, { status: 304, headers });
  return new Response(body, { headers: { ...headers, "content-type": type } });
}

function poolsOf({ pools }: FactsCopy, name: string | null): readonly PublishedPool[] | null {
  if (name === null) return pools;
  const found = pools.filter(({ pool }) => pool === name);
  return found.length === 0 ? null : found;
}

const renderList: Render = async (pools, asOfMs) => {
  const listed = listedFacts(pools);
  const digest = await digestOf(JSON.stringify(listed));
  const creationTime = new Date(asOfMs).toISOString();
  const body = `${JSON.stringify({ syncToken: digest, creationTime, ...listed }, null, 2)}\n`;
  // Weak: the time may be another.
  return { type: "application/json", body, tag: `W/"${digest}"` };
};

const renderGeofeed: Render = async (pools) => {
  const body = formatGeofeed(pools);
  return { type: "text/csv; charset=utf-8", body, tag: `"${await digestOf(body)}"` };
};

async function digestOf(text: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(bytes.subarray(0, 12), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** RFC 9110 section 13.1.2: compared weakly. */
function matches(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  const opaque = tag.replace(/^W\//, "");
  return header.split(",").some((part) => part.trim() === "*" || part.trim().replace(/^W\//, "") === opaque);
}

/** The catalogue says which pools may be published, and each of them what it tells. */
function factsLoader(env: Environment): LoadFacts {
  return async () => {
    const catalogue = env.POOL_CATALOGUE.getByName(CATALOGUE_NAME);
    const names = await askControlPlane(async () => catalogue.published());
    if (!names.ok) return refuse(names.refusal);
    const pools: PublishedPool[] = [];
    for (let at = 0; at < names.value.length; at += ASKED_AT_ONCE) {
      const answers = await Promise.all(
        names.value
          .slice(at, at + ASKED_AT_ONCE)
          .map((name) => askControlPlane(async () => env.EGRESS_POOL.getByName(name).facts())),
      );
      for (const told of answers) {
        if (!told.ok) return refuse(told.refusal);
        if (told.value !== null) pools.push(publishedPool(told.value.pool, told.value.addresses));
      }
    }
    return ok(pools);
  };
}

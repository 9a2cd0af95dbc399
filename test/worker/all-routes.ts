/** Every route, as the routers themselves list them, and requests to it. */
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import type { OpenAPIHono } from "@hono/zod-openapi";
import { app } from "../../src/worker/app.ts";
import type { EdgeContext } from "../../src/worker/identity/authenticate.ts";
import worker from "../../src/worker/index.ts";
import { environment } from "./edge.ts";

/** The pool of the paths, and one of another. */
export const POOL = "every-route";
export const FOREIGN = "every-route-foreign";
export const IP = "203.0.113.99";
const HOST = "no-such-host";
/** What answers to everybody. */
export const PUBLIC: ReadonlySet<string> = new Set([
  "GET /health",
  "GET /.well-known/jwks.json",
  // What operators publish. [PF1]
  "GET /.well-known/egress-ips.json",
  "GET /.well-known/geofeed.csv",
  "GET /.well-known/egress-ips/:file{.+\\.json}",
  "GET /.well-known/geofeed/:file{.+\\.csv}",
  // The page, in which no data is, and where one signs in.
  "GET /dashboard",
  "GET /dashboard/",
  "GET /dashboard/assets/:file{[A-Za-z0-9_-][A-Za-z0-9._-]*}",
  "POST /dashboard/session",
]);
/** What is answered ahead of the router. */
export const AHEAD: ReadonlySet<string> = new Set(["GET /v1/fetch", "POST /v1/fetch", "GET /v1/connect"]);
/** What must be said for the pools to matter; nothing is enough elsewhere. */
const BODIES: Readonly<Record<string, object>> = {
  "POST /dashboard/try": { pool: POOL, url: "http://x/" },
  "POST /v1/joins": { role: "host", name: "x", pools: [POOL] },
};

export type Served = Pick<OpenAPIHono<EdgeContext>, "routes" | "fetch">;

/** What some ask for in their queries, by path. */
const QUERIES: Readonly<Record<string, string>> = {
  "/v1/fetch": "?url=http%3A%2F%2Fx%2F",
  "/v1/connect": "?to=x:80",
  "/v1/holders": `?ip=${IP}&port=5000`,
  "/v1/leases": `?ip=${IP}&port=5000`,
  "/v1/audit": `?pool=${POOL}`,
  "/v1/events": `?pool=${POOL}`,
};

/** A route of the router. */
export interface Route {
  readonly method: string;
  /** With its parameters filled in. */
  readonly path: string;
  readonly name: string;
}

/** All routes that the router lists, and those that are answered ahead of it. */
export function routesOf({ routes }: Served): Route[] {
  const names = new Set(
    routes.filter(({ method }) => method !== "ALL").map(({ method, path }) => `${method} ${path}`),
  );
  if (routes === app.routes) for (const name of AHEAD) names.add(name);
  return [...names].map((name) => {
    const [method, pattern] = name.split(" ") as [string, string];
    const path = pattern
      .replace(":pool", POOL)
      .replace(":ip", IP)
      .replace(":host", HOST)
      .replace(":kid", encodeURIComponent("issuer:none"))
      .replaceAll(/:\w+/g, "x");
    return { method, path, name };
  });
}

/** Asks one, and closes the WebSocket if it is one. */
export async function answer(
  served: Served,
  { method, path, name }: Route,
  shown: Readonly<Record<string, string>>,
): Promise<Response> {
  const headers: Record<string, string> = {
    ...shown,
    "content-type": "application/json",
    upgrade: "websocket",
    egress: `pool=${POOL}`,
  };
  const hasBody = method !== "GET";
  if (hasBody) delete headers["upgrade"];
  const query = QUERIES[path] ?? "";
  if (path === "/v1/connect") headers["sec-websocket-protocol"] = "ipshard.tcp.v1";
  const request = new Request(`http://edge.test${path}${query}`, {
    method,
    headers,
    ...(hasBody ? { body: JSON.stringify(BODIES[name] ?? {}) } : {}),
  });
  const context = createExecutionContext();
  const isAhead = AHEAD.has(name);
  const response = isAhead
    ? await worker.fetch(request as Parameters<typeof worker.fetch>[0], environment, context)
    : await served.fetch(request, environment, context);
  await waitOnExecutionContext(context);
  response.webSocket?.accept();
  response.webSocket?.close();
  return response;
}

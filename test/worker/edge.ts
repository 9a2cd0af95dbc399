/** The Worker under test, with keys of its own, and gateways and objects that do as they are told. */
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env as realEnv } from "cloudflare:workers";
import type { JWK } from "jose";
import { afterEach, beforeEach, vi } from "vitest";
import type { Identity } from "../../src/core/identity.ts";
import { ok, type Outcome } from "../../src/core/outcome.ts";
import type { Placement } from "../../src/core/placement.ts";
import type { ProblemCode } from "../../src/core/problems.ts";
import { UPLOADS_PATH } from "../../src/wire/header-names.ts";
import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { problemReply } from "../../src/wire/problem-response.ts";
import { signToken } from "../../src/wire/tokens.ts";
import type { UploadStatus } from "../../src/wire/upload-status.ts";
import type { Environment } from "../../src/worker/runtime/environment.ts";
import worker from "../../src/worker/index.ts";

export const issuerKey: JWK = await generateKey("issuer");
export const edgeKey: JWK = await generateKey("edge");

/** The environment with the real objects. */
export const environment: Environment = {
  ...(realEnv as unknown as Environment),
  ISSUER_KEYS: JSON.stringify({ keys: [publicPart(issuerKey)] }),
  EDGE_KEY: JSON.stringify(edgeKey),
};

/** A token; a client of the pool `eu` unless said otherwise. */
export function tokenFor(claims: Partial<Identity> = {}, key: JWK = issuerKey): Promise<string> {
  const expiresAtMs = Date.now() + 3_600_000;
  return signToken({ role: "client", subject: "tester", pools: ["eu"], expiresAtMs, ...claims }, key);
}

/** Asks the Worker, and waits for the work it left in the background. */
export function ask(path: string, init?: RequestInit, env = environment): Promise<Response> {
  return answerTo(new Request(`http://edge.test${path}`, { redirect: "manual", ...init }), env);
}

/** The Worker's answer to a request, after the work it left in the background. */
export async function answerTo(request: Request, env = environment): Promise<Response> {
  const context = createExecutionContext();
  const response = await worker.fetch(request as Parameters<typeof worker.fetch>[0], env, context);
  await waitOnExecutionContext(context);
  return response;
}

/** Asks as an administrator, with a JSON body if one is given. */
export async function administer(method: string, path: string, body?: unknown): Promise<Response> {
  const token = await tokenFor({ role: "admin", pools: ["*"] });
  const headers: Record<string, string> = { authorization: `Bearer ${token}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  return ask(path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
}

/** What a problem says of itself. */
export async function codeOf(response: Response): Promise<{ status: number; code: unknown }> {
  const { code } = await response.json<{ code: unknown }>();
  return { status: response.status, code };
}

/** A gateway's answer to a request, of which it also gets the body's reader. */
export type Gateway = (request: Request) => Response | Promise<Response>;

/** A question about an upload, as a gateway got it. */
export interface UploadQuestion {
  readonly host: string;
  readonly name: string;
  readonly token: string | null;
}

/** The questions about uploads, in order. */
export const uploadQuestions: UploadQuestion[] = [];
/** What gateways say to them; those not in here say that the upload is ready. */
export const uploadStatuses = new Map<string, Gateway>();
/** Gateways by host name; anything else cannot be connected. */
export const gateways = new Map<string, Gateway>();
/** The hosts whose gateways were asked, in order. */
export const askedHosts: string[] = [];
/** The hosts whose gateways do not say that they are there; of the others all that have one. */
export const absentHosts = new Set<string>();
/** How often gateways were asked just that. */
export const healthQuestions = new Map<string, number>();

beforeEach(() => {
  gateways.clear();
  askedHosts.length = 0;
  absentHosts.clear();
  healthQuestions.clear();
  uploadQuestions.length = 0;
  uploadStatuses.clear();
  vi.stubGlobal("fetch", async (input: RequestInfo, init?: RequestInit) => {
    const request = new Request(input, init);
    const host = new URL(request.url).hostname.replace(/\.gateway$/, "");
    if (request.url === `http://${host}.gateway/health`) return healthOf(host);
    const [, upload] = request.url.split(UPLOADS_PATH);
    if (upload !== undefined) {
      uploadQuestions.push({ host, name: upload, token: request.headers.get("egress-authorization") });
      const tell = uploadStatuses.get(host) ?? uploadStatus("ready");
      return Promise.race([tell(request), untilAborted(request.signal)]);
    }
    askedHosts.push(host);
    const gateway = gateways.get(host);
    if (gateway === undefined) throw new Error("Network connection lost.");
    return Promise.race([gateway(request), untilAborted(request.signal)]);
  });
  vi.spyOn(console, "warn").mockImplementation(() => {});
  vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

function healthOf(host: string): Response {
  healthQuestions.set(host, (healthQuestions.get(host) ?? 0) + 1);
  if (!gateways.has(host) || absentHosts.has(host)) throw new Error("Network connection lost.");
  return Response.json({ status: "ok" });
}

/** A gateway that says this of every upload. */
export function uploadStatus(upload: UploadStatus): Gateway {
  return () => new Response(null, { status: 204, headers: { "egress-upload": upload } });
}

/** Rejects when a request is given up, as a real `fetch` does. */
function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(new Error("Network connection lost.")));
  });
}

/** A refusal as a gateway sends it. */
export function gatewayRefusal(code: ProblemCode): Response {
  const { status, headers, body } = problemReply({ code });
  return new Response(body, { status, headers });
}

/** A placement of one address with these hosts. */
export function placementOf(pool: string, hosts: readonly string[], ip = "192.0.2.1"): Placement {
  const placed = hosts.map((host) => ({
    host,
    gateway: `http://${host}.gateway`,
    portCount: 1_000,
    busiestCount: 0,
  }));
  return { pool, ips: [{ ip, hosts: placed }], resting: [] };
}

/** An environment whose pools answer as told; `placement` may be replaced between requests. */
export interface StubbedPools {
  readonly env: Environment;
  /** With the hosts that the Worker misses. */
  placement: (missed?: readonly string[]) => Promise<Outcome<Placement, "pool-unknown">>;
}

/** Pools that all have this placement. */
export function stubPools(placement: Placement): StubbedPools {
  const stubbed = {
    placement: async () => ok(placement),
    env: {
      ...environment,
      EGRESS_POOL: {
        getByName: () => ({ placement: (missed: readonly string[]) => stubbed.placement(missed) }),
      } as never,
    },
  } as StubbedPools;
  return stubbed;
}

let poolCount = 0;

/** A pool and hosts with names of their own, since the Worker remembers across tests. */
export function freshNames(): { pool: string; h1: string; h2: string; h3: string; h4: string } {
  poolCount += 1;
  const name = (host: string): string => `${host}-${poolCount}`;
  return { pool: name("pool"), h1: name("h1"), h2: name("h2"), h3: name("h3"), h4: name("h4") };
}

/** Hosts in a pool of their own behind a Worker, and a client to send through it. */
export async function newEgress(hostCount = 1, claims: Partial<Identity> = {}) {
  const names = freshNames();
  const hosts = [names.h1, names.h2, names.h3, names.h4].slice(0, hostCount);
  const pools = stubPools(placementOf(names.pool, hosts));
  const token = await tokenFor({ pools: [names.pool], ...claims });
  const send = (init: RequestInit = {}, search = "?url=http%3A%2F%2Forigin.test%2F"): Promise<Response> => {
    const headers = new Headers(init.headers);
    headers.set("egress-authorization", `Bearer ${token}`);
    return ask(`/v1/fetch${search}`, { ...init, headers }, pools.env);
  };
  return { ...names, hosts, pools, token, send };
}

/**
 * The client of the edge's API: one call for each route, typed and read by the route's own schemas,
 * so that a new route needs nothing here.
 */
import { z } from "zod";
import { isPlainElsewhere, plainHttpFault } from "../core/plain-http.ts";
import { EGRESS_AUTHORIZATION } from "../wire/header-names.ts";
import { EdgeAnswerUnreadable, EdgeRefusal, EdgeUnreachable } from "./errors.ts";
import type { ApiRoute } from "./route-shapes.ts";
import { ROUTES } from "./routes.ts";

type Routes = typeof ROUTES;
type Json<Schema> = { readonly content: { readonly "application/json": { readonly schema: Schema } } };
type InPath<Route> = Route extends { request: { params: infer Schema extends z.ZodType } }
  ? z.input<Schema>
  : unknown;
type InQuery<Route> = Route extends { request: { query: infer Schema extends z.ZodType } }
  ? z.input<Schema>
  : unknown;
type InBody<Route> = Route extends { request: { body: Json<infer Schema extends z.ZodType> } }
  ? z.input<Schema>
  : unknown;
type Call<Input, Answer> = unknown extends Input ? () => Promise<Answer> : (input: Input) => Promise<Answer>;

/** What a route answers. */
export type AnswerOf<Name extends keyof Routes> = Routes[Name] extends {
  responses: { 200: Json<infer Schema extends z.ZodType> };
}
  ? z.output<Schema>
  : never;

/**
 * A call takes what belongs into the path, the query and the body as one object. It rejects with
 * `EdgeRefusal`, `EdgeUnreachable` or `EdgeAnswerUnreadable`.
 */
export type EdgeApi = {
  readonly [Name in keyof Routes]: Call<
    InPath<Routes[Name]> & InQuery<Routes[Name]> & InBody<Routes[Name]>,
    AnswerOf<Name>
  >;
};

/** A request as it is handed over to be sent. */
export interface ApiRequest {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

/** Where the edge is, and as whom to call it. */
export interface EdgeApiOptions {
  readonly edge: string | URL;
  /** A token of the role that the calls take: admin, or client for a gateway token. Asked for at each call. */
  readonly token: () => string | Promise<string>;
  /** Lets the token travel over plain HTTP beyond this machine; else that is a fault, `plain-http-refused`. */
  readonly allowPlainHttp?: boolean;
  /** Ends what is under way; the call then rejects with its reason. */
  readonly signal?: AbortSignal;
  /** What sends, in place of `fetch`. */
  readonly send?: (
    url: string,
    request: ApiRequest,
  ) => Promise<{ readonly status: number; text(): Promise<string> }>;
}

const problemSchema = z.object({ code: z.string(), title: z.string(), detail: z.string().optional() });

/** A client of this edge; nothing is sent yet. Throws where its token would travel in plain text. [TR4] */
export function edgeApi(options: EdgeApiOptions): EdgeApi {
  const { edge, allowPlainHttp = false } = options;
  if (!allowPlainHttp && isPlainElsewhere(new URL(edge)))
    throw plainHttpFault(String(edge), "allowPlainHttp");
  const calls = Object.entries<ApiRoute>(ROUTES).map(([name, route]) => [
    name,
    (input: Readonly<Record<string, unknown>> = {}) => call(route, input, options),
  ]);
  return Object.fromEntries(calls) as EdgeApi;
}

async function call(
  route: ApiRoute,
  input: Readonly<Record<string, unknown>>,
  options: EdgeApiOptions,
): Promise<unknown> {
  const { edge, signal, token, send = fetch } = options;
  const method = route.method.toUpperCase();
  const rest = { ...input };
  const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    delete rest[name];
    return encodeURIComponent(String(input[name]));
  });
  const query = new URLSearchParams();
  for (const name of Object.keys(route.request?.query?.shape ?? {})) {
    const { [name]: value } = rest;
    if (typeof value === "string" || typeof value === "number") query.set(name, `${value}`);
    delete rest[name];
  }
  const target = query.size === 0 ? path : `${path}?${query}`;
  const headers = { [EGRESS_AUTHORIZATION]: `Bearer ${await token()}` };
  const content =
    route.request?.body === undefined
      ? { headers }
      : { headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(rest) };
  let status: number;
  let text: string;
  try {
    const response = await send(new URL(target, edge).href, {
      method,
      ...content,
      ...(signal === undefined ? {} : { signal }),
    });
    status = response.status;
    text = await response.text();
  } catch (fault) {
    signal?.throwIfAborted();
    throw new EdgeUnreachable(String(edge), fault);
  }
  return read(route, `${method} ${path}`, status, text);
}

function read(route: ApiRoute, called: string, status: number, text: string): unknown {
  const isGood = status >= 200 && status < 300;
  const schema = isGood ? route.responses[200].content["application/json"].schema : problemSchema;
  const answer = schema.safeParse(parseJson(text));
  if (!answer.success) throw new EdgeAnswerUnreadable(called, status, answer.error);
  if (isGood) return answer.data;
  throw new EdgeRefusal(called, status, problemSchema.parse(answer.data));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * The host's part: what becomes of the fields, of redirects and of destinations that may not be reached is
 * decided as a host decides it; the answer is told, or comes from what stands in the destination's place.
 */
import type { Outcome } from "../../core/outcome.ts";
import { ok, refuse } from "../../core/outcome.ts";
import type { Problem, ProblemCode } from "../../core/problems.ts";
import type { Selection } from "../../core/selection.ts";
import { AddressRules } from "../../policy/address-rules.ts";
import type { CarrierWebSocket } from "../../sdk/carrier-end.ts";
import { parseConnectTarget } from "../../wire/connect-target.ts";
import {
  EGRESS_HOST,
  EGRESS_IP,
  EGRESS_LOCATION,
  EGRESS_PORT,
  EGRESS_SESSION_UNTIL,
  PROXY_STATUS,
} from "../../wire/header-names.ts";
import { CARRIER_PROTOCOL } from "../../wire/tcp-carrier.ts";
import { parseDestination } from "../../agent/egress/destination-url.ts";
import {
  readRequestHeaders,
  readResponseHeaders,
  relayedProxyStatus,
} from "../../agent/traffic/http/forwarded-headers.ts";
import { type Hop, hopAfter, MAX_REDIRECTS, unfollowed } from "../../agent/traffic/fetch/redirect.ts";
import { problem } from "../../worker/runtime/problem.ts";
import { serveCarried } from "./carried-peer.ts";
import type { Departure } from "./egress-addresses.ts";
import type { Script } from "./script.ts";
import type { StandInAnswer } from "./stand-in-answer.ts";
import { pass, toldResponse } from "./told-response.ts";

/** Answers in the place of every destination of which nothing was told. */
export type Origin = (request: Request) => Promise<Response> | Response;

/** A request that has found its way to a host. */
export interface Asked {
  readonly request: Request;
  /** Of the egress API. */
  readonly query: string;
  readonly pool: string;
  readonly selection: Selection;
  /** The selection as a field. */
  readonly written: string;
  readonly departure: Departure;
}

/** What the edge says by itself, with no host in it. */
const OF_THE_EDGE = /^(token|role|pool|ip|selection|control|no-host|host-lost|internal)(-|$)/;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** One for each stand-in. */
export class Gateway {
  readonly #script: Script;
  readonly #rules: AddressRules;
  readonly #origin: Origin | null;

  constructor(script: Script, allowed: readonly string[], origin: Origin | null) {
    this.#script = script;
    this.#rules = new AddressRules({ allowed });
    this.#origin = origin;
  }

  /** Answers a request for a destination. */
  async fetch(asked: Asked): Promise<Response> {
    const { request, query, departure } = asked;
    const read = readRequestHeaders([...request.headers].flat());
    const bytes = request.body === null ? null : new Uint8Array(await request.arrayBuffer());
    const destination = parseDestination(query);
    const url = new URLSearchParams(query).get("url") ?? "";
    const note = (at: string, refusal: ProblemCode | null, hop: Hop | null): void =>
      this.#note(asked, at, hop, bytes, refusal);
    if (!destination.ok) {
      note(url, destination.refusal.code, null);
      return refused(destination.refusal, departure);
    }
    if (read.redirect !== null && read.redirect !== "manual" && read.redirect !== "follow") {
      note(url, "redirect-mode-invalid", null);
      return refused({ code: "redirect-mode-invalid" }, departure);
    }
    if (request.headers.has("upgrade")) {
      const detail = "The stand-in carries TCP connections, and no WebSockets of destinations.";
      return refused({ code: "upgrade-unsupported", detail }, departure);
    }
    let hop: Hop = {
      url: destination.value,
      method: request.method,
      headers: read.forwarded,
      hasBody: bytes !== null,
    };
    for (let count = 0; ; count += 1) {
      const answer = await this.#exchange(hop, hop.hasBody ? bytes : null);
      note(hop.url.href, answer.ok ? null : answer.refusal.code, hop);
      if (!answer.ok) {
        const told = count === 0 ? answer.refusal : unfollowed(answer.refusal, request.method, hop.url);
        return refused(told, departure);
      }
      const next = read.redirect === "follow" ? redirected(hop, answer.value, count) : null;
      if (next === null) return departed(answer.value, asked, count === 0 ? null : hop.url.href);
      void answer.value.body?.cancel();
      if (!next.ok) return refused(next.refusal, departure);
      hop = next.value;
    }
  }

  /** Judges a TCP connection: a refusal, or what serves the WebSocket that carries it. */
  async connect(asked: Asked): Promise<Response | ((webSocket: CarrierWebSocket) => void)> {
    const { request, query, departure } = asked;
    const target = parseConnectTarget(new URLSearchParams(query).get("to") ?? "");
    const offered = (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((one) => one.trim());
    const at = target === null ? query : `tcp://${target.hostname}:${target.port}`;
    const judged =
      target === null
        ? refuse({ code: "connect-target-invalid" } as const)
        : this.#judged(target.hostname, target.port);
    const answer = judged.ok ? this.#script.answerTo(at) : null;
    const refusal = !offered.includes(CARRIER_PROTOCOL)
      ? ({ code: "subprotocol-missing" } as const)
      : judged.ok
        ? refusalOf(answer)
        : judged.refusal;
    await pass(answer?.afterMs ?? 0);
    this.#note(asked, at, null, null, refusal?.code ?? null);
    if (refusal !== null) return refused(refusal, departure);
    return (webSocket) => void serveCarried(webSocket, answer);
  }

  /** One hop: what the destination answers. */
  async #exchange(hop: Hop, bytes: Uint8Array<ArrayBuffer> | null): Promise<Outcome<Response, Problem>> {
    const { hostname, port, protocol, href } = hop.url;
    const judged = this.#judged(hostname, Number(port) || (protocol === "https:" ? 443 : 80));
    if (!judged.ok) return judged;
    const answer = this.#script.answerTo(href);
    await pass(answer?.afterMs ?? 0);
    const refusal = refusalOf(answer);
    if (refusal !== null) return refuse(refusal);
    if (answer !== null) return ok(toldResponse(answer));
    const headers = fieldsOf(hop.headers);
    const text = bytes === null ? "" : new TextDecoder().decode(bytes);
    if (this.#origin === null) {
      return ok(
        Response.json({ method: hop.method, url: href, headers: Object.fromEntries(headers), body: text }),
      );
    }
    const body = bytes === null || bytes.length === 0 ? null : bytes;
    return ok(
      await this.#origin(new Request(href, { method: hop.method, headers, body, redirect: "manual" })),
    );
  }

  /** Addresses alone: of a name nobody is asked. */
  #judged(hostname: string, port: number): Outcome<null, Problem> {
    const address = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
    const isAddress = address.includes(":") || /^\d+\.\d+\.\d+\.\d+$/.test(address);
    const reason = isAddress ? this.#rules.refusalOf(address, port) : null;
    if (typeof reason !== "string") return ok(null);
    return refuse({ code: "destination-prohibited", detail: `${address} ${reason}` });
  }

  #note(
    asked: Asked,
    url: string,
    hop: Hop | null,
    bytes: Uint8Array | null,
    refusal: ProblemCode | null,
  ): void {
    this.#script.note({
      method: hop?.method ?? asked.request.method,
      url,
      headers: Object.fromEntries(fieldsOf(hop?.headers ?? [])),
      body: bytes === null ? "" : new TextDecoder().decode(bytes),
      selection: asked.written,
      pool: asked.pool,
      source: asked.departure,
      refusal,
    });
  }
}

/** The fields that say from where something left. */
export function departureFields({ ip, port, host }: Departure): Record<string, string> {
  return { [EGRESS_IP]: ip, [EGRESS_PORT]: String(port), [EGRESS_HOST]: host };
}

function refusalOf(answer: StandInAnswer | null): Problem | null {
  if (answer?.refuse === undefined) return null;
  const { refuse: code, detail, retryAfterSeconds } = answer;
  return {
    code,
    ...(detail === undefined ? {} : { detail }),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  };
}

/** A refusal as a host says it, with its name, if it is one that hosts say. */
function refused(refusal: Problem, { host }: Departure): Response {
  return problem(refusal, OF_THE_EDGE.test(refusal.code) ? {} : { [EGRESS_HOST]: host });
}

/** Where the answer sends on; null where it is the last one. */
function redirected(hop: Hop, { status, headers }: Response, count: number): Outcome<Hop, Problem> | null {
  const location = REDIRECTS.has(status) ? headers.get("location") : null;
  if (location === null) return null;
  return count >= MAX_REDIRECTS ? refuse({ code: "redirect-loop" }) : hopAfter(hop, status, location);
}

/** The destination's answer on its way back, with what a host adds to it. */
function departed(response: Response, asked: Asked, followedTo: string | null): Response {
  const { status, statusText } = response;
  const { forwarded, proxyStatus } = readResponseHeaders([...response.headers].flat(), status);
  const headers = fieldsOf(forwarded);
  for (const [name, value] of Object.entries(departureFields(asked.departure))) headers.set(name, value);
  headers.set(PROXY_STATUS, relayedProxyStatus(proxyStatus, status));
  if (followedTo !== null) headers.set(EGRESS_LOCATION, followedTo);
  const { ttl } = asked.selection;
  if (ttl !== undefined) headers.set(EGRESS_SESSION_UNTIL, `@${Math.floor(Date.now() / 1_000) + ttl}`);
  return new Response(response.body, { status, statusText, headers });
}

function fieldsOf(raw: readonly string[]): Headers {
  const headers = new Headers();
  for (let at = 0; at < raw.length; at += 2) headers.append(raw[at]!, raw[at + 1]!);
  return headers;
}

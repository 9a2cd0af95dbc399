/**
 * CONNECT (RFC 9110 section 9.3.6): answered by a status line in every case, and on failure by a
 * problem document. Whatever the answer, nothing but the tunnel follows on the connection. [PX5] [PX6]
 */
import type { Duplex } from "node:stream";
import type { Socket } from "node:net";
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import { Flow } from "../../../process/flow.ts";
import {
  EGRESS_HOST,
  EGRESS_IP,
  EGRESS_PORT,
  EGRESS_REQUEST_ID,
  PROXY_NAME,
  PROXY_STATUS,
} from "../../../wire/header-names.ts";
import { parsePlace } from "../../egress/destination-place.ts";
import { problemOf } from "../../egress/faults.ts";
import { type FlowContext, toldAs } from "../../egress/flow-context.ts";
import type { Refusals } from "../clients/refusals.ts";
import type { Visitor } from "../clients/visitors.ts";
import { judgeHead } from "../clients/request-head.ts";
import { readRequestHeaders, type RequestHeaders } from "../http/forwarded-headers.ts";
import { reset } from "../tunnel/tunnel-relay.ts";
import { Tunnel, type TunnelEnd, type TunnelOptions } from "../tunnel/tunnel.ts";
import type { ProxyAccess } from "./proxy-access.ts";
import { askerOfRequest } from "./proxy-question.ts";

/** What all CONNECTs of a host share. */
export interface ConnectOptions extends TunnelOptions {
  /** Name of this host. */
  readonly host: string;
  readonly access: ProxyAccess;
  readonly refusals: Refusals;
}

/** A CONNECT as it was read. */
export interface ConnectRequest {
  readonly target: string;
  /** Absent in HTTP/2, whose heads are judged where they are read. */
  readonly httpVersion?: string;
  /** Names and values in turn. */
  readonly fields: readonly string[];
  /** What was read behind the head. */
  readonly rest: Buffer;
}

/** How a CONNECT is answered, in its version of HTTP. */
export interface ConnectReply {
  /** It stands; names and values. */
  agree(fields: readonly (readonly [string, string])[]): void;
  /** Instead of that. */
  refuse(problem: Problem, fault: unknown, context: FlowContext | null): void;
  /** Ends it within the tunnel. */
  breakOff(): void;
}

/** On a connection of HTTP/1. */
export function connectReplyOn(socket: Socket, refusals: Refusals): ConnectReply {
  return {
    agree: (fields) => {
      const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`HTTP/1.1 200 Connection established\r\n${lines.join("")}\r\n`, "latin1");
    },
    refuse: (problem, fault, context) => refusals.refuseOn(socket, problem, fault, context),
    breakOff: () => reset(socket),
  };
}

/** Serves one CONNECT that has been read up to its end. */
export function serveConnect(
  options: ConnectOptions,
  client: Duplex,
  visitor: Visitor,
  request: ConnectRequest,
  reply: ConnectReply,
): void {
  const { access, refusals } = options;
  let tunnel: Tunnel | null = null;
  const flow = new Flow((fault) => {
    const problem = problemOf(fault);
    const context = tunnel?.context ?? null;
    if (tunnel === null || (!tunnel.isAnswered && !tunnel.isGone)) {
      reply.refuse(problem, fault, context);
    } else {
      refusals.count(problem, fault, context);
      reply.breakOff();
    }
    tunnel?.giveUp();
  }, refusals.onFault);
  flow.begin(async () => {
    const headers = readRequestHeaders(request.fields, false);
    const judged = judge(request, headers);
    if (!judged.ok) return reply.refuse(judged.refusal, null, null);
    tunnel = new Tunnel(options, client, request.rest, flow);
    const asking = askerOfRequest(access, headers, visitor);
    const asker = asking instanceof Promise ? await asking : asking;
    if (!asker.ok) return reply.refuse(asker.refusal, null, null);
    const asked = { ...asker.value, destination: parsePlace(request.target), headers: headers.forwarded };
    const refusal = await tunnel.open(asked, (end) => reply.agree(agreement(end, options.host)));
    if (refusal !== null) reply.refuse(refusal, null, tunnel.context);
  });
}

/** As of any request; the short reader of heads has left all of that to us. */
function judge({ httpVersion }: ConnectRequest, headers: RequestHeaders): Outcome<true, Problem> {
  // RFC 9110 section 9.3.6: a CONNECT has no content, and where it would end nobody agrees on.
  if (headers.hasBody) return malformed("A CONNECT has no body.");
  if (httpVersion !== undefined) return judgeHead(httpVersion, headers);
  if (headers.isTokenRepeated) return malformed("There is more than one token.");
  return headers.hosts.length > 1 ? malformed("There is more than one host field.") : ok(true);
}

function malformed(detail: string): Outcome<true, Problem> {
  return refuse({ code: "request-malformed", detail });
}

function agreement({ context, held }: TunnelEnd, host: string): readonly (readonly [string, string])[] {
  return [
    [EGRESS_IP, toldAs(context.address)],
    [EGRESS_PORT, String(held.port)],
    [EGRESS_HOST, host],
    ...(context.requestId === null ? [] : [[EGRESS_REQUEST_ID, context.requestId] as const]),
    [PROXY_STATUS, PROXY_NAME],
  ];
}

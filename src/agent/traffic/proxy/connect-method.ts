/**
 * CONNECT (RFC 9110 section 9.3.6): answered by a status line in every case, and on failure by a
 * problem document. Whatever the answer, nothing but the tunnel follows on the connection. [PX5] [PX6]
 */
import type { Socket } from "node:net";
import type { Identity } from "../../../core/identity.ts";
import { Flow } from "../../../process/flow.ts";
import { EGRESS_HOST, EGRESS_IP, EGRESS_PORT, PROXY_NAME, PROXY_STATUS } from "../../../wire/header-names.ts";
import { parsePlace } from "../../egress/destination-place.ts";
import { problemOf } from "../../egress/faults.ts";
import type { Refusals } from "../clients/refusals.ts";
import { readRequestHeaders, type RequestHeaders } from "../http/forwarded-headers.ts";
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
  readonly isHttp11: boolean;
  /** Names and values in turn. */
  readonly fields: readonly string[];
  /** What was read behind the head. */
  readonly rest: Buffer;
}

/** Serves one CONNECT on a connection that has been read up to its end. */
export function serveConnect(
  options: ConnectOptions,
  socket: Socket,
  clientAt: Identity | null,
  request: ConnectRequest,
): void {
  const { access, refusals } = options;
  let tunnel: Tunnel | null = null;
  const flow = new Flow((fault) => {
    const problem = problemOf(fault);
    const context = tunnel?.context ?? null;
    if (tunnel === null || (!tunnel.isAnswered && !tunnel.isGone)) {
      refusals.refuseOn(socket, problem, fault, context);
    } else {
      refusals.count(problem, fault, context);
      socket.destroy();
    }
  }, refusals.onFault);
  flow.begin(async () => {
    const headers = readRequestHeaders(request.fields, false);
    const wrong = wrongOf(request, headers);
    if (wrong !== null) return refusals.refuseOn(socket, { code: "request-malformed", detail: wrong });
    tunnel = new Tunnel(options, socket, request.rest, flow);
    const asking = askerOfRequest(access, headers, clientAt);
    const asker = asking instanceof Promise ? await asking : asking;
    if (!asker.ok) return refusals.refuseOn(socket, asker.refusal);
    const asked = { ...asker.value, destination: parsePlace(request.target) };
    const refusal = await tunnel.open(asked, (end) => {
      socket.write(agreement(end, options.host), "latin1");
    });
    if (refusal !== null) refusals.refuseOn(socket, refusal, null, tunnel.context);
  });
}

/** What no reader of a head objects to, and we do; null for nothing. */
function wrongOf({ isHttp11 }: ConnectRequest, headers: RequestHeaders): string | null {
  // RFC 9110 section 9.3.6: a CONNECT has no content, and where it would end nobody agrees on.
  if (headers.hasBody) return "A CONNECT has no body.";
  if (headers.isTokenRepeated) return "There is more than one token.";
  if (headers.hosts.length > 1) return "There is more than one host field.";
  if (headers.hosts.length === 0 && isHttp11) return "The host field is missing.";
  return null;
}

function agreement({ context, held }: TunnelEnd, host: string): string {
  return (
    "HTTP/1.1 200 Connection established\r\n" +
    `${EGRESS_IP}: ${context.address.ip}\r\n${EGRESS_PORT}: ${held.port}\r\n${EGRESS_HOST}: ${host}\r\n` +
    `${PROXY_STATUS}: ${PROXY_NAME}\r\n\r\n`
  );
}

/** A TCP connection through an egress: the call to the edge, and the socket over what it answers. [CL10] */
import type { Selection } from "../core/selection.ts";
import { type ConnectTarget, formatConnectTarget, parseConnectTarget } from "../wire/connect-target.ts";
import { CARRIER_CLOSE, CERTIFICATE_NAME } from "../wire/tcp-carrier.ts";
import { CarrierEnd, type CarrierWebSocket } from "./carrier-end.ts";
import { egressOf } from "./destination-response.ts";
import { refusalOf, strangersAnswer } from "./egress-error.ts";
import {
  CarriedSocket,
  type EgressSocket,
  type EgressSocketInfo,
  type SecureTransport,
} from "./egress-socket.ts";

/** How a connection is wanted. */
export interface ConnectOptions {
  readonly egress?: Selection;
  /** `on`: TLS, made at the host that connects; `starttls`: when `startTls` is called. `off` by default. */
  readonly secureTransport?: SecureTransport;
  /** With `on`: what the certificate must be for; the destination's own name when absent. */
  readonly expectedServerHostname?: string;
  /** Whether writing outlives the end of reading. As of `cloudflare:sockets`, not by default. */
  readonly allowHalfOpen?: boolean;
  /** The trace that it belongs to, as W3C Trace Context has it; with `fetch` it is a field like others. */
  readonly traceparent?: string;
  /** Gives the call up as long as it is not opened. */
  readonly signal?: AbortSignal;
}

/** An answer to the request for a WebSocket. */
export interface UpgradeAnswer {
  /** Of a refusal all of it, of an agreement the head at least. */
  readonly response: Response;
  /** Null when it was refused. */
  readonly webSocket: CarrierWebSocket | null;
}

/** Asks for a WebSocket, with fields of one's own, which the WebSocket of browsers cannot send. */
export type OpenWebSocket = (
  url: string,
  init: { readonly headers: Headers; readonly protocol: string; readonly signal: AbortSignal },
) => Promise<UpgradeAnswer>;

/** Asks the edge; the query is that of `/v1/connect`. */
export type AskForCarrier = (query: string, signal: AbortSignal) => Promise<UpgradeAnswer>;

/** Connects at once; throws a TypeError for what makes no sense. */
export function openSocket(
  ask: AskForCarrier,
  to: string | ConnectTarget,
  options: ConnectOptions,
): EgressSocket {
  const { secureTransport = "off", allowHalfOpen = false, expectedServerHostname } = options;
  const target = parseConnectTarget(typeof to === "string" ? to : formatConnectTarget(to));
  if (target === null)
    throw new TypeError(`${JSON.stringify(to)} is no destination like "db.example.com:5432".`);
  if (secureTransport !== "on" && secureTransport !== "off" && secureTransport !== "starttls") {
    throw new TypeError(`secureTransport is "on", "off" or "starttls".`);
  }
  const query = new URLSearchParams({ to: formatConnectTarget(target) });
  if (secureTransport === "on") query.set("tls", "on");
  if (expectedServerHostname !== undefined) {
    if (secureTransport !== "on" || !CERTIFICATE_NAME.test(expectedServerHostname)) {
      throw new TypeError('expectedServerHostname is a name, and goes with secureTransport: "on".');
    }
    query.set("tls-name", expectedServerHostname);
  }
  const end = new CarrierEnd();
  const opened = open(ask, query.toString(), formatConnectTarget(target), end, options.signal);
  return new CarriedSocket(end, opened, { secureTransport, allowHalfOpen });
}

/** Asks by a `fetch` that can upgrade: that of Workers. */
export function openByFetch(
  fetchUpgrade: (url: string, init: RequestInit) => Promise<Response>,
): OpenWebSocket {
  return async (url, { headers, protocol, signal }) => {
    headers.set("upgrade", "websocket");
    headers.set("sec-websocket-protocol", protocol);
    const response = await fetchUpgrade(url, { headers, signal, redirect: "manual" });
    const { webSocket = null } = response as Response & { readonly webSocket?: CarrierWebSocket | null };
    return { response, webSocket };
  };
}

async function open(
  ask: AskForCarrier,
  query: string,
  to: string,
  end: CarrierEnd,
  signal: AbortSignal | undefined,
): Promise<EgressSocketInfo> {
  const calling = new AbortController();
  let isAnswered = false;
  // Afterwards it would end the WebSocket too, with whatever is still on its way.
  const giveUp = (): void => {
    if (!isAnswered) calling.abort(signal?.reason);
  };
  if (signal?.aborted) giveUp();
  signal?.addEventListener("abort", giveUp, { once: true });
  // Closed, or failed, while it is asked for.
  end.over.then(giveUp, giveUp);
  const { response, webSocket } = await ask(query, calling.signal).finally(() =>
    signal?.removeEventListener("abort", giveUp),
  );
  isAnswered = true;
  if (webSocket === null) {
    throw (
      (await refusalOf(response)) ?? strangersAnswer(response) ?? new TypeError("No WebSocket was given.")
    );
  }
  const egress = egressOf(response);
  if (egress === null) {
    webSocket.accept?.();
    webSocket.close(CARRIER_CLOSE.failed, "");
    throw strangersAnswer(response) ?? new TypeError("The answer names no egress.");
  }
  end.attach(webSocket);
  return {
    remoteAddress: to,
    localAddress: formatConnectTarget({ hostname: egress.ip, port: egress.port }),
    egress,
  };
}

/** The query and the handshake of a TCP connection that a WebSocket is to carry. [RC1] [RC2] */
import type { IncomingMessage } from "node:http";
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import { CARRIER_PROTOCOL, CERTIFICATE_NAME } from "../../../wire/tcp-carrier.ts";
import { type DestinationPlace, parsePlace } from "../../egress/destination-place.ts";

/** Where a connection goes, and whether TLS is made on it here before the client is answered. */
export interface TcpDestination extends DestinationPlace {
  readonly isSecure: boolean;
  /** What the certificate must be for, if it is not the host. */
  readonly certificateName: string | null;
}

/** What there may be beside `to`. */
const PARAMETERS: ReadonlySet<string> = new Set(["to", "tls", "tls-name"]);
/** RFC 6455 section 4.1: sixteen bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;

/** Reads the query string, without its question mark. */
export function parseTcpDestination(query: string): Outcome<TcpDestination, Problem> {
  const parameters = new URLSearchParams(query);
  const names = [...parameters.keys()];
  const stranger = names.find((name) => !PARAMETERS.has(name));
  if (stranger !== undefined) {
    return refuse({ code: "input-invalid", detail: `There is no parameter ${stranger.slice(0, 64)}.` });
  }
  if (new Set(names).size < names.length) {
    return refuse({ code: "input-invalid", detail: "A parameter is there more than once." });
  }
  const place = parsePlace(parameters.get("to") ?? "");
  if (!place.ok) return place;
  const tls = parameters.get("tls") ?? "off";
  if (tls !== "on" && tls !== "off") return refuse({ code: "input-invalid", detail: "tls is on or off." });
  const certificateName = parameters.get("tls-name");
  if (certificateName !== null && (tls === "off" || !CERTIFICATE_NAME.test(certificateName))) {
    return refuse({ code: "input-invalid", detail: "tls-name is a name, and goes with tls=on." });
  }
  return ok({ ...place.value, isSecure: tls === "on", certificateName });
}

/** Why the handshake cannot be agreed to; null when it can. Judged before anything is dialled. */
export function objectionToHandshake({ headers }: IncomingMessage): Problem | null {
  const offered = (headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
  if (!offered.includes(CARRIER_PROTOCOL)) return { code: "subprotocol-missing" };
  if (headers["sec-websocket-version"] !== "13") return malformed("Only version 13 of WebSocket is spoken.");
  if (!KEY.test(headers["sec-websocket-key"] ?? "")) return malformed("sec-websocket-key is none.");
  // RFC 6455 section 4.1 has each of them once, and an empty name is none.
  if (offered.some((name) => name === "") || new Set(offered).size < offered.length) {
    return malformed("sec-websocket-protocol is no list of names.");
  }
  return null;
}

function malformed(detail: string): Problem {
  return { code: "request-malformed", detail };
}

/**
 * Who asks an object for a WebSocket: a host, a router or a viewer, as the Worker names it. Nobody is two
 * of them, so that none can pass for another. [DO5] [LV2]
 */
import { ok, type Outcome, refuse } from "../../src/core/outcome.ts";
import type { ProblemCode } from "../../src/core/problems.ts";
import {
  HOST_HEADER,
  KEY_HEADER,
  ROUTER_HEADER,
  SESSION_END_HEADER,
  SESSION_HEADER,
  TOKEN_HEADER,
  VIEWER_HEADER,
} from "../calls/peer-headers.ts";
import type { Opener } from "../platform/token-sockets.ts";
import { connectingOpener, connectingPeer } from "../platform/upgrade.ts";

/** One that was verified. */
export type Connecting =
  | { readonly kind: "host"; readonly name: string; readonly opener: Opener }
  | { readonly kind: "router"; readonly name: string; readonly opener: Opener }
  | {
      readonly kind: "viewer";
      readonly name: string;
      readonly opener: Opener;
      readonly sessionEndsAtMs: number;
    };

const KINDS = { host: HOST_HEADER, router: ROUTER_HEADER, viewer: VIEWER_HEADER } as const;
const OPENER_HEADERS = { token: TOKEN_HEADER, kid: KEY_HEADER };

/** Who it is. */
export function connectingOf(request: Request): Outcome<Connecting, ProblemCode> {
  const kinds = (Object.keys(KINDS) as (keyof typeof KINDS)[]).filter((kind) =>
    request.headers.has(KINDS[kind]),
  );
  const [kind = "host"] = kinds;
  const peer = connectingPeer(request, KINDS[kind]);
  if (!peer.ok) return peer;
  if (kinds.length > 1) return refuse("role-denied");
  const { value: name } = peer;
  if (kind !== "viewer") {
    return ok({ kind, name, opener: connectingOpener(request, OPENER_HEADERS) });
  }
  const opener = connectingOpener(request, { ...OPENER_HEADERS, session: SESSION_HEADER });
  const sessionEndsAtMs = Number(request.headers.get(SESSION_END_HEADER) ?? Number.NaN);
  // One without a session, or without its end, would never end.
  const isWhole = Boolean(opener.session) && Number.isSafeInteger(sessionEndsAtMs);
  return isWhole ? ok({ kind, name, opener, sessionEndsAtMs }) : refuse("role-denied");
}

/**
 * Sessions of the dashboard: the cookie in which a browser keeps one, and what else a request must show, since
 * a browser sends the cookie whatever page asks it to. [DA3] [DA5]
 */
import { READING_ROLES, type Role } from "../../core/identity.ts";
import { CSRF_HEADER } from "../../wire/header-names.ts";
import type { Environment } from "../runtime/environment.ts";
import { edgeKeysOf } from "./edge-keys.ts";
import { openSession, type Session } from "./session-seal.ts";

/** How long a session lasts, and never longer than its token. */
export const SESSION_MS = 3_600_000;

/** The cookie over https; browsers take this name from the very host alone, by https. */
const SECURE_COOKIE = "__Host-ipshard-session";
/** The cookie over plain http, as on one's own machine. */
const PLAIN_COOKIE = "ipshard-session";

/** What is wrong with how a session is shown. */
export type SessionRefusal = "session-ended" | "csrf-refused";

/** The name of the cookie for a page that was had from this origin. What the edge hears may be plain behind a TLS terminator. */
export function cookieNameFor(request: Request): string {
  return request.headers.get("origin")?.startsWith("https:") === true || request.url.startsWith("https:")
    ? SECURE_COOKIE
    : PLAIN_COOKIE;
}

/** The header that gives a browser a session, or takes it away where there is none. */
export function cookieOf(name: string, sealed: string | null, lastsMs = 0): string {
  const isSecure = name === SECURE_COOKIE;
  const parts = [`${name}=${sealed ?? ""}`, "Path=/", "HttpOnly", "SameSite=Strict"];
  if (isSecure) parts.push("Secure");
  parts.push(`Max-Age=${sealed === null ? 0 : Math.floor(lastsMs / 1_000)}`);
  return parts.join("; ");
}

/** Whether routes of these roles are open to sessions at all: those of administrators and viewers. */
export function areForSessions(roles: readonly Role[]): boolean {
  return READING_ROLES.some((role) => roles.includes(role));
}

/**
 * The cookie that a request shows, with its name; null for none. Of several of one name it is the last: ours is for
 * every path, and a browser shows those of longer paths before it, which whoever has another port of this host can
 * set, so that nobody could sign in any more.
 */
export function shownCookie({ headers }: Request): { readonly name: string; readonly sealed: string } | null {
  const cookies = (headers.get("cookie") ?? "").split(";").map((one) => one.trim());
  for (const name of [SECURE_COOKIE, PLAIN_COOKIE]) {
    const shown = cookies.findLast((one) => one.startsWith(`${name}=`));
    if (shown !== undefined) return { name, sealed: shown.slice(name.length + 1) };
  }
  return null;
}

/** The session in a cookie, as far as it says so itself: its token is yet to be verified. */
export function readSession(
  { name, sealed }: { readonly name: string; readonly sealed: string },
  env: Environment,
): Promise<Session | null> {
  return openSession(sealed, name, edgeKeysOf(env).sealingKeys, Date.now());
}

/**
 * Whether it is the edge's own page that asks. A browser says by `origin` whose page it is, with everything that
 * changes something and with every WebSocket; no page can make it say otherwise.
 */
export function isOfOwnPage(request: Request): boolean {
  const site = request.headers.get("sec-fetch-site");
  if (site !== null && site !== "same-origin") return false;
  const origin = request.headers.get("origin");
  if (origin === null) return false;
  try {
    const page = new URL(origin);
    const edge = new URL(request.url);
    return page.host === edge.host && (edge.protocol === "http:" || page.protocol === "https:");
  } catch {
    return false;
  }
}

/** What is wrong with a request that shows a session, in a cookie of this name; null for nothing. */
export async function objectionToPage(
  request: Request,
  session: Session,
  name: string,
): Promise<SessionRefusal | null> {
  const { method, headers } = request;
  const isReading = method === "GET" || method === "HEAD";
  if (isReading && !headers.has("upgrade")) return null;
  // Over https another cookie than that of this very host may be of anybody.
  if (!isOfOwnPage(request) || name !== cookieNameFor(request)) return "csrf-refused";
  if (isReading) return null;
  return (await isSameSecret(headers.get(CSRF_HEADER) ?? "", session.csrf)) ? null : "csrf-refused";
}

/** By their digests, so that how long it takes tells nothing of the secret. */
export async function isSameSecret(shown: string, wanted: string): Promise<boolean> {
  const encoder = new TextEncoder();
  const [a, b] = await Promise.all(
    [shown, wanted].map((text) => crypto.subtle.digest("SHA-256", encoder.encode(text))),
  );
  return crypto.subtle.timingSafeEqual(a!, b!);
}

/** Who is signed in: the cookie is kept from scripts, so the edge is asked. */
import { callEdge, Refused, standing } from "./edge-call.ts";

/** A session as the edge tells it. */
export interface Session {
  readonly subject: string;
  /** A viewer changes nothing. */
  readonly role: "admin" | "viewer";
  readonly pools: readonly string[];
  readonly endsAtMs: number;
}

interface ToldSession {
  readonly subject: string;
  readonly role: "admin" | "viewer";
  readonly pools: readonly string[];
  /** RFC 3339, or Unix milliseconds. */
  readonly endsAt: string | number;
  readonly csrf: string;
}

const SESSION = "/dashboard/session";

/** The session that there is; null when nobody is signed in. */
export async function currentSession(): Promise<Session | null> {
  try {
    return known(await callEdge<ToldSession>("GET", SESSION));
  } catch (fault) {
    if (fault instanceof Refused && fault.status === 401) return null;
    throw fault;
  }
}

/** Signs in with a token, or with a code that is good once. */
export async function signIn(by: { readonly token: string } | { readonly code: string }): Promise<Session> {
  return known(await callEdge<ToldSession>("POST", SESSION, by));
}

/** Ends the session, for all who have its cookie. */
export async function signOut(): Promise<void> {
  await callEdge("DELETE", SESSION);
  standing.csrf = null;
}

function known({ subject, role, pools, endsAt, csrf }: ToldSession): Session {
  standing.csrf = csrf;
  return { subject, role, pools, endsAtMs: new Date(endsAt).getTime() };
}

/**
 * Connections by the token that opened them, and by the key that has signed it: when either is not good any
 * more they end, with the code and the reason of a refusal, and whoever had one learns why from its next
 * try. [TK6] [TK7]
 */
import { CLOSE_REFUSED, isOpen, type ObjectPlatform } from "./object-platform.ts";

/** By what a connection was opened; null for what is not known of it. */
export interface Opener {
  /** The id of the token. */
  readonly token: string | null;
  /** The key that has signed it. */
  readonly kid: string | null;
  /** The session in which the token was shown, of who looks by a page. [LV3] */
  readonly session?: string | null;
}

/** One of whom nothing is known. */
export const NO_OPENER: Opener = { token: null, kid: null };

/** A platform takes no longer tags. */
const MOST_CHARACTERS = 200;

/** Tags of a connection that was opened so. */
export function openerTags({ token, kid, session = null }: Opener): readonly string[] {
  return [token, kid, session].filter((name) => name !== null).map(tagOf);
}

/** Ends what was opened by these tokens, or in these sessions, or by these keys. A key's name has a colon, and the id of no token that is revoked. */
export function endConnectionsOf(platform: ObjectPlatform, names: Iterable<string>): void {
  for (const name of names) {
    for (const socket of platform.sockets(tagOf(name))) {
      if (isOpen(socket)) socket.close(CLOSE_REFUSED, "token-revoked");
    }
  }
}

/** No name of a host has a colon. */
function tagOf(name: string): string {
  return `:token:${name.slice(0, MOST_CHARACTERS)}`;
}

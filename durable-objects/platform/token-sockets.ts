/**
 * Connections by the token that opened them: when it is revoked they end, with the code and the reason of a
 * refusal, and whoever had it learns why from its next try. [TK6]
 */
import { CLOSE_REFUSED, isOpen, type ObjectPlatform } from "./object-platform.ts";

/** Tags of a connection that this token opened; none for a token without an id. */
export function tokenTags(tokenId: string | null): readonly string[] {
  return tokenId === null ? [] : [tagOf(tokenId)];
}

/** Ends what these tokens opened. */
export function endConnectionsOf(platform: ObjectPlatform, tokenIds: Iterable<string>): void {
  for (const tokenId of tokenIds) {
    for (const socket of platform.sockets(tagOf(tokenId))) {
      if (isOpen(socket)) socket.close(CLOSE_REFUSED, "token-revoked");
    }
  }
}

/** No name of a host has a colon. */
function tagOf(tokenId: string): string {
  return `:token:${tokenId}`;
}

/** What the register of tokens tells all parts of the edge, and what each keeps a copy of. [TK4] */
import type { JWK } from "jose";
import type { Revocation } from "../core/revocation.ts";

/** A private key of the edge that was made by the register. */
export interface EdgeKey {
  readonly key: JWK;
  /** From then on it signs; it is published before, so that hosts know it by then. Unix milliseconds. */
  readonly signsFromMs: number;
}

/** All that decides about tokens beside what they say themselves. */
export interface AccessState {
  /** Rises with every change of anything here. */
  readonly version: number;
  /** Rises when keys change. */
  readonly keysVersion: number;
  /** Of tokens that would not have ended yet. */
  readonly revocations: readonly Revocation[];
  /** Public keys of issuers beside those of the environment. */
  readonly issuers: readonly JWK[];
  /** The newest first. */
  readonly edgeKeys: readonly EdgeKey[];
  /** Keys that count no more, wherever else they stand. */
  readonly retiredKids: readonly string[];
  /** Ids of the tokens of hosts and routers that joined: what the edge's key signed for others does not count. */
  readonly joinedIds: readonly string[];
}

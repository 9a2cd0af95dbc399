/**
 * The keys of this edge, read once per isolate: whose tokens count, and what it signs. They are those of
 * the environment and those that the register has brought in, without those that it has retired.
 *
 * Everything derived from the keys lives and dies with them, so that a key which is replaced
 * takes the tokens it verified or signed along. [WK2] [TK7]
 */
import type { JWK } from "jose";
import { isRevoked, type Revocation } from "../../core/revocation.ts";
import type { Identity } from "../../core/identity.ts";
import type { AccessState, EdgeKey } from "../../wire/access-state.ts";
import { keysIn, type KeySet, publicPart } from "../../wire/keys.ts";
import { TokenVerifier } from "../../wire/tokens.ts";
import type { Environment } from "../runtime/environment.ts";
import { accessCopy } from "./access-copy.ts";
import { GatewayTokenIssuer } from "./gateway-token-issuer.ts";

/** The keys of one environment and what follows from them. */
export interface EdgeKeys {
  readonly verifier: TokenVerifier;
  readonly gatewayTokens: GatewayTokenIssuer;
  /** Public keys as published. */
  readonly published: KeySet;
  /** That with which the edge signs now; null if it has none. */
  readonly signingKey: (nowMs: number) => JWK | null;
  /** Those that have sealed sessions, or will: all private keys that are in use. [DA3] */
  readonly sealingKeys: readonly JWK[];
}

interface LoadedKeys extends EdgeKeys {
  readonly issuerText: string;
  readonly edgeText: string | undefined;
  readonly keysVersion: number;
}

const NO_ACCESS: Pick<AccessState, "keysVersion" | "issuers" | "edgeKeys" | "retiredKids"> = {
  keysVersion: 0,
  issuers: [],
  edgeKeys: [],
  retiredKids: [],
};

let loaded: LoadedKeys | null = null;

/** The keys of this environment. Throws where they are not JSON: a deployment fault. */
export function edgeKeysOf(env: Environment): EdgeKeys {
  const access = accessCopy.state ?? NO_ACCESS;
  if (
    loaded === null ||
    loaded.issuerText !== env.ISSUER_KEYS ||
    loaded.edgeText !== env.EDGE_KEY ||
    loaded.keysVersion !== access.keysVersion
  ) {
    loaded = load(env, access);
  }
  return loaded;
}

function load(
  { ISSUER_KEYS: issuerText, EDGE_KEY: edgeText }: Environment,
  { issuers, edgeKeys, retiredKids, keysVersion }: typeof NO_ACCESS,
): LoadedKeys {
  const isInUse = ({ kid }: JWK): boolean => !retiredKids.includes(kid ?? "");
  const own: EdgeKey[] = (edgeText ? keysIn(edgeText) : []).map((key) => ({ key, signsFromMs: 0 }));
  const ofEdge = [...edgeKeys, ...own].filter(({ key }) => isInUse(key));
  // An edge that was made of a standby's copy has of some keys what verifies alone. [OC10]
  const signing = ofEdge.filter(({ key }) => key.d !== undefined);
  const trusted = [...keysIn(issuerText), ...issuers].filter(isInUse).map(publicPart);
  const published = { keys: withoutRepeats([...trusted, ...ofEdge.map(({ key }) => publicPart(key))]) };
  const signingKey = (nowMs: number): JWK | null =>
    signing.find(({ signsFromMs }) => signsFromMs <= nowMs)?.key ?? signing.at(-1)?.key ?? null;
  return {
    issuerText,
    edgeText,
    keysVersion,
    published,
    verifier: new TokenVerifier(published),
    gatewayTokens: new GatewayTokenIssuer(signingKey),
    signingKey,
    sealingKeys: signing.map(({ key }) => key),
  };
}

function withoutRepeats(keys: readonly JWK[]): JWK[] {
  return keys.filter(({ kid }, at) => keys.findIndex((key) => key.kid === kid) === at);
}

let revocations: {
  of: AccessState;
  byId: ReadonlyMap<string, Revocation>;
  joined: ReadonlySet<string>;
} | null = null;

/** Whether the register says that a token is good no more. */
export function isTakenBack(identity: Identity): boolean {
  const known = registered();
  return known !== null && isRevoked(identity, known.byId);
}

/** Whether the register says that a session of this identity is over. [DA6] */
export function isSessionOver(sessionId: string, { pools }: Identity): boolean {
  const known = registered();
  return known !== null && isRevoked({ tokenId: sessionId, pools }, known.byId);
}

/** Whether the register knows the token of a machine that joined. */
export function isKnownJoin({ tokenId }: Identity): boolean {
  return tokenId !== undefined && registered()?.joined.has(tokenId) === true;
}

function registered(): typeof revocations {
  const { state } = accessCopy;
  if (state !== null && revocations?.of !== state) {
    const byId = new Map(state.revocations.map((revocation) => [revocation.tokenId, revocation]));
    revocations = { of: state, byId, joined: new Set(state.joinedIds) };
  }
  return revocations;
}

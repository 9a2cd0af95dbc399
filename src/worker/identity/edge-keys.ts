/**
 * The keys of this edge, read once per isolate: whose tokens count, and what it signs.
 *
 * Everything derived from the keys lives and dies with them, so that a key which is replaced
 * takes the tokens it verified or signed along. [WK2]
 */
import type { JWK } from "jose";
import { type KeySet, publicPart } from "../../wire/keys.ts";
import { TokenVerifier } from "../../wire/tokens.ts";
import type { Environment } from "../runtime/environment.ts";
import { GatewayTokenIssuer } from "./gateway-token-issuer.ts";

/** The keys of one environment and what follows from them. */
export interface EdgeKeys {
  readonly verifier: TokenVerifier;
  readonly gatewayTokens: GatewayTokenIssuer;
  /** Public keys as published. */
  readonly published: KeySet;
}

interface LoadedKeys extends EdgeKeys {
  readonly issuerText: string;
  readonly edgeText: string | undefined;
}

let loaded: LoadedKeys | null = null;

/** The keys of this environment. Throws where they are not JSON: a deployment fault. */
export function edgeKeysOf(env: Environment): EdgeKeys {
  if (loaded === null || loaded.issuerText !== env.ISSUER_KEYS || loaded.edgeText !== env.EDGE_KEY) {
    loaded = load(env);
  }
  return loaded;
}

function load({ ISSUER_KEYS: issuerText, EDGE_KEY: edgeText }: Environment): LoadedKeys {
  const issuers = (JSON.parse(issuerText) as KeySet).keys.map(publicPart);
  const edgeKey = edgeText ? (JSON.parse(edgeText) as JWK) : null;
  const published = { keys: edgeKey === null ? issuers : [...issuers, publicPart(edgeKey)] };
  return {
    issuerText,
    edgeText,
    published,
    verifier: new TokenVerifier(published),
    gatewayTokens: new GatewayTokenIssuer(edgeKey),
  };
}

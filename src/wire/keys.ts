/** Ed25519 keys as JWKs. The kind of a key is in its `kid` and says which roles it may sign. [ID1] */
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from "jose";

/** `issuer`: the operator's, signs what people hand out. `edge`: the edge's own, signs what it hands out itself. */
export type KeyKind = "issuer" | "edge";

/** A key set as published at `/.well-known/jwks.json`. */
export interface KeySet {
  readonly keys: readonly JWK[];
}

/** A new private key of this kind. */
export async function generateKey(kind: KeyKind): Promise<JWK> {
  const { privateKey } = await generateKeyPair("Ed25519", { extractable: true });
  const jwk = await exportJWK(privateKey);
  const kid = `${kind}:${(await calculateJwkThumbprint(jwk)).slice(0, 16)}`;
  return { ...jwk, kid, alg: "Ed25519", use: "sig" };
}

/** The keys in a JWK or a JWKS, as JSON text. Throws on anything else. */
export function keysIn(text: string): readonly JWK[] {
  const parsed = JSON.parse(text) as JWK & Partial<KeySet>;
  return parsed.keys ?? [parsed];
}

/** The part of a key that may be published. */
export function publicPart(key: JWK): JWK {
  const { d: _private, ...rest } = key;
  return rest;
}

/** What a key is for, by its `kid`; null for a stranger's. */
export function kindOf(kid: string | undefined): KeyKind | null {
  if (kid?.startsWith("issuer:")) return "issuer";
  if (kid?.startsWith("edge:")) return "edge";
  return null;
}

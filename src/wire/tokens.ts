/** Tokens: Ed25519 JWTs, signed once and verified once, then remembered until they end. [ID2] */
import { base64url, decodeProtectedHeader, importJWK, type JWK, jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import {
  EDGE_ROLES,
  type Identity,
  type IdentityRefusal,
  ISSUED_ROLES,
  JOINED_ROLES,
  type Role,
  type TokenRestrictions,
} from "../core/identity.ts";
import { ok, type Outcome, refuse } from "../core/outcome.ts";
import { type KeyKind, type KeySet, kindOf } from "./keys.ts";

const AUDIENCE = "ipshard";
const ALGORITHM = "Ed25519";
/** Tokens that are remembered at once; beyond it the oldest is forgotten. */
const REMEMBERED_TOKENS = 4096;
/** Longer than any token of ours: nothing of what is longer is read. [TK8] */
const LONGEST_TOKEN = 16_384;
/** Bytes of chance in the id of a token. */
const ID_BYTES = 9;
/**
 * Whose signature is looked for in a token of an unknown key, so that such a token costs as much as any
 * other bad one (RFC 8032, section 7.1, the first test). What it says is never believed. [TK8]
 */
const NOBODY: JWK = { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" };

const claimsSchema = z.object({
  sub: z.string().min(1).max(128),
  role: z.enum(["client", "host", "router", "admin", "viewer", "gateway", "attribution", "join"]),
  pools: z.array(z.string()).max(256),
  exp: z.number(),
  jti: z.string().min(1).max(64).optional(),
  tenant: z.string().min(1).max(128).optional(),
  ips: z.array(z.string()).max(256).optional(),
  destinations: z.array(z.string()).max(256).optional(),
  rate: z.number().positive().optional(),
  timed: z.literal(true).optional(),
});

/** A new id of a token: short, nobody guesses it, and no command line takes it for an option. [TK2] */
export function newTokenId(): string {
  for (;;) {
    const id = base64url.encode(crypto.getRandomValues(new Uint8Array(ID_BYTES)));
    if (!id.startsWith("-")) return id;
  }
}

/** Signs a token for an identity; it ends at `expiresAtMs`, rounded down to the second. */
export async function signToken(identity: Identity, key: JWK): Promise<string> {
  const { role, pools, tenant, tokenId, restrictions = {}, isTimed: timed } = identity;
  const { ips, destinations, requestsPerSecond: rate } = restrictions;
  const id = tokenId === undefined ? {} : { jti: tokenId };
  // What is undefined is no part of the JSON.
  return new SignJWT({ role, pools, ...id, tenant, ips, destinations, rate, timed })
    .setProtectedHeader({ alg: ALGORITHM, kid: key.kid ?? "" })
    .setSubject(identity.subject)
    .setAudience(AUDIENCE)
    .setIssuedAt()
    .setExpirationTime(Math.floor(identity.expiresAtMs / 1000))
    .sign(await importJWK(key, ALGORITHM));
}

interface TrustedKey {
  readonly kind: KeyKind;
  readonly jwk: JWK;
}

type ImportedKey = Awaited<ReturnType<typeof importJWK>>;

/** Verifies tokens against a set of public keys, which may be replaced at any time. */
export class TokenVerifier {
  /** Called when other keys are trusted. */
  onTrust: (() => void) | null = null;
  #keys: ReadonlyMap<string, TrustedKey>;
  readonly #imported = new WeakMap<JWK, Promise<ImportedKey>>();
  readonly #known = new Map<string, Identity>();
  /** By which key each was verified. */
  readonly #signers = new WeakMap<Identity, TrustedKey>();
  readonly #mostKnown: number;

  /** At most `mostKnown` verified tokens are remembered. */
  constructor(keys: KeySet, mostKnown = REMEMBERED_TOKENS) {
    this.#keys = byKid(keys);
    this.#mostKnown = mostKnown;
  }

  /** Trusts these keys from now on, and no token that was verified by others. */
  trust(keys: KeySet): void {
    this.#keys = byKid(keys);
    this.#known.clear();
    this.onTrust?.();
  }

  /**
   * Whether the issuer's key by which somebody was verified has been retired since. What a key of the edge
   * signs is short-lived, and says no more than the token for which it was had: that is revoked by itself. [TK7]
   */
  isOfRetired(identity: Identity): boolean {
    const signer = this.#signers.get(identity);
    if (signer === undefined || signer.kind !== "issuer") return false;
    return this.#keys.get(signer.jwk.kid!)?.jwk.x !== signer.jwk.x;
  }

  /** The identity of a token that was verified before and has not ended; the hot path. */
  recall(token: string, nowMs: number): Identity | undefined {
    const identity = this.#known.get(token);
    return identity !== undefined && nowMs < identity.expiresAtMs ? identity : undefined;
  }

  /** Who bears this token, if anybody. */
  async verify(token: string, nowMs: number): Promise<Outcome<Identity, IdentityRefusal>> {
    const recalled = this.recall(token, nowMs);
    if (recalled) return ok(recalled);
    this.#known.delete(token);
    const keys = this.#keys;
    const verified = await this.#verifyAnew(token, nowMs);
    // Other keys may have come meanwhile: what these ones verified is not to be remembered.
    if (verified.ok && keys === this.#keys) {
      if (this.#known.size >= this.#mostKnown) this.#known.delete(this.#known.keys().next().value!);
      this.#known.set(token, verified.value);
    }
    return verified;
  }

  async #verifyAnew(token: string, nowMs: number): Promise<Outcome<Identity, IdentityRefusal>> {
    const kid = kidOf(token);
    if (kid === null) return refuse("token-malformed");
    const trusted = this.#keys.get(kid);
    try {
      const { payload } = await jwtVerify(token, await this.#ready(trusted?.jwk ?? NOBODY), {
        algorithms: [ALGORITHM],
        audience: AUDIENCE,
        currentDate: new Date(nowMs),
      });
      if (trusted === undefined) return refuse("token-signature-invalid");
      const claims = claimsSchema.safeParse(payload);
      if (!claims.success) return refuse("token-malformed");
      if (!maySign(trusted.kind, claims.data.role)) return refuse("token-signature-invalid");
      const identity = identityOf(claims.data, trusted.kind);
      this.#signers.set(identity, trusted);
      return ok(identity);
    } catch (fault) {
      return refuse(trusted === undefined ? "token-signature-invalid" : refusalOf(fault));
    }
  }

  /** Keys are made ready once. */
  #ready(jwk: JWK): Promise<ImportedKey> {
    let imported = this.#imported.get(jwk);
    if (imported === undefined) {
      imported = importJWK(jwk, ALGORITHM);
      this.#imported.set(jwk, imported);
    }
    return imported;
  }
}

function byKid({ keys }: KeySet): ReadonlyMap<string, TrustedKey> {
  const trusted = new Map<string, TrustedKey>();
  for (const jwk of keys) {
    const kind = kindOf(jwk.kid);
    if (kind !== null && !trusted.has(jwk.kid!)) trusted.set(jwk.kid!, { kind, jwk });
  }
  return trusted;
}

/** The key that a token says it is signed by; empty if by none, null if it is no token that can be read. */
export function kidOf(token: string): string | null {
  if (token.length > LONGEST_TOKEN) return null;
  try {
    const { kid } = decodeProtectedHeader(token);
    return typeof kid === "string" ? kid : "";
  } catch {
    return null;
  }
}

function identityOf(claims: z.infer<typeof claimsSchema>, kind: KeyKind): Identity {
  const { sub, role, pools, exp, jti, tenant, ips, destinations, rate, timed } = claims;
  const isJoined = kind === "edge" && (JOINED_ROLES as readonly Role[]).includes(role);
  const isRestricted = ips !== undefined || destinations !== undefined || rate !== undefined;
  const restrictions: TokenRestrictions = {
    ...(ips === undefined ? {} : { ips }),
    ...(destinations === undefined ? {} : { destinations }),
    ...(rate === undefined ? {} : { requestsPerSecond: rate }),
  };
  return {
    role,
    subject: sub,
    pools,
    expiresAtMs: exp * 1000,
    ...(tenant === undefined ? {} : { tenant }),
    ...(jti === undefined ? {} : { tokenId: jti }),
    ...(isRestricted ? { restrictions } : {}),
    ...(isJoined ? { isJoined } : {}),
    ...(timed === true && kind === "edge" ? { isTimed: timed } : {}),
  };
}

function maySign(kind: KeyKind, role: Role): boolean {
  return (kind === "issuer" ? (ISSUED_ROLES as readonly Role[]) : EDGE_ROLES).includes(role);
}

function refusalOf(fault: unknown): IdentityRefusal {
  const { code, claim } = fault as { code?: string; claim?: string };
  if (code === "ERR_JWT_EXPIRED") return "token-expired";
  if (code === "ERR_JWT_CLAIM_VALIDATION_FAILED") {
    return claim === "nbf" ? "token-not-yet-valid" : "token-malformed";
  }
  if (code === "ERR_JWS_SIGNATURE_VERIFICATION_FAILED") return "token-signature-invalid";
  return "token-malformed";
}

/** The token of an `egress-authorization` (or, for administration, `authorization`) header. */
export function bearerOf(header: string | null | undefined): string | null {
  const match = /^bearer +(\S+)$/i.exec(header ?? "");
  return match?.[1] ?? null;
}

/** Tokens: Ed25519 JWTs, signed once and verified once, then remembered until they end. [ID2] */
import { decodeProtectedHeader, importJWK, type JWK, jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import type { Identity, IdentityRefusal, Role, TokenRestrictions } from "../core/identity.ts";
import { EDGE_ROLES, ISSUED_ROLES } from "../core/identity.ts";
import { ok, type Outcome, refuse } from "../core/outcome.ts";
import { type KeySet, kindOf } from "./keys.ts";

const AUDIENCE = "ipshard";
const ALGORITHM = "Ed25519";
/** Tokens that are remembered at once; beyond it the oldest is forgotten. */
const REMEMBERED_TOKENS = 4096;

const claimsSchema = z.object({
  sub: z.string().min(1).max(128),
  role: z.enum(["client", "host", "router", "admin", "gateway", "attribution"]),
  pools: z.array(z.string()).max(256),
  exp: z.number(),
  jti: z.string().min(1).max(64).optional(),
  tenant: z.string().min(1).max(128).optional(),
  ips: z.array(z.string()).max(256).optional(),
  destinations: z.array(z.string()).max(256).optional(),
  rate: z.number().positive().optional(),
});

/** Signs a token for an identity; it ends at `expiresAtMs`, rounded down to the second. */
export async function signToken(identity: Identity, key: JWK): Promise<string> {
  const { role, pools, tenant, tokenId, restrictions = {} } = identity;
  const { ips, destinations, requestsPerSecond: rate } = restrictions;
  const id = tokenId === undefined ? {} : { jti: tokenId };
  // What is undefined is no part of the JSON.
  return new SignJWT({ role, pools, ...id, tenant, ips, destinations, rate })
    .setProtectedHeader({ alg: ALGORITHM, kid: key.kid ?? "" })
    .setSubject(identity.subject)
    .setAudience(AUDIENCE)
    .setIssuedAt()
    .setExpirationTime(Math.floor(identity.expiresAtMs / 1000))
    .sign(await importJWK(key, ALGORITHM));
}

/** Verifies tokens against a set of public keys, which may be replaced at any time. */
export class TokenVerifier {
  #keys: KeySet;
  readonly #known = new Map<string, Identity>();
  readonly #mostKnown: number;

  /** At most `mostKnown` verified tokens are remembered. */
  constructor(keys: KeySet, mostKnown = REMEMBERED_TOKENS) {
    this.#keys = keys;
    this.#mostKnown = mostKnown;
  }

  /** Trusts these keys from now on, and no token that was verified by others. */
  trust(keys: KeySet): void {
    this.#keys = keys;
    this.#known.clear();
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
    let kid: string | undefined;
    try {
      kid = decodeProtectedHeader(token).kid;
    } catch {
      return refuse("token-malformed");
    }
    const key = this.#keys.keys.find((candidate) => candidate.kid === kid);
    const kind = kindOf(key?.kid);
    if (key === undefined || kind === null) return refuse("token-signature-invalid");
    try {
      const { payload } = await jwtVerify(token, await importJWK(key, ALGORITHM), {
        algorithms: [ALGORITHM],
        audience: AUDIENCE,
        currentDate: new Date(nowMs),
      });
      const claims = claimsSchema.safeParse(payload);
      if (!claims.success) return refuse("token-malformed");
      if (!maySign(kind, claims.data.role)) return refuse("token-signature-invalid");
      return ok(identityOf(claims.data));
    } catch (fault) {
      return refuse(refusalOf(fault));
    }
  }
}

function identityOf(claims: z.infer<typeof claimsSchema>): Identity {
  const { sub, role, pools, exp, jti, tenant, ips, destinations, rate } = claims;
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
  };
}

function maySign(kind: "issuer" | "edge", role: Role): boolean {
  return kind === "issuer" ? ISSUED_ROLES.includes(role) : EDGE_ROLES.includes(role);
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

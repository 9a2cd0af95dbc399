/** Signs tokens with the operator's key, after everything about them was checked. [CI3] */
import type { JWK } from "jose";
import { EVERY_POOL, ISSUED_ROLES, type Identity, type Role } from "../../core/identity.ts";
import { isName } from "../../core/selection.ts";
import { signToken } from "../../wire/tokens.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { readDuration } from "../../process/command-options.ts";

/** What a person asks for, as text. */
export interface TokenRequest {
  readonly role: string;
  readonly name: string;
  readonly pools: readonly string[];
  readonly ttl: string;
}

const TTL = { leastMs: 1_000, mostMs: 3_650 * 86_400_000 };

/** The identity that was asked for; throws `option-invalid`, naming the option. */
export function toIdentity(request: TokenRequest, nowMs: number): Identity {
  const role = ISSUED_ROLES.find((candidate) => candidate === request.role);
  if (role === undefined) throw invalid("--role", request.role, `one of ${ISSUED_ROLES.join(", ")}`);
  if (!isName(request.name)) {
    throw invalid("--name", request.name, "1 to 63 of a-z, 0-9, '.', '_' and '-', a letter or digit first");
  }
  for (const pool of request.pools) {
    if (pool !== EVERY_POOL && !isName(pool)) throw invalid("--pool", pool, `the name of a pool, or '*'`);
  }
  const expiresAtMs = nowMs + readDuration("--ttl", request.ttl, TTL);
  return { role, subject: request.name, pools: poolsOf(role, request.pools), expiresAtMs };
}

/** Signs the token that was asked for. */
export async function issueToken(request: TokenRequest, key: JWK, nowMs: number): Promise<string> {
  return signToken(toIdentity(request, nowMs), key);
}

function poolsOf(role: Role, pools: readonly string[]): readonly string[] {
  if (pools.length > 0) return pools;
  return role === "admin" ? [EVERY_POOL] : ["default"];
}

function invalid(option: string, value: string, wanted: string): CommandFault {
  return new CommandFault("option-invalid", `${option} is ${JSON.stringify(value)}; it must be ${wanted}.`);
}

/** Signs tokens with the operator's key, after everything about them was checked. [CI3] */
import { isIP as familyOf } from "node:net";
import type { JWK } from "jose";
import {
  EVERY_POOL,
  type Identity,
  ISSUED_ROLES,
  type Role,
  type TokenRestrictions,
} from "../../core/identity.ts";
import { isName } from "../../core/selection.ts";
import { parseDestinationEntry } from "../../policy/destination-entry.ts";
import { newTokenId, signToken } from "../../wire/tokens.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { readDuration } from "../../process/command-options.ts";

/** What a person asks for, as text. */
export interface TokenRequest {
  readonly role: string;
  readonly name: string;
  readonly pools: readonly string[];
  readonly ttl: string;
  /** Of a client: for whom it sends, and what it may do less than that one. */
  readonly tenant?: string | undefined;
  readonly ips?: readonly string[] | undefined;
  readonly destinations?: readonly string[] | undefined;
  readonly rate?: string | undefined;
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
  const identity = { role, subject: request.name, pools: poolsOf(role, request.pools), expiresAtMs };
  return { ...identity, tokenId: newTokenId(), ...ofClient(role, request) };
}

function ofClient(role: Role, request: TokenRequest): Pick<Identity, "tenant" | "restrictions"> {
  const { tenant, ips = [], destinations = [], rate } = request;
  const isSaid = tenant !== undefined || ips.length > 0 || destinations.length > 0 || rate !== undefined;
  if (isSaid && role !== "client") {
    throw new CommandFault("option-invalid", "--tenant, --ip, --destination and --rate are for clients.");
  }
  if (tenant !== undefined && !isName(tenant)) {
    throw invalid("--tenant", tenant, "1 to 63 of a-z, 0-9, '.', '_' and '-', a letter or digit first");
  }
  for (const ip of ips) if (familyOf(ip) === 0) throw invalid("--ip", ip, "an IP address such as 192.0.2.1");
  for (const entry of destinations) {
    const read = parseDestinationEntry(entry);
    if (!read.ok) throw new CommandFault("option-invalid", `--destination ${read.refusal}`);
  }
  const requestsPerSecond = rate === undefined ? undefined : Number(rate);
  if (requestsPerSecond !== undefined && !(requestsPerSecond > 0 && requestsPerSecond <= 1_000_000)) {
    throw invalid("--rate", rate!, "a number from above 0 to 1000000");
  }
  const restrictions: TokenRestrictions = {
    ...(ips.length === 0 ? {} : { ips }),
    ...(destinations.length === 0 ? {} : { destinations }),
    ...(requestsPerSecond === undefined ? {} : { requestsPerSecond }),
  };
  return {
    ...(tenant === undefined ? {} : { tenant }),
    ...(Object.keys(restrictions).length === 0 ? {} : { restrictions }),
  };
}

/** Signs the token that was asked for. */
export async function issueToken(request: TokenRequest, key: JWK, nowMs: number): Promise<string> {
  return signToken(toIdentity(request, nowMs), key);
}

function poolsOf(role: Role, pools: readonly string[]): readonly string[] {
  if (pools.length > 0) return pools;
  return role === "admin" || role === "viewer" ? [EVERY_POOL] : ["default"];
}

function invalid(option: string, value: string, wanted: string): CommandFault {
  return new CommandFault("option-invalid", `${option} is ${JSON.stringify(value)}; it must be ${wanted}.`);
}

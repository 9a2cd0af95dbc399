/**
 * Who may ask for what. Tokens are Ed25519 JWTs; here are their claims and what each role is
 * for. Issuer keys (the operator's) sign what people hand out; the edge's own keys sign `gateway`,
 * `attribution`, `join`, and what machines got by a join, so a stolen edge key makes no administrator and no client. [ID1]
 */

/** What a token lets its bearer do. */
export type Role =
  /** Send requests through the pools it names. */
  | "client"
  /** Be the host it names: join pools, hold leases. */
  | "host"
  /** Be the router it names: steer the returning packets of the pools it names. */
  | "router"
  /** Change and read everything. */
  | "admin"
  /** Read what an administrator may read of the pools it names, and change nothing. [DA2] */
  | "viewer"
  /** Use the gateways of the hosts of the pools it names; short-lived, made by the edge. */
  | "gateway"
  /** Get a token of a host or a router, once; short-lived, made by the edge. [TK9] */
  | "join"
  /** Ask the host it names who used a port; short-lived, made by the edge for its administrators. [AT6] */
  | "attribution";

/** Roles that an operator's key may sign. */
export const ISSUED_ROLES = [
  "client",
  "host",
  "router",
  "admin",
  "viewer",
] as const satisfies readonly Role[];

/** A role that an operator's key may sign. */
export type IssuedRole = (typeof ISSUED_ROLES)[number];

/** Roles that read what administrators read; all but the first change nothing. [DA2] */
export const READING_ROLES = ["admin", "viewer"] as const satisfies readonly Role[];

/** Roles that a machine may get by a join. */
export const JOINED_ROLES = ["host", "router"] as const satisfies readonly Role[];

/** Roles that a key of the edge may sign. */
export const EDGE_ROLES: readonly Role[] = ["gateway", "attribution", "join", ...JOINED_ROLES];

/** What a client's token permits less than its tenant may do. [TK2] */
export interface TokenRestrictions {
  /** Egress addresses that it may leave from; absent for all of its pools. */
  readonly ips?: readonly string[];
  /** Destinations that it may reach, as in the lists of a policy; absent for all that its tenant may reach. */
  readonly destinations?: readonly string[];
  /** Requests in a second; absent for as many as its tenant may send. */
  readonly requestsPerSecond?: number;
}

/** A verified token. */
export interface Identity {
  readonly role: Role;
  /** The client, host, router or administrator by name. */
  readonly subject: string;
  /** For whom a client sends: by this name there are policies, limits and answers to complaints. */
  readonly tenant?: string;
  /** By this name it is revoked; a gateway token has that of the client's token. Absent in tokens that have none. */
  readonly tokenId?: string;
  readonly restrictions?: TokenRestrictions;
  /** The edge signed it for a machine that joined: it counts only while the register knows its id. [TK9] */
  readonly isJoined?: true;
  /** The edge wants to know how long the steps of its requests take. In a token of the edge's own alone. [DA10] */
  readonly isTimed?: true;
  /** Pools it may use, the first being its default; for a host or a router, the pools it may join. */
  readonly pools: readonly string[];
  /** End of validity, Unix milliseconds. */
  readonly expiresAtMs: number;
}

/** For whom it sends: a client of no tenant is one by itself. [TK1] */
export function tenantOf({ tenant, subject }: Identity): string {
  return tenant ?? subject;
}

/** Why a token is refused. */
export type IdentityRefusal =
  | "token-missing"
  | "token-malformed"
  | "token-signature-invalid"
  | "token-expired"
  | "token-not-yet-valid"
  | "token-revoked"
  /** It cannot be found out. */
  | "control-plane-unavailable"
  | "role-denied"
  | "pool-denied";

/** `*` in `pools` stands for every pool. */
export const EVERY_POOL = "*";

/** Whether an identity may use a pool. */
export function permitsPool(identity: Identity, pool: string): boolean {
  return identity.pools.includes(pool) || identity.pools.includes(EVERY_POOL);
}

/** Tells a client that was refused a pool which pools its token permits. */
export function poolsAllowed({ pools }: Identity): string {
  return pools.length === 0 ? "It names no pool." : `It is for ${pools.join(", ")}.`;
}

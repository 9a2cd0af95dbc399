/** The short-lived tokens with which the edge, or a client by its leave, uses gateways. [WK3] */
import type { JWK } from "jose";
import type { Identity } from "../../core/identity.ts";
import { signToken } from "../../wire/tokens.ts";

/** How long a gateway token is good for. */
export const GATEWAY_TOKEN_MS = 600_000;
/** How long a host may be asked with a token for that: as long as clocks may differ. */
const ATTRIBUTION_TOKEN_MS = 60_000;
/** Time left at which a kept token is replaced: more than any clock skew worth supporting. */
const RENEW_BEFORE_MS = 60_000;
/** Tokens that are kept at once; beyond it the oldest is forgotten. */
const KEPT_TOKENS = 4_096;
/** Pools of one client whose tokens are found at once. */
const NAMED_POOLS = 256;

/** A token with its end, Unix milliseconds. */
export interface GatewayToken {
  readonly token: string;
  readonly expiresAtMs: number;
}

interface KeptToken {
  readonly token: string;
  readonly replaceAtMs: number;
}

/** Signs gateway tokens, and keeps the ones the Worker itself presents. */
export class GatewayTokenIssuer {
  readonly #keyAt: (nowMs: number) => JWK | null;
  readonly #kept = new Map<string, KeptToken>();
  /** By client and pool what `nameOf` says: with many restrictions that would cost each request. */
  readonly #names = new WeakMap<Identity, Map<string, string>>();

  /** `keyAt` tells what is signed with at a time; null for nothing. */
  constructor(keyAt: (nowMs: number) => JWK | null) {
    this.#keyAt = keyAt;
  }

  /** A kept token for a client in a pool, if it is good for a while yet; the hot path. */
  recall(client: Identity, pool: string, nowMs: number): string | undefined {
    const kept = this.#kept.get(this.#nameOf(client, pool));
    return kept !== undefined && nowMs < kept.replaceAtMs ? kept.token : undefined;
  }

  /** A new token, which is kept. */
  async renew(client: Identity, pool: string, nowMs: number): Promise<string> {
    const made = await this.issue(client, pool, nowMs);
    // One that ends with its client's own token would gain nothing by being replaced.
    const isLast = made.expiresAtMs > client.expiresAtMs - 1_000;
    const replaceAtMs = isLast ? made.expiresAtMs : made.expiresAtMs - RENEW_BEFORE_MS;
    this.#keep(this.#nameOf(client, pool), { token: made.token, replaceAtMs });
    return made.token;
  }

  /** A new token for a client to use by itself; it ends no later than the client's own. */
  async issue(client: Identity, pool: string, nowMs: number): Promise<GatewayToken> {
    const key = this.#keyNow(nowMs);
    // Tokens end on full seconds; the time that is told must not be later than the real one.
    const expiresAtMs = Math.floor(Math.min(nowMs + GATEWAY_TOKEN_MS, client.expiresAtMs) / 1000) * 1000;
    // All that the client's token says but its role and its other pools: hosts decide by it. [TK3]
    const identity: Identity = { ...client, role: "gateway", pools: [pool], expiresAtMs };
    return { token: await signToken(identity, key), expiresAtMs };
  }

  /** Leave to ask one host who used a port. Its name is the subject: to any other it is worth nothing. [AT6] */
  async forAttribution(host: string, pool: string, nowMs: number): Promise<string> {
    const name = `\0attribution\0${host}\0${pool}`;
    const kept = this.#kept.get(name);
    if (kept !== undefined && nowMs < kept.replaceAtMs) return kept.token;
    const expiresAtMs = nowMs + ATTRIBUTION_TOKEN_MS;
    const identity: Identity = { role: "attribution", subject: host, pools: [pool], expiresAtMs };
    const token = await signToken(identity, this.#keyNow(nowMs));
    this.#keep(name, { token, replaceAtMs: nowMs + ATTRIBUTION_TOKEN_MS / 2 });
    return token;
  }

  #keyNow(nowMs: number): JWK {
    const key = this.#keyAt(nowMs);
    if (key === null) throw new Error("EDGE_KEY is not set");
    return key;
  }

  #nameOf(client: Identity, pool: string): string {
    let names = this.#names.get(client);
    if (names === undefined) this.#names.set(client, (names = new Map<string, string>()));
    let name = names.get(pool);
    if (name !== undefined) return name;
    // A client of every pool may ask for any.
    if (names.size >= NAMED_POOLS) names.clear();
    names.set(pool, (name = nameOf(client, pool)));
    return name;
  }

  #keep(name: string, token: KeptToken): void {
    if (this.#kept.size >= KEPT_TOKENS) this.#kept.delete(this.#kept.keys().next().value!);
    this.#kept.set(name, token);
  }
}

/** Two tokens that differ in anything have different gateway tokens. */
function nameOf(client: Identity, pool: string): string {
  const { subject, expiresAtMs, tokenId = "", tenant = "", restrictions, isTimed = "" } = client;
  const restricted = restrictions === undefined ? "" : JSON.stringify(restrictions);
  return `${subject}\0${pool}\0${expiresAtMs}\0${tokenId}\0${tenant}\0${isTimed}\0${restricted}`;
}

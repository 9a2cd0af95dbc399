/** Who is connected to a pool or its addresses by a token that is not good any more, and is cut off. [TK6] */
import { ok, type Outcome, refuse } from "../../src/core/outcome.ts";
import type { PoolAddress } from "../calls/address-calls.ts";
import type { PoolRevocation } from "../calls/register-calls.ts";
import type { ObjectPlatform } from "../platform/object-platform.ts";
import { endConnectionsOf } from "../platform/token-sockets.ts";
import type { PoolPolicies } from "./pool-policies.ts";
import type { PoolStore } from "./pool-store.ts";

/** What is needed of the pool. */
export interface RevokedConnectionsOptions {
  readonly platform: ObjectPlatform;
  readonly store: PoolStore;
  readonly policies: PoolPolicies;
  readonly addressOf: (ip: string) => PoolAddress;
}

/** One per pool object. */
export class RevokedConnections {
  readonly #options: RevokedConnectionsOptions;

  constructor(options: RevokedConnectionsOptions) {
    this.#options = options;
  }

  /** May be repeated. Fails while somebody cannot be told; whoever is connected here is cut off all the same. */
  async end(revoked: readonly PoolRevocation[]): Promise<Outcome<null, "pool-unknown">> {
    const { platform, store, policies, addressOf } = this.#options;
    if (store.pool() === null) return refuse("pool-unknown");
    // To hosts a session is nothing. [DA6]
    const ofTokens = revoked.filter(({ isSession }) => isSession !== true);
    const noted = policies.revoke(ofTokens.map(({ tokenId, expiresAtMs }) => ({ tokenId, expiresAtMs })));
    endConnectionsOf(
      platform,
      revoked.map(({ tokenId }) => tokenId),
    );
    // Hosts are connected to addresses, and those who look at them. [LV3]
    const ofOthers = revoked.filter(({ role }) => role !== "client" && role !== "router");
    const ids = ofOthers.map(({ tokenId }) => tokenId);
    const ips = ids.length === 0 ? [] : store.ips();
    await Promise.all(ips.map(({ ip }) => addressOf(ip).dropTokens(ids)));
    // Hosts cannot be told then. It is tried again, and older ones end meanwhile.
    if (!noted.ok) throw new Error(noted.refusal);
    return ok(null);
  }

  /** The same of all tokens that these keys have signed; to whoever comes anew the Worker says no. [TK7] */
  async endOfKeys(kids: readonly string[]): Promise<Outcome<null, "pool-unknown">> {
    const { platform, store, addressOf } = this.#options;
    if (store.pool() === null) return refuse("pool-unknown");
    endConnectionsOf(platform, kids);
    await Promise.all(store.ips().map(({ ip }) => addressOf(ip).dropTokens(kids)));
    return ok(null);
  }
}

/**
 * The register of tokens and keys: which were issued, which are not good any more, by which keys tokens
 * count. No request passes through here; every part of the edge has a copy of the little that decides
 * (`access`), and pools are told what was revoked. [TK4] [LAW9]
 */
import { newTokenId } from "../../src/wire/tokens.ts";
import type { AuditEntry, ChangeAuthor } from "../../src/core/audit.ts";
import type { Role } from "../../src/core/identity.ts";
import { ok, type Outcome, refuse } from "../../src/core/outcome.ts";
import { arePermitted, widened } from "../../src/core/revocation.ts";
import type { AccessState } from "../../src/wire/access-state.ts";
import { generateKey } from "../../src/wire/keys.ts";
import type { JWK } from "jose";
import { AuditLog, type AuditPage, type Cause } from "../audit/audit-log.ts";
import { within } from "../platform/deadline.ts";
import type { ObjectPlatform } from "../platform/object-platform.ts";
import { migrate } from "../storage/migrate.ts";
import { numberOf } from "../storage/sql-database.ts";
import { type Administrator, hasRoomFor } from "./administrator.ts";
import { type JoinedRole, type Join, JoinStore } from "./join-store.ts";
import { KeyStore, type ListedKey } from "./key-store.ts";
import { REGISTER_MIGRATIONS } from "./register-schema.ts";
import { RegisterSessions } from "./register-sessions.ts";
import { type Pools, RevocationSpread } from "./revocation-spread.ts";
import { type ListedToken, type RegisteredToken, TokenStore } from "./token-store.ts";

/** Which tokens are to be revoked: one by its id, or all of a name or a tenant. */
export interface RevocationWish {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly role?: Role | undefined;
  readonly tenant?: string | undefined;
  /** The end of a token that the register may not know. */
  readonly endsAtMs?: number | undefined;
}

/** What was revoked. */
export interface Revoked {
  readonly ids: readonly string[];
  /** Pools that have not heard of it yet; they are told as soon as it can be done. */
  readonly pendingPools: readonly string[];
}

/** What a machine got by a join. */
export type Joined = Pick<RegisteredToken, "id" | "role" | "name" | "pools" | "endsAtMs">;

const DAY_MS = 86_400_000;
const MOST_TOKENS = 100_000;
const MOST_REVOCATIONS = 10_000;
const MOST_KEYS = 64;
const MOST_JOINS = 1_000;
/** Tokens that have ended are listed for so long. */
const KEPT_MS = 30 * DAY_MS;
/** The longest that a token is made for. */
const LONGEST_TTL_MS = 3_650 * DAY_MS;
/** Whoever revokes is told within this time which pools have taken it. */
const TELL_MS = 4_000;
/** A machine that lost the answer may ask once more. [TK9] */
const REPEAT_MS = 600_000;
const JOINED_TTL_MS = 30 * DAY_MS;

/** One, in the object that has the register's name. */
export class RegisterService {
  /** Sessions of the dashboard. */
  readonly sessions: RegisterSessions;
  readonly #platform: ObjectPlatform;
  readonly #tokens: TokenStore;
  readonly #keys: KeyStore;
  readonly #joins: JoinStore;
  readonly #spread: RevocationSpread;
  readonly #audit: AuditLog;

  constructor(platform: ObjectPlatform, pools: Pools) {
    this.#platform = platform;
    migrate(platform.storage, REGISTER_MIGRATIONS);
    this.#audit = new AuditLog(platform.storage, () => platform.nowMs());
    this.#tokens = new TokenStore(platform.storage);
    this.#keys = new KeyStore(platform.storage);
    this.#joins = new JoinStore(platform.storage);
    this.#spread = new RevocationSpread(platform, this.#tokens, this.#keys, pools);
    const spread = (): void => {
      this.#changed(false);
      platform.keepAwake(done(this.#spread.push()));
    };
    this.sessions = new RegisterSessions({ platform, tokens: this.#tokens, spread });
  }

  /** What decides about tokens now; null if that is what who asks has already. */
  access(knownVersion: number | null): AccessState | null {
    const [row] = this.#platform.storage.sql.exec("SELECT * FROM register").toArray();
    const version = numberOf(row!, "version");
    if (version === knownVersion) return null;
    const nowMs = this.#platform.nowMs();
    return {
      version,
      keysVersion: numberOf(row!, "keys_version"),
      revocations: this.#tokens.revocations(nowMs),
      issuers: this.#keys.issuers(),
      edgeKeys: this.#keys.edgeKeys(),
      retiredKids: this.#keys.retiredKids(),
      joinedIds: this.#tokens.joinedIds(nowMs),
    };
  }

  /** Notes a token that an issuer has signed. The same again changes nothing. */
  register(
    token: Omit<RegisteredToken, "registeredAtMs" | "lineage" | "isJoined">,
    author: ChangeAuthor | null = null,
  ): Outcome<ListedToken, "register-full" | "token-id-taken"> {
    const known = this.#tokens.token(token.id);
    const cause = { by: author, what: "registerToken" };
    if (known !== null && !isSame(known, token)) return this.#refuse(cause, "token-id-taken");
    if (known === null && !this.#hasRoom()) return this.#refuse(cause, "register-full");
    const registeredAtMs = this.#platform.nowMs();
    this.#audit.change(cause, () => {
      if (known !== null) return {};
      this.#tokens.put({ ...token, registeredAtMs, lineage: token.id, isJoined: false });
      return { after: token };
    });
    return ok(this.#tokens.token(token.id)!);
  }

  /** Tokens that these pools' administrator may see, after an id and in the order of ids. */
  list(pools: readonly string[], after: string, count: number): readonly ListedToken[] {
    const found: ListedToken[] = [];
    let from = after;
    for (;;) {
      const page = this.#tokens.tokensAfter(from, count);
      found.push(...page.filter((token) => arePermitted(token.pools, pools)));
      if (found.length >= count || page.length < count) return found.slice(0, count);
      from = page.at(-1)!.id;
    }
  }

  /** Takes tokens back, for good. [TK5] */
  async revoke(
    by: Administrator,
    wish: RevocationWish,
    author: ChangeAuthor | null = null,
  ): Promise<Outcome<Revoked, "token-unknown" | "pool-denied" | "register-full">> {
    const cause = { by: author, what: "revokeTokens" };
    const nowMs = this.#platform.nowMs();
    const known = this.#wished(wish);
    const permitted = known.filter((token) => arePermitted(token.pools, by.pools));
    if (known.length > 0 && permitted.length === 0) {
      return this.#refuse(cause, wish.id === undefined ? "token-unknown" : "pool-denied");
    }
    const noted = permitted.map(({ id, role, pools, endsAtMs }) => ({
      tokenId: id,
      role: role as Role | null,
      spread: pools,
      // Somebody may be connected by one that has ended since: pools hear of it all the same.
      // Whole: hosts read no policy with another number. [PY4]
      expiresAtMs: Math.ceil(Math.max(endsAtMs, endOfDay(nowMs + DAY_MS))),
    }));
    if (wish.id !== undefined && noted.length === 0) {
      const expiresAtMs = Math.ceil(Math.min(wish.endsAtMs ?? Infinity, endOfDay(nowMs + LONGEST_TTL_MS)));
      noted.push({ tokenId: wish.id, role: null, spread: by.pools, expiresAtMs });
    }
    if (noted.length === 0) return this.#refuse(cause, "token-unknown");
    this.#prune(nowMs);
    if (!hasRoomFor(by, this.#tokens.revocationCounts(by.name), noted.length, MOST_REVOCATIONS))
      return this.#refuse(cause, "register-full");
    const fresh = noted
      .map((said) => widened(this.#tokens.revocation(said.tokenId), { ...said, pools: by.pools }))
      .filter((said) => said !== null);
    this.#audit.change(cause, () => {
      for (const said of fresh) {
        this.#tokens.revoke({ ...said, revokedAtMs: nowMs, revokedBy: by.name });
      }
      if (fresh.length > 0) this.#changed(false);
      return { after: { revoked: fresh.map(({ tokenId }) => tokenId) } };
    });
    const pushed = this.#spread.push();
    this.#platform.keepAwake(done(pushed));
    const pending = await within(this.#platform, TELL_MS, pushed);
    const pendingPools =
      typeof pending === "symbol" ? [...new Set(noted.flatMap(({ spread }) => spread))] : pending;
    return ok({ ids: noted.map(({ tokenId }) => tokenId), pendingPools });
  }

  /** A pool was made, and has heard of nothing yet. */
  async poolMade(pool: string): Promise<void> {
    await this.#spread.tellNew(pool);
  }

  /** Keys that the register has brought in or put out of use. */
  keys(): readonly ListedKey[] {
    return this.#keys.list();
  }

  /** Trusts a further issuer from now on. */
  addIssuer(
    jwk: JWK,
    by: string,
    author: ChangeAuthor | null = null,
  ): Outcome<readonly ListedKey[], "register-full"> {
    const cause = { by: author, what: "addIssuerKey" };
    if (this.#keys.list().length >= MOST_KEYS) return this.#refuse(cause, "register-full");
    this.#changeKeys(cause, () => this.#keys.add("issuer", jwk, by, this.#platform.nowMs(), null));
    return ok(this.#keys.list());
  }

  /** Makes a key that the edge signs with after this time. */
  async rotateEdge(
    signsInMs: number,
    by: string,
    author: ChangeAuthor | null = null,
  ): Promise<Outcome<readonly ListedKey[], "register-full">> {
    const cause = { by: author, what: "rotateEdgeKey" };
    if (this.#keys.list().length >= MOST_KEYS) return this.#refuse(cause, "register-full");
    const key = await generateKey("edge");
    const nowMs = this.#platform.nowMs();
    this.#changeKeys(cause, () => this.#keys.add("edge", key, by, nowMs, nowMs + signsInMs));
    return ok(this.#keys.list());
  }

  /** Puts a key out of use, for good. */
  retireKey(
    kid: string,
    kind: "issuer" | "edge",
    by: string,
    author: ChangeAuthor | null = null,
  ): readonly ListedKey[] {
    const cause = { by: author, what: "retireKey" };
    this.#changeKeys(cause, () => this.#keys.retire(kid, kind, by, this.#platform.nowMs()));
    // Whoever is connected by a token of this key is cut off.
    this.#platform.keepAwake(done(this.#spread.push()));
    return this.#keys.list();
  }

  /** Offers a machine to join under a name. */
  offerJoin(
    by: Administrator,
    offer: { role: JoinedRole; name: string; pools: readonly string[]; ttlMs: number },
    author: ChangeAuthor | null = null,
  ): Outcome<Join, "register-full"> {
    const nowMs = this.#platform.nowMs();
    this.#joins.prune(nowMs - KEPT_MS);
    const cause = { by: author, what: "offerJoin" };
    if (!hasRoomFor(by, this.#joins.counts(by.name), 1, MOST_JOINS))
      return this.#refuse(cause, "register-full");
    const { role, name, pools, ttlMs } = offer;
    const id = newTokenId();
    const made = { id, role, name, pools, endsAtMs: nowMs + ttlMs, madeAtMs: nowMs, madeBy: by.name };
    this.#audit.change(cause, () => {
      this.#joins.put(made);
      return { after: made };
    });
    return ok(this.#joins.join(id)!);
  }

  /** Joins that this administrator may see; how they were proven is nobody's business. */
  joins(pools: readonly string[]): readonly Join[] {
    return this.#joins
      .list()
      .filter((join) => arePermitted(join.pools, pools))
      .map(({ proof: _proof, tokenId: _tokenId, ...join }) => join);
  }

  /**
   * Uses a join, once. The same machine may ask again for a while, should the answer have been lost; it
   * gets what says the same. Anybody else is refused, which the operator sees. [TK9]
   */
  join(id: string, proof: string): Outcome<Joined, "join-used" | "token-revoked" | "register-full"> {
    const nowMs = this.#platform.nowMs();
    const join = this.#joins.join(id);
    if (join === null) return refuse("join-used");
    if (join.usedAtMs !== null) {
      const token = join.tokenId === null ? null : this.#tokens.token(join.tokenId);
      const isRepeated = join.proof === proof && Math.abs(nowMs - join.usedAtMs) < REPEAT_MS;
      if (isRepeated && token !== null)
        return token.revokedAtMs === null ? ok(token) : refuse("token-revoked");
      this.#joins.refuse(id, nowMs);
      this.#platform.report(`the join of ${join.name} was tried again by another`);
      return refuse("join-used");
    }
    if (!this.#hasRoom()) return refuse("register-full");
    const { role, name, pools, madeBy } = join;
    const tokenId = newTokenId();
    const token = this.#putJoined({ id: tokenId, role, name, pools, by: madeBy, lineage: tokenId }, nowMs);
    this.#joins.use(id, proof, tokenId, nowMs);
    return ok(token);
  }

  /** What replaces the token of a machine that joined. [TK10] */
  renew(id: string): Outcome<Joined, "token-unknown" | "token-revoked" | "register-full"> {
    const nowMs = this.#platform.nowMs();
    const token = this.#tokens.token(id);
    if (token === null || !token.isJoined) return refuse("token-unknown");
    if (token.revokedAtMs !== null) return refuse("token-revoked");
    // An answer may have been lost: what was made then, and is as good as new, is the answer again.
    const latest = this.#tokens
      .tokensOf("lineage", token.lineage)
      .filter(({ revokedAtMs }) => revokedAtMs === null)
      .toSorted((a, b) => b.endsAtMs - a.endsAtMs)[0];
    if (latest !== undefined && latest.id !== id && latest.endsAtMs > nowMs + JOINED_TTL_MS - REPEAT_MS) {
      return ok(latest);
    }
    if (!this.#hasRoom()) return refuse("register-full");
    const { role, name, pools, registeredBy, lineage } = token;
    const wanted = { id: newTokenId(), role: role as JoinedRole, name, pools, by: registeredBy, lineage };
    return ok(this.#putJoined(wanted, nowMs));
  }

  /** What was changed, by whom. [AU5] */
  audit(page: AuditPage): readonly AuditEntry[] {
    return this.#audit.entries(page);
  }

  /** Tells pools what they have not taken yet. */
  async alarm(): Promise<void> {
    await this.#spread.push();
  }

  #putJoined(
    { by, ...token }: Pick<Joined, "id" | "role" | "name" | "pools"> & { by: string; lineage: string },
    nowMs: number,
  ): RegisteredToken {
    const joined: RegisteredToken = {
      ...token,
      tenant: null,
      restrictions: null,
      // Tokens end on full seconds.
      endsAtMs: Math.floor((nowMs + JOINED_TTL_MS) / 1_000) * 1_000,
      registeredAtMs: nowMs,
      registeredBy: by,
      isJoined: true,
      // The edge signs it when this is known, and again with what it then signs by.
      kid: null,
    };
    this.#tokens.put(joined);
    this.#changed(false);
    return joined;
  }

  #wished({ id, name, role, tenant }: RevocationWish): ListedToken[] {
    if (id !== undefined) {
      const token = this.#tokens.token(id);
      if (token === null) return [];
      const relatives = this.#tokens.tokensOf("lineage", token.lineage);
      return [token, ...relatives.filter((relative) => relative.id !== id)];
    }
    const [column, value] =
      tenant === undefined ? (["name", name ?? ""] as const) : (["tenant", tenant] as const);
    return this.#tokens.tokensOf(column, value).filter((token) => role === undefined || token.role === role);
  }

  #changeKeys(cause: Cause, make: () => void): void {
    const before = Object.fromEntries(this.#keys.list().map((key) => [key.kid, key]));
    this.#audit.change(cause, () => {
      make();
      this.#changed(true);
      return { before, after: Object.fromEntries(this.#keys.list().map((key) => [key.kid, key])) };
    });
  }

  #refuse<Refusal extends string>(cause: Cause, refusal: Refusal): Outcome<never, Refusal> {
    this.#audit.note(cause, refusal);
    return refuse(refusal);
  }

  #hasRoom(): boolean {
    this.#prune(this.#platform.nowMs());
    return this.#tokens.tokenCount() < MOST_TOKENS;
  }

  #prune(nowMs: number): void {
    this.#tokens.prune(nowMs - KEPT_MS, nowMs);
  }

  #changed(areKeys: boolean): void {
    this.#platform.storage.sql.exec(
      "UPDATE register SET version = version + 1, keys_version = keys_version + ?",
      areKeys ? 1 : 0,
    );
  }
}

/** To say the same again on the same day is no news. */
function endOfDay(atMs: number): number {
  return Math.ceil(atMs / DAY_MS) * DAY_MS;
}

async function done(work: Promise<unknown>): Promise<void> {
  await work;
}

function isSame(
  known: RegisteredToken,
  token: Omit<RegisteredToken, "registeredAtMs" | "lineage" | "isJoined">,
): boolean {
  const told = ({ role, name, tenant, pools, restrictions, endsAtMs }: typeof token): string =>
    JSON.stringify([role, name, tenant, pools, restrictions, endsAtMs]);
  return told(known) === told(token);
}

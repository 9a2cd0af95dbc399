/**
 * The register of tokens and keys as a Durable Object: the entry points that the platform calls. The work
 * is done by `register-service.ts`.
 */
import { DurableObject } from "cloudflare:workers";
import type { JWK } from "jose";
import type { AuditEntry, ChangeAuthor } from "../../src/core/audit.ts";
import type { Outcome } from "../../src/core/outcome.ts";
import type { AccessState } from "../../src/wire/access-state.ts";
import type { AuditPage } from "../audit/audit-log.ts";
import type { RevokingPool } from "../calls/register-calls.ts";
import { durablePlatform } from "../platform/durable-platform.ts";
import type { Join } from "./join-store.ts";
import type { ListedKey } from "./key-store.ts";
import type { Administrator } from "./administrator.ts";
import { type Joined, RegisterService, type RevocationWish, type Revoked } from "./register-service.ts";
import type { KeptSignIn } from "./sign-in-store.ts";
import type { ListedToken } from "./token-store.ts";

/** The name of the only catalogue, which knows all pools. */
const CATALOGUE_NAME = "catalogue";

/** What the object finds in its environment. */
export interface RegisterBindings {
  readonly EGRESS_POOL: { getByName(pool: string): RevokingPool };
  readonly POOL_CATALOGUE: { getByName(name: string): { list(): Promise<string[]> } };
}

type WordsOf<Method extends keyof RegisterService> = RegisterService[Method] extends (
  ...words: infer Words
) => unknown
  ? Words
  : never;

/** The Durable Object of the register; there is one. */
export class AccessRegister extends DurableObject<RegisterBindings> {
  readonly #service: RegisterService;

  constructor(ctx: DurableObjectState, env: RegisterBindings) {
    super(ctx, env);
    this.#service = new RegisterService(durablePlatform(ctx), {
      list: async () => env.POOL_CATALOGUE.getByName(CATALOGUE_NAME).list(),
      pool: (name) => env.EGRESS_POOL.getByName(name),
    });
  }

  /** As the service's `access`. */
  async access(knownVersion: number | null): Promise<AccessState | null> {
    return this.#service.access(knownVersion);
  }

  /** As the service's `register`. */
  async register(
    ...words: WordsOf<"register">
  ): Promise<Outcome<ListedToken, "register-full" | "token-id-taken">> {
    return this.#service.register(...words);
  }

  /** As the service's `list`. */
  async list(...words: WordsOf<"list">): Promise<readonly ListedToken[]> {
    return this.#service.list(...words);
  }

  /** As the service's `revoke`. */
  async revoke(
    by: Administrator,
    wish: RevocationWish,
    author?: ChangeAuthor,
  ): Promise<Outcome<Revoked, "token-unknown" | "pool-denied" | "register-full">> {
    return this.#service.revoke(by, wish, author);
  }

  /** As the service's `poolMade`. */
  async poolMade(pool: string): Promise<void> {
    await this.#service.poolMade(pool);
  }

  /** As the service's `keys`. */
  async keys(): Promise<readonly ListedKey[]> {
    return this.#service.keys();
  }

  /** As the service's `addIssuer`. */
  async addIssuer(
    jwk: JWK,
    by: string,
    author?: ChangeAuthor,
  ): Promise<Outcome<readonly ListedKey[], "register-full">> {
    return this.#service.addIssuer(jwk, by, author);
  }

  /** As the service's `rotateEdge`. */
  async rotateEdge(
    signsInMs: number,
    by: string,
    author?: ChangeAuthor,
  ): Promise<Outcome<readonly ListedKey[], "register-full">> {
    return this.#service.rotateEdge(signsInMs, by, author);
  }

  /** As the service's `retireKey`. */
  async retireKey(
    kid: string,
    kind: "issuer" | "edge",
    by: string,
    author?: ChangeAuthor,
  ): Promise<readonly ListedKey[]> {
    return this.#service.retireKey(kid, kind, by, author);
  }

  /** As the service's `offerJoin`. */
  async offerJoin(...words: WordsOf<"offerJoin">): Promise<Outcome<Join, "register-full">> {
    return this.#service.offerJoin(...words);
  }

  /** As the service's `joins`. */
  async joins(pools: readonly string[]): Promise<readonly Join[]> {
    return this.#service.joins(pools);
  }

  /** As the service's `join`. */
  async join(
    id: string,
    proof: string,
  ): Promise<Outcome<Joined, "join-used" | "token-revoked" | "register-full">> {
    return this.#service.join(id, proof);
  }

  /** As the service's `renew`. */
  async renew(id: string): Promise<Outcome<Joined, "token-unknown" | "token-revoked" | "register-full">> {
    return this.#service.renew(id);
  }

  /** As the sessions' `keepCode`. */
  async keepSignIn(code: KeptSignIn): Promise<Outcome<null, "register-full">> {
    return this.#service.sessions.keepCode(code);
  }

  /** As the sessions' `takeCode`. */
  async takeSignIn(id: string): Promise<string | null> {
    return this.#service.sessions.takeCode(id);
  }

  /** As the sessions' `end`. */
  async endSession(by: Administrator, id: string, endsAtMs: number): Promise<Outcome<null, "register-full">> {
    return this.#service.sessions.end(by, id, endsAtMs);
  }

  /** As the service's `audit`. */
  async audit(page: AuditPage): Promise<readonly AuditEntry[]> {
    return this.#service.audit(page);
  }

  override async alarm(): Promise<void> {
    await this.#service.alarm();
  }
}

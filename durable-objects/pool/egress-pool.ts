/**
 * One pool as a Durable Object: the entry points that the platform calls. The work is done by
 * `pool-service.ts`.
 */
import { DurableObject } from "cloudflare:workers";
import type { AuditEntry, ChangeAuthor } from "../../src/core/audit.ts";
import type { PublishedPool } from "../../src/core/egress-facts.ts";
import type { EventPage, HistoryEvent } from "../../src/core/history-event.ts";
import type { Outcome } from "../../src/core/outcome.ts";
import type { Placement } from "../../src/core/placement.ts";
import type { PolicyChanges, RevokedToken, TenantChanges } from "../../src/core/pool-policy.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import type { Publication } from "../../src/core/publication.ts";
import type { AuditPage } from "../audit/audit-log.ts";
import type { PoolAddress } from "../calls/address-calls.ts";
import type { PublishRefusal } from "../calls/pool-calls.ts";
import type { PoolRevocation } from "../calls/register-calls.ts";
import { durablePlatform, restorationIn } from "../platform/durable-platform.ts";
import { answerClose, answerUpgrade } from "../platform/upgrade.ts";
import { connectingOf } from "../viewing/connecting.ts";
import type { AddressChanges } from "./address-changes.ts";
import type { PoolHost } from "./host-description.ts";
import type { PoolPolicies } from "./pool-policies.ts";
import { PoolService } from "./pool-service.ts";
import type { PoolDescription } from "./pool-view.ts";

/** What the object finds in its environment. */
export interface PoolBindings {
  readonly EGRESS_IP: { getByName(ip: string): PoolAddress };
  /** Of the backup that this edge was restored from; empty, or not there, for none. [OC1] */
  readonly RESTORATION?: string;
}

/** The Durable Object of one pool; its name is the pool's. */
export class EgressPool extends DurableObject<PoolBindings> {
  readonly #service: PoolService;

  constructor(ctx: DurableObjectState, env: PoolBindings) {
    super(ctx, env);
    this.#service = new PoolService(durablePlatform(ctx, restorationIn(env.RESTORATION)), (ip) =>
      env.EGRESS_IP.getByName(ip),
    );
  }

  /** As the service's `settingsRefusal`. */
  async settingsRefusal(
    changes: Partial<PoolSettings>,
    by?: ChangeAuthor,
  ): Promise<ReturnType<PoolService["settingsRefusal"]>> {
    return this.#service.settingsRefusal(changes, by ?? null);
  }

  /** As the service's `configure`. */
  async configure(changes: Partial<PoolSettings>, by?: ChangeAuthor): ReturnType<PoolService["configure"]> {
    return this.#service.configure(changes, by);
  }

  /** As the service's `addIp`. */
  async addIp(
    ip: string,
    changes: AddressChanges | null,
    by?: ChangeAuthor,
  ): Promise<Outcome<PoolDescription, "pool-unknown" | "ip-elsewhere">> {
    return this.#service.addIp(ip, changes, by);
  }

  /** As the service's `removeIp`. */
  async removeIp(
    ip: string,
    by?: ChangeAuthor,
  ): Promise<Outcome<PoolDescription, "pool-unknown" | "ip-unknown">> {
    return this.#service.removeIp(ip, by);
  }

  /** As the service's `drainHost`. */
  async drainHost(
    host: string,
    isDrained: boolean,
    by?: ChangeAuthor,
  ): Promise<Outcome<PoolDescription, "pool-unknown" | "host-unknown">> {
    return this.#service.drainHost(host, isDrained, by);
  }

  /** As the service's `removeHost`. */
  async removeHost(host: string, by?: ChangeAuthor): ReturnType<PoolService["removeHost"]> {
    return this.#service.removeHost(host, by);
  }

  /** As the service's `drainIp`. */
  async drainIp(
    ip: string,
    isDrained: boolean,
    by?: ChangeAuthor,
  ): Promise<Outcome<PoolDescription, "pool-unknown" | "ip-unknown">> {
    return this.#service.drainIp(ip, isDrained, by);
  }

  /** As the service's `placement`. */
  async placement(missed?: readonly string[]): Promise<Outcome<Placement, "pool-unknown">> {
    return this.#service.placement(missed);
  }

  /** As the service's `publish`. */
  async publish(
    ip: string,
    publication: Publication,
  ): Promise<Outcome<readonly string[], PublishRefusal | "pool-unknown">> {
    return this.#service.publish(ip, publication);
  }

  /** As `PoolPolicies.read`. */
  async policy(): Promise<ReturnType<PoolPolicies["read"]>> {
    return this.#service.policies.read();
  }

  /** As `PoolPolicies.change`. */
  async changePolicy(
    changes: PolicyChanges,
    madeFor: number | null,
    by?: ChangeAuthor,
  ): Promise<ReturnType<PoolPolicies["change"]>> {
    return this.#service.policies.change(changes, madeFor, by);
  }

  /** As `PoolPolicies.putTenant`. */
  async putTenant(
    tenant: string,
    changes: TenantChanges,
    madeFor: number | null,
    by?: ChangeAuthor,
  ): Promise<ReturnType<PoolPolicies["putTenant"]>> {
    return this.#service.policies.putTenant(tenant, changes, madeFor, by);
  }

  /** As `PoolPolicies.removeTenant`. */
  async removeTenant(tenant: string, by?: ChangeAuthor): Promise<ReturnType<PoolPolicies["removeTenant"]>> {
    return this.#service.policies.removeTenant(tenant, by);
  }

  /** As `PoolPolicies.revoke`. */
  async revokeTokens(
    tokens: readonly RevokedToken[],
    by?: ChangeAuthor,
  ): Promise<ReturnType<PoolPolicies["revoke"]>> {
    return this.#service.policies.revoke(tokens, by);
  }

  /** As `PoolRecord.audit`. */
  async audit(page: AuditPage): Promise<Outcome<readonly AuditEntry[], "pool-unknown">> {
    return this.#service.record.audit(page);
  }

  /** As `PoolRecord.read`. */
  async events(page: EventPage, ip?: string): Promise<Outcome<readonly HistoryEvent[], "pool-unknown">> {
    return this.#service.record.read(page, ip);
  }

  /** As the service's `facts`. */
  async facts(): Promise<PublishedPool | null> {
    return this.#service.facts();
  }

  /** As `RevokedConnections.end`. */
  async takeRevocations(revoked: readonly PoolRevocation[]): Promise<Outcome<null, "pool-unknown">> {
    return this.#service.revoked.end(revoked);
  }

  /** As `RevokedConnections.endOfKeys`. */
  async takeRetiredKeys(kids: readonly string[]): Promise<Outcome<null, "pool-unknown">> {
    return this.#service.revoked.endOfKeys(kids);
  }

  /** Settings, addresses, hosts and routers. */
  async describe(): Promise<Outcome<PoolDescription, "pool-unknown">> {
    return this.#service.describe();
  }

  /** Every host that ever enlisted. */
  async hosts(): Promise<Outcome<readonly PoolHost[], "pool-unknown">> {
    return this.#service.hosts();
  }

  /** Connects a host, a router or a viewer. */
  override async fetch(request: Request): Promise<Response> {
    const connecting = connectingOf(request);
    if (!connecting.ok) return answerUpgrade(this.ctx, connecting);
    const { value: peer } = connecting;
    const { name, opener } = peer;
    if (peer.kind === "router") return answerUpgrade(this.ctx, this.#service.connectRouter(name, opener));
    if (peer.kind === "host") return answerUpgrade(this.ctx, this.#service.connectHost(name, opener));
    return answerUpgrade(this.ctx, this.#service.connectViewer(peer, opener));
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    await this.#service.heard(socket, message);
  }

  override async webSocketClose(socket: WebSocket, code: number, reason: string): Promise<void> {
    this.#service.closed(socket);
    answerClose(socket, code, reason);
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    this.#service.closed(socket);
  }

  override async alarm(): Promise<void> {
    await this.#service.alarm();
  }
}

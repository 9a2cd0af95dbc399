/**
 * One egress IP as a Durable Object: the entry points that the platform calls. The work is done by
 * `address-service.ts`. [DO6]
 */
import { DurableObject } from "cloudflare:workers";
import { type Outcome, refuse } from "../../src/core/outcome.ts";
import type { LeasesQuestion, PortQuestion } from "../../src/core/port-history.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import type { AddressOrder, AddressStatus, HeldBlock } from "../calls/address-calls.ts";
import type { AddressPool } from "../calls/pool-calls.ts";
import { durablePlatform, restorationIn } from "../platform/durable-platform.ts";
import { answerClose, answerUpgrade } from "../platform/upgrade.ts";
import { connectingOf } from "../viewing/connecting.ts";
import { type AddressDescription, AddressService } from "./address-service.ts";
import { type AddressCounts, SERVE } from "./address-status.ts";
import type { AddressQuestion, StoredEvents } from "./address-events.ts";
import type { StoredHistory, StoredLeases } from "./lease-store.ts";

/** What the object finds in its environment. */
export interface AddressBindings {
  readonly EGRESS_POOL: { getByName(pool: string): AddressPool };
  /** Of the backup that this edge was restored from; empty, or not there, for none. [OC1] */
  readonly RESTORATION?: string;
}

/** The Durable Object of one egress IP; its name is the address. */
export class EgressIp extends DurableObject<AddressBindings> {
  readonly #service: AddressService;

  constructor(ctx: DurableObjectState, env: AddressBindings) {
    super(ctx, env);
    this.#service = new AddressService(durablePlatform(ctx, restorationIn(env.RESTORATION)), (pool) =>
      env.EGRESS_POOL.getByName(pool),
    );
    void ctx.blockConcurrencyWhile(async () => {
      this.#service.awake(await ctx.storage.getAlarm());
    });
  }

  /** As the service's `assign`. */
  async assign(
    pool: string,
    settings: PoolSettings,
    isSteered = false,
    order: AddressOrder = SERVE,
  ): Promise<Outcome<AddressStatus, "ip-elsewhere">> {
    return this.#service.assign(pool, settings, isSteered, order);
  }

  /** The table as it stands now. */
  async describe(): Promise<Outcome<AddressDescription, "ip-unknown">> {
    return this.#service.describe();
  }

  /** As the service's `counts`. */
  async counts(): Promise<AddressCounts | null> {
    return this.#service.counts();
  }

  /** As the service's `holdersAt`. */
  async holdersAt(question: PortQuestion): Promise<Outcome<StoredHistory, "ip-unknown">> {
    return this.#service.holdersAt(question);
  }

  /** As the service's `leasesOf`. */
  async leasesOf(question: LeasesQuestion): Promise<Outcome<StoredLeases, "ip-unknown">> {
    return this.#service.leasesOf(question);
  }

  /** As the service's `events`. */
  async events(question: AddressQuestion): Promise<Outcome<StoredEvents, "ip-unknown">> {
    return this.#service.events(question);
  }

  /** As the service's `held`. */
  async held(): Promise<readonly HeldBlock[]> {
    return this.#service.held();
  }

  /** As the service's `removeHost`. */
  async removeHost(pool: string, host: string, epochs: readonly number[]): Promise<void> {
    return this.#service.removeHost(pool, host, epochs);
  }

  /** As the service's `dropTokens`. */
  async dropTokens(names: readonly string[]): Promise<void> {
    this.#service.dropTokens(names);
  }

  /** Connects a host or a viewer. */
  override async fetch(request: Request): Promise<Response> {
    const connecting = connectingOf(request);
    if (!connecting.ok) return answerUpgrade(this.ctx, connecting);
    const { value: peer } = connecting;
    const { name, opener } = peer;
    if (peer.kind === "router") return answerUpgrade(this.ctx, refuse("role-denied"));
    if (peer.kind === "host") return answerUpgrade(this.ctx, this.#service.connect(name, opener));
    return answerUpgrade(this.ctx, this.#service.connectViewer(peer, opener));
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    await this.#service.heard(socket, message);
  }

  override async webSocketClose(socket: WebSocket, code: number, reason: string): Promise<void> {
    await this.#service.closed();
    answerClose(socket, code, reason);
  }

  override async alarm(): Promise<void> {
    await this.#service.alarm();
  }
}

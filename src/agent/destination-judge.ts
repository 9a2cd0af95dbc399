/**
 * By what a process judges destinations: the machine as it is now, what its operator says, and what its
 * pool does. [DE6] [DE7] [DE11] [DE14]
 */
import type { Logger } from "pino";
import { AddressRules } from "../policy/address-rules.ts";
import { monotonicMs } from "../process/clock.ts";
import type { AgentConfig } from "./command-line.ts";
import { OwnAddresses } from "./egress/own-addresses.ts";
import { OwnPlaces } from "./egress/own-places.ts";
import { HostPolicies } from "./tenants/host-policies.ts";
import { PolicyReports } from "./tenants/policy-reports.ts";

/** What a judge has to know. */
export interface DestinationJudgeOptions {
  readonly config: AgentConfig;
  /** Whether an address is one that the pool has given to this host. */
  readonly isShared: (ip: string) => boolean;
  readonly log: Logger;
}

/** One for each process that carries traffic. */
export class DestinationJudge {
  readonly policies: HostPolicies;
  readonly #addresses: OwnAddresses;
  readonly #places: OwnPlaces;
  readonly #reports: PolicyReports;
  readonly #edge: URL;

  constructor({ config: { allowed, denied, edge }, isShared, log }: DestinationJudgeOptions) {
    const addresses = new OwnAddresses({ isShared });
    const places = new OwnPlaces((ip) => addresses.isOwn(ip));
    this.#addresses = addresses;
    this.#places = places;
    this.#edge = edge;
    this.#reports = new PolicyReports(
      (fields) => log.info(fields, "a list in the mode report would have refused"),
      monotonicMs,
    );
    const machine = {
      isOwn: (ip: string) => addresses.isOwn(ip),
      isOwnPlace: (ip: string, port: number) => places.isOwnPlace(ip, port),
      isOwnName: (name: string, port: number) => places.isOwnName(name, port),
    };
    this.policies = new HostPolicies({ allowed, denied, machine }, this.#reports);
  }

  /** To be called when it is known where this process listens, and before anybody asks there. */
  async listensAt(places: readonly { readonly address: string; readonly port: number }[]): Promise<void> {
    for (const { address, port } of places) this.#places.add(address, port);
    const defaults = new AddressRules();
    await this.#places.addEdge(this.#edge, (ip) => !defaults.permits(ip));
  }

  /** For the status. */
  describe(): Record<string, unknown> {
    return this.#reports.describe();
  }

  /** Closes what is open for asking the kernel. */
  close(): void {
    this.#addresses.close();
  }
}

/** Makes policies of destinations of what the host's operator says, and what its pool does. [DE11] */
import { AddressRules, type AddressRulesOptions } from "../../policy/address-rules.ts";
import type { DestinationRules } from "../../core/pool-policy.ts";
import { ReadRules } from "../../policy/destination-list.ts";
import { DestinationPolicy } from "../../policy/destination-policy.ts";
import type { PolicyReports } from "./policy-reports.ts";
import type { MakePolicy } from "./tenant-book.ts";

/** What the host's operator says, and what the host is. */
export type HostRules = Omit<AddressRulesOptions, "opened">;

/** One for all policies of a process: what they have in common is there once. */
export class HostPolicies {
  readonly #rules: HostRules;
  readonly #reports: PolicyReports;
  /** By the rules as the policy has them, so that they are read once for all tenants. */
  #pool: { readonly rules: DestinationRules; readonly read: ReadRules } | null = null;
  #addresses: { readonly opened: string; readonly rules: AddressRules } | null = null;

  constructor(rules: HostRules, reports: PolicyReports) {
    this.#rules = rules;
    this.#reports = reports;
  }

  /** Of one tenant. */
  readonly make: MakePolicy = (pool, served, { destinations }, tenant) =>
    new DestinationPolicy({
      addresses: this.#addressesWith(pool.special),
      pool: this.#read(pool.destinations),
      tenant: served.destinations,
      ...(destinations === undefined ? {} : { token: destinations }),
      onReport: (report, asked) => this.#reports.note(tenant, report, asked),
    });

  /** What holds for the host itself, whatever pools and tenants say. */
  own(): DestinationPolicy {
    return new DestinationPolicy({ addresses: new AddressRules(this.#rules) });
  }

  #read(rules: DestinationRules): ReadRules {
    if (this.#pool?.rules !== rules) this.#pool = { rules, read: new ReadRules(rules) };
    return this.#pool.read;
  }

  #addressesWith(opened: readonly string[]): AddressRules {
    const key = opened.join(" ");
    if (this.#addresses?.opened !== key) {
      this.#addresses = { opened: key, rules: new AddressRules({ ...this.#rules, opened }) };
    }
    return this.#addresses.rules;
  }
}

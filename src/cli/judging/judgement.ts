/** Explains what hosts would decide, address by address, with the very judge that they have. [DE17] */
import { AddressRules } from "../../policy/address-rules.ts";
import { DestinationPolicy, type ListStep, type PolicyRefusal } from "../../policy/destination-policy.ts";
import { unmapped } from "../../policy/embedded-addresses.ts";
import type { JudgedPlace } from "./judged-place.ts";
import type { JudgedRules } from "./policy-file.ts";

/** What is known of one address. */
export interface AddressJudgement {
  readonly address: string;
  /** What kind of address it is, in words. */
  readonly kind: string;
  readonly lists: readonly ListStep[];
  readonly refusal: PolicyRefusal | null;
}

/** The decision, and what led to it. */
export interface Judgement {
  readonly isAllowed: boolean;
  /** By the name alone, so that nothing is looked up; null for none. */
  readonly nameRefusal: PolicyRefusal | null;
  readonly addresses: readonly AddressJudgement[];
}

/** What a host's operator says. */
export interface HostWords {
  readonly allowed: readonly string[];
  readonly denied: readonly string[];
}

/** What the judge of a tenant's traffic would say, of everything but the host's own addresses. */
export class PlaceJudge {
  readonly #addresses: AddressRules;
  readonly #policy: DestinationPolicy;
  readonly #place: JudgedPlace;

  constructor(place: JudgedPlace, rules: JudgedRules, host: HostWords, token: readonly string[] | null) {
    this.#place = place;
    this.#addresses = new AddressRules({ ...host, opened: rules.special });
    this.#policy = new DestinationPolicy({
      addresses: this.#addresses,
      pool: rules.pool,
      ...(rules.tenant === null ? {} : { tenant: rules.tenant }),
      ...(token === null ? {} : { token }),
    });
  }

  /** Why the name would not even be looked up; null where it would, or where there is none. */
  ofName(): PolicyRefusal | null {
    return this.#policy.refusalOfName(this.#asked);
  }

  /** One address refuses all of them, as with hosts. */
  async of(addresses: readonly string[]): Promise<Judgement> {
    const nameRefusal = this.ofName();
    const judged = await Promise.all(
      addresses.map(async (written): Promise<AddressJudgement> => {
        const address = unmapped(written);
        return {
          address,
          kind: this.#addresses.describe(address),
          lists: this.#policy.steps(address, this.#asked),
          refusal: await this.#policy.refusalOf(address, this.#asked),
        };
      }),
    );
    const isAllowed = nameRefusal === null && judged.every(({ refusal }) => refusal === null);
    return { isAllowed, nameRefusal, addresses: judged };
  }

  get #asked(): { readonly name: string | null; readonly port: number } {
    const { host, isLiteral, port } = this.#place;
    return { name: isLiteral ? null : host, port };
  }
}

/** The same for people. */
export function judgementText(
  { host, port }: JudgedPlace,
  { isAllowed, nameRefusal, addresses }: Judgement,
  tenant: string,
): string {
  const lines = [`${host} port ${port}, for ${tenant}: ${isAllowed ? "allowed" : "denied"}`];
  if (nameRefusal !== null) {
    lines.push(`  ${host} is ${nameRefusal.reason}, and is not looked up [${nameRefusal.code}]`);
  }
  for (const { address, kind, lists, refusal } of addresses) {
    lines.push(`  ${address}`, `    the address is ${kind}`);
    for (const step of lists) lines.push(`    ${stepText(step)}`);
    lines.push(refusal === null ? "    → allowed" : `    → denied: ${refusal.reason} [${refusal.code}]`);
  }
  return lines.join("\n");
}

function stepText({ owner, list, mode, entry, effect }: ListStep): string {
  const what = list === "deny" ? "list of denials" : "list of what is allowed";
  const found = entry === null ? "not on it" : `on it as ${entry}`;
  const then = { passes: "passes", refuses: "refuses", reports: "would refuse, and only reports" }[effect];
  return `the ${owner}'s ${what} (${mode}): ${found}, ${then}`;
}

/**
 * The one judge of destinations: whether something may go to an address and a port, and to the name by which
 * they were asked for.
 *
 *     machine and special addresses → pool's lists → tenant's lists → token's list
 *
 * All of them must agree. The first two words are the host's and the pool's alone; no list opens what they
 * refuse. [DE1] [DE9] [DE11] [DE12]
 */
import type { DestinationRules, PolicyMode } from "../core/pool-policy.ts";
import type { ProblemCode } from "../core/problems.ts";
import { AddressRules } from "./address-rules.ts";
import { DestinationList, listedAddress, type ListKind, ReadRules } from "./destination-list.ts";
import { requestedName } from "./destination-name.ts";

type Soon<Value> = Value | Promise<Value>;

/** What is asked for, before its addresses are known. */
export interface AskedPlace {
  /** As it was asked for; null for an address. */
  readonly name: string | null;
  readonly port: number;
}

/** A name by itself; the port is null where it is not known yet. */
export interface AskedName {
  readonly name: string | null;
  readonly port: number | null;
}

/** Why something may not be reached. */
export interface PolicyRefusal {
  readonly code: Extract<
    ProblemCode,
    "destination-prohibited" | "destination-denied" | "destination-not-allowed"
  >;
  /** The end of a sentence that begins with what is refused. */
  readonly reason: string;
}

/** Whose list it is. */
export type ListOwner = "pool" | "tenant" | "token";

/** What a list in the mode `report` would have refused. */
export interface PolicyReport {
  readonly owner: ListOwner;
  readonly refusal: PolicyRefusal;
  /** The entry of a list of denials; null for not being on a list of what is allowed. */
  readonly entry: string | null;
}

/** What one list says of a place. */
export interface ListStep {
  readonly owner: ListOwner;
  readonly list: ListKind;
  readonly mode: PolicyMode;
  /** The entry that the place is on; null for none. */
  readonly entry: string | null;
  readonly effect: "passes" | "refuses" | "reports";
}

/** What a policy consists of. */
export interface DestinationPolicyOptions {
  readonly addresses?: AddressRules;
  readonly pool?: DestinationRules | ReadRules;
  readonly tenant?: DestinationRules;
  /** Destinations that the token is for; absent for all. */
  readonly token?: readonly string[];
  /** Told of each judgement that a list in the mode `report` would have made otherwise. */
  readonly onReport?: (report: PolicyReport, asked: AskedPlace) => void;
}

interface OwnedList {
  readonly owner: ListOwner;
  readonly kind: ListKind;
  readonly mode: PolicyMode;
  readonly list: DestinationList;
}

interface ListVerdict {
  readonly refusal: PolicyRefusal | null;
  readonly reports: readonly PolicyReport[];
}

const PASSED: ListVerdict = { refusal: null, reports: [] };
/** Verdicts of lists that a policy remembers at once. */
const MAX_VERDICTS = 1_024;

/** One for all flows that the same rules hold for. */
export class DestinationPolicy {
  readonly #addresses: AddressRules;
  readonly #lists: readonly OwnedList[];
  readonly #onReport: DestinationPolicyOptions["onReport"];
  /** Lists never change, so what they said stays true. */
  readonly #verdicts = new Map<string, ListVerdict>();

  constructor({ addresses, pool, tenant, token, onReport }: DestinationPolicyOptions = {}) {
    this.#addresses = addresses ?? new AddressRules();
    this.#onReport = onReport;
    this.#lists = [
      ...listsOf("pool", pool),
      ...listsOf("tenant", tenant),
      ...(token === undefined ? [] : [tokenList(token)]),
    ];
  }

  /** Why an address (as text, canonical) may not be dialled for what was asked; null if it may. */
  refusalOf(address: string, asked: AskedPlace): Soon<PolicyRefusal | null> {
    const reason = this.#addresses.refusalOf(address, asked.port);
    if (reason instanceof Promise) return reason.then((told) => this.#judge(told, address, asked));
    return this.#judge(reason, address, asked);
  }

  /**
   * What can be said before anything is looked up: a name that no address could help is not asked of any
   * name server either. Reports nothing, since addresses are judged afterwards. [DE13]
   */
  refusalOfName({ name, port }: AskedName): PolicyRefusal | null {
    if (name === null) return null;
    if (this.#lists.length === 0 && !this.#addresses.knowsNames) return null;
    const requested = requestedName(name);
    const reason = port === null ? null : this.#addresses.refusalOfName(requested, port);
    if (reason !== null) return { code: "destination-prohibited", reason };
    for (const { owner, kind, mode, list } of this.#lists) {
      if (mode !== "enforce") continue;
      const entry = list.findName(requested, port);
      if (kind === "deny" && entry !== null) return refusalBy(owner, kind, entry);
      if (kind === "allow" && entry === null && list.isOfNamesOnly) return refusalBy(owner, kind, null);
    }
    return null;
  }

  /** All that the lists say of a place, in their order: by this they decide. Empty for what is no address. */
  steps(address: string, { name, port }: AskedPlace): readonly ListStep[] {
    const read = listedAddress(address);
    if (read === null) return [];
    const place = { name: name === null ? null : requestedName(name), address: read, port };
    return this.#lists.map(({ owner, kind, mode, list }) => {
      const entry = list.find(place);
      const isRefused = kind === "deny" ? entry !== null : entry === null;
      const effect = !isRefused ? "passes" : mode === "report" ? "reports" : "refuses";
      return { owner, list: kind, mode, entry, effect };
    });
  }

  #judge(reason: string | null, address: string, asked: AskedPlace): PolicyRefusal | null {
    if (reason !== null) return { code: "destination-prohibited", reason };
    if (this.#lists.length === 0) return null;
    const { refusal, reports } = this.#verdictOf(address, asked);
    if (refusal === null) for (const report of reports) this.#onReport?.(report, asked);
    return refusal;
  }

  #verdictOf(address: string, asked: AskedPlace): ListVerdict {
    const key = `${address} ${asked.port} ${asked.name ?? ""}`;
    let verdict = this.#verdicts.get(key);
    if (verdict === undefined) {
      verdict = verdictBy(this.steps(address, asked));
      if (this.#verdicts.size >= MAX_VERDICTS) this.#verdicts.clear();
      this.#verdicts.set(key, verdict);
    }
    return verdict;
  }
}

/** A list in the mode `open` is not looked at, and one without entries says nothing. */
function listsOf(owner: ListOwner, rules: DestinationRules | ReadRules | undefined): OwnedList[] {
  if (rules === undefined || rules.mode === "open") return [];
  const { mode, deny, allow } = rules instanceof ReadRules ? rules : new ReadRules(rules);
  const lists = [
    { owner, mode, kind: "deny" as const, list: deny },
    { owner, mode, kind: "allow" as const, list: allow },
  ];
  return lists.filter(({ list }) => !list.isEmpty);
}

/** An empty one is for nothing at all. */
function tokenList(entries: readonly string[]): OwnedList {
  return { owner: "token", kind: "allow", mode: "enforce", list: new DestinationList("allow", entries) };
}

function verdictBy(steps: readonly ListStep[]): ListVerdict {
  const refusing = steps.find(({ effect }) => effect === "refuses");
  if (refusing !== undefined) {
    return { refusal: refusalBy(refusing.owner, refusing.list, refusing.entry), reports: [] };
  }
  const reporting = steps.filter(({ effect }) => effect === "reports");
  if (reporting.length === 0) return PASSED;
  const reports = reporting.map(({ owner, list, entry }) => ({
    owner,
    entry,
    refusal: refusalBy(owner, list, entry),
  }));
  return { refusal: null, reports };
}

function refusalBy(owner: ListOwner, kind: ListKind, entry: string | null): PolicyRefusal {
  if (kind === "deny")
    return { code: "destination-denied", reason: `denied by ${entry} on the ${owner}'s list` };
  const reason = `not on the ${owner}'s list of allowed destinations`;
  return { code: "destination-not-allowed", reason };
}

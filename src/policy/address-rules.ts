/**
 * Which addresses may be dialled at all: by default only what is globally reachable, and neither
 * this machine nor the services of its cloud.
 *
 * Every IPv6 form that carries an IPv4 address is unwrapped first and judged by what it
 * carries, so that no spelling of 127.0.0.1 gets through and no NAT64 form of a public
 * address is refused. What is judged is the address that is then dialled, never a name.
 * [DE1] [DE2] [DE3] [DE5] [DE6] [DE7] [DE9]
 */
import ipaddr from "ipaddr.js";
import { carriedBy, isWrapping } from "./embedded-addresses.ts";
import {
  type Address,
  CLOUD_SERVICES,
  GLOBAL_IPV6,
  isIn,
  parseAddress,
  parseRange,
  type Range,
  SPECIAL_IPV4,
  SPECIAL_IPV6,
  THIS_MACHINE,
} from "./special-ranges.ts";

type Soon<Value> = Value | Promise<Value>;

/** What the machine is: its own addresses and places. */
export interface OwnMachine {
  /** Whether an address is the machine's own. */
  readonly isOwn: (ip: string) => Soon<boolean>;
  /** Whether something of ours listens there, whatever else is allowed of the address. */
  readonly isOwnPlace?: (ip: string, port: number) => Soon<boolean>;
  /** Whether something of ours goes by a name, as `requestedName` has it. */
  readonly isOwnName?: (name: string, port: number) => boolean;
}

/** What an operator says beyond the defaults, and how the machine is known. */
export interface AddressRulesOptions {
  /** Ranges in CIDR form that may be reached although they are special, or the machine's own. */
  readonly allowed?: readonly string[];
  /** Ranges that may not be reached. The longest range decides, and denial among equals. */
  readonly denied?: readonly string[];
  /** Ranges in CIDR form that the pool opens: special ones, and never the machine's own addresses. [DE9] */
  readonly opened?: readonly string[];
  readonly machine?: OwnMachine;
}

/** `named` was allowed as the one address that it is. `global` and `opened` are permitted unless they are the machine's own. */
type Kind = "named" | "allowed" | "global" | "opened" | "denied" | "special" | "malformed" | "cloud";

interface Verdict {
  readonly kind: Kind;
  /** Of `cloud`. */
  readonly cloud?: string;
  /** IPv4 addresses inside of it, for the machine may have one of these. */
  readonly carried: readonly string[];
}

interface Rule {
  readonly range: Range;
  readonly kind: "named" | "allowed" | "denied";
}

/** Verdicts that are remembered at once. */
const MAX_VERDICTS = 4_096;
const HINT = "hosts reach it only if they run with --allow for its range";
const OWN = `an address of the host itself; ${HINT}`;
const OWN_NAME = "the edge, which is not reached through its own hosts";
const OWN_PLACE =
  "a place where the host or its edge listens; hosts reach it only with --allow for that address alone";

/** Those of one host, and of what one pool opens. */
export class AddressRules {
  /** Longest first, and denials before exceptions of the same length: the first that fits decides. */
  readonly #rules: readonly Rule[];
  readonly #opened: readonly Range[];
  readonly #machine: OwnMachine | null;
  /** By address as it was written: parsing and comparing would cost more than choosing a port. */
  readonly #verdicts = new Map<string, Verdict>();

  constructor({ allowed = [], denied = [], opened = [], machine }: AddressRulesOptions = {}) {
    this.#machine = machine ?? null;
    this.#opened = opened.flatMap(readableRange);
    this.#rules = [...rulesOf(denied, true), ...rulesOf(allowed, false)].toSorted(
      (one, other) => other.range[1] - one.range[1],
    );
  }

  /** Why an address (as text, canonical) may not be dialled, as the end of a sentence; null if it may. */
  refusalOf(address: string, port: number): Soon<string | null> {
    const verdict = this.#verdictOf(address);
    if (!isPermitted(verdict.kind)) return reasonOf(verdict);
    if (this.#machine === null || verdict.kind === "named") return null;
    return this.#ownReason(this.#machine, address, port, verdict);
  }

  /** Whether a name by itself says anything. */
  get knowsNames(): boolean {
    return this.#machine?.isOwnName !== undefined;
  }

  /** Why a name may not be asked for, as the end of a sentence; null if it may. */
  refusalOfName(name: string, port: number): string | null {
    return this.#machine?.isOwnName?.(name, port) === true ? OWN_NAME : null;
  }

  /** What an address is by its range alone, in words. */
  describe(address: string): string {
    const verdict = this.#verdictOf(address);
    if (verdict.kind === "global") return "globally reachable";
    if (verdict.kind === "opened") return "special, in a network that the pool opens";
    if (isPermitted(verdict.kind)) return "in a range that the host's operator allows with --allow";
    return reasonOf(verdict);
  }

  /** Whether an address may be dialled, as far as its range goes. What is no address may not. */
  permits(address: string): boolean {
    return isPermitted(this.#verdictOf(address).kind);
  }

  #ownReason(
    machine: OwnMachine,
    address: string,
    port: number,
    { kind, carried }: Verdict,
  ): Soon<string | null> {
    const ips = [address, ...carried];
    const arePlaces = ips.map((ip) => machine.isOwnPlace?.(ip, port) ?? false);
    // Where its range is allowed, only what listens there counts.
    const areOwn = kind === "allowed" ? [] : ips.map((ip) => machine.isOwn(ip));
    if (areOwn.includes(true)) return OWN;
    if (arePlaces.includes(true)) return OWN_PLACE;
    if (![...arePlaces, ...areOwn].some((is) => is instanceof Promise)) return null;
    return Promise.all([anyOf(areOwn), anyOf(arePlaces)]).then(([isOwn, isPlace]) =>
      isOwn ? OWN : isPlace ? OWN_PLACE : null,
    );
  }

  #verdictOf(address: string): Verdict {
    const known = this.#verdicts.get(address);
    if (known !== undefined) return known;
    // A zone names an interface of this machine, which clients must not choose.
    const isAddress = !address.includes("%") && ipaddr.isValid(address);
    const verdict = isAddress
      ? this.#judge(parseAddress(address))
      : { kind: "malformed" as const, carried: [] };
    // Ranges never change, so a verdict stays true; only their number is bounded.
    if (this.#verdicts.size >= MAX_VERDICTS) this.#verdicts.clear();
    this.#verdicts.set(address, verdict);
    return verdict;
  }

  #judge(address: Address): Verdict {
    const inner = carriedBy(address);
    const carried = inner.map(String);
    const ruled = this.#ruled(address);
    if (ruled !== undefined) {
      const isDenied = inner.some((one) => this.#ruled(one) === "denied");
      return { kind: isDenied ? "denied" : ruled, carried };
    }
    const cloud = CLOUD_SERVICES.find(([range]) => isIn(address, range))?.[1];
    if (cloud !== undefined) return this.#unlessOpened(address, { kind: "cloud", cloud, carried });
    // A Teredo address carries two; one prohibited address among them is enough.
    const verdicts = inner.map((one) => this.#judge(one));
    const prohibited = verdicts.find(({ kind }) => !isPermitted(kind));
    if (prohibited !== undefined) return { ...prohibited, carried };
    if (verdicts.length > 0 && isWrapping(address)) return { kind: kindAround(verdicts), carried };
    const isGlobal =
      address.kind() === "ipv4"
        ? !SPECIAL_IPV4.some((range) => isIn(address, range))
        : isIn(address, GLOBAL_IPV6) && !SPECIAL_IPV6.some((range) => isIn(address, range));
    return isGlobal ? { kind: "global", carried } : this.#unlessOpened(address, { kind: "special", carried });
  }

  #unlessOpened(address: Address, verdict: Verdict): Verdict {
    const isOpened =
      this.#opened.some((range) => isIn(address, range)) &&
      !THIS_MACHINE.some((range) => isIn(address, range));
    return isOpened ? { kind: "opened", carried: verdict.carried } : verdict;
  }

  #ruled(address: Address): Rule["kind"] | undefined {
    return this.#rules.find(({ range }) => isIn(address, range))?.kind;
  }
}

async function anyOf(answers: readonly Soon<boolean>[]): Promise<boolean> {
  for (const answer of answers) if (await answer) return true;
  return false;
}

/** Of a wrapping whose contents may all be reached. */
function kindAround(verdicts: readonly Verdict[]): Kind {
  const kinds = new Set(verdicts.map(({ kind }) => kind));
  if (kinds.has("opened")) return "opened";
  if (kinds.has("global")) return "global";
  return kinds.has("allowed") ? "allowed" : "named";
}

function rulesOf(texts: readonly string[], isDenial: boolean): Rule[] {
  return texts.map((text) => {
    const range = parseRange(text);
    const isOne = range[1] === (range[0].kind() === "ipv4" ? 32 : 128);
    return { range, kind: isDenial ? "denied" : isOne ? "named" : "allowed" };
  });
}

/** What is none opens nothing. */
function readableRange(text: string): Range[] {
  return ipaddr.isValidCIDR(text) ? [parseRange(text)] : [];
}

function isPermitted(kind: Kind): boolean {
  return kind === "named" || kind === "allowed" || kind === "global" || kind === "opened";
}

function reasonOf({ kind, cloud }: Verdict): string {
  if (kind === "denied") return "in a range that the host's operator denies with --deny";
  if (kind === "malformed") return "no address that can be reached";
  if (kind === "cloud") return `a service of the cloud (${cloud}) to its own machines; ${HINT}`;
  return `a private or special address; ${HINT}`;
}

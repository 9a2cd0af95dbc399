/**
 * Which addresses a client may reach: by default only what is globally reachable, and neither
 * this machine nor the services of its cloud.
 *
 * Every IPv6 form that carries an IPv4 address is unwrapped first and judged by what it
 * carries, so that no spelling of 127.0.0.1 gets through and no NAT64 form of a public
 * address is refused. What is judged is the address that is then dialled, never a name.
 * [DE1] [DE2] [DE3] [DE5] [DE6] [DE7]
 */
import ipaddr from "ipaddr.js";
import {
  type Address,
  CLOUD_SERVICES,
  GLOBAL_IPV6,
  isIn,
  parseRange,
  type Range,
  SPECIAL_IPV4,
  SPECIAL_IPV6,
} from "./special-ranges.ts";

/** What an operator says beyond the defaults, and how the machine's own addresses are known. */
export interface PolicyOptions {
  /** Ranges in CIDR form that may be reached although they are special, or the machine's own. */
  readonly allowed?: readonly string[];
  /** Ranges that may not be reached. The longest range decides, and denial among equals. */
  readonly denied?: readonly string[];
  /** Whether an address is the machine's own. */
  readonly isOwn?: (ip: string) => boolean | Promise<boolean>;
}

/** `global` is permitted unless it is the machine's own. */
type Verdict = "allowed" | "global" | "denied" | "special" | "malformed" | { readonly cloud: string };

interface Rule {
  readonly range: Range;
  readonly verdict: "allowed" | "denied";
}

/** Where a range keeps the IPv4 address that it embeds: offset in bytes. */
const EMBEDDING: readonly (readonly [Range, number])[] = (
  [
    ["::ffff:0:0/96", 12], // mapped
    ["::/96", 12], // compatible; :: and ::1 become 0.0.0.0 and 0.0.0.1
    ["::ffff:0:0:0/96", 12], // translated (SIIT)
    ["64:ff9b::/96", 12], // NAT64
    ["2002::/16", 2], // 6to4
  ] as const
).map(([text, offset]) => [ipaddr.parseCIDR(text), offset]);

const TEREDO: Range = parseRange("2001::/32");

/** Verdicts that are remembered at once. */
const MAX_VERDICTS = 4_096;
const HINT = "hosts reach it only if they run with --allow for its range";

/** Decides which destination addresses may be dialled. */
export class DestinationPolicy {
  /** Longest first, and denials before exceptions of the same length: the first that fits decides. */
  readonly #rules: readonly Rule[];
  readonly #isOwn: (ip: string) => boolean | Promise<boolean>;
  /** By address as it was written: parsing and comparing would cost more than choosing a port. */
  readonly #verdicts = new Map<string, Verdict>();

  constructor({ allowed = [], denied = [], isOwn = () => false }: PolicyOptions = {}) {
    this.#isOwn = isOwn;
    this.#rules = [...rulesOf(denied, "denied"), ...rulesOf(allowed, "allowed")].toSorted(
      (one, other) => other.range[1] - one.range[1],
    );
  }

  /** Why an address (as text, canonical) may not be dialled, as the end of a sentence; null if it may. */
  refusalOf(address: string): string | null | Promise<string | null> {
    const verdict = this.#verdictOf(address);
    if (verdict === "allowed") return null;
    if (verdict !== "global") return reasonOf(verdict);
    const isOwn = this.#isOwn(address);
    return typeof isOwn === "boolean" ? ownReason(isOwn) : isOwn.then(ownReason);
  }

  /** Whether an address may be dialled, as far as its range goes. What is no address may not. */
  permits(address: string): boolean {
    return isPermitted(this.#verdictOf(address));
  }

  #verdictOf(address: string): Verdict {
    const known = this.#verdicts.get(address);
    if (known !== undefined) return known;
    // A zone names an interface of this machine, which clients must not choose.
    const isAddress = !address.includes("%") && ipaddr.isValid(address);
    const verdict = isAddress ? this.#judge(ipaddr.parse(address)) : "malformed";
    // Ranges never change, so a verdict stays true; only their number is bounded.
    if (this.#verdicts.size >= MAX_VERDICTS) this.#verdicts.clear();
    this.#verdicts.set(address, verdict);
    return verdict;
  }

  #judge(address: Address): Verdict {
    const ruled = this.#ruled(address);
    const inner = address.kind() === "ipv6" ? embeddedIn(address.toByteArray(), address) : [];
    if (ruled !== undefined) {
      return inner.some((carried) => this.#ruled(carried) === "denied") ? "denied" : ruled;
    }
    const cloud = CLOUD_SERVICES.find(([range]) => isIn(address, range))?.[1];
    if (cloud !== undefined) return { cloud };
    if (address.kind() === "ipv4") {
      return SPECIAL_IPV4.some((range) => isIn(address, range)) ? "special" : "global";
    }
    // A Teredo address carries two; one prohibited address among them is enough.
    const carried = inner.map((one) => this.#judge(one));
    const prohibited = carried.find((verdict) => !isPermitted(verdict));
    if (prohibited !== undefined) return prohibited;
    if (isUnwrapped(address)) return carried.every((verdict) => verdict === "allowed") ? "allowed" : "global";
    const isGlobal = isIn(address, GLOBAL_IPV6) && !SPECIAL_IPV6.some((range) => isIn(address, range));
    return isGlobal ? "global" : "special";
  }

  #ruled(address: Address): Rule["verdict"] | undefined {
    return this.#rules.find(({ range }) => isIn(address, range))?.verdict;
  }
}

function rulesOf(texts: readonly string[], verdict: Rule["verdict"]): Rule[] {
  return texts.map((text) => ({ range: parseRange(text), verdict }));
}

/** The text to dial: an IPv4-mapped IPv6 address is the IPv4 address to every kernel. */
export function unmapped(address: string): string {
  if (!address.includes(":") || !ipaddr.isValid(address)) return address;
  return ipaddr.process(address).toString();
}

function isPermitted(verdict: Verdict): boolean {
  return verdict === "allowed" || verdict === "global";
}

function ownReason(isOwn: boolean): string | null {
  return isOwn ? `an address of the host itself; ${HINT}` : null;
}

function reasonOf(verdict: Exclude<Verdict, "allowed" | "global">): string {
  if (verdict === "denied") return "in a range that the host's operator denies with --deny";
  if (verdict === "malformed") return "no address that can be reached";
  if (verdict === "special") return `a private or special address; ${HINT}`;
  return `a service of the cloud (${verdict.cloud}) to its own machines; ${HINT}`;
}

/** Whether the address is nothing but a wrapping, so that what it carries decides alone. */
function isUnwrapped(address: Address): boolean {
  return isIn(address, TEREDO) || EMBEDDING.some(([range]) => isIn(address, range));
}

function embeddedIn(bytes: readonly number[], address: Address): ipaddr.IPv4[] {
  if (isIn(address, TEREDO)) {
    const obscured = bytes.slice(12, 16).map((byte) => byte ^ 0xff);
    return [new ipaddr.IPv4(bytes.slice(4, 8)), new ipaddr.IPv4(obscured)];
  }
  for (const [range, offset] of EMBEDDING) {
    if (isIn(address, range)) return [new ipaddr.IPv4(bytes.slice(offset, offset + 4))];
  }
  // ISATAP: an interface identifier of 00-00-5E-FE or 02-00-5E-FE before the IPv4 address.
  const isIsatap = (bytes[8]! & 0xfd) === 0 && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe;
  return isIsatap ? [new ipaddr.IPv4(bytes.slice(12, 16))] : [];
}

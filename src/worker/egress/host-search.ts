/**
 * The hosts that one request may try, one after the other. What a refusal says is remembered for
 * this request, and for a while for the next ones.
 *
 * A refusal concerns no more than it says: a host that drains is passed over altogether, one
 * that lost its lease or is full only on that address, and a wrong family the whole family.
 * [WK8] [WK11] [WK20] [WK21] [WK22]
 */
import { type Outcome, refuse } from "../../core/outcome.ts";
import { type Family, familyOf, otherFamily } from "../../core/address-family.ts";
import {
  type Avoid,
  chooseHost,
  type Destined,
  fittingIps,
  NOBODY,
  permittedPart,
  type PlacementRefusal,
  rankIps,
  sessionIps,
} from "../../core/host-choice.ts";
import { hasBothFamilies, type PlacedHost, type PlacedIp, type Placement } from "../../core/placement.ts";
import type { HostRefusal } from "../../core/problems.ts";
import { heldUntilMs } from "../../core/session-hold.ts";
import type { Selection } from "../../core/selection.ts";
import { formatSelection } from "../../wire/selection-header.ts";
import { fullHosts, cooldowns, placements, suspects, wrongFamilies } from "../hosts/edge-state.ts";
import type { Destination } from "./destination.ts";

/** What a request looks for a host for. */
export interface Wanted {
  readonly pool: string;
  readonly selection: Selection;
  readonly destination: Destination;
  /** The only addresses that the sender may leave from; absent for all of the pool's. */
  readonly permittedIps?: readonly string[] | undefined;
}

/** What a host is told of the address to leave from; null leaves it to the host. */
export interface Departure {
  readonly egress: string | null;
  /** Whether it may be another than the one that was chosen. */
  readonly isOpen: boolean;
}

const FAMILIES: readonly Family[] = [4, 6];

/** One request's search. */
export class HostSearch {
  readonly #wanted: Wanted;
  #placement: Placement;
  /** The addresses that are where the selection wants them. */
  #fitting: readonly PlacedIp[];
  #ranked: Outcome<readonly PlacedIp[], PlacementRefusal>;
  /** Hosts, and hosts on an address, that this request does not try again. */
  readonly #tried = new Set<string>();
  readonly #refusedFamilies = new Set<Family>();
  #isOutdated = false;
  #isLeaseLost = false;
  #latest: PlacedHost | null = null;
  #latestIp: string | null = null;

  constructor(wanted: Wanted, placement: Placement) {
    this.#wanted = wanted;
    this.#placement = permittedPart(placement, wanted.permittedIps);
    this.#fitting = fittingIps(this.#placement, wanted.selection);
    this.#ranked = this.#rank(this.#likelyFamily());
  }

  /** Whether any host serves what is wanted. */
  get isServed(): boolean {
    return this.#ranked.ok && this.#ranked.value.some(({ hosts }) => hosts.length > 0);
  }

  /** Why no host can be looked for at all. */
  get refusal(): PlacementRefusal | null {
    return this.#ranked.ok ? null : this.#ranked.refusal;
  }

  /** Whether something shows that the placement is out of date. */
  get isOutdated(): boolean {
    return this.#isOutdated;
  }

  /** Whether a host has said that it does not serve an address any more: another may by now. [WK45] */
  get isLeaseLost(): boolean {
    return this.#isLeaseLost;
  }

  /** Goes on with a newer placement; hosts that were tried count as tried. */
  renew(placement: Placement): void {
    this.#isOutdated = false;
    this.#isLeaseLost = false;
    this.#placement = permittedPart(placement, this.#wanted.permittedIps);
    this.#fitting = fittingIps(this.#placement, this.#wanted.selection);
    const [refused] = this.#refusedFamilies;
    this.#ranked = this.#rank(refused === undefined ? this.#likelyFamily() : otherFamily(refused));
  }

  /** The host that was chosen last: the one that answered, if one did. */
  get latest(): PlacedHost | null {
    return this.#latest;
  }

  /** The next host to ask. */
  next(): Outcome<Destined, PlacementRefusal> {
    const chosen = this.#choose();
    if (chosen.ok) {
      this.#latest = chosen.value.host;
      this.#latestIp = chosen.value.ip;
    }
    return chosen;
  }

  #choose(): Outcome<Destined, PlacementRefusal> {
    const ranked = this.#ranked;
    if (!ranked.ok) return ranked;
    const isTried: Avoid =
      this.#tried.size === 0
        ? NOBODY
        : (host, ip) => this.#tried.has(host) || this.#tried.has(onAddress(host, ip));
    const nowMs = Date.now();
    if (cooldowns.isEmpty(nowMs) && fullHosts.isEmpty(nowMs))
      return chooseHost(ranked.value, isTried, Math.random);
    const isBad: Avoid = (host, ip) =>
      isTried(host, ip) || cooldowns.has(host, nowMs) || cooldowns.has(onAddress(host, ip), nowMs);
    const good = this.#preferCapacity(ranked.value, isBad, nowMs);
    return good.ok ? good : chooseHost(ranked.value, isTried, Math.random);
  }

  /**
   * What the host is told to leave from: the address that was chosen for it. A body that cannot
   * come back from a host of the wrong family is not sent on a guess, though: of a name of which
   * nothing is known the host may choose by itself, where its choice is the one that the edge
   * would make if it knew. [WK21]
   */
  departure({ ip, host }: Destined, canComeBack: boolean): Departure {
    const isOpen = !canComeBack && this.#isFamilyOpen() && this.#servesEither(host.host);
    if (!isOpen) return { egress: `ip="${ip}"`, isOpen };
    const { session } = this.#wanted.selection;
    return { egress: session === undefined ? null : formatSelection({ session }), isOpen };
  }

  /** A host is lost: this request asks it no more. Another may have come in its place. */
  lost({ host }: Destined): void {
    this.#tried.add(host.host);
    this.#isOutdated = true;
  }

  /**
   * A host has refused. `isFirstHop` is false when redirects were followed before it did: then
   * the refusal concerns a destination that the edge does not know.
   */
  refused(code: HostRefusal, { ip, host }: Destined, isFirstHop: boolean): void {
    const nowMs = Date.now();
    const pair = onAddress(host.host, ip);
    if (code === "draining" || code === "connections-exhausted" || code === "policy-missing") {
      this.#tried.add(host.host);
      cooldowns.add(host.host, nowMs);
    } else {
      this.#tried.add(pair);
    }
    if (code === "lease-lost") {
      this.#isLeaseLost = true;
      cooldowns.add(pair, nowMs);
      placements.doubt(this.#wanted.pool);
    }
    if (code === "lease-lost" || code === "draining") this.#isOutdated = true;
    if (code === "port-block-exhausted" && isFirstHop) fullHosts.add(this.#towards(pair), nowMs);
    if (code === "address-family-mismatch") this.#refuseFamily(familyOf(ip), isFirstHop, nowMs);
  }

  /**
   * Until when the session keeps the address that was chosen last (Unix milliseconds); null when nothing
   * is promised: no `ttl` was asked for, or the address is not the session's own. [PL10]
   */
  get heldUntilMs(): number | null {
    const { session, ttl } = this.#wanted.selection;
    const ip = this.#latestIp;
    if (session === undefined || ttl === undefined || ip === null || !this.#ranked.ok) return null;
    if (this.#ranked.value[0]?.ip !== ip) return null;
    // Of both families: where the destination's is not known, an address of either may come before it.
    const ips = sessionIps(this.#placement, this.#wanted.selection, null);
    const { settingUpUntilMs = null } = this.#placement;
    return heldUntilMs(session, ttl, ip, ips, settingUpUntilMs, Date.now());
  }

  /** Whether another request to this destination has just lost two hosts. [WK12] */
  get isSuspect(): boolean {
    return suspects.has(this.#wanted.destination.place, Date.now());
  }

  /** Notes that this request has lost two hosts. */
  suspect(): void {
    suspects.add(this.#wanted.destination.place, Date.now());
  }

  #refuseFamily(family: Family, isFirstHop: boolean, nowMs: number): void {
    const { destination, selection } = this.#wanted;
    this.#refusedFamilies.add(family);
    if (isFirstHop && destination.family === null) {
      wrongFamilies.add(familyKey(family, destination.name), nowMs);
    }
    const other = otherFamily(family);
    const mayLeave =
      selection.ip === undefined && !this.#refusedFamilies.has(other) && hasBothFamilies(this.#fitting);
    this.#ranked = mayLeave ? this.#rank(other) : refuse("no-host");
  }

  /** The family of an address, or what has been learnt of a name; null when either may do. */
  #likelyFamily(): Family | null {
    const { destination, selection } = this.#wanted;
    if (selection.ip !== undefined || !hasBothFamilies(this.#fitting)) return null;
    const { family, name } = destination;
    if (family !== null) return family;
    const nowMs = Date.now();
    if (wrongFamilies.isEmpty(nowMs)) return null;
    const [isNot4, isNot6] = FAMILIES.map((each) => wrongFamilies.has(familyKey(each, name), nowMs));
    if (isNot4 === isNot6) return null;
    return isNot4 ? 6 : 4;
  }

  #isFamilyOpen(): boolean {
    const { destination, selection } = this.#wanted;
    if (selection.ip !== undefined || selection.sticky === "strict") return false;
    // A host does not know where its addresses are.
    if (selection.country !== undefined || selection.site !== undefined) return false;
    if (this.#refusedFamilies.size > 0 || !hasBothFamilies(this.#fitting)) return false;
    return destination.family === null && this.#likelyFamily() === null;
  }

  /** Whether a host has an address of each family; for a session, the one that is its first. */
  #servesEither(host: string): boolean {
    return FAMILIES.every((family) => {
      const ranked = this.#rank(family);
      if (!ranked.ok) return false;
      const ips = this.#wanted.selection.session === undefined ? ranked.value : ranked.value.slice(0, 1);
      return ips.some(({ hosts }) => hosts.some((placed) => placed.host === host));
    });
  }

  #rank(family: Family | null): Outcome<readonly PlacedIp[], PlacementRefusal> {
    // The pool may have addresses: those that the sender may use it has not.
    if (this.#wanted.permittedIps !== undefined && this.#placement.ips.length === 0)
      return refuse("ip-unknown");
    return rankIps(this.#placement, this.#wanted.selection, Math.random, family, Date.now());
  }

  /** Hosts that were full a moment ago come after others; of a session, before its next address. */
  #preferCapacity(
    ranked: readonly PlacedIp[],
    avoid: Avoid,
    nowMs: number,
  ): Outcome<Destined, PlacementRefusal> {
    if (fullHosts.isEmpty(nowMs)) return chooseHost(ranked, avoid, Math.random);
    const isFull: Avoid = (host, ip) =>
      avoid(host, ip) || fullHosts.has(this.#towards(onAddress(host, ip)), nowMs);
    const groups = this.#wanted.selection.session === undefined ? [ranked] : ranked.map((placed) => [placed]);
    for (const group of groups) {
      const free = chooseHost(group, isFull, Math.random);
      if (free.ok) return free;
      const any = chooseHost(group, avoid, Math.random);
      if (any.ok) return any;
    }
    return refuse("no-host");
  }

  #towards(pair: string): string {
    return `${pair} ${this.#wanted.destination.place}`;
  }
}

/** A host on one of its addresses; no name of a host has a space. */
function onAddress(host: string, ip: string): string {
  return `${host} ${ip}`;
}

function familyKey(family: Family, name: string): string {
  return `${family} ${name}`;
}

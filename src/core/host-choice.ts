/**
 * Which host serves a request. The choices are pure, so that a Worker makes them from a cached copy
 * of the placement without asking anybody. [PL1]
 */
import { type Family, familyOf } from "./address-family.ts";
import { ok, type Outcome, refuse } from "./outcome.ts";
import type { PlacedHost, PlacedIp, Placement } from "./placement.ts";
import type { Selection } from "./selection.ts";
import { rendezvousWeight } from "./rendezvous.ts";
import { countingIps } from "./session-hold.ts";
import { isAnnouncedAt } from "./whereabouts.ts";

/** A host chosen for a request. */
export interface Destined {
  readonly ip: string;
  readonly host: PlacedHost;
}

/** Why no host could be chosen. */
export type PlacementRefusal =
  /** The pool has no such address. */
  | "ip-unknown"
  /** The pool has no address at all. */
  | "pool-empty"
  /** It has addresses, and none of them is what was selected. */
  | "selection-unserved"
  /** No host serves the address now, or any address of the pool. */
  | "no-host";

/** Whether a host is passed over, altogether or on this address. */
export type Avoid = (host: string, ip: string) => boolean;

/** Avoids no host. */
export const NOBODY: Avoid = () => false;

/** A placement as it is for those who may leave from some of its addresses only; undefined for all of them. [DE16] */
export function permittedPart(placement: Placement, permitted: readonly string[] | undefined): Placement {
  if (permitted === undefined) return placement;
  // A token names an address by its own name or by what the Internet calls it.
  const isPermitted = ({ ip, advertised }: PlacedIp): boolean =>
    permitted.includes(ip) || (advertised !== undefined && permitted.includes(advertised));
  const { ips, retiring = [] } = placement;
  return { ...placement, ips: ips.filter(isPermitted), retiring: retiring.filter(isPermitted) };
}

/** The addresses that are where a selection wants them. [PL9] */
export function fittingIps({ ips }: Placement, selection: Selection): readonly PlacedIp[] {
  const { country, site } = selection;
  return country === undefined && site === undefined ? ips : ips.filter((placed) => fits(placed, selection));
}

function fits(placed: PlacedIp, { country, site }: Selection): boolean {
  if (country !== undefined && placed.country !== country) return false;
  return site === undefined || isAnnouncedAt(placed.sites ?? [], site);
}

/**
 * Orders the addresses that fit a selection, best first. A session always sees the same
 * order (rendezvous hashing), so it keeps its address and moves only when nobody serves it;
 * with `strict` not even then; with `ttl`, at this time (Unix milliseconds), addresses that were
 * added lately do not count yet. With a family only addresses of it are considered, unless the
 * selection names one or there are none: then the host decides. [PL2] [PL3] [PL6] [PL9]
 */
export function rankIps(
  placement: Placement,
  selection: Selection,
  random: () => number,
  family: Family | null = null,
  nowMs = 0,
): Outcome<readonly PlacedIp[], PlacementRefusal> {
  if (selection.ip !== undefined) {
    const named = addressKnownAs(placement, selection.ip);
    if (named === undefined) return refuse("ip-unknown");
    return fits(named, selection) ? ok([named]) : refuse("selection-unserved");
  }
  if (placement.ips.length === 0) return refuse("pool-empty");
  const fitting = fittingIps(placement, selection);
  if (fitting.length === 0) return refuse("selection-unserved");
  const ips = ofFamily(fitting, family);
  if (selection.session === undefined) return ok(ips.length === 1 ? ips : rotate(ips, random));
  const { session, sticky, ttl } = selection;
  const candidates = sessionIps(placement, selection, family);
  const ranked = (ttl === undefined ? candidates : countingIps(candidates, ttl, nowMs))
    .map((placed) => ({ placed, weight: rendezvousWeight(session, placed.ip) }))
    .toSorted((a, b) => b.weight - a.weight)
    .map(({ placed }) => placed);
  return ok(sticky === "strict" ? ranked.slice(0, 1) : ranked);
}

/** By its own name, else by what the Internet calls it: `egress-ip` tells the latter. [PF6] */
function addressKnownAs({ ips }: Placement, name: string): PlacedIp | undefined {
  return ips.find(({ ip }) => ip === name) ?? ips.find(({ advertised }) => advertised === name);
}

/** The addresses that could be a session's: a strict one is refused while its own leaves the pool. [PL3] */
export function sessionIps(
  placement: Placement,
  selection: Selection,
  family: Family | null,
): readonly PlacedIp[] {
  const { ips, retiring = [] } = placement;
  const all = selection.sticky === "strict" ? [...ips, ...retiring] : ips;
  return ofFamily(fittingIps({ ...placement, ips: all }, selection), family);
}

/**
 * A host for a request: the first of the ranked addresses that somebody serves, and there one
 * host at random, the more capacity the likelier.
 */
export function chooseHost(
  ranked: readonly PlacedIp[],
  avoid: Avoid,
  random: () => number,
): Outcome<Destined, PlacementRefusal> {
  for (const { ip, hosts } of ranked) {
    let capacity = 0;
    for (const host of hosts) if (!avoid(host.host, ip)) capacity += capacityOf(host);
    let ticket = random() * capacity;
    for (const host of hosts) {
      if (avoid(host.host, ip)) continue;
      ticket -= capacityOf(host);
      if (ticket < 0) return ok({ ip, host });
    }
  }
  return refuse("no-host");
}

function ofFamily(ips: readonly PlacedIp[], family: Family | null): readonly PlacedIp[] {
  if (family === null) return ips;
  const fitting = ips.filter(({ ip }) => familyOf(ip) === family);
  return fitting.length === 0 ? ips : fitting;
}

/** A full host is still worth a try when there is no other: never zero. */
function capacityOf(host: PlacedHost): number {
  return Math.max(1, host.portCount - host.busiestCount);
}

function rotate(ips: readonly PlacedIp[], random: () => number): readonly PlacedIp[] {
  const start = Math.floor(random() * ips.length);
  return [...ips.slice(start), ...ips.slice(0, start)];
}

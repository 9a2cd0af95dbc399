/**
 * How many ports a host should hold, judged towards its busiest destination, since a port can
 * serve every destination at once.
 *
 * Beside the active blocks there is one spare. It is activated without asking the edge before the
 * active ones are used up, and a new one is asked for; after a long rest the host gives back what it
 * does not need. How much is kept ahead follows from how much room the address has: all that is
 * active once more where there is plenty, so holdings double; less where ports are dear, so that
 * others find some; and what is needed within the next seconds in any case. Where others need the
 * ports, or the operator sets a limit, a host holds less than it would like to. [LK6] [LK7] [LK10] [LK14]
 */
import type { Lease } from "../../core/lease-commands.ts";
import type { LeaseSettings } from "../../core/pool-settings.ts";
import { orderFor, portCountOf, UNIT_PORT_COUNT } from "../../core/port-block.ts";
import { minimumOf, type Room } from "../../core/share.ts";
import { isStatic } from "../../core/static-slots.ts";

/** Use of the active ports at which the spare is activated, where ports are plenty. */
const PRESSURE_SHARE = 0.7;
/** Use below which a host is at rest, where ports are plenty. */
const REST_SHARE = 0.25;
/** Use that must not be exceeded once a block is given back, where ports are plenty. */
const HALVING_SHARE = 0.5;
/** Part of what is left for each host that it keeps ahead: the rest is for whoever needs it first. */
const AHEAD_SHARE = 0.5;
/** Where ports are dear a host rests when it has so many times more than it keeps ahead. */
const DEAR_REST_FACTOR = 4;
/** and only for so much of the usual time. */
const DEAR_REST_SHARE = 1 / 6;
/** A block comes some seconds after it is asked for: routers may take two. */
const LEAD_SECONDS = 3;

/** What a host has on an address: draining blocks are in neither list. */
export interface Holdings {
  readonly active: readonly Lease[];
  readonly spare: Lease | null;
  /** Ports of everything it holds, draining blocks included. */
  readonly heldPortCount: number;
  /** Ports in use towards the busiest destination, of the active ones. */
  readonly busiestCount: number;
  /** By how much that grows in a second. */
  readonly growthPerSecond: number;
  /** What the address has left; null where the edge does not tell. [AL8] */
  readonly room: Room | null;
}

/** Ports to be kept ahead: of use, and beside the active blocks. [LK14] */
export function portsAhead({ active, growthPerSecond, room }: Holdings): number {
  const part = room === null ? Infinity : room.portCount / Math.max(1, room.hostCount);
  const wanted = Math.min(portsOf(active), Math.floor(part * AHEAD_SHARE));
  return Math.max(UNIT_PORT_COUNT, wanted, Math.ceil(growthPerSecond * LEAD_SECONDS));
}

/** Whether the spare is so much more than is to be kept ahead that others should have it at once. */
export function isSpareTooLarge(holdings: Holdings): boolean {
  const { spare } = holdings;
  return spare !== null && portCountOf(spare.order) > portsAhead(holdings) * DEAR_REST_FACTOR;
}

/** Use towards the busiest destination from which on the spare is to be active. */
export function pressureCount(holdings: Holdings): number {
  const portCount = portsOf(holdings.active);
  return Math.max(Math.ceil(portCount * PRESSURE_SHARE), portCount - portsAhead(holdings));
}

/** Whether the spare should be activated now. */
export function needsSpare(holdings: Holdings): boolean {
  return holdings.spare !== null && holdings.busiestCount >= pressureCount(holdings);
}

/** The order of the block to ask for; null when there is enough, or as much as one host may have. */
export function orderWanted(holdings: Holdings, settings: LeaseSettings): number | null {
  // The one slot that there is may still have to be given back; then it can be had again. [SM4]
  if (isStatic(settings) && holdings.heldPortCount > 0) return null;
  if (holdings.active.length === 0) return settings.firstBlockOrder;
  if (holdings.spare !== null) return null;
  if (holdings.heldPortCount + UNIT_PORT_COUNT > settings.maxPortsPerHost) return null;
  return orderFor(portsAhead(holdings));
}

/** How much of the usual rest must pass before something is given back: less where ports are dear. */
export function restShare(holdings: Holdings): number {
  const dearness = portsAhead(holdings) / portsOf(holdings.active);
  return Math.min(1, Math.max(DEAR_REST_SHARE, dearness));
}

/** Whether use is so low that a block could be given back if it stays so. */
export function isAtRest(holdings: Holdings, settings: LeaseSettings): boolean {
  const portCount = portsOf(holdings.active);
  const free = portCount - holdings.busiestCount;
  const isLittleUsed = holdings.busiestCount < portCount * REST_SHARE;
  const isTooMuch = free > portsAhead(holdings) * DEAR_REST_FACTOR;
  return (isLittleUsed || isTooMuch) && toGiveBack(holdings, settings) !== null;
}

/**
 * The lease to give back after a long rest: the largest active block that the first block's
 * size and the present use can spare, then a spare that has become too large. [LK7]
 */
export function toGiveBack(holdings: Holdings, settings: LeaseSettings): Lease | null {
  const { active, spare, busiestCount } = holdings;
  const total = portsOf(active);
  const ahead = portsAhead(holdings);
  const needed = Math.min(busiestCount / HALVING_SHARE, busiestCount + ahead * (DEAR_REST_FACTOR / 2));
  const atLeast = Math.max(portCountOf(settings.firstBlockOrder), needed);
  const candidates = active
    .filter((lease) => total - portCountOf(lease.order) >= atLeast)
    .toSorted((a, b) => b.order - a.order || b.epoch - a.epoch);
  if (candidates[0] !== undefined) return candidates[0];
  return spare !== null && active.length > 0 && spare.order > orderFor(total) ? spare : null;
}

/**
 * The leases to give back because together they are more than this host may hold: the spare, if
 * that is enough and not too much. Else it keeps as many ports as it may in whole blocks, of
 * equal ones those with the most flows; and where that were less than its minimum, or nothing,
 * the least that is not. Blocks that are being given back already do not count. [LK10]
 */
export function beyondShare(
  { active, spare }: Holdings,
  settings: LeaseSettings,
  flowCount: (lease: Lease) => number,
): readonly Lease[] {
  const all = spare === null ? active : [...active, spare];
  const { maxPortsPerHost } = settings;
  if (portsOf(all) <= maxPortsPerHost) return [];
  const isFair = (portCount: number): boolean =>
    portCount > 0 && portCount >= minimumOf(settings) && portCount <= maxPortsPerHost;
  if (spare !== null && isFair(portsOf(active))) return [spare];

  const usefulFirst = all.toSorted((a, b) => b.order - a.order || flowCount(b) - flowCount(a));
  // Sizes divide one another, so taking the largest that still fits comes as near as can be.
  const kept: Lease[] = [];
  for (const lease of usefulFirst) if (portsOf([...kept, lease]) <= maxPortsPerHost) kept.push(lease);
  if (isFair(portsOf(kept))) return without(all, kept);
  const smallestTooMuch = usefulFirst.findLast((lease) => !kept.includes(lease))!;
  const larger = kept.filter((lease) => lease.order >= smallestTooMuch.order);
  return without(all, [...larger, smallestTooMuch]);
}

function without(leases: readonly Lease[], kept: readonly Lease[]): readonly Lease[] {
  return leases.filter((lease) => !kept.includes(lease));
}

function portsOf(leases: readonly Lease[]): number {
  let total = 0;
  for (const lease of leases) total += portCountOf(lease.order);
  return total;
}

/**
 * How many ports a host should hold, judged towards its busiest destination, since a port can
 * serve every destination at once.
 *
 * Beside the active blocks there is one spare as large as all of them together. At 70 % use it is
 * activated without asking the edge, and a new one is asked for, so holdings double. After a long
 * rest they halve again. Where others need the ports, or the operator sets a limit, a host holds
 * less than it would like to. [LK6] [LK7] [LK10]
 */
import type { Lease } from "../../core/lease-commands.ts";
import type { LeaseSettings } from "../../core/pool-settings.ts";
import { orderFor, portCountOf, UNIT_PORT_COUNT } from "../../core/port-block.ts";
import { minimumOf } from "../../core/share.ts";
import { isStatic } from "../../core/static-slots.ts";
import { PRESSURE_SHARE } from "../egress/address-ports.ts";

/** Use below which a host is at rest. */
const REST_SHARE = 0.25;
/** Use that must not be exceeded once a block is given back. */
const HALVING_SHARE = 0.5;

/** What a host has on an address: draining blocks are in neither list. */
export interface Holdings {
  readonly active: readonly Lease[];
  readonly spare: Lease | null;
  /** Ports of everything it holds, draining blocks included. */
  readonly heldPortCount: number;
  /** Ports in use towards the busiest destination, of the active ones. */
  readonly busiestCount: number;
}

/** Whether the spare should be activated now. */
export function needsSpare(holdings: Holdings): boolean {
  return holdings.spare !== null && holdings.busiestCount >= portsOf(holdings.active) * PRESSURE_SHARE;
}

/** The order of the block to ask for; null when there is enough, or as much as one host may have. */
export function orderWanted(holdings: Holdings, settings: LeaseSettings): number | null {
  // The one slot that there is may still have to be given back; then it can be had again. [SM4]
  if (isStatic(settings) && holdings.heldPortCount > 0) return null;
  if (holdings.active.length === 0) return settings.firstBlockOrder;
  if (holdings.spare !== null) return null;
  if (holdings.heldPortCount + UNIT_PORT_COUNT > settings.maxPortsPerHost) return null;
  return orderFor(portsOf(holdings.active));
}

/** Whether use is so low that a block could be given back if it stays so. */
export function isAtRest(holdings: Holdings, settings: LeaseSettings): boolean {
  return (
    holdings.busiestCount < portsOf(holdings.active) * REST_SHARE && toGiveBack(holdings, settings) !== null
  );
}

/**
 * The lease to give back after a long rest: the largest active block that the first block's
 * size and the present use can spare, then a spare that has become too large. [LK7]
 */
export function toGiveBack(holdings: Holdings, settings: LeaseSettings): Lease | null {
  const { active, spare, busiestCount } = holdings;
  const total = portsOf(active);
  const atLeast = Math.max(portCountOf(settings.firstBlockOrder), busiestCount / HALVING_SHARE);
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

/**
 * Static pools: which places are somebody's, and what of them there is. A host has one slot of one
 * address of each family, and keeps it until it is let go of or removed. [SM7]
 */
import { type Family, familyOf } from "../../src/core/address-family.ts";
import { slotLayout, slotNumberOf, takenSlotCount } from "../../src/core/static-slots.ts";
import { rangeOf } from "../../src/core/port-block.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import { isAnnouncedAt } from "../../src/core/whereabouts.ts";
import type { HeldBlock } from "../calls/address-calls.ts";
import type { AssignmentStore } from "./assignment-store.ts";
import type { DrainStore } from "./drain-store.ts";
import type { PoolStore } from "./pool-store.ts";

/** What is asked of a pool here. */
export interface PlacesOptions {
  readonly store: PoolStore;
  readonly assignments: AssignmentStore;
  readonly drains: DrainStore;
}

/** What a static pool has room for, exactly. */
export interface SlotCapacity {
  readonly portsPerSlot: number;
  readonly slotsPerIp: number;
  /** Ports of each address that are in no slot. */
  readonly lostPortsPerIp: number;
  /** Of all addresses that are to be served. */
  readonly slotCount: number;
  /** Of these, those that are held or rest; null while not every address could be asked. */
  readonly takenCount: number | null;
}

/** A slot that a host has. */
export interface HeldSlot {
  readonly ip: string;
  /** Counts from 0. */
  readonly slot: number;
  readonly firstPort: number;
  readonly lastPort: number;
}

const FAMILIES: readonly Family[] = [4, 6];

/**
 * Whether a host of a static pool has no address of some family, though the pool has some for it,
 * because every slot of them is another host's.
 */
export function isWithoutSlot(
  { store, assignments, drains }: PlacesOptions,
  host: string,
  own: readonly string[],
): boolean {
  const settings = store.pool()?.settings;
  if (settings === undefined || settings.staticPortsPerHost === null || drains.hosts().has(host))
    return false;
  const { slotCount } = slotLayout(settings.staticPortsPerHost);
  const site = store.host(host)?.site ?? null;
  const drained = drains.ips();
  const suitable = store
    .ipsToServe()
    .filter(({ ip, sites }) => !drained.has(ip) && (sites.length === 0 || isAnnouncedAt(sites, site ?? "")));
  const counts = new Map<string, number>();
  for (const { ip } of assignments.all()) counts.set(ip, (counts.get(ip) ?? 0) + 1);
  return FAMILIES.some((family) => {
    const ofFamily = suitable.filter(({ ip }) => familyOf(ip) === family);
    if (ofFamily.length === 0 || own.some((ip) => familyOf(ip) === family)) return false;
    return ofFamily.every(({ ip }) => (counts.get(ip) ?? 0) >= slotCount);
  });
}

/** What each address holds; null for one that could not be asked. */
export type HeldByIp = ReadonlyMap<string, readonly HeldBlock[] | null>;

/** The capacity of the addresses that are to be served; null unless the pool is static. */
export function slotCapacity(
  { staticPortsPerHost }: PoolSettings,
  held: HeldByIp,
  ips: readonly string[],
): SlotCapacity | null {
  if (staticPortsPerHost === null) return null;
  const layout = slotLayout(staticPortsPerHost);
  let takenCount: number | null = 0;
  for (const ip of ips) {
    const blocks = held.get(ip) ?? null;
    takenCount = takenCount === null || blocks === null ? null : takenCount + takenSlotCount(layout, blocks);
  }
  return {
    portsPerSlot: staticPortsPerHost,
    slotsPerIp: layout.slotCount,
    lostPortsPerIp: layout.lostPortCount,
    slotCount: layout.slotCount * ips.length,
    takenCount,
  };
}

/** The slots that each host has, by its name. */
export function slotsByHost(settings: PoolSettings, held: HeldByIp): Map<string, HeldSlot[]> {
  const slots = new Map<string, HeldSlot[]>();
  const { staticPortsPerHost } = settings;
  if (staticPortsPerHost === null) return slots;
  const layout = slotLayout(staticPortsPerHost);
  for (const [ip, blocks] of held) {
    for (const { host, base, order, isLeased } of blocks ?? []) {
      const slot = slotNumberOf(layout, { base, order });
      if (!isLeased || slot === null) continue;
      const { first, last } = rangeOf({ base, order });
      slots.set(host, [...(slots.get(host) ?? []), { ip, slot, firstPort: first, lastPort: last }]);
    }
  }
  return slots;
}

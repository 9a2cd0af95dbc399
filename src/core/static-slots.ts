/**
 * Static mode (RFC 7422): each address of a pool is cut by a formula into slots of one size, and a
 * host has one of them until it gives it back or its operator removes it. No clock ends it. [SM1]
 *
 * Slot n is the block of that size at the first base where one fits above the ports that are never
 * leased, plus n times the size. So a size of 2,048 gives 31 slots, from 2048-4095 on.
 */
import type { LeaseTable } from "./lease-table.ts";
import { ok, type Outcome, refuse } from "./outcome.ts";
import type { LeaseSettings, PoolSettings } from "./pool-settings.ts";
import {
  blocksOverlap,
  FIRST_LEASABLE_PORT,
  LEASABLE_PORT_COUNT,
  orderFor,
  type PortBlock,
  PORT_END,
  portCountOf,
  UNIT_PORT_COUNT,
  unitOf,
} from "./port-block.ts";

/** How an address is cut into slots of one size. Ports below the first slot are lost to it. */
export interface SlotLayout {
  readonly order: number;
  readonly portsPerSlot: number;
  readonly firstBase: number;
  readonly slotCount: number;
  /** Ports that could be leased and are in no slot. */
  readonly lostPortCount: number;
}

/** The layout for slots of this many ports, a power of two from 64 to 4,096. [SM1] */
export function slotLayout(portsPerSlot: number): SlotLayout {
  const firstBase = Math.ceil(FIRST_LEASABLE_PORT / portsPerSlot) * portsPerSlot;
  const slotCount = (PORT_END - firstBase) / portsPerSlot;
  return {
    order: orderFor(portsPerSlot),
    portsPerSlot,
    firstBase,
    slotCount,
    lostPortCount: LEASABLE_PORT_COUNT - slotCount * portsPerSlot,
  };
}

/** The block of a slot, numbered from 0. */
export function slotAt({ order, portsPerSlot, firstBase }: SlotLayout, number: number): PortBlock {
  return { base: firstBase + number * portsPerSlot, order };
}

/** The number of the slot that a block is; null if it is none of this layout. */
export function slotNumberOf(layout: SlotLayout, { base, order }: PortBlock): number | null {
  const number = (base - layout.firstBase) / layout.portsPerSlot;
  return order === layout.order && Number.isInteger(number) && number >= 0 ? number : null;
}

/** Slots of an address that nobody new can have, since ports of them are in these blocks. */
export function takenSlotCount(layout: SlotLayout, taken: readonly PortBlock[]): number {
  let count = 0;
  for (let number = 0; number < layout.slotCount; number += 1) {
    const slot = slotAt(layout, number);
    if (taken.some((block) => blocksOverlap(block, slot))) count += 1;
  }
  return count;
}

/** Whether the leases of this pool are slots that no time ends. */
export function isStatic({ staticPortsPerHost }: Pick<LeaseSettings, "staticPortsPerHost">): boolean {
  return staticPortsPerHost !== null;
}

/**
 * The settings of a static pool as a host is told of them: a slot is all that it may hold, and all
 * that it asks for, so it keeps no spare, and neither grows nor gives back. [SM4]
 */
export function settingsOfSlot<Settings extends LeaseSettings>(settings: Settings): Settings {
  const { staticPortsPerHost } = settings;
  if (staticPortsPerHost === null) return settings;
  return {
    ...settings,
    firstBlockOrder: orderFor(staticPortsPerHost),
    minPortsPerHost: staticPortsPerHost,
    maxPortsPerHost: staticPortsPerHost,
  };
}

/**
 * A slot for a host that has none: the one that was unused for longest, the lowest number first. So
 * the first hosts of an address get the slots 0, 1, 2, whatever chance says. [SM2]
 */
export function chooseSlot(table: LeaseTable, portsPerSlot: number): Outcome<PortBlock, "address-exhausted"> {
  const layout = slotLayout(portsPerSlot);
  const taken = [...table.rows.values()];
  let chosen: PortBlock | null = null;
  let oldestMs = Infinity;
  for (let number = 0; number < layout.slotCount; number += 1) {
    const slot = slotAt(layout, number);
    const usedAtMs = lastUsedMs(table, slot);
    if (usedAtMs >= oldestMs || taken.some((row) => blocksOverlap(row, slot))) continue;
    chosen = slot;
    oldestMs = usedAtMs;
  }
  return chosen === null ? refuse("address-exhausted") : ok(chosen);
}

/** When a port of a block was last given up; 0 for never. */
function lastUsedMs({ unitHistory }: LeaseTable, { base, order }: PortBlock): number {
  const first = unitOf(base);
  return Math.max(...unitHistory.subarray(first, first + portCountOf(order) / UNIT_PORT_COUNT));
}

/**
 * The settings that a table follows from now on. While a port is leased the size of slots, and
 * whether there are any, stays as it is: no lease changes its kind. [SM6]
 */
export function settingsToFollow(table: LeaseTable, wanted: PoolSettings): PoolSettings {
  const isLeased = [...table.rows.values()].some(({ state }) => state === "leased");
  if (!isLeased && table.recovery === null) return wanted;
  return { ...wanted, staticPortsPerHost: table.settings.staticPortsPerHost };
}

/** Which block a host gets: one of its own that rests if it fits, else a free one. [AL2] [QU3] [SM2] */
import { chooseFree, freePortCount } from "./buddy-allocator.ts";
import { fairShareOf, resumableBy, spendableBy, usageByHost } from "./share.ts";
import { type Holder, type LeaseRow, type LeaseTable, rowsOf } from "./lease-table.ts";
import { ok, type Outcome, refuse } from "./outcome.ts";
import { MIN_ORDER, type PortBlock, portCountOf, UNIT_PORT_COUNT } from "./port-block.ts";
import { chooseSlot } from "./static-slots.ts";
import { isOwnQuarantined } from "./table-index.ts";

/** Why there is none. */
export type ChoiceRefusal = "share-exceeded" | "address-exhausted";

/** A block that a host may have. */
export interface Choice {
  readonly block: PortBlock;
  /** Epoch of the host's own quarantined row that it takes up; null for a free block. */
  readonly quarantined: number | null;
}

/** A new block for a host: one of its own quarantined ones if it fits, else a free one. */
export function chooseFor(
  table: LeaseTable,
  holder: Holder,
  order: number,
  nowMs: number,
  random: () => number,
): Outcome<Choice, ChoiceRefusal> {
  const { staticPortsPerHost } = table.settings;
  if (staticPortsPerHost !== null) return chooseSlotFor(table, holder, staticPortsPerHost);
  const usages = usageByHost(table);
  const fairShare = fairShareOf(table, usages, nowMs)?.portCount ?? Infinity;
  const { held } = usages.get(holder.host)!;
  const maximum = table.settings.maxPortsPerHost - held;
  const share = Math.min(maximum, fairShare - held);
  const affordable = largestOrderWithin(order, share);
  if (affordable === null) return refuse(maximum < UNIT_PORT_COUNT ? "share-exceeded" : "address-exhausted");

  const own = ownQuarantined(table, holder, Math.min(share, resumableBy(table, usages, holder, nowMs)));
  const exact = own.find((row) => row.order === affordable);
  if (exact) return ok(takenUp(exact));

  const { occupancy } = table.index;
  const spendable = spendableBy(table, usages, holder, freePortCount(occupancy), nowMs);
  const fitting = largestOrderWithin(affordable, spendable);
  const block = fitting === null ? null : chooseFree(occupancy, fitting, random);
  if (block !== null) return ok({ block, quarantined: null });

  // Better a block of its own, smaller or larger than asked for, than none. [QU3]
  const smaller = own.filter((row) => row.order < affordable).toSorted((a, b) => b.order - a.order);
  const larger = own.filter((row) => row.order > affordable).toSorted((a, b) => a.order - b.order);
  const inexact = smaller[0] ?? larger[0];
  return inexact ? ok(takenUp(inexact)) : refuse("address-exhausted");
}

/** The slot that it had, while that rests; else any that is free. Whatever order it asks for. [SM2] */
function chooseSlotFor(
  table: LeaseTable,
  holder: Holder,
  portsPerSlot: number,
): Outcome<Choice, ChoiceRefusal> {
  const own = ownQuarantined(table, holder, portsPerSlot).find(
    ({ order }) => portCountOf(order) === portsPerSlot,
  );
  if (own !== undefined) return ok(takenUp(own));
  const slot = chooseSlot(table, portsPerSlot);
  return slot.ok ? ok({ block: slot.value, quarantined: null }) : slot;
}

function takenUp(row: LeaseRow): Choice {
  return { block: { base: row.base, order: row.order }, quarantined: row.epoch };
}

/** Quarantined blocks, none larger than this, that this very instance held last. */
function ownQuarantined(table: LeaseTable, holder: Holder, portCount: number): LeaseRow[] {
  const own: LeaseRow[] = [];
  for (const row of rowsOf(table, holder.host)) {
    if (isOwnQuarantined(row, holder) && portCountOf(row.order) <= portCount) own.push(row);
  }
  return own;
}

function largestOrderWithin(order: number, portCount: number): number | null {
  for (let candidate = order; candidate >= MIN_ORDER; candidate -= 1) {
    if (portCountOf(candidate) <= portCount) return candidate;
  }
  return null;
}

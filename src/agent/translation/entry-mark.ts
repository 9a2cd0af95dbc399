/**
 * The mark of the kernel's entries of translated flows: it tells the address and the unit, so that the entries of a unit
 * can be ended, and those of all be read, without reading any others. Only the bits of the mask are ours. [SN6]
 *
 *     bit 30         set
 *     bit 29 … 24   the address, counted from 1 in the order in which addresses came
 *     bit 23 … 14   the unit
 */
import { UNIT_COUNT } from "../../core/port-block.ts";

/** Bits of a mark. */
export interface EntryMark {
  readonly value: number;
  readonly mask: number;
}

const UNIT_SHIFT = 14;
const ADDRESS_SHIFT = 24;
/** Addresses that can be told apart; one host serves few. */
export const MOST_ADDRESSES = 63;
const OURS = 2 ** 30;
const MASK = (OURS | (MOST_ADDRESSES << ADDRESS_SHIFT) | ((UNIT_COUNT - 1) << UNIT_SHIFT)) >>> 0;

/** What all marks of ours have in common, and no other. */
export const ANY_ENTRY: EntryMark = { value: OURS, mask: OURS };

/** The mark of flows in a unit of an address. */
export function entryMark(address: number, unit: number): EntryMark {
  return { value: (OURS | (address << ADDRESS_SHIFT) | (unit << UNIT_SHIFT)) >>> 0, mask: MASK };
}

/** As few marks as can be that fit the units of an address, and no others. Aligned runs of units share one. */
export function marksOfUnits(address: number, units: ReadonlySet<number>): EntryMark[] {
  const marks: EntryMark[] = [];
  const left = new Set(units);
  for (const unit of [...units].toSorted((a, b) => a - b)) {
    if (!left.has(unit)) continue;
    let size = 1;
    while (unit % (size * 2) === 0 && hasAll(left, unit, size * 2)) size *= 2;
    for (let at = unit; at < unit + size; at += 1) left.delete(at);
    const { value, mask } = entryMark(address, unit);
    marks.push({ value, mask: (mask & ~((size - 1) << UNIT_SHIFT)) >>> 0 });
  }
  return marks;
}

function hasAll(units: ReadonlySet<number>, first: number, count: number): boolean {
  for (let unit = first; unit < first + count; unit += 1) if (!units.has(unit)) return false;
  return true;
}

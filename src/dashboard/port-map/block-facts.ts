/** What is said of a port and of its block, in the card, in the table and aloud. */
import {
  FIRST_LEASABLE_PORT,
  formatRange,
  portCountOf,
  rangeOf,
  UNIT_PORT_COUNT,
} from "../../core/port-block.ts";
import type { AddressBlock, AddressStore } from "../live/address-store.ts";
import { instant, percent, span, whole } from "../parts/words.ts";
import { type BlockUses, useKey } from "./picture.ts";

/** Until when a block is as it is; null while no time ends it. */
export function untilMsOf(block: AddressBlock, store: AddressStore): number | null {
  if (block.state === "quarantined") return block.freeAtMs;
  return store.rest?.holders.find(({ host }) => host === block.host)?.expiresAtMs ?? null;
}

/** `in 4 min`; for what no time ends `no end`. */
export function untilText(block: AddressBlock, store: AddressStore, nowMs: number): string {
  const untilMs = untilMsOf(block, store);
  if (untilMs === null) return "no end";
  return untilMs > nowMs ? `in ${span(untilMs - nowMs)}` : "now";
}

/** `12 of 64 (19 %)`; what nobody tells is said so. */
export function useText(block: AddressBlock, uses: BlockUses): string {
  if (block.state === "quarantined") return "at rest";
  const inUseCount = uses.counts.get(useKey(block.host, block.base));
  const portCount = portCountOf(block.order);
  if (inUseCount === undefined) return uses.tellers.has(block.host) ? "none, a spare" : "not told";
  return `${whole(inUseCount)} of ${whole(portCount)} (${percent(inUseCount / portCount)})`;
}

/** The block that a port is in. */
export function blockAt(store: AddressStore, port: number): AddressBlock | null {
  return store.units[Math.floor(port / UNIT_PORT_COUNT)] ?? null;
}

/** One sentence about a port, for those who hear it. */
export function portSentence(store: AddressStore, port: number, nowMs: number): string {
  const block = blockAt(store, port);
  if (block === null)
    return port < FIRST_LEASABLE_PORT ? `Port ${port}: reserved, never leased.` : `Port ${port}: free.`;
  const state = block.state === "leased" ? "leased by" : "in quarantine, last of";
  return `Port ${port}: block ${formatRange(rangeOf(block))}, ${state} ${block.host}, epoch ${block.epoch}, since ${instant(block.grantedAtMs)}, until ${untilText(block, store, nowMs)}.`;
}

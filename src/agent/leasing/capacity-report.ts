/** What a host tells its pool of its capacity, and when that is worth a message. [PM3] */
import { isDeepStrictEqual } from "node:util";
import type { AddressCapacity, LeavingAddress } from "../../core/messages.ts";

/** What was or would be told. */
export interface CapacityReport {
  readonly draining: boolean;
  readonly rooms: readonly AddressCapacity[];
  readonly leaving?: readonly LeavingAddress[] | undefined;
  readonly policyVersion?: number | undefined;
}

/** How soon a change is to be told. */
export type Urgency = "now" | "soon" | "later" | "never";

/** Share of the ports by which use must have changed to be worth a message. */
const WORTHY_SHARE = 1 / 8;
/** Destinations that have failed, or work again. */
const WORTHY_FAILURES = 3;

/** Compares with what was told last: requests must not be sent where nothing can serve them, all else can wait. */
export function urgencyOf(told: CapacityReport, present: CapacityReport): Urgency {
  if (told.draining !== present.draining || told.rooms.length !== present.rooms.length) return "now";
  if (ipsOf(told.leaving).join() !== ipsOf(present.leaving).join()) return "now";
  let urgency: Urgency = "never";
  const raise = (to: "soon" | "later"): void => {
    if (urgency !== "soon") urgency = to;
  };
  if (told.policyVersion !== present.policyVersion) raise("soon");
  for (const [at, leaving] of (present.leaving ?? []).entries()) {
    if (isWorthyOfLeaving(told.leaving![at]!, leaving)) raise("soon");
  }
  for (const [at, capacity] of present.rooms.entries()) {
    const before = told.rooms[at]!;
    if (before.ip !== capacity.ip || isServing(before) !== isServing(capacity)) return "now";
    if (before.absent !== capacity.absent) return "now";
    if (before.uplink?.state !== capacity.uplink?.state) return "now";
    if (before.limit !== capacity.limit) raise("soon");
    if (before.portCount !== capacity.portCount || isWorthy(before, capacity)) raise("soon");
    if (isElsewhere(before, capacity)) raise("later");
  }
  return urgency;
}

function ipsOf(leaving: readonly LeavingAddress[] = []): string[] {
  return leaving.map(({ ip }) => ip);
}

/** An operator waits for the end: of many flows an eighth is told, of few each, and the last for certain. */
function isWorthyOfLeaving(before: LeavingAddress, leaving: LeavingAddress): boolean {
  if (before.portCount !== leaving.portCount) return true;
  const change = Math.abs(before.flowCount - leaving.flowCount);
  const isLast = leaving.flowCount === 0 && change > 0;
  return isLast || change >= Math.max(1, before.flowCount * WORTHY_SHARE);
}

/** Whether a request would find a port, wherever it goes. */
function isServing({ portCount, busiestCount }: AddressCapacity): boolean {
  return portCount > busiestCount;
}

/** Free ports decide where requests go. Of many, a change by an eighth is told; of few, by a half. */
function isWorthy(before: AddressCapacity, capacity: AddressCapacity): boolean {
  const change = Math.abs(capacity.busiestCount - before.busiestCount);
  const left = Math.min(freeOf(before), freeOf(capacity));
  if (change >= Math.max(1, Math.min(capacity.portCount * WORTHY_SHARE, left / 2))) return true;
  const failures = Math.abs((capacity.uplink?.failedCount ?? 0) - (before.uplink?.failedCount ?? 0));
  return (
    failures >= WORTHY_FAILURES || JSON.stringify(doubtsOf(before)) !== JSON.stringify(doubtsOf(capacity))
  );
}

/** Which destination is the busiest decides nothing, so it is told alone only where much of the ports is in use. */
function isElsewhere(before: AddressCapacity, { portCount, busiestCount, ...now }: AddressCapacity): boolean {
  if (busiestCount < Math.max(1, portCount * WORTHY_SHARE)) return false;
  return !isDeepStrictEqual(before.busiestDestination, now.busiestDestination);
}

function freeOf({ portCount, busiestCount }: AddressCapacity): number {
  return Math.max(0, portCount - busiestCount);
}

function doubtsOf({ uplink }: AddressCapacity): unknown {
  return uplink?.doubts ?? [];
}

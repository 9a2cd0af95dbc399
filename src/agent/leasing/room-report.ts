/** What a host tells its pool of its room, and when that is worth a message. [PM3] */
import type { AddressRoom } from "../../core/messages.ts";

/** What was or would be told. */
export interface RoomReport {
  readonly draining: boolean;
  readonly rooms: readonly AddressRoom[];
}

/** How soon a change is to be told. */
export type Urgency = "now" | "soon" | "never";

/** Share of the ports by which use must have changed to be worth a message. */
const WORTHY_SHARE = 1 / 8;
/** Destinations that have failed, or work again. */
const WORTHY_FAILURES = 3;

/** Compares with what was told last: requests must not be sent where nothing can serve them, all else can wait. */
export function urgencyOf(told: RoomReport, present: RoomReport): Urgency {
  if (told.draining !== present.draining || told.rooms.length !== present.rooms.length) return "now";
  let urgency: Urgency = "never";
  for (const [at, room] of present.rooms.entries()) {
    const before = told.rooms[at]!;
    if (before.ip !== room.ip || isServing(before) !== isServing(room)) return "now";
    if (before.uplink?.state !== room.uplink?.state) return "now";
    if (before.portCount !== room.portCount || isWorthy(before, room)) urgency = "soon";
  }
  return urgency;
}

/** Whether a request would find a port, wherever it goes. */
function isServing({ portCount, busiestCount }: AddressRoom): boolean {
  return portCount > busiestCount;
}

/** Free ports decide where requests go. Of many, a change by an eighth is told; of few, by a half. */
function isWorthy(before: AddressRoom, room: AddressRoom): boolean {
  const change = Math.abs(room.busiestCount - before.busiestCount);
  const left = Math.min(freeOf(before), freeOf(room));
  if (change >= Math.max(1, Math.min(room.portCount * WORTHY_SHARE, left / 2))) return true;
  const failures = Math.abs((room.uplink?.failedCount ?? 0) - (before.uplink?.failedCount ?? 0));
  return failures >= WORTHY_FAILURES || JSON.stringify(doubtsOf(before)) !== JSON.stringify(doubtsOf(room));
}

function freeOf({ portCount, busiestCount }: AddressRoom): number {
  return Math.max(0, portCount - busiestCount);
}

function doubtsOf({ uplink }: AddressRoom): unknown {
  return uplink?.doubts ?? [];
}

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

/** Compares with what was told last: requests must not be sent where nothing can serve them, all else can wait. */
export function urgencyOf(told: RoomReport, present: RoomReport): Urgency {
  if (told.draining !== present.draining || told.rooms.length !== present.rooms.length) return "now";
  let urgency: Urgency = "never";
  for (const [at, room] of present.rooms.entries()) {
    const before = told.rooms[at]!;
    if (before.ip !== room.ip || before.portCount > 0 !== room.portCount > 0) return "now";
    const change = Math.abs(room.busiestCount - before.busiestCount);
    if (before.portCount !== room.portCount || change >= Math.max(1, room.portCount * WORTHY_SHARE)) {
      urgency = "soon";
    }
  }
  return urgency;
}

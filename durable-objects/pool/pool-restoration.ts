/** What a pool does that finds itself restored from a backup. [OC4] */
import type { ObjectPlatform } from "../platform/object-platform.ts";
import { SteeringStore } from "../steering/steering-store.ts";
import type { EventLog } from "../events/event-log.ts";
import type { PoolStore } from "./pool-store.ts";

const SLOTS_KNOWN = "slots-known";

/** Before anything else: what it has is an old copy, unless it knows this restore already. */
export function heedRestoration(platform: ObjectPlatform, store: PoolStore, events: EventLog): void {
  const { restoration, storage } = platform;
  if (restoration === null) return;
  const { id, atMs, areSlotsKnown } = restoration;
  // That all slots are known is said later, and is news to addresses that wait for it. [OC6]
  const note = areSlotsKnown ? `${id} ${SLOTS_KNOWN}` : id;
  const known = store.restoration();
  if (known === undefined || known === note) return;
  storage.transactionSync(() => {
    store.noteRestoration(note);
    if (known?.split(" ", 1)[0] === id) return;
    new SteeringStore(storage).restored(atMs);
    events.note({ kind: "restored", after: { restoredAtMs: atMs } });
  });
  // An address of which no host speaks has to wake up as well, for its time to pass.
  void platform.setAlarm(platform.nowMs());
}

/** What a pool does that finds itself restored from a backup. [OC4] */
import type { ObjectPlatform } from "../platform/object-platform.ts";
import { SteeringStore } from "../steering/steering-store.ts";
import type { EventLog } from "../events/event-log.ts";
import type { PoolStore } from "./pool-store.ts";

/** Before anything else: what it has is an old copy, unless it knows this restore already. */
export function heedRestoration(platform: ObjectPlatform, store: PoolStore, events: EventLog): void {
  const { restoration, storage } = platform;
  if (restoration === null || !store.isRestored(restoration.id)) return;
  storage.transactionSync(() => {
    store.noteRestoration(restoration.id);
    new SteeringStore(storage).restored(restoration.atMs);
    events.note({ kind: "restored", after: { restoredAtMs: restoration.atMs } });
  });
  // An address of which no host speaks has to wake up as well, for its time to pass.
  void platform.setAlarm(platform.nowMs());
}

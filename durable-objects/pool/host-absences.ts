/**
 * Notes which hosts have been away for longer than a restart takes, and when they are back. Who only loses
 * its connection for a moment, as all do when the edge restarts, is not worth an event. [EV3]
 */
import type { EventLog } from "../events/event-log.ts";
import type { AssignmentStore } from "./assignment-store.ts";
import type { StoredHost } from "./pool-store.ts";

/** A host that restarts is not replaced: its addresses have others. */
export const RESTART_MS = 15_000;

/** The hosts of one pool, at one moment. */
export class HostAbsences {
  readonly #assignments: AssignmentStore;
  readonly #events: EventLog;
  readonly #noted: ReadonlySet<string>;

  constructor(assignments: AssignmentStore, events: EventLog) {
    this.#assignments = assignments;
    this.#events = events;
    this.#noted = assignments.absent();
  }

  /** A host has got no requests for so long; 0 for one that does. */
  look({ host, draining }: StoredHost, silentMs: number): void {
    const isNoted = this.#noted.has(host);
    // Of one that drains it was said when it began.
    const isAway = silentMs >= RESTART_MS && (isNoted || !draining);
    if (isAway === isNoted || (isNoted && silentMs > 0)) return;
    this.#assignments.noteAbsence(host, isAway);
    this.#events.note({ kind: isAway ? "host-silent" : "host-back", host });
  }
}

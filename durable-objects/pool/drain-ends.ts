/** What the operator drains is drained when the last of it is gone, which is noted. [EV3] [DR5] */
import type { Assignment } from "../../src/core/address-assignment.ts";
import type { EventLog } from "../events/event-log.ts";
import type { AssignmentStore } from "./assignment-store.ts";
import type { DrainStore } from "./drain-store.ts";

/** What it takes to tell. */
export interface DrainEndsOptions {
  readonly assignments: AssignmentStore;
  readonly drains: DrainStore;
  readonly events: EventLog;
}

/** Notes the drains that have come to their end with these assignments, which are gone. */
export function noteDrainEnds(
  { assignments, drains, events }: DrainEndsOptions,
  gone: readonly Pick<Assignment, "host" | "ip">[],
): void {
  if (gone.length === 0) return;
  const [hosts, ips] = [drains.hosts(), drains.ips()];
  if (hosts.size + ips.size === 0) return;
  const left = assignments.all();
  const [ofHosts, ofIps] = [new Set(left.map(({ host }) => host)), new Set(left.map(({ ip }) => ip))];
  for (const host of new Set(gone.map((assignment) => assignment.host))) {
    if (hosts.has(host) && !ofHosts.has(host)) events.note({ kind: "host-drained", host });
  }
  for (const ip of new Set(gone.map((assignment) => assignment.ip))) {
    if (ips.has(ip) && !ofIps.has(ip)) events.note({ kind: "address-drained", ip });
  }
}

/**
 * Hosts and addresses that the operator drains: nothing is assigned to them, and nothing of theirs
 * is cut. Who serves what instead is decided by the assignment; here is what the operator said, and
 * how far it has come. [DR1] [DR2] [DR5]
 */
import type { ChangeAuthor } from "../../src/core/audit.ts";
import type { AuditLog } from "../audit/audit-log.ts";
import type { EventLog } from "../events/event-log.ts";
import type { AssignmentStore, LeftAddress } from "./assignment-store.ts";
import type { DrainStore } from "./drain-store.ts";
import type { PoolStore, StoredHost } from "./pool-store.ts";

/** What the drains need of their pool. */
export interface DrainsOptions {
  readonly audit: AuditLog;
  readonly events: EventLog;
  readonly nowMs: () => number;
  readonly store: PoolStore;
  readonly drains: DrainStore;
  readonly assignments: AssignmentStore;
  /** What is drained has changed. */
  readonly onChange: () => void;
}

/** How far a drain has come. */
export interface DrainProgress {
  /** Draining while ports of it are held or others do not serve yet; then drained. */
  readonly state: "draining" | "drained";
  /** Since when it is drained, in Unix milliseconds. */
  readonly sinceMs: number;
  /** Ports still held, as the hosts said last. */
  readonly portCount: number;
  /** Flows on them; null while some serve on, since only what is left is counted. */
  readonly flowCount: number | null;
}

/** What a host still has of an address that it takes no new flows from. */
export interface LeavingIp {
  readonly ip: string;
  readonly portCount: number;
  readonly flowCount: number;
}

/** The progress of all drains of a pool, at one moment. */
export interface DrainReport {
  host(name: string): DrainProgress | null;
  ip(ip: string): DrainProgress | null;
  /** The addresses that a host leaves, drained or not. */
  leaving(host: string): readonly LeavingIp[];
}

/** Of one host on one address; `flowCount` is null while it serves, or has not said. */
interface Remainder {
  readonly host: string;
  readonly ip: string;
  readonly isLeaving: boolean;
  readonly portCount: number;
  readonly flowCount: number | null;
}

/** One per pool object. */
export class OperatorDrains {
  readonly #options: DrainsOptions;

  constructor(options: DrainsOptions) {
    this.#options = options;
  }

  /** Drains a host or resumes it; may be repeated. False if the pool has no such host. */
  setHost(host: string, isDrained: boolean, by: ChangeAuthor | null): boolean {
    const { store, drains, assignments, nowMs, audit, events, onChange } = this.#options;
    const cause = { by, what: isDrained ? "drainHost" : "resumeHost" };
    if (store.host(host) === null) {
      audit.note(cause, "host-unknown");
      return false;
    }
    const before = { drainedSinceMs: drains.hosts().get(host) };
    const isChanged = (before.drainedSinceMs !== undefined) !== isDrained;
    audit.change(cause, () => {
      if (isChanged) drains.putHost(host, isDrained ? nowMs() : null);
      // Of what has nothing nothing will end.
      const isEmpty = assignments.of(host).length === 0;
      if (isChanged && isDrained && isEmpty) events.note({ kind: "host-drained", host });
      return { before, after: { drainedSinceMs: drains.hosts().get(host) } };
    });
    if (isChanged) onChange();
    return true;
  }

  /** Drains an address or resumes it; may be repeated. False if the pool has no such address. */
  setIp(ip: string, isDrained: boolean, by: ChangeAuthor | null): boolean {
    const { store, drains, assignments, nowMs, audit, events, onChange } = this.#options;
    const cause = { by, what: isDrained ? "drainIp" : "resumeIp" };
    if (store.ip(ip) === null) {
      audit.note(cause, "ip-unknown");
      return false;
    }
    const before = { drainedSinceMs: drains.ips().get(ip) };
    const isChanged = (before.drainedSinceMs !== undefined) !== isDrained;
    audit.change(cause, () => {
      if (isChanged) drains.putIp(ip, isDrained ? nowMs() : null);
      const isEmpty = assignments.all().every((assignment) => assignment.ip !== ip);
      if (isChanged && isDrained && isEmpty) events.note({ kind: "address-drained", ip });
      return { before, after: { drainedSinceMs: drains.ips().get(ip) } };
    });
    if (isChanged) onChange();
    return true;
  }

  /** The addresses that are drained, or on their way. */
  drainedIps(): ReadonlySet<string> {
    return new Set(this.#options.drains.ips().keys());
  }

  /** How far it has all come, with these hosts. */
  report(hosts: readonly StoredHost[]): DrainReport {
    const { drains } = this.#options;
    const [sinceOfHosts, sinceOfIps] = [drains.hosts(), drains.ips()];
    const remainders = this.#remainders(hosts);
    const byHost = Map.groupBy(remainders, ({ host }) => host);
    const byIp = Map.groupBy(remainders, ({ ip }) => ip);
    return {
      host: (name) => progressOf(sinceOfHosts.get(name), byHost.get(name)),
      ip: (ip) => progressOf(sinceOfIps.get(ip), byIp.get(ip)),
      leaving: (host) =>
        (byHost.get(host) ?? [])
          .filter(({ isLeaving }) => isLeaving)
          // What it has not told of yet is not shown as nothing.
          .flatMap(({ ip, portCount, flowCount }) =>
            flowCount === null ? [] : { ip, portCount, flowCount },
          ),
    };
  }

  #remainders(hosts: readonly StoredHost[]): Remainder[] {
    const { assignments } = this.#options;
    const rooms = new Map<string, number>(
      hosts.flatMap((stored) =>
        stored.rooms.map(({ ip, portCount }) => [`${stored.host} ${ip}`, portCount] as const),
      ),
    );
    const left = new Map<string, LeftAddress>(
      assignments.left().map((known) => [`${known.host} ${known.ip}`, known]),
    );
    return assignments.all().map(({ host, ip, state }) => {
      const key = `${host} ${ip}`;
      const { portCount = rooms.get(key) ?? 0, flowCount = null } = left.get(key) ?? {};
      return { host, ip, isLeaving: state === "leaving", portCount, flowCount };
    });
  }
}

function progressOf(
  sinceMs: number | undefined,
  remainders: readonly Remainder[] = [],
): DrainProgress | null {
  if (sinceMs === undefined) return null;
  let portCount = 0;
  let flowCount: number | null = 0;
  for (const remainder of remainders) {
    portCount += remainder.portCount;
    if (flowCount !== null) flowCount = remainder.flowCount === null ? null : flowCount + remainder.flowCount;
  }
  return { state: remainders.length > 0 ? "draining" : "drained", sinceMs, portCount, flowCount };
}

/**
 * Whether a host can send: its way to the Internet may be down while its way to the edge is up.
 *
 * A host alone cannot tell a dead uplink from a destination that is down. So it only doubts
 * itself, and names what it cannot reach; other hosts of the same address try that, and the pool
 * leaves the host out as long as one of them gets through. When nobody does, it is the
 * destination, or everybody's uplink, and nobody is left out. [UP2] [UP3]
 */

/** A TCP port of an address somewhere. */
export interface Place {
  readonly ip: string;
  readonly port: number;
}

/** How the way out of one shared address looks to a host. */
export interface AddressUplink {
  /** Suspect: of what was tried last, nothing was reached. */
  readonly state: "good" | "suspect";
  /** Distinct destinations that were dialled lately; */
  readonly destinationCount: number;
  /** of these, how many were not reached when they were dialled last. */
  readonly failedCount: number;
  /** What it cannot reach, for others to try; nothing unless it is suspect. */
  readonly doubts: readonly Place[];
}

/** What other hosts have found when they tried what a host cannot reach from an address. */
export interface Opinion {
  /** When others were asked last. */
  readonly askedAtMs: number;
  /** When another reached one of the doubts last; null for never. */
  readonly reachedAtMs: number | null;
}

/** A host that serves an address, as far as its uplink goes. */
export interface UplinkStanding {
  readonly host: string;
  /** Null of a host that does not watch its uplink. */
  readonly uplink: AddressUplink | null;
  readonly opinion: Opinion | null;
}

/** How a host's uplink is shown; `unknown` of a host that does not watch it. */
export type UplinkState = "good" | "suspect" | "dead" | "unknown";

/** The most doubts that a host names for an address. */
export const MAX_DOUBTS = 4;
/** How long it counts that another host has reached what this one cannot. */
export const OPINION_MS = 15_000;
/** The least time between two questions about the same host and address. */
export const ASK_INTERVAL_MS = 3_000;

/** The state of one host's uplink, whatever becomes of it. */
export function uplinkState({ uplink, opinion }: Omit<UplinkStanding, "host">, nowMs: number): UplinkState {
  if (uplink === null) return "unknown";
  if (uplink.state === "good") return "good";
  const reachedAtMs = opinion?.reachedAtMs ?? null;
  // A clock that was set back must not make an opinion last.
  return reachedAtMs !== null && Math.abs(nowMs - reachedAtMs) < OPINION_MS ? "dead" : "suspect";
}

/**
 * Of the hosts that could serve an address now, those that get no requests: the dead ones, unless
 * that would be all. [UP3]
 */
export function ejectedHosts(standings: readonly UplinkStanding[], nowMs: number): ReadonlySet<string> {
  const dead = standings.filter((standing) => uplinkState(standing, nowMs) === "dead");
  return new Set(dead.length < standings.length ? dead.map(({ host }) => host) : []);
}

/** Whether others should be asked about this host now. */
export function isOpinionDue({ uplink, opinion }: Omit<UplinkStanding, "host">, nowMs: number): boolean {
  if (uplink?.state !== "suspect" || uplink.doubts.length === 0) return false;
  return opinion === null || Math.abs(nowMs - opinion.askedAtMs) >= ASK_INTERVAL_MS;
}

/** Whether two places are one. */
export function isSamePlace(one: Place, other: Place): boolean {
  return one.ip === other.ip && one.port === other.port;
}

/**
 * Whether a host can send: its way to the Internet may be down while its way to the edge is up.
 *
 * A host alone cannot tell a dead uplink from a destination that is down. So it only doubts
 * itself, and names what it cannot reach; other hosts of the same address try that, and the pool
 * leaves the host out as long as one of them gets through. When nobody does, it is the
 * destination, or everybody's uplink, and nobody is left out. [UP1] [UP2] [UP3]
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
  /** Networks that were dialled lately (see `networkOf`); */
  readonly destinationCount: number;
  /** of these, how many were not reached when they were dialled last. */
  readonly failedCount: number;
  /** What it cannot reach, for others to try; nothing unless it is suspect, or is losing something. */
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
export interface UplinkStatus {
  readonly host: string;
  /** Null of a host that does not watch its uplink. */
  readonly uplink: AddressUplink | null;
  readonly opinion: Opinion | null;
}

/** How a host's uplink is shown; `unknown` of a host that does not watch it. */
export type UplinkState = "good" | "suspect" | "dead" | "unknown";

/** Networks from which on shares are compared, of a host and of the others together. */
const MANY_PLACES = 10;
/** A host that fails at this share of them, while the others fail at no more than that, loses something. */
const LOSING_SHARE = 1 / 2;
const SOUND_SHARE = 1 / 10;

/** The most doubts that a host names for an address. */
export const MAX_DOUBTS = 4;
/** How long it counts that another host has reached what this one cannot. */
export const OPINION_MS = 15_000;
/** The least time between two questions about the same host and address. */
export const ASK_INTERVAL_MS = 3_000;

/** The state of one host's uplink, whatever becomes of it. */
export function uplinkState({ uplink, opinion }: Omit<UplinkStatus, "host">, nowMs: number): UplinkState {
  if (uplink === null) return "unknown";
  if (uplink.state === "good") return "good";
  return isContradicted(opinion, nowMs) ? "dead" : "suspect";
}

/** Whether another host reached lately what this one cannot. */
function isContradicted(opinion: Opinion | null, nowMs: number): boolean {
  const reachedAtMs = opinion?.reachedAtMs ?? null;
  // A clock that was set back must not make an opinion last.
  return reachedAtMs !== null && Math.abs(nowMs - reachedAtMs) < OPINION_MS;
}

/** Whether a host fails at so much that others should be asked, though it reaches something. */
export function isLosing({
  destinationCount,
  failedCount,
}: Pick<AddressUplink, "destinationCount" | "failedCount">): boolean {
  return destinationCount >= MANY_PLACES && failedCount >= destinationCount * LOSING_SHARE;
}

/**
 * Of the hosts that could serve an address now, those that get no requests: the dead ones, unless
 * that would be all. And one that reaches most places fails at far more of them than the others
 * do, so with many places on either side the worst of those goes too, if there are three and another
 * host reached what it cannot: what nobody reaches a client may have chosen. [UP3] [UP7] [UP9]
 */
export function ejectedHosts(statuses: readonly UplinkStatus[], nowMs: number): ReadonlySet<string> {
  const dead = statuses.filter((status) => uplinkState(status, nowMs) === "dead");
  if (dead.length === statuses.length) return new Set();
  const ejected = new Set(dead.map(({ host }) => host));
  if (dead.length > 0 || statuses.length < 3) return ejected;
  const worst = statuses.toSorted((a, b) => failedShare([b]) - failedShare([a]))[0]!;
  const others = statuses.filter((status) => status !== worst);
  if (worst.uplink === null || !isLosing(worst.uplink) || !isContradicted(worst.opinion, nowMs))
    return ejected;
  if (failedShare(others) <= SOUND_SHARE && countOf(others) >= MANY_PLACES) ejected.add(worst.host);
  return ejected;
}

function countOf(statuses: readonly UplinkStatus[]): number {
  return statuses.reduce((sum, { uplink }) => sum + (uplink?.destinationCount ?? 0), 0);
}

function failedShare(statuses: readonly UplinkStatus[]): number {
  const failed = statuses.reduce((sum, { uplink }) => sum + (uplink?.failedCount ?? 0), 0);
  return failed / Math.max(1, countOf(statuses));
}

/** Whether others should be asked about this host now. */
export function isOpinionDue({ uplink, opinion }: Omit<UplinkStatus, "host">, nowMs: number): boolean {
  if (uplink === null || uplink.doubts.length === 0) return false;
  return opinion === null || Math.abs(nowMs - opinion.askedAtMs) >= ASK_INTERVAL_MS;
}

/** Whether two places are one. */
export function isSamePlace(one: Place, other: Place): boolean {
  return one.ip === other.ip && one.port === other.port;
}

/**
 * What stands for an address where places are counted or remembered: whoever has one machine may
 * have all its ports, and most of the addresses around it in IPv6. [UP10]
 */
export function networkOf(ip: string): string {
  if (!ip.includes(":")) return ip;
  const groups = ip.split("::", 1)[0]!.split(":");
  // What "::" leaves out are zeros; a mapped address begins with it and is not dialled as such.
  return [0, 1, 2].map((at) => groups[at] || "0").join(":");
}

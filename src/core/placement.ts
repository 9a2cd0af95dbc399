/**
 * Where requests may go now: which hosts serve which addresses, with how much capacity.
 *
 * Placement is liveness, not ownership [LAW8]: it may be a few seconds old, and a host that
 * has lost its lease says so itself.
 */
import { familyOf } from "./address-family.ts";

/** A live host with valid leases on an address. */
export interface PlacedHost {
  readonly host: string;
  readonly gateway: string;
  readonly portCount: number;
  readonly busiestCount: number;
}

/** An address of the pool; `hosts` is empty while nobody serves it. */
export interface PlacedIp {
  readonly ip: string;
  readonly hosts: readonly PlacedHost[];
  /** What the Internet sees instead; absent where that is the address itself. [PF6] */
  readonly advertised?: string | undefined;
  /** In lower case; absent when the operator has not said. */
  readonly country?: string | undefined;
  /** Where it is announced; absent when that is everywhere. */
  readonly sites?: readonly string[] | undefined;
  /** When it was added (Unix milliseconds); absent when it counts for every session. [PL10] */
  readonly sinceMs?: number | undefined;
}

/**
 * The published state of a pool. A host that is in neither list is silent: the pool does
 * not hear it. Its gateway may still work. [PL8]
 */
export interface Placement {
  readonly pool: string;
  readonly ips: readonly PlacedIp[];
  /** Hosts that the pool hears and that get no new requests: they drain, or have no capacity at all. */
  readonly resting: readonly string[];
  /** Addresses that leave the pool, without hosts; absent when there are none. [PL3] */
  readonly retiring?: readonly PlacedIp[] | undefined;
  /** Until when added addresses count for sessions at once (Unix milliseconds); absent once that is past. */
  readonly settingUpUntilMs?: number | undefined;
}

/** Whether requests can leave by both families, so that it matters which. */
export function hasBothFamilies(ips: readonly PlacedIp[]): boolean {
  return ips.some(({ ip }) => familyOf(ip) !== familyOf(ips[0]!.ip));
}

/**
 * Whether the pool hears a host, whether it gets requests or not. One that has its name and
 * another gateway has come in its place. [PL8]
 */
export function isHeard(
  { ips, resting }: Placement,
  { host, gateway }: Pick<PlacedHost, "host" | "gateway">,
): boolean {
  const isPlaced = (placed: PlacedHost): boolean => placed.host === host && placed.gateway === gateway;
  return resting.includes(host) || ips.some(({ hosts }) => hosts.some(isPlaced));
}

/**
 * What keeps a host of a steered pool from getting its replies: routers send packets for its ports
 * to the next hop that it told, and drop them if it told none. [PM7]
 */
import { isIPv6 } from "node:net";

/** Where routers reach this host. */
export interface OwnNextHop {
  readonly ipv4: string | null;
  readonly ipv6: string | null;
}

/** A sentence for each family of the pool's addresses in which no router finds this host. */
export function nextHopFindings(
  steered: boolean,
  ips: readonly string[],
  reach: OwnNextHop | undefined,
): string[] {
  if (!steered) return [];
  const findings: string[] = [];
  const known = reach ?? { ipv4: null, ipv6: null };
  for (const [family, isMissing] of [
    ["IPv4", known.ipv4 === null && ips.some((ip) => !isIPv6(ip))],
    ["IPv6", known.ipv6 === null && ips.some((ip) => isIPv6(ip))],
  ] as const) {
    if (!isMissing) continue;
    findings.push(
      `This pool has routers, and they do not know where this host is: they drop the replies to what it sends ` +
        `from the pool's ${family} addresses, unless they were told --via. Give --reach with an ${family} address of this host's own.`,
    );
  }
  return findings;
}

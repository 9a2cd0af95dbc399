/** Where the ports of an address are in use most: of one host, and of all that share the address. [PM9] */

/** What a port is held towards. */
export interface Destination {
  readonly protocol: "tcp" | "udp";
  readonly ip: string;
  readonly port: number;
}

/** How many ports of an address are in use towards a destination. */
export interface BusyDestination extends Destination {
  readonly portCount: number;
}

/** The busiest destination of one host on an address, as it said last. */
export interface HostUse {
  readonly busiestCount: number;
  /** Absent when nothing is in use, or the host does not tell. */
  readonly busiestDestination?: Destination | undefined;
}

/**
 * The busiest destination of an address, from the busiest one of each host; of equal ones the one
 * that came first, null when there is none. A destination that is only second on some host counts
 * without that one's ports.
 */
export function busiestOf(uses: readonly HostUse[]): BusyDestination | null {
  const counts = new Map<string, BusyDestination>();
  for (const { busiestCount, busiestDestination: destination } of uses) {
    if (destination === undefined || busiestCount === 0) continue;
    const { protocol, ip, port } = destination;
    const key = `${protocol} ${ip} ${port}`;
    const portCount = (counts.get(key)?.portCount ?? 0) + busiestCount;
    counts.set(key, { protocol, ip, port, portCount });
  }
  let busiest: BusyDestination | null = null;
  for (const counted of counts.values()) {
    if (busiest === null || counted.portCount > busiest.portCount) busiest = counted;
  }
  return busiest;
}

/**
 * Flows that the kernel translates, read from what `conntrack -L` prints: one line for each entry, first the
 * packet as its sender made it, then the answer that is expected. [SN4]
 *
 *     tcp 6 99 ESTABLISHED src=10.1.0.2 dst=192.0.2.80 sport=999 dport=80 src=192.0.2.80 dst=198.51.100.1 sport=80 dport=2050 …
 *     icmp 1 29 src=10.1.0.2 dst=192.0.2.80 type=8 code=0 id=7 src=192.0.2.80 dst=198.51.100.1 type=0 code=0 id=2051 …
 */
import { unitOf } from "../../core/port-block.ts";

/** One entry of the kernel's tracking table. */
export interface TranslatedFlow {
  readonly protocol: "tcp" | "udp" | "icmp" | "icmpv6";
  /** As its sender knows itself. */
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  /** Of an echo the identifier. */
  readonly destinationPort: number;
  /** The shared address by which it leaves, and its port there. */
  readonly ip: string;
  readonly port: number;
  /** A connection of which nothing comes any more: its port is taken, and it is no flow. */
  readonly isOver: boolean;
}

const OVER = /^tcp\s+\d+\s+\d+\s+(?:TIME_WAIT|CLOSE)\s/;
/** One packet: from and to where, and the ports or the identifier of an echo. */
const PACKET = String.raw`src=(\S+) dst=(\S+) (?:sport=(\d+) dport=(\d+)|type=\d+ code=\d+ id=(\d+))`;
const ENTRY = new RegExp(`^(tcp|udp|icmp|icmpv6) .*?${PACKET}.*?${PACKET}`);

/** The flow of a line; null for what is no entry of a flow that leaves with another source than its own. */
export function readFlow(line: string): TranslatedFlow | null {
  const fields = ENTRY.exec(line);
  if (fields === null) return null;
  const [, protocol, source, destination, sourcePort, destinationPort, id, , ip, , port, answerId] = fields;
  if (source === ip) return null;
  return {
    protocol: protocol as TranslatedFlow["protocol"],
    source: source!,
    sourcePort: Number(sourcePort ?? id),
    destination: destination!,
    destinationPort: Number(destinationPort ?? id),
    ip: ip!,
    port: Number(port ?? answerId),
    isOver: OVER.test(line),
  };
}

/** Towards what its port cannot be used a second time, as a destination's key. */
export function destinationKeyOf({ protocol, destination, destinationPort }: TranslatedFlow): string {
  return protocol === "tcp" || protocol === "udp"
    ? `${protocol} ${destination} ${destinationPort}`
    : `${protocol} ${destination}`;
}

/** What the flows of one address use. */
export class FlowCounts {
  readonly #byUnit = new Map<number, number>();
  readonly #flowsByUnit = new Map<number, number>();
  readonly #byDestination = new Map<string, Map<number, number>>();
  #total = 0;

  constructor(flows: Iterable<TranslatedFlow>) {
    for (const flow of flows) this.#add(flow);
  }

  get total(): number {
    return this.#total;
  }

  /** Flows on a unit, those that are over not counted. */
  flowsOfUnit(unit: number): number {
    return this.#flowsByUnit.get(unit) ?? 0;
  }

  /** Ports of a unit that are taken towards destinations, each counted. */
  ofUnit(unit: number): number {
    return this.#byUnit.get(unit) ?? 0;
  }

  /** Destinations with the ports that they use in these units, the busiest first. */
  busiestFirst(units: ReadonlySet<number>, maxCount: number): { destination: string; count: number }[] {
    const counted = Array.from(this.#byDestination, ([destination, ofUnits]) => {
      let count = 0;
      for (const [unit, flows] of ofUnits) if (units.has(unit)) count += flows;
      return { destination, count };
    });
    return counted
      .filter(({ count }) => count > 0)
      .toSorted((a, b) => b.count - a.count)
      .slice(0, maxCount);
  }

  /** By unit the ports that a destination uses. */
  towards(destination: string): ReadonlyMap<number, number> {
    return this.#byDestination.get(destination) ?? new Map<number, number>();
  }

  #add(flow: TranslatedFlow): void {
    const unit = unitOf(flow.port);
    const key = destinationKeyOf(flow);
    const towards = this.#byDestination.get(key) ?? new Map<number, number>();
    this.#byDestination.set(key, towards);
    towards.set(unit, (towards.get(unit) ?? 0) + 1);
    this.#byUnit.set(unit, (this.#byUnit.get(unit) ?? 0) + 1);
    if (!flow.isOver) this.#flowsByUnit.set(unit, (this.#flowsByUnit.get(unit) ?? 0) + 1);
    this.#total += 1;
  }
}

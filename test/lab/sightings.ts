/** Packets of a capture as who sent what to whom, for questions that a filter cannot ask. */
import type { BlockView } from "./edge-side.ts";

/** One packet of TCP or UDP. */
export interface Sighting {
  /** Unix milliseconds, by the one clock that all machines of the laboratory have. */
  readonly atMs: number;
  readonly from: string;
  readonly fromPort: number;
  readonly to: string;
  readonly toPort: number;
  /** As tcpdump writes them: `S`, `S.`, `R`; empty for UDP. */
  readonly flags: string;
}

const PACKET = /^(\d+\.\d+) IP6? (\S+)\.(\d+) > (\S+)\.(\d+): (?:Flags \[([^\]]*)\])?/;

/** The packets among the lines of tcpdump that have ports; others are left out. */
export function sightingsIn(lines: readonly string[]): Sighting[] {
  return lines.flatMap((line) => {
    const [, seconds, from, fromPort, to, toPort, flags] = PACKET.exec(line) ?? [];
    if (seconds === undefined) return [];
    return {
      atMs: 1000 * Number(seconds),
      from: from!,
      fromPort: Number(fromPort),
      to: to!,
      toPort: Number(toPort),
      flags: flags ?? "",
    };
  });
}

/** Whether a port lies in one of these blocks. */
export function isIn(blocks: readonly Pick<BlockView, "base" | "order">[], port: number): boolean {
  return blocks.some(({ base, order }) => port >= base && port < base + 2 ** order);
}

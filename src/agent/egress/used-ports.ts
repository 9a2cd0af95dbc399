/** Which ports have connections, each counted once, whatever it is connected to. */
import { unitOf } from "../../core/port-block.ts";
import type { LeasedBlock } from "./held-port.ts";

/** How many of them there are in each unit of 64 ports; units without any are left out. */
export function usedPorts(blocks: Iterable<Pick<LeasedBlock, "held">>): Map<number, number> {
  const counts = new Map<number, number>();
  const counted = new Set<number>();
  for (const { held } of blocks) {
    for (const { port } of held) {
      if (counted.has(port)) continue;
      counted.add(port);
      const unit = unitOf(port);
      counts.set(unit, (counts.get(unit) ?? 0) + 1);
    }
  }
  return counts;
}

/** How many ports the busiest destination takes of a host, by what its data processes name. */
import type { DestinationUse } from "../egress/held-destinations.ts";
import { MAX_BUSIEST } from "./part-messages.ts";

/**
 * The busiest of all. A process that names as many as it may could use as much towards others as
 * towards the last one it names: rather too much than too little, since ports are asked for by it.
 */
export function usedTogether(lists: readonly (readonly DestinationUse[])[]): {
  readonly destination: string | null;
  readonly count: number;
} {
  const counts = new Map<string, number>();
  const unnamed = lists.map((list) => (list.length < MAX_BUSIEST ? 0 : list.at(-1)!.count));
  const total = unnamed.reduce((sum, count) => sum + count, 0);
  for (const [at, list] of lists.entries()) {
    for (const { destination, count } of list) {
      counts.set(destination, (counts.get(destination) ?? total) + count - unnamed[at]!);
    }
  }
  let busiest: { destination: string | null; count: number } = { destination: null, count: total };
  for (const [destination, count] of counts) if (count > busiest.count) busiest = { destination, count };
  return busiest;
}

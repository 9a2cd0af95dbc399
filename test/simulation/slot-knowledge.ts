/** What an operator makes sure of before he says that no host holds a slot of which a restored edge does not know. */
import { blocksOverlap, type PortBlock } from "../../src/core/port-block.ts";
import { AddressDisk } from "./address-disk.ts";
import type { Edge } from "./edge.ts";
import type { Host } from "./host.ts";

/** Whether each slot on the disk or in the kernel of one of these hosts is its own at the edge, too. [OC6] */
export function areSlotsKnown(edge: Edge, hosts: readonly Host[]): boolean {
  return [...edge.addresses].every(([ip, { database }]) => {
    const { leases } = new AddressDisk(database);
    return hosts.every((host) => {
      const own = leases.filter(({ isLeased, instance }) => isLeased && instance === host.instance);
      const isKnown = (block: PortBlock): boolean => own.some((lease) => blocksOverlap(lease, block));
      return host.keptSlotsOf(ip).every(isKnown) && host.guard.permitted(ip).every(isKnown);
    });
  });
}

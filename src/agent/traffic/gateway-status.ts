/** One address as the host's status tells it. */
import { rangeOf } from "../../core/port-block.ts";
import type { AddressPorts } from "../ports/address-ports.ts";

/** Leases, room and use of an address, for people and for tests. */
export function addressStatus(address: AddressPorts): Record<string, unknown> {
  const { portCount, busiestCount } = address.room();
  const { inUse, heldDown } = address.heldCounts();
  return {
    ip: address.ip,
    usable: address.isUsable(),
    portCount,
    busiestCount,
    busiestDestination: address.busiestDestination(),
    /** Ports held towards all destinations together, those of ended connections among them. */
    heldCount: inUse + heldDown,
    flowCount: inUse,
    blocks: [...address.leases()].map(({ lease, isDraining }) => ({
      first: lease.base,
      last: rangeOf(lease).last,
      epoch: lease.epoch,
      draining: isDraining,
      flows: address.flowCount(lease.epoch),
    })),
  };
}

/** What a host tells of itself: each of its addresses, and whether it can serve. */
import type { ServerResponse } from "node:http";
import type { Problem } from "../../../core/problems.ts";
import { rangeOf } from "../../../core/port-block.ts";
import type { AddressPorts } from "../../egress/address-ports.ts";
import type { PortBinder } from "../../egress/port-binder.ts";

/** Leases, capacity and use of an address, for people and for tests. */
export function addressStatus(address: AddressPorts): Record<string, unknown> {
  const { portCount, busiestCount } = address.capacity();
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

/** What keeps a host from serving any request at all; null for nothing. */
export function lackOf(binder: PortBinder, isDraining: boolean, hasPolicy: boolean): Problem | null {
  if (isDraining) return { code: "draining", detail: "The host gives its leases back." };
  const addresses = [...binder.addresses()];
  if (addresses.length === 0) {
    return {
      code: "pool-empty",
      detail: "The pool has given this host no address, or the edge has not answered yet.",
    };
  }
  if (addresses.some((address) => address.isUsable())) return hasPolicy ? null : { code: "policy-missing" };
  const ips = addresses.map(({ ip }) => ip).join(", ");
  return { code: "lease-lost", detail: `There is no valid lease on ${ips}.` };
}

/** Tells something, complete at once. */
export function sendJson(response: ServerResponse, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}

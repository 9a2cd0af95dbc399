/** What is known of a flow from its admission to its end, and how much of it a connection knows. */
import type { AddressPorts } from "./address-ports.ts";
import type { DestinationPolicy } from "../../policy/destination-policy.ts";
import type { FlowSender } from "./flow-recorder.ts";
import type { PortMeter, RunningFlow } from "./flow-use.ts";

/**
 * From where, and under which rules, something leaves. A dial and a connection to an origin know
 * this and nothing else of a flow: flows that have all of it in common may share a connection.
 */
export interface EgressContext {
  readonly pool: string;
  readonly address: AddressPorts;
  /** For whom: connections are never shared between tenants. [DE8] */
  readonly tenant: string;
  readonly policy: DestinationPolicy;
  /** Counts what the tenant uses. */
  readonly meter: PortMeter;
}

/** One admitted flow. */
export interface FlowContext extends EgressContext, FlowSender {
  /** A number within this process. */
  readonly id: number;
  /** The name of the request, which its answer says too; null for what has none. [MT9] */
  readonly requestId: string | null;
  /** Who asked, as the token says. */
  readonly client: string;
  readonly running: RunningFlow;
}

/** What a line of the log says of a flow. */
export function logFields({
  id,
  requestId,
  tenant,
  client,
  pool,
  address,
}: FlowContext): Readonly<Record<string, unknown>> {
  return { ...(requestId === null ? {} : { requestId }), flow: id, tenant, client, pool, ip: address.ip };
}

/** An address as clients are told of it: what the Internet sees. [PF5] */
export function toldAs({ ip, advertised }: AddressPorts): string {
  return advertised ?? ip;
}

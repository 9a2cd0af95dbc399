/** A port that is chosen and counted in one. [LI5] */
import { type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem } from "../../core/problems.ts";
import type { AddressPorts } from "./address-ports.ts";
import type { PortMeter } from "./flow-use.ts";
import type { HeldPort } from "./held-port.ts";

/** Takes a port, which is counted for its tenant until it is given back; waits for one as `takeWithin` does. */
export async function takeMetered(
  from: AddressPorts,
  meter: PortMeter,
  destination: string,
  waitMs: number,
  signal: AbortSignal | undefined,
): Promise<Outcome<HeldPort, Problem>> {
  const limited = meter.takePort();
  if (limited !== null) return refuse(limited);
  const taken = await from.takeWithin(destination, waitMs, signal);
  if (!taken.ok) {
    meter.releasePort();
    return refuse({ code: taken.refusal });
  }
  taken.value.meter = meter;
  return taken;
}

/** What carries traffic in one process, as it is read by who looks at the host. [LV7] [LV8] */
import type { TakenDecisions } from "../core/live-view.ts";
import type { Admission } from "./admission/admission.ts";
import type { PortBinder } from "./egress/port-binder.ts";
import { usedPorts } from "./egress/used-ports.ts";
import { LiveDecisions } from "./live-decisions.ts";
import type { RefusalCounts } from "./traffic/clients/refusals.ts";
import type { Gateway } from "./traffic/gateway/gateway.ts";
import type { Outgoing } from "./traffic/origins/outgoing.ts";
import type { PlaneCounts, WatchedPlane } from "./watch/plane-watch.ts";

/** What counts. */
export interface LiveParts {
  readonly binder: PortBinder;
  readonly admission: Admission;
  readonly outgoing: Outgoing;
  readonly refusalCounts: RefusalCounts;
  readonly gateway: Pick<Gateway, "runningCount">;
}

/** One per data plane. */
export class LivePlane implements WatchedPlane {
  readonly #parts: LiveParts;
  readonly #decisions: LiveDecisions;

  constructor(parts: LiveParts) {
    this.#parts = parts;
    this.#decisions = new LiveDecisions(parts);
  }

  counts(): PlaneCounts {
    const { admission, outgoing, refusalCounts, gateway } = this.#parts;
    const { tunnel, association } = admission.flowCounts;
    return {
      answeredCount: outgoing.answeredCount,
      flowCount: tunnel + association,
      refusals: Object.fromEntries(refusalCounts),
      runningCount: gateway.runningCount,
    };
  }

  usedPorts(ip: string): ReadonlyMap<number, number> {
    return usedPorts(this.#parts.binder.address(ip)?.leases() ?? []);
  }

  watch(decisionCount: number | null): void {
    this.#decisions.limit(decisionCount ?? 0);
  }

  takeDecisions(): TakenDecisions {
    return this.#decisions.take();
  }
}

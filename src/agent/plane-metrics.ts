/**
 * What a process that carries traffic counts. Times are noted as they pass, by histograms that are looked up
 * here once; all else is counted anyway, and read when somebody asks. [MT6]
 */
import { ownProblemCodes } from "../core/problems.ts";
import { readProcessUse } from "../metrics/node/process-use.ts";
import { MetricRegistry, type Samples } from "../metrics/node/registry.ts";
import type { SpanExporter } from "../metrics/node/span-exporter.ts";
import type { Admission } from "./admission/admission.ts";
import type { Dialler } from "./egress/dial.ts";
import type { RefusalCounts } from "./traffic/clients/refusals.ts";
import type { Gateway } from "./traffic/gateway/gateway.ts";
import type { Outgoing } from "./traffic/origins/outgoing.ts";

/** What is measured. */
export interface PlaneParts {
  readonly dialler: Dialler;
  readonly outgoing: Outgoing;
  readonly admission: Admission;
  readonly gateway: Gateway;
  readonly refusalCounts: RefusalCounts;
  /** Null where none are sent. */
  readonly spans: SpanExporter | null;
}

/** One per data plane. */
export class PlaneMetrics {
  readonly #registry = new MetricRegistry();

  constructor({ dialler, outgoing, admission, gateway, refusalCounts, spans }: PlaneParts) {
    const connected = this.#registry.times("ipshard_agent_dial_seconds", { result: "connected" });
    const failed = this.#registry.times("ipshard_agent_dial_seconds", { result: "failed" });
    dialler.onDialled = (tookMs, isConnected) => (isConnected ? connected(tookMs) : failed(tookMs));
    const firstByte = this.#registry.times("ipshard_agent_first_byte_seconds", {});
    const { onFirstByte } = outgoing;
    outgoing.onFirstByte = (tookMs, ...answer) => {
      firstByte(tookMs);
      onFirstByte?.(tookMs, ...answer);
    };
    readProcessUse(this.#registry);
    this.#registry.readAtScrape((add) => {
      for (const [kind, count] of Object.entries(admission.flowCounts)) {
        add("ipshard_agent_flows_total", { kind }, count);
      }
      for (const code of ownProblemCodes()) add("ipshard_agent_refusals_total", { code }, 0);
      for (const [code, count] of refusalCounts) add("ipshard_agent_refusals_total", { code }, count);
      add("ipshard_agent_running_requests", {}, gateway.runningCount);
      add("ipshard_agent_origin_connections", {}, outgoing.size);
      if (spans !== null) add("ipshard_agent_lost_spans_total", {}, spans.lostCount);
      add("ipshard_agent_data_processes", {}, 1);
    });
  }

  /** As of now. */
  samples(): Promise<Samples> {
    return this.#registry.samples();
  }
}

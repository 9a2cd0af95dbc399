/** What a data plane tells of its flows, as far as its operator wants it: metrics, lines of the log, spans. */
import type { Logger } from "pino";
import type { Samples } from "../metrics/node/registry.ts";
import { SpanExporter } from "../metrics/node/span-exporter.ts";
import type { AgentConfig } from "./command-line.ts";
import { logDecisions } from "./decision-log.ts";
import { PlaneMetrics, type PlaneParts } from "./plane-metrics.ts";
import { RequestSpans } from "./request-spans.ts";

/** One per data plane; without options for it nothing is noted anywhere. */
export class Observation {
  readonly #metrics: PlaneMetrics | null;
  readonly #spans: SpanExporter | null;

  constructor(config: AgentConfig, host: string, parts: Omit<PlaneParts, "spans">, log: Logger) {
    const spans = spansTo(config, host, log);
    if (spans !== null) parts.outgoing.spans = new RequestSpans((span) => spans.add(span));
    logDecisions(config.flowLog.decisions, { ...parts, log });
    this.#spans = spans;
    this.#metrics = config.metrics === null ? null : new PlaneMetrics({ ...parts, spans });
  }

  /** What is counted; nothing without `--metrics`. */
  async samples(): Promise<readonly Samples[]> {
    return this.#metrics === null ? [] : [await this.#metrics.samples()];
  }

  /** Sends what waits to be sent. */
  async close(): Promise<void> {
    await this.#spans?.flush();
  }
}

/** Null for nowhere. */
function spansTo({ collector, pool }: AgentConfig, host: string, log: Logger): SpanExporter | null {
  if (collector === null) return null;
  const service = { "service.name": "ipshard-agent", "service.instance.id": host, "ipshard.pool": pool };
  return new SpanExporter({ collector, service, log });
}

/** What a router tells Prometheus. [MT7] */
import { readProcessUse } from "../metrics/node/process-use.ts";
import { MetricRegistry, textOf } from "../metrics/node/registry.ts";
import type { SteeringMember } from "./feed/steering-member.ts";
import type { SteeringKernel } from "./steering/steering-kernel.ts";

/** What is measured. */
export interface RouterParts {
  readonly steering: SteeringMember;
  readonly kernel: SteeringKernel;
}

/** One per router that has `--metrics`. */
export class RouterMetrics {
  readonly #registry = new MetricRegistry();

  constructor({ steering, kernel }: RouterParts) {
    steering.lag.onApplied = this.#registry.times("ipshard_router_apply_seconds", {});
    readProcessUse(this.#registry);
    this.#registry.readAtScrape(async (add) => {
      add("ipshard_router_connected", {}, steering.isConnected ? 1 : 0);
      add("ipshard_router_ready", {}, steering.isReady ? 1 : 0);
      add("ipshard_router_applied_sequence", {}, steering.appliedSequence ?? 0);
      add("ipshard_router_steering_lag_seconds", {}, steering.lag.ms / 1_000);
      add("ipshard_router_kernel_failures_total", {}, steering.counts.kernelFailures);
      add("ipshard_router_displacements_total", {}, steering.counts.displacements);
      const { byReason, byIp } = await kernel.counts();
      for (const [reason, count] of Object.entries(byReason)) {
        add("ipshard_router_dropped_packets_total", { reason }, count);
      }
      for (const [ip, count] of byIp) add("ipshard_router_address_dropped_packets_total", { ip }, count);
    });
  }

  /** The answer to a scrape. */
  async text(): Promise<string> {
    return textOf([await this.#registry.samples()]);
  }
}

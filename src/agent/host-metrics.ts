/** What an agent tells Prometheus: its leases and its guard, and what its data processes count. [MT5] */
import { readProcessUse } from "../metrics/node/process-use.ts";
import { type AddSample, MetricRegistry, type Samples, textOf } from "../metrics/node/registry.ts";
import type { AddressMeasures, LeaseCounts } from "./leasing/lease-measures.ts";
import type { PoolMember } from "./leasing/pool-member.ts";
import type { Uplinks } from "./leasing/pool-member-options.ts";
import type { Machine } from "./machine/guarded-machine.ts";
import { type MeasuredTranslator, readTranslation } from "./translation-metrics.ts";

/** What is measured. */
export interface HostParts {
  readonly member: Pick<PoolMember, "isConnected" | "measures">;
  readonly uplinks: Pick<Uplinks, "of">;
  readonly machine: Pick<Machine, "guardCounts">;
  /** Null where the kernel translates for nobody. */
  readonly translator: MeasuredTranslator | null;
  /** Of what carries traffic. */
  readonly dataPlane: { metrics(): Promise<readonly Samples[]> };
  /** Whether what carries traffic is this very process, which then says what it takes of the machine. */
  readonly isAlone: boolean;
}

/** One per agent that has `--metrics`. */
export class HostMetrics {
  readonly #registry = new MetricRegistry();
  readonly #dataPlane: HostParts["dataPlane"];

  constructor({ member, uplinks, machine, translator, dataPlane, isAlone }: HostParts) {
    this.#dataPlane = dataPlane;
    if (translator !== null) readTranslation(this.#registry, translator);
    if (!isAlone) readProcessUse(this.#registry);
    this.#registry.readAtScrape((add) => {
      add("ipshard_agent_pool_connected", {}, member.isConnected ? 1 : 0);
      for (const measures of member.measures()) {
        const { ip } = measures.ports;
        addPorts(add, measures);
        addLeases(add, ip, measures.counts);
        add("ipshard_agent_uplink_good", { ip }, uplinks.of(ip).state === "good" ? 1 : 0);
      }
    });
    this.#registry.readAtScrape(async (add) => {
      const counts = await machine.guardCounts();
      add("ipshard_agent_guard_active", {}, counts === null ? 0 : 1);
      for (const { ip, foreignPortCount, fragmentCount } of counts ?? []) {
        const name = "ipshard_agent_guard_dropped_packets_total";
        add(name, { ip, reason: "foreign_port" }, foreignPortCount);
        add(name, { ip, reason: "fragment" }, fragmentCount);
      }
    });
  }

  /** The answer to a scrape. */
  async text(): Promise<string> {
    const [own, ...ofPlane] = await Promise.all([this.#registry.samples(), this.#dataPlane.metrics()]);
    return textOf([own, ...ofPlane.flat()]);
  }
}

function addPorts(add: AddSample, { ports, limit }: AddressMeasures): void {
  const { ip } = ports;
  const { portCount, busiestCount } = ports.capacity();
  const { inUse, heldDown } = ports.heldCounts();
  add("ipshard_agent_usable_ports", { ip }, portCount);
  add("ipshard_agent_busiest_destination_ports", { ip }, busiestCount);
  if (Number.isFinite(limit)) add("ipshard_agent_attainable_ports", { ip }, limit);
  add("ipshard_agent_flow_ports", { ip }, inUse);
  add("ipshard_agent_held_down_ports", { ip }, heldDown);
  add("ipshard_agent_leases", { ip }, [...ports.leases()].length);
}

function addLeases(add: AddSample, ip: string, counts: LeaseCounts): void {
  const { requests, answers, refusals, losses, lease, roomPortCount } = counts;
  if (roomPortCount !== null) add("ipshard_agent_room_ports", { ip }, roomPortCount);
  if (lease !== null) {
    add("ipshard_agent_lease_age_seconds", { ip }, lease.ageMs / 1_000);
    add("ipshard_agent_lease_time_seconds", { ip }, lease.durationMs / 1_000);
  }
  for (const [request, count] of requests) {
    add("ipshard_agent_lease_requests_total", { ip, request }, count);
    add("ipshard_agent_lease_answers_total", { ip, request }, answers.get(request) ?? 0);
    for (const [code, refused] of refusals.get(request) ?? []) {
      add("ipshard_agent_lease_refusals_total", { ip, request, code }, refused);
    }
  }
  for (const reason of ["lost", "lapsed", "disowned"] as const) {
    add("ipshard_agent_lease_losses_total", { ip, reason }, losses.get(reason) ?? 0);
  }
}

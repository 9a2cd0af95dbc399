/**
 * Every metric that a part of ipshard has, and nothing else is one: what a program counts, it names by
 * this table, and docs/METRICS.md is made of it. [MT1]
 *
 * A name says which part has it and ends with the unit; a counter ends with `_total` after that. A label
 * has few values: addresses and hosts of one's own, codes, reasons. Never a client, a tenant or a
 * destination, of which there are as many as somebody likes.
 */

/** Which program has it. `process` are those of both agents and routers. */
export type MetricProgram = "agent" | "router" | "process" | "edge";

/** What is said of a metric. */
export interface MetricKind {
  readonly type: "counter" | "gauge" | "histogram";
  readonly of: MetricProgram;
  readonly labels: readonly string[];
  /** One sentence for people, which Prometheus shows. */
  readonly help: string;
  /** Upper bounds of a histogram, in its unit. */
  readonly buckets?: readonly number[];
}

/** From a destination in the same room to one that is given up. */
const NETWORK_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** With 60,000 entries the kernel lists them in a fifth of a second. */
const LISTING_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** The deadline of routers is 2 s. */
const STEERING_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10];

function counter(of: MetricProgram, labels: readonly string[], help: string) {
  return { type: "counter", of, labels, help } as const;
}

function gauge(of: MetricProgram, labels: readonly string[], help: string) {
  return { type: "gauge", of, labels, help } as const;
}

/** All of them, by name. */
export const METRICS = {
  // An agent, of each of its addresses.
  ipshard_agent_usable_ports: gauge(
    "agent",
    ["ip"],
    "Ports of the address that new flows may use now: those of leases that neither drain nor are kept as a spare.",
  ),
  ipshard_agent_busiest_destination_ports: gauge(
    "agent",
    ["ip"],
    "Of the usable ports, those in use towards the destination that uses most; /v1/status says which that is.",
  ),
  ipshard_agent_attainable_ports: gauge(
    "agent",
    ["ip"],
    "Ports that the host has on the address and could still get, within its share: what the busiest destination is measured by.",
  ),
  ipshard_agent_room_ports: gauge(
    "agent",
    ["ip"],
    "Ports of the address that nobody leases, as the edge said with its last answer.",
  ),
  ipshard_agent_flow_ports: gauge(
    "agent",
    ["ip"],
    "Ports in use, each counted once for each destination: the open connections and associations.",
  ),
  ipshard_agent_held_down_ports: gauge(
    "agent",
    ["ip"],
    "Ports that rest towards the destination of a connection that has ended.",
  ),
  ipshard_agent_leases: gauge("agent", ["ip"], "Port blocks in use, draining ones included; not the spare."),
  ipshard_agent_lease_age_seconds: gauge(
    "agent",
    ["ip"],
    "Time since the edge last renewed the leases of the address. None for static slots, which do not age.",
  ),
  ipshard_agent_lease_time_seconds: gauge(
    "agent",
    ["ip"],
    "How long leases run from their renewal. When their age comes near it, sending is about to stop.",
  ),
  ipshard_agent_lease_requests_total: counter(
    "agent",
    ["ip", "request"],
    "Requests to the object of the address, repeated ones included: join, acquire, renew, release.",
  ),
  ipshard_agent_lease_answers_total: counter(
    "agent",
    ["ip", "request"],
    "Requests that were granted. Those of `renew` are the renewals.",
  ),
  ipshard_agent_lease_refusals_total: counter(
    "agent",
    ["ip", "request", "code"],
    "Requests that the object of the address refused, by its code.",
  ),
  ipshard_agent_lease_losses_total: counter(
    "agent",
    ["ip", "reason"],
    "Times that leases went while they were in use: lost (the edge lists them no longer), lapsed (no renewal in time), disowned (the address is gone).",
  ),
  ipshard_agent_guard_dropped_packets_total: counter(
    "agent",
    ["ip", "reason"],
    "Packets from the address that the guard in the kernel dropped: foreign_port (outside the leases), fragment.",
  ),
  ipshard_agent_uplink_good: gauge(
    "agent",
    ["ip"],
    "1 while what leaves from the address gets somewhere, as far as is known; 0 when it is suspected not to, or known not to.",
  ),

  // An agent, as a host.
  ipshard_agent_pool_connected: gauge(
    "agent",
    [],
    "1 while the pool has taken this host and can be heard. Without it what is leased goes on until its end.",
  ),
  ipshard_agent_guard_active: gauge("agent", [], "1 while the kernel's guard holds this host to its leases."),
  ipshard_agent_data_processes: gauge(
    "agent",
    [],
    "Processes that carry traffic; the counts below are their sum.",
  ),

  // An agent whose kernel translates (`--snat`). Without it there are none of these.
  ipshard_agent_translation_ports: gauge(
    "agent",
    ["ip"],
    "Ports of the address that the kernel may choose for flows that it translates; they are among the usable ones.",
  ),
  ipshard_agent_translation_busiest_destination_ports: gauge(
    "agent",
    ["ip"],
    "Of these, those in use towards the destination that uses most; /v1/status says which that is.",
  ),
  ipshard_agent_translation_flows: gauge(
    "agent",
    ["ip"],
    "Flows that the kernel translates now, those that have ended and are still remembered included.",
  ),
  ipshard_agent_translation_flows_total: counter(
    "agent",
    [],
    "Flows that the kernel began to translate, since its rules were made.",
  ),
  ipshard_agent_translation_dropped_packets_total: counter(
    "agent",
    ["reason"],
    "Packets that were not let through, since the rules were made: ports (no lease), full (no free port towards the destination), destination (forbidden), protocol, midstream (of a flow that is not known), each refused aloud; invalid (no packet of a flow, or forged), untranslated (another program gave it a source); stray (from outside, of no flow).",
  ),
  ipshard_agent_translation_reported_packets_total: counter(
    "agent",
    [],
    "Packets to destinations that a list of the policy would forbid if it were enforced (mode report).",
  ),
  ipshard_agent_translation_look_seconds: {
    type: "histogram",
    of: "agent",
    labels: [],
    help: "Time to list the kernel's flows, by which ports are weighed and given back. Between two looks twenty times as long passes.",
    buckets: LISTING_SECONDS,
  },
  ipshard_agent_translation_tracked_entries: gauge(
    "agent",
    [],
    "Entries in the kernel's tracking table, of all flows of the machine.",
  ),
  ipshard_agent_translation_trackable_entries: gauge(
    "agent",
    [],
    "Entries that fit into it (net.netfilter.nf_conntrack_max). When it is full, new flows are lost.",
  ),

  // What carries traffic: of all data processes of a host together.
  ipshard_agent_flows_total: counter(
    "agent",
    ["kind"],
    "Flows that were admitted: request, tunnel, and so on.",
  ),
  ipshard_agent_refusals_total: counter(
    "agent",
    ["code"],
    "Refusals that clients were told, by the code of the problem document. After an answer has begun it is only counted.",
  ),
  ipshard_agent_running_requests: gauge(
    "agent",
    [],
    "Requests and WebSockets of the gateway that are under way.",
  ),
  ipshard_agent_origin_connections: gauge(
    "agent",
    [],
    "Connections for requests to destinations, idle ones included.",
  ),
  ipshard_agent_dial_seconds: {
    type: "histogram",
    of: "agent",
    labels: ["result"],
    help: "Time to a connection with a destination, the name's resolution and the wait for a port included; result is connected or failed.",
    buckets: NETWORK_SECONDS,
  },
  ipshard_agent_first_byte_seconds: {
    type: "histogram",
    of: "agent",
    labels: [],
    help: "Time from the admission of a request to the head of its destination's final answer, the dial included where there was one.",
    buckets: NETWORK_SECONDS,
  },
  ipshard_agent_lost_spans_total: counter(
    "agent",
    [],
    "Spans that the collector of `--otlp` did not take in time.",
  ),

  // A router.
  ipshard_router_connected: gauge("router", [], "1 while the pool can be heard."),
  ipshard_router_ready: gauge("router", [], "1 when the kernel has applied the pool's table in this life."),
  ipshard_router_applied_sequence: gauge(
    "router",
    [],
    "Number of the last change of the steering table that the kernel has applied.",
  ),
  ipshard_router_steering_lag_seconds: gauge(
    "router",
    [],
    "How long the oldest change that was heard waits for the kernel; 0 when none does. Hosts wait for it, at most 2 s.",
  ),
  ipshard_router_apply_seconds: {
    type: "histogram",
    of: "router",
    labels: [],
    help: "Time from hearing a change to the kernel's having applied it.",
    buckets: STEERING_SECONDS,
  },
  ipshard_router_kernel_failures_total: counter(
    "router",
    [],
    "Times that the kernel did not take what it was told; it is told again.",
  ),
  ipshard_router_displacements_total: counter(
    "router",
    [],
    "Times that another program had taken the rules out of the kernel.",
  ),
  ipshard_router_dropped_packets_total: counter(
    "router",
    ["reason"],
    "Packets for the pool's addresses that reach no host, since the router's tables were made.",
  ),
  ipshard_router_address_dropped_packets_total: counter(
    "router",
    ["ip"],
    "The same, by address. A packet whose address is not told is only in the other one.",
  ),

  // Any program of ours on Node.
  ipshard_process_resident_bytes: gauge("process", [], "Memory of all processes of the program."),
  ipshard_process_cpu_seconds_total: counter(
    "process",
    [],
    "Processor time of all processes of the program.",
  ),

  // The edge, by what its objects say of themselves.
  ipshard_edge_pool_hosts: gauge(
    "edge",
    ["pool", "state"],
    "Hosts that the pool knows: live, draining (live, and takes nothing new), away.",
  ),
  ipshard_edge_pool_routers: gauge("edge", ["pool", "state"], "Routers that the pool knows: live, away."),
  ipshard_edge_steering_sequence: gauge(
    "edge",
    ["pool"],
    "Number of the last change of the pool's steering table; 0 without routers.",
  ),
  ipshard_edge_router_acknowledged_sequence: gauge(
    "edge",
    ["pool", "router"],
    "Number of the last change that the router says it has applied.",
  ),
  ipshard_edge_router_lagging: gauge(
    "edge",
    ["pool", "router"],
    "1 while grants have gone ahead of a live router that did not acknowledge in time: what comes back for new ports may be lost.",
  ),
  ipshard_edge_address_leased_ports: gauge("edge", ["pool", "ip"], "Ports of the address that hosts hold."),
  ipshard_edge_address_free_ports: gauge("edge", ["pool", "ip"], "Ports of the address that can be granted."),
  ipshard_edge_address_quarantined_ports: gauge(
    "edge",
    ["pool", "ip"],
    "Ports of the address whose lease has ended and that nobody but their last holder gets yet.",
  ),
  ipshard_edge_address_hosts: gauge("edge", ["pool", "ip"], "Hosts that hold ports of the address."),
  ipshard_edge_standby_age_seconds: gauge(
    "edge",
    [],
    "How old the copy is that a standby keeps of this edge. Not there before one has a whole copy.",
  ),
  ipshard_edge_silent_objects: gauge(
    "edge",
    [],
    "Objects that did not answer this scrape, and of which it says nothing.",
  ),

  // The edge on a machine of its own: what its one isolate counted.
  ipshard_edge_requests_total: counter("edge", [], "Requests that were given to a host."),
  ipshard_edge_retries_total: counter("edge", [], "Tries on further hosts, after a refusal or a loss."),
  ipshard_edge_refusals_total: counter(
    "edge",
    ["code"],
    "Answers that are the edge's own refusals, by the code of the problem document; not those of hosts.",
  ),
  ipshard_edge_first_byte_seconds: {
    type: "histogram",
    of: "edge",
    labels: ["answerer"],
    help: "Time from the coming of a request to the head of its answer, tries on further hosts included; answerer is host, or edge where the edge itself refused.",
    buckets: NETWORK_SECONDS,
  },
  ipshard_edge_object_calls_total: counter(
    "edge",
    [],
    "Calls of Durable Objects. In a steady state requests make none.",
  ),
} as const satisfies Readonly<Record<string, MetricKind>>;

/** The name of a metric. */
export type MetricName = keyof typeof METRICS;

/** The names of metrics of this type. */
export type MetricNameOf<Type extends MetricKind["type"]> = {
  readonly [Name in MetricName]: (typeof METRICS)[Name]["type"] extends Type ? Name : never;
}[MetricName];

/** All names, in the order of the table. */
export const METRIC_NAMES = Object.keys(METRICS) as readonly MetricName[];

/** The labels of a metric with their values. */
export type LabelsOf<Name extends MetricName> = Readonly<
  Record<(typeof METRICS)[Name]["labels"][number], string>
>;

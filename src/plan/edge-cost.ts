/**
 * What a pool costs its edge in a month, in Cloudflare's published units, line by line. How often each part
 * speaks is derived in docs/SCALE.md; what follows the load and not the time (grants, reports, placements)
 * is not counted, and neither are rows that are read, time of processors, and what a subscription
 * includes. Each connection counts as one request through the Worker. [PN6]
 */
import { heartbeatMsFor, silenceMsFor } from "../core/liveness.ts";
import type { PoolSettings } from "../core/pool-settings.ts";

/** Published prices (developers.cloudflare.com, Durable Objects and Workers), as of this month. */
export const PRICES = {
  asOf: "2026-11",
  /** Requests to objects; messages that come in on a WebSocket count as a twentieth of one. */
  dollarsPerMillionRequests: 0.15,
  messagesPerRequest: 20,
  dollarsPerMillionRowsWritten: 1,
  /** Requests to a Worker. */
  dollarsPerMillionWorkerRequests: 0.3,
} as const;

/** Seconds in a month of 365.25 / 12 days. */
export const SECONDS_PER_MONTH = 2_629_800;

/** Hosts renew at nine tenths of a third of their lease. [LK5] [DO21] */
const RENEWAL_SHARE = 0.9 / 3;
/** A host's heartbeat to an address. */
const ADDRESS_HEARTBEAT_SECONDS = 60;
/** An address looks at its clock at five sixths of half its quarantine. [LE6] [LE7] */
const CLOCK_LOOK_SHARE = 5 / 12;
/** When it was, and the next alarm. */
const ROWS_PER_LOOK = 2;

/** What a cost comes from. */
export type EdgeCostName =
  | "heartbeats to the pool"
  | "heartbeats to addresses"
  | "renewals"
  | "rows of renewals"
  | "alarms"
  | "rows of alarms"
  | "requests through the Worker";

/** One line of the bill of a month. */
export interface EdgeCostLine {
  readonly name: EdgeCostName;
  readonly unit: "messages" | "requests" | "rows";
  readonly count: number;
  readonly dollars: number;
}

/** What the edge has to do with. */
export interface EdgeLoad {
  readonly hostCount: number;
  readonly addressCount: number;
  /** Connections of hosts to addresses. */
  readonly pairCount: number;
  /** Requests of clients, on average. */
  readonly requestsPerSecond: number;
}

/** The bill of a month. */
export function edgeCostOf(load: EdgeLoad, settings: PoolSettings): readonly EdgeCostLine[] {
  const { hostCount, addressCount, pairCount, requestsPerSecond } = load;
  const silenceMs = silenceMsFor(settings.hostSilenceMs, hostCount, null);
  const beatSeconds = heartbeatMsFor(silenceMs) / 1000;
  const renewalSeconds = (settings.leaseDurationMs / 1000) * RENEWAL_SHARE;
  const lookSeconds = (Math.max(2_000, settings.quarantineMs) / 1000) * CLOCK_LOOK_SHARE;
  const times = (everySeconds: number, count: number): number => (SECONDS_PER_MONTH / everySeconds) * count;
  return [
    messages("heartbeats to the pool", times(beatSeconds, hostCount)),
    messages("heartbeats to addresses", times(ADDRESS_HEARTBEAT_SECONDS, pairCount)),
    messages("renewals", times(renewalSeconds, pairCount)),
    rows("rows of renewals", times(renewalSeconds, addressCount)),
    line("alarms", "requests", times(lookSeconds, addressCount), PRICES.dollarsPerMillionRequests),
    rows("rows of alarms", times(lookSeconds, addressCount) * ROWS_PER_LOOK),
    line(
      "requests through the Worker",
      "requests",
      requestsPerSecond * SECONDS_PER_MONTH,
      PRICES.dollarsPerMillionWorkerRequests,
    ),
  ];
}

function messages(name: EdgeCostName, count: number): EdgeCostLine {
  return line(name, "messages", count, PRICES.dollarsPerMillionRequests / PRICES.messagesPerRequest);
}

function rows(name: EdgeCostName, count: number): EdgeCostLine {
  return line(name, "rows", count, PRICES.dollarsPerMillionRowsWritten);
}

function line(
  name: EdgeCostName,
  unit: EdgeCostLine["unit"],
  count: number,
  dollarsPerMillion: number,
): EdgeCostLine {
  return { name, unit, count, dollars: (count * dollarsPerMillion) / 1e6 };
}

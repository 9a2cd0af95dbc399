/** The settings of a pool as JSON: checked at the API and on every message that carries some of them. */
import { z } from "zod";
import type {
  AssignmentSettings,
  FactsSettings,
  HistorySettings,
  LeaseSettings,
  PoolOwnSettings,
  PoolSettings,
  RouterSettings,
} from "../core/pool-settings.ts";
import { LEASABLE_PORT_COUNT, MAX_ORDER, MIN_ORDER, portCountOf } from "../core/port-block.ts";
import { countUpTo } from "./whole-number.ts";

const portCount = countUpTo(LEASABLE_PORT_COUNT);
const ORDERS = Array.from({ length: MAX_ORDER - MIN_ORDER + 1 }, (_, at) => MIN_ORDER + at);
const staticPortsPerHost = z.literal(ORDERS.map(portCountOf)).nullable();

/** The schema with what it means, for documents. */
function told<Schema extends z.ZodType>(schema: Schema, description: string): Schema {
  return schema.meta({ description });
}

const leaseSettings = z.object({
  leaseDurationMs: told(
    z.int().min(1_000).max(86_400_000),
    "How long a lease runs from a renewal; hosts renew after a third of it.",
  ),
  quarantineMs: told(countUpTo(86_400_000), "How long a block rests before another host may have it."),
  firstBlockOrder: told(
    z.int().min(MIN_ORDER).max(MAX_ORDER),
    "Size of a host's first block, as a power of two: 8 is 256 ports.",
  ),
  minPortsPerHost: told(
    portCount,
    "Ports of an address that a present host gets, whatever the others ask for.",
  ),
  maxPortsPerHost: told(portCount, "Ports of an address that one host may hold."),
  staticPortsPerHost: told(
    staticPortsPerHost,
    "Ports of the one slot of each address that a host keeps for good; null for leases that end with time.",
  ),
}) satisfies z.ZodType<LeaseSettings>;

/** How addresses lease, as hosts are told. A newer edge may have settings that are not known here; an older one has no slots. */
export const leaseSettingsSchema = leaseSettings.extend({
  staticPortsPerHost: staticPortsPerHost.default(null),
}) satisfies z.ZodType<LeaseSettings>;

/** What a pool sets beside its leases. A newer edge may have settings that are not known here. */
export const poolOwnSettingsSchema = z.object({
  hostSilenceMs: told(z.int().min(500).max(600_000), "Silence after which a host gets no new requests."),
  steeringDeadlineMs: told(
    countUpTo(60_000),
    "How long a grant waits for routers that do not acknowledge it.",
  ),
}) satisfies z.ZodType<PoolOwnSettings>;

/** What a pool sets for its routers. */
const routerSettingsSchema = z.object({
  routerSilenceMs: told(
    z.int().min(500).max(600_000),
    "Silence after which no grant waits for a router any more.",
  ),
}) satisfies z.ZodType<RouterSettings>;

/** How a pool assigns its addresses. */
const assignmentSettingsSchema = z.object({
  minHostsPerIp: told(
    z.int().min(1).max(1_008),
    "Live hosts that serve each address, where the pool has as many.",
  ),
}) satisfies z.ZodType<AssignmentSettings>;

/** What a pool tells strangers. */
const factsSettingsSchema = z.object({
  published: told(z.boolean(), "Whether anybody may see which addresses the pool has."),
}) satisfies z.ZodType<FactsSettings>;

/** What a pool keeps of the past. */
const historySettings = z.object({
  historyDays: told(z.int().min(1).max(3_650), "For how many days it can be said who held a port."),
}) satisfies z.ZodType<HistorySettings>;

/** Complete settings. */
export const poolSettingsSchema = z.strictObject({
  ...leaseSettings.shape,
  ...poolOwnSettingsSchema.shape,
  ...routerSettingsSchema.shape,
  ...assignmentSettingsSchema.shape,
  ...factsSettingsSchema.shape,
  ...historySettings.shape,
}) satisfies z.ZodType<PoolSettings>;

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

const leaseSettings = z.object({
  leaseDurationMs: z.int().min(1_000).max(86_400_000),
  quarantineMs: countUpTo(86_400_000),
  firstBlockOrder: z.int().min(MIN_ORDER).max(MAX_ORDER),
  minPortsPerHost: portCount,
  maxPortsPerHost: portCount,
  staticPortsPerHost,
}) satisfies z.ZodType<LeaseSettings>;

/** How addresses lease, as hosts are told. A newer edge may have settings that are not known here; an older one has no slots. */
export const leaseSettingsSchema = leaseSettings.extend({
  staticPortsPerHost: staticPortsPerHost.default(null),
}) satisfies z.ZodType<LeaseSettings>;

/** What a pool sets beside its leases. A newer edge may have settings that are not known here. */
export const poolOwnSettingsSchema = z.object({
  hostSilenceMs: z.int().min(500).max(600_000),
  steeringDeadlineMs: countUpTo(60_000),
}) satisfies z.ZodType<PoolOwnSettings>;

/** What a pool sets for its routers. */
const routerSettingsSchema = z.object({
  routerSilenceMs: z.int().min(500).max(600_000),
}) satisfies z.ZodType<RouterSettings>;

/** How a pool assigns its addresses. */
const assignmentSettingsSchema = z.object({
  minHostsPerIp: z.int().min(1).max(1_008),
}) satisfies z.ZodType<AssignmentSettings>;

/** What a pool tells strangers. */
const factsSettingsSchema = z.object({ published: z.boolean() }) satisfies z.ZodType<FactsSettings>;

/** What a pool keeps of the past. */
const historySettings = z.object({
  historyDays: z.int().min(1).max(3_650),
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

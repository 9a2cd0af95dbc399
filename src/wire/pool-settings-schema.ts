/** The settings of a pool as JSON: checked at the API and on every message that carries them. */
import { z } from "zod";
import type { PoolSettings } from "../core/pool-settings.ts";
import { LEASABLE_PORT_COUNT, MAX_ORDER, MIN_ORDER } from "../core/port-block.ts";
import { countUpTo } from "./whole-number.ts";

const portCount = countUpTo(LEASABLE_PORT_COUNT);

/** Complete settings. */
export const poolSettingsSchema = z.strictObject({
  leaseDurationMs: z.int().min(1_000).max(86_400_000),
  quarantineMs: countUpTo(86_400_000),
  firstBlockOrder: z.int().min(MIN_ORDER).max(MAX_ORDER),
  minPortsPerHost: portCount,
  maxPortsPerHost: portCount,
  hostSilenceMs: z.int().min(500).max(600_000),
  steeringDeadlineMs: countUpTo(60_000),
}) satisfies z.ZodType<PoolSettings>;

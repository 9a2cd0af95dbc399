/** What a file says that pools are to be: the shape that `ipshard apply` takes. [AY1] */
import { z } from "zod";
import { ipChangesSchema, ipSchema, nameSchema, settingsSchema } from "../../api/schemas.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../core/pool-settings.ts";
import { contradictionsIn } from "../../core/settings-sense.ts";
import {
  destinationRulesSchema,
  specialNetworksSchema,
  tenantLimitsSchema,
  tenantNameSchema,
} from "../../wire/pool-policy-schema.ts";

const drained = z.boolean().optional().meta({
  description: "True: no new flows, and those that run go on. Not given, a drain stays as it is.",
});
const nothing = "Nothing more is said of it where nothing follows the name.";

const address = ipChangesSchema.extend({ drained }).nullable().meta({ description: nothing });
const host = z.strictObject({ drained }).nullable().meta({ description: nothing });
const tenant = z.strictObject({
  destinations: destinationRulesSchema.partial().optional(),
  limits: tenantLimitsSchema.partial().optional(),
});
const policy = z
  .strictObject({
    destinations: destinationRulesSchema.partial().optional(),
    special: specialNetworksSchema.optional(),
    anyTenant: tenant.nullish().meta({
      description: "What holds for tenants that are not named; null to serve none of them.",
    }),
    tenants: z.record(tenantNameSchema, tenant.nullable()).optional(),
  })
  .meta({ description: "All of the pool's policy: what is not said in it has its default." });

const pool = z
  .strictObject({
    settings: z
      .strictObject(settingsSchema.shape)
      .partial()
      .superRefine(refuseContradiction)
      .optional()
      .meta({ description: "Those that are not given stay as they are." }),
    ips: z.record(ipSchema, address).optional().meta({
      description: "All addresses of the pool. Without this nothing is changed of any.",
    }),
    hosts: z.record(nameSchema, host).optional().meta({
      description: "All hosts of the pool. Without this nothing is changed of any.",
    }),
    policy: policy.optional(),
  })
  .nullable();

/** Of what is given together. What contradicts a pool as it is shows when that is asked for. [ME8] */
function refuseContradiction(
  settings: { readonly [Key in keyof PoolSettings]?: PoolSettings[Key] | undefined },
  context: z.RefinementCtx,
): void {
  const whole = { ...DEFAULT_POOL_SETTINGS, ...settings } as PoolSettings;
  for (const { settings: keys, text } of contradictionsIn(whole))
    if (keys.every((key) => settings[key] !== undefined))
      context.addIssue({ code: "custom", path: [keys[0]!], message: text.replace(/\.$/, "") });
}

/** Pools by their names; a pool that is not named is left alone. */
export const poolsSchema = z.record(nameSchema, pool);
/** The file. */
export const desiredSchema = z.strictObject({ $schema: z.string().optional(), pools: poolsSchema });

/** What a pool is to be. */
export type DesiredPool = NonNullable<z.output<typeof pool>>;
/** What is to be said of its tenants. */
export type DesiredTenant = z.output<typeof tenant>;

/** What the edge's API takes and answers of a pool's policy, as schemas. [PY2] [WK16] */
import { z } from "zod";
import {
  destinationRulesSchema,
  poolPolicySchema,
  specialNetworksSchema,
  tenantLimitsSchema,
  tenantNameSchema,
  tenantPolicySchema,
} from "../wire/pool-policy-schema.ts";
import { countUpTo } from "../wire/whole-number.ts";

const madeFor = countUpTo().optional().meta({
  description: "The version that the change was made for: if there is another by now, nothing is changed.",
});
const tenantChanges = {
  destinations: destinationRulesSchema.partial().optional(),
  limits: tenantLimitsSchema.partial().optional(),
};

/** What can be changed of a policy; what is not given stays. */
export const policyChangesSchema = z.strictObject({
  destinations: destinationRulesSchema.partial().optional(),
  special: specialNetworksSchema.optional(),
  anyTenant: z.strictObject(tenantChanges).nullish().meta({
    description: "What holds for tenants that are not named; null to serve none of them.",
  }),
  version: madeFor,
});

/** What can be changed of what is said of a tenant; what is not given stays. */
export const tenantChangesSchema = z.strictObject({ ...tenantChanges, version: madeFor });

/** A pool's policy. */
export const policySchema = poolPolicySchema.meta({ id: "PoolPolicy" });

/** Of which version a copy is wanted, as a host asks. */
export const policyQuerySchema = z.object({
  version: z.coerce.number().int().min(0).optional().meta({
    description: "A copy of this version or a later one will do. Without it the pool is asked.",
  }),
});

/** What holds for a tenant. */
export const tenantSchema = z
  .object({
    tenant: tenantNameSchema,
    version: z.int().meta({ description: "Of the pool's policy." }),
    policy: tenantPolicySchema.nullable().meta({ description: "Null when the pool does not serve it." }),
    named: z.boolean().meta({ description: "Whether something is said of this very tenant." }),
  })
  .meta({ id: "Tenant" });

/** The tenants of which something is said. */
export const tenantsSchema = z.object({
  version: z.int(),
  anyTenant: tenantPolicySchema.nullable(),
  tenants: z.array(z.object({ tenant: z.string(), policy: tenantPolicySchema })),
});

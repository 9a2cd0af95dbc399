/** What an edge says of its files to a standby. */
import { z } from "zod";

const pathSchema = z.string().regex(/^(?:[\w-][\w.-]*\/)*[\w-][\w.-]*$/);
const fileSchema = z.object({ path: pathSchema, version: z.string() });

/** Of what the standby has all. */
export const copyQuerySchema = z.object({
  heldAtMs: z
    .string()
    .regex(/^\d{1,15}$/)
    .optional(),
});

/** All of its files; no path leads out of its directory. */
export const edgeListingSchema = z
  .object({
    atMs: z.int(),
    secrets: z.array(fileSchema).readonly(),
    databases: z.array(fileSchema.extend({ bytes: z.int().nonnegative() })).readonly(),
  })
  .meta({ id: "EdgeFiles" });

/** What the edge's API answers of changes by administrators, as schemas. [AU5] [WK16] */
import { z } from "zod";
import { countUpTo } from "../wire/whole-number.ts";
import { nameSchema } from "./schemas.ts";

const MOST_ENTRIES = 200;
const sequenceQuery = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional();

/** Which entries are wanted. */
export const auditQuerySchema = z.object({
  pool: nameSchema.optional().meta({
    description: "Without it: tokens, keys and joins, for administrators of every pool.",
  }),
  after: sequenceQuery.meta({
    description: "The first entries after that one. Without it the newest.",
  }),
  before: sequenceQuery.meta({ description: "Only entries before that one." }),
  limit: z.coerce.number().int().min(1).max(MOST_ENTRIES).default(50),
});

const entrySchema = z
  .object({
    sequence: countUpTo().meta({ description: "Rises by one with each entry of the pool." }),
    at: z.iso.datetime(),
    subject: z.string().nullable().meta({
      description: "The administrator by name; null for what the edge does by itself.",
    }),
    tokenId: z.string().nullable(),
    route: z.string().meta({ description: "The name of the route.", example: "putPolicy" }),
    given: z.unknown().meta({ description: "What the route was given." }),
    result: z.string().meta({
      description:
        "`done`; `begun` for what takes several objects, whose end is another entry; or the code of a refusal.",
    }),
    before: z.unknown().meta({ description: "Of what has changed, how it was; null where nothing was." }),
    after: z.unknown().meta({ description: "Of what has changed, how it is; null where nothing is." }),
  })
  .meta({ id: "Change" });

/** Entries in the order in which they were written. */
export const auditSchema = z.object({ entries: z.array(entrySchema).readonly() });

/** What the edge's API answers of what happened, as schemas. [EV6] [WK16] */
import { z } from "zod";
import { EVENT_KINDS, type EventKind, placeIn } from "../core/history-event.ts";
import { parseInstant } from "../wire/instant.ts";
import { ipSchema, nameSchema } from "./schemas.ts";

/** The most events that one answer has. */
export const MOST_EVENTS_IN_ANSWER = 200;

const kindSchema = z.enum(EVENT_KINDS);

/** Which events are wanted. */
export const eventsQuerySchema = z.object({
  pool: nameSchema.optional().meta({
    description: "What happened to the pool, its hosts, addresses and routers. Either this or `ip`.",
  }),
  ip: ipSchema.optional().meta({
    description: "What happened to this address: also its grants and the ends of its leases.",
  }),
  since: z
    .string()
    .refine(
      (text) => parseInstant(text) !== null,
      "an RFC 3339 time such as 2026-11-29T12:03:07Z is expected",
    )
    .transform((text) => parseInstant(text)!)
    .optional()
    .meta({ type: "string", description: "An RFC 3339 time or Unix milliseconds: nothing from before it." }),
  before: z
    .string()
    .refine((text) => placeIn(text) !== null, "the id of an event is expected")
    .transform((text) => placeIn(text)!)
    .optional()
    .meta({ type: "string", description: "The id of an event: only what came before that one." }),
  kind: z
    .string()
    .refine(
      (text) => text.split(",").every(isKind),
      `kinds are expected, with commas: ${EVENT_KINDS.join(", ")}`,
    )
    .transform((text) => text.split(",") as EventKind[])
    .optional()
    .meta({
      type: "string",
      example: "lease-lost,host-silent",
      description: "Only these kinds, with commas between them.",
    }),
  host: nameSchema.optional().meta({ description: "Only what concerns this host." }),
  limit: z.coerce.number().int().min(1).max(MOST_EVENTS_IN_ANSWER).default(50),
});

const eventSchema = z
  .object({
    id: z.string().meta({
      description: "Its place in the order of events; `before` takes it.",
      example: "1796126587000-grant-9",
    }),
    at: z.iso.datetime().meta({ description: "By the clock of the edge." }),
    kind: kindSchema,
    pool: z.string(),
    ip: z.string().nullable(),
    host: z.string().nullable(),
    router: z.string().nullable(),
    firstPort: z.int().nullable(),
    lastPort: z.int().nullable(),
    epoch: z.int().nullable(),
    reason: z
      .string()
      .nullable()
      .meta({ description: "A code that says more of the kind.", example: "expired" }),
    by: z
      .object({ subject: z.string(), tokenId: z.string().nullable() })
      .nullable()
      .meta({ description: "The administrator by name; null for what nobody did." }),
    before: z.unknown().meta({ description: "Of what has changed, how it was; null where nothing was." }),
    after: z
      .unknown()
      .meta({ description: "Of what has changed, how it is; or what else is known of the event." }),
  })
  .meta({ id: "Event" });

/** Events, the newest first. */
export const eventsSchema = z.object({ events: z.array(eventSchema).readonly() });

function isKind(text: string): boolean {
  return kindSchema.safeParse(text).success;
}

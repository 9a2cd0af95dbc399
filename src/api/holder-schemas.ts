/** Who held a port at a time, as the API is asked and answers. [AT4] */
import { z } from "zod";
import { MOST_LEASES } from "../core/port-history.ts";
import { flowAnswerSchema } from "../wire/flow-answer.ts";
import { parseInstantSpan } from "../wire/instant.ts";
import { ipSchema } from "./schemas.ts";

const limitText = `a number from 1 to ${MOST_LEASES} is expected`;

/** The question. */
export const holdersQuerySchema = z.object({
  ip: ipSchema.meta({
    description: "As the hosts have it, or as the Internet sees it (advertised).",
  }),
  port: z
    .string()
    .refine((text) => /^\d{1,5}$/.test(text) && Number(text) < 65_536, "a port from 0 to 65535 is expected")
    .transform(Number)
    .meta({ type: "integer", example: 5312, description: "Of an echo over ICMP, its identifier." }),
  at: z
    .string()
    .refine(
      (text) => parseInstantSpan(text) !== null,
      "an RFC 3339 time such as 2026-11-29T12:03:07Z is expected",
    )
    .transform((text) => parseInstantSpan(text)!)
    .optional()
    .meta({
      type: "string",
      example: "2026-11-29T12:03:07Z",
      description:
        "An RFC 3339 time or Unix milliseconds, by the clocks of edge and host; now if it is not given. Without a fraction it means all of that second.",
    }),
  protocol: z.enum(["tcp", "udp", "icmp"]).optional().meta({
    description: "A lease is for all of them; of the flow log only what is of this one is told.",
  }),
  destination: z.string().max(64).optional().meta({
    example: "203.0.113.5:443",
    description: "Leaves flows out that are known to have gone elsewhere.",
  }),
});

const instant = z.number().meta({ description: "Unix milliseconds, by the clock of the edge." });

const heldLeaseSchema = z.object({
  pool: z.string().meta({ description: "To which the address belonged then." }),
  host: z.string(),
  firstPort: z.int(),
  lastPort: z.int(),
  epoch: z.int(),
  sinceMs: instant,
  untilMs: instant.nullable().meta({ description: "The end itself lies outside; null while it goes on." }),
  end: z.enum(["released", "expired", "removed"]).nullable(),
});

/** The question for the past of a port. */
export const leasesQuerySchema = holdersQuerySchema.pick({ ip: true, port: true }).extend({
  limit: z
    .string()
    .refine((text) => /^[1-9]\d{0,2}$/.test(text) && Number(text) <= MOST_LEASES, limitText)
    .transform(Number)
    .optional()
    .meta({
      type: "integer",
      example: 10,
      description: `Leases to go back, ${MOST_LEASES} at most; 10 if it is not given.`,
    }),
});

const hostAnswerSchema = z.object({
  state: z.enum(["answered", "host-unknown", "unreachable", "refused"]).meta({
    description:
      "Whether the host's flow log could be asked: its pool may not know it any more, its gateway not answer, or refuse.",
  }),
  detail: z.string().nullable(),
  log: flowAnswerSchema.nullable().meta({ description: "What it says, if it answered." }),
});

/** The answer. */
export const holdersSchema = z
  .object({
    ip: z.string().meta({ description: "As the hosts have it." }),
    port: z.int(),
    atMs: instant,
    throughMs: instant.meta({ description: "The last millisecond that was asked about." }),
    state: z.enum(["held", "nobody", "unknown"]).meta({
      description: "Nobody: the table was kept then, and no host had the port. Unknown: it was not kept.",
    }),
    reason: z.enum(["port-reserved", "not-leased", "before-history", "not-yet"]).nullable(),
    holders: z
      .array(heldLeaseSchema.extend({ flows: hostAnswerSchema }))
      .meta({ description: "One, unless the edge's clock was set back, and the time came twice." }),
    before: heldLeaseSchema
      .nullable()
      .meta({ description: "When nobody is named: whose lease had ended last." }),
    after: heldLeaseSchema.nullable().meta({ description: "When nobody is named: whose lease began next." }),
    knownSinceMs: instant.meta({ description: "From when on the table has everything." }),
  })
  .meta({ id: "Holders" });

/** The answer to the question for the past of a port. */
export const leasesSchema = z
  .object({
    ip: z.string().meta({ description: "As the hosts have it." }),
    port: z.int(),
    leases: z.array(heldLeaseSchema).meta({ description: "The latest first; one that goes on has no end." }),
    knownSinceMs: instant.meta({ description: "From when on the table has everything." }),
  })
  .meta({ id: "PortLeases" });

/** The answer. */
export type Holders = z.infer<typeof holdersSchema>;
/** A lease in it. */
export type HeldLease = z.infer<typeof heldLeaseSchema>;
/** What became of the question to a host. */
export type HostAnswer = z.infer<typeof hostAnswerSchema>;

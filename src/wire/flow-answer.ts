/**
 * What a host's gateway answers when it is asked who used a port at a time: from its flow log. [AT6]
 * The edge checks by it what comes from a host, and passes that on.
 */
import { z } from "zod";

/** Path at a gateway. */
export const FLOWS_PATH = "/v1/flows";

/** What is logged: nothing; which blocks the host had; also every flow. */
export type FlowLogLevel = "off" | "blocks" | "flows";

/** Flows, and blocks, that one answer holds. */
export const MAX_FOUND = 64;

/** What is asked: who used a port at a time. */
export interface FlowQuestion {
  readonly ip: string;
  readonly port: number;
  readonly atMs: number;
  /** The last millisecond that is asked about: `atMs`, or later where the time is not known that exactly. */
  readonly throughMs: number;
  /** Null for any. */
  readonly protocol: "tcp" | "udp" | null;
  /** `203.0.113.5:443`; null for any. Flows that are known to have gone elsewhere are left out. */
  readonly destination: string | null;
}

const instant = z.number().meta({ description: "Unix milliseconds, by the host's clock." });
const name = z.string().max(256);
const senderSchema = z.object({
  client: name.nullable().meta({ description: "As its token says; null for the host itself." }),
  clientAddress: name.nullable().meta({ description: "From where it came to the host." }),
  sinceMs: instant,
});

/** A flow: a connection, or a socket of UDP. */
export const loggedFlowSchema = z
  .object({
    protocol: z.enum(["tcp", "udp"]),
    tenant: name.meta({ description: "Empty for the host itself, which tries its uplinks." }),
    senders: z
      .array(senderSchema)
      .max(MAX_FOUND)
      .meta({ description: "Clients of the tenant that used it, the first one first." }),
    destinations: z.array(name).max(MAX_FOUND).meta({ description: "Empty unless they are logged." }),
    startMs: instant,
    endMs: instant.nullable().meta({ description: "Null while it goes on, or when its process was killed." }),
    cutOffMs: instant.nullable().meta({
      description: "When its process had died without a word, at the latest; null for any other.",
    }),
    sent: z.int().nullable().meta({ description: "Bytes; null before the end." }),
    received: z.int().nullable(),
  })
  .meta({ id: "LoggedFlow" });

const ofPeriod = { first: z.int(), last: z.int(), startMs: instant, endMs: instant.nullable() };
const loggedBlockSchema = z.object({ ...ofPeriod, epoch: z.int() });
const loggedTranslationSchema = z.object({
  ...ofPeriod,
  names: z
    .array(name)
    .max(MAX_FOUND)
    .meta({ description: "Of the senders that could leave there (name in --snat)." }),
});

/** The answer. */
export const flowAnswerSchema = z.object({
  level: z.enum(["off", "blocks", "flows", "unknown"]).meta({
    description: "What was logged at that time; unknown before the log began, or when it is kept no more.",
  }),
  destinations: z.boolean().meta({ description: "Whether destinations were logged." }),
  sinceMs: instant.nullable().meta({ description: "From when on the log has everything." }),
  flows: z
    .array(loggedFlowSchema)
    .max(MAX_FOUND)
    .meta({ description: "Those that were open at that time, or within it." }),
  ended: z.array(loggedFlowSchema).max(MAX_FOUND).meta({
    description:
      "Those that had ended within the two minutes before: a kernel may still speak for them, and clocks differ.",
  }),
  blocks: z
    .array(loggedBlockSchema)
    .max(MAX_FOUND)
    .meta({ description: "What the host had then of the address, with this port." }),
  translations: z.array(loggedTranslationSchema).max(MAX_FOUND).default([]).meta({
    description:
      "When the port was one of those in which the host's kernel translates: such flows are in no log.",
  }),
  isComplete: z.boolean().meta({ description: "False when there were more than an answer holds." }),
});

/** The answer. */
export type FlowAnswer = z.infer<typeof flowAnswerSchema>;
/** A time of translation in it. */
export type LoggedTranslation = FlowAnswer["translations"][number];
/** A flow in it. */
export type LoggedFlow = z.infer<typeof loggedFlowSchema>;

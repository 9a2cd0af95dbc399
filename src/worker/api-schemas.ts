/**
 * The administration API as schemas: they validate what comes in, and the OpenAPI document
 * is made of the same objects, so the two cannot differ. [WK16]
 */
import { z } from "@hono/zod-openapi";
import type { TypedResponse } from "hono";
import { PROBLEM_CODES, type Problem } from "../core/problems.ts";
import { isName } from "../core/selection.ts";
import { poolSettingsSchema } from "../wire/pool-settings.ts";
import { problem } from "./problem.ts";

/** The name of a pool or a host. */
export const nameSchema = z
  .string()
  .refine(isName, "lower-case letters, digits, dots, dashes and underscores, 63 at most")
  .openapi({ example: "eu" });

/** An address in the one spelling that names its object. */
export const ipSchema = z
  .union([z.ipv4(), z.ipv6()], "an IPv4 or IPv6 address is expected")
  .refine((ip) => ip === canonicalIp(ip), "the address must be in its canonical form")
  .openapi({ type: "string", example: "192.0.2.1" });

/** Settings of a pool, all of them. */
export const settingsSchema = poolSettingsSchema.openapi("PoolSettings");

/** An address of a pool. */
export const poolIpSchema = z
  .object({
    ip: z.string(),
    advertised: z.string().nullable().openapi({ description: "What the Internet sees, if it differs." }),
    retiring: z
      .object({ leasedPortCount: z.int().nullable(), quarantinedPortCount: z.int().nullable() })
      .nullable()
      .openapi({
        description:
          "Of an address that was removed: how many ports are still held, as it said last. It is gone when none is.",
      }),
  })
  .openapi("PoolIp");

const uplinkSchema = z.enum(["good", "suspect", "dead", "unknown"]).openapi({
  description:
    "Whether what leaves gets anywhere. Dead: others reach what this host cannot, and it gets no requests.",
});

/** A host of a pool, by what it said last. */
export const poolHostSchema = z
  .object({
    host: z.string(),
    gateway: z.string(),
    live: z.boolean(),
    draining: z.boolean(),
    reach: z.object({ ipv4: z.string().nullable(), ipv6: z.string().nullable() }).openapi({
      description: "Where routers reach it. What comes back to a host that they do not know is lost.",
    }),
    uplink: uplinkSchema.openapi({ description: "The worst of its addresses." }),
    rooms: z
      .array(
        z.object({
          ip: z.string(),
          portCount: z.int(),
          busiestCount: z.int(),
          uplink: uplinkSchema,
          destinationCount: z.int().nullable().openapi({ description: "Destinations dialled lately." }),
          failedCount: z.int().nullable().openapi({ description: "Of these, not reached." }),
        }),
      )
      .readonly(),
  })
  .openapi("PoolHost");

/** A steering router of a pool. */
export const poolRouterSchema = z
  .object({
    router: z.string(),
    live: z.boolean(),
    ready: z.boolean().openapi({ description: "Whether it has followed a whole table." }),
    acknowledged: z.int().nullable().openapi({ description: "The last change it has followed." }),
    lagging: z.boolean().openapi({ description: "Whether grants have gone ahead of it." }),
    seenAtMs: z.number().openapi({ description: "Unix milliseconds" }),
  })
  .openapi("PoolRouter");

/** A pool. */
export const poolSchema = z
  .object({
    pool: z.string(),
    settings: settingsSchema,
    ips: z.array(poolIpSchema).readonly(),
    hosts: z.array(poolHostSchema).readonly(),
    steeringSequence: z.int().openapi({ description: "Number of the last change of the steering table." }),
    routers: z.array(poolRouterSchema).readonly(),
  })
  .openapi("Pool");

const instant = z.number().openapi({ description: "Unix milliseconds" });

/** The table of an address: who may send from which ports. */
export const addressSchema = z
  .object({
    pool: z.string(),
    retiring: z
      .boolean()
      .openapi({ description: "Whether it was removed, so that nothing more is granted." }),
    settings: settingsSchema,
    lastEpoch: z.int(),
    freePortCount: z.int(),
    holders: z.array(z.object({ host: z.string(), session: z.int(), expiresAtMs: instant })).readonly(),
    blocks: z
      .array(
        z.object({
          base: z.int(),
          order: z.int(),
          epoch: z.int(),
          host: z.string(),
          state: z.enum(["leased", "quarantined"]),
          grantedAtMs: instant,
          endedAtMs: instant.nullable(),
          freeAtMs: instant.nullable(),
          steered: z.boolean().openapi({ description: "Whether the routers have followed its grant." }),
        }),
      )
      .readonly(),
  })
  .openapi("Address");

/** Leave to talk to gateways directly. */
export const gatewayTokenSchema = z
  .object({
    token: z.string(),
    expiresAt: z.iso.datetime(),
    pool: z.string(),
    hosts: z.array(z.object({ host: z.string(), gateway: z.string(), ips: z.array(z.string()) })),
  })
  .openapi("GatewayToken");

/** What one isolate of the edge did since it began. */
export const edgeSchema = z
  .object({ controlPlaneCalls: z.int(), handedOver: z.int(), retries: z.int() })
  .openapi("Edge");

/** RFC 9457, with a stable code. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(PROBLEM_CODES),
    detail: z.string().optional(),
  })
  .openapi("Problem");

/** The refusals every route of the API may answer with. */
export const refusals = {
  default: {
    description: "A refusal; `code` says which.",
    content: { "application/problem+json": { schema: problemSchema } },
  },
};

/** A refusal as the routes must return it: their types know it by one status, it has many. */
export function refused(
  refusal: Problem,
): Response & TypedResponse<z.infer<typeof problemSchema>, 400, "json"> {
  return problem(refusal) as Response & TypedResponse<z.infer<typeof problemSchema>, 400, "json">;
}

/** A successful answer in JSON. */
export function answerOf<Schema extends z.ZodType>(description: string, schema: Schema) {
  return { description, content: { "application/json": { schema } } };
}

function canonicalIp(ip: string): string {
  return ip.includes(":") ? new URL(`http://[${ip}]`).hostname.slice(1, -1) : ip;
}

/**
 * What the edge's API takes and answers, as schemas: the Worker checks what comes in by them, the
 * OpenAPI document is made of them, and the client reads answers by them, so no two differ. [WK16]
 */
import { z } from "zod";
import { PROBLEM_CODES } from "../core/problems.ts";
import { isName } from "../core/selection.ts";
import { countryOf, isLabel, MAX_LABELS } from "../core/whereabouts.ts";
import { poolSettingsSchema } from "../wire/pool-settings-schema.ts";

/** The name of a pool or a host. */
export const nameSchema = z
  .string()
  .refine(isName, "lower-case letters, digits, dots, dashes and underscores, 63 at most")
  .meta({ example: "eu" });

/** An address in the one spelling that names its object. */
export const ipSchema = z
  .union([z.ipv4(), z.ipv6()], "an IPv4 or IPv6 address is expected")
  .refine((ip) => ip === canonicalIp(ip), "the address must be in its canonical form")
  .meta({ type: "string", example: "192.0.2.1" });

/** Settings of a pool, all of them. */
export const settingsSchema = poolSettingsSchema.meta({ id: "PoolSettings" });

const labelSchema = z
  .string()
  .refine(isLabel, "1 to 63 printable ASCII characters are expected, with no blank at an end");
const labelsSchema = z
  .array(labelSchema)
  .max(MAX_LABELS)
  .refine((labels) => new Set(labels).size === labels.length, "each may be given once")
  .readonly();

/** What can be said of an address when it is added or changed. [DO19] */
export const ipChangesSchema = z.strictObject({
  advertised: ipSchema.nullish().meta({
    description: "What the Internet sees, if it differs. Stays as it is when not given; null takes it away.",
  }),
  country: z
    .string()
    .refine((text) => countryOf(text) !== null, "a code of two letters is expected, such as de")
    .toLowerCase()
    .nullish()
    .meta({
      description:
        "ISO 3166-1 alpha-2 in either case, kept in lower case. Stays as it is when not given; null takes it away.",
      example: "de",
    }),
  sites: labelsSchema.optional().meta({
    description:
      "Where it is announced: only hosts of these sites serve it. Stays as it is when not given; none means everywhere.",
    example: ["fra1"],
  }),
  tags: labelsSchema.optional().meta({
    description: "Words of your own; nothing is chosen by them. Stay as they are when not given.",
  }),
});

const drainSchema = z
  .object({
    state: z.enum(["draining", "drained"]).meta({
      description:
        "Draining while ports of it are held, or what is to replace it does not serve yet; then drained.",
    }),
    sinceMs: z.number().meta({ description: "Unix milliseconds" }),
    portCount: z.int().meta({ description: "Ports still held, as hosts said last." }),
    flowCount: z.int().nullable().meta({
      description: "Flows on them; null while new ones are still taken, or not told yet.",
    }),
  })
  .meta({ id: "Drain" });
const ofOperator = { description: "How far a drain by the operator has come; null without one." };

const destinationSchema = z.object({
  protocol: z.enum(["tcp", "udp"]),
  ip: z.string(),
  port: z.int(),
});

/** An address of a pool. */
export const poolIpSchema = z
  .object({
    ip: z.string(),
    advertised: z.string().nullable().meta({ description: "What the Internet sees, if it differs." }),
    country: z.string().nullable().meta({ description: "ISO 3166-1 alpha-2, in lower case." }),
    sites: z
      .array(z.string())
      .readonly()
      .meta({ description: "Where it is announced; with none, everywhere." }),
    tags: z.array(z.string()).readonly(),
    retiring: z
      .object({ leasedPortCount: z.int().nullable(), quarantinedPortCount: z.int().nullable() })
      .nullable()
      .meta({
        description:
          "Of an address that was removed: how many ports are still held, as it said last. It is gone when none is.",
      }),
    drain: drainSchema.nullable().meta(ofOperator),
    busiestDestination: destinationSchema
      .extend({ portCount: z.int().meta({ description: "Ports in use towards it, of all these hosts." }) })
      .nullable()
      .meta({
        description:
          "Where its ports are in use most, by what its live hosts said last: each tells its own busiest destination. Null when nothing is in use, or most by UDP, which has no one destination.",
      }),
  })
  .meta({ id: "PoolIp" });

const uplinkSchema = z.enum(["good", "suspect", "dead", "unknown"]).meta({
  description:
    "Whether what leaves gets anywhere. Dead: others reach what this host cannot, and it gets no requests.",
});

/** A host of a pool, by what it said last. */
export const poolHostSchema = z
  .object({
    host: z.string(),
    gateway: z.string(),
    live: z.boolean(),
    draining: z
      .boolean()
      .meta({ description: "Whether it gives everything back by itself, as when it ends." }),
    reach: z.object({ ipv4: z.string().nullable(), ipv6: z.string().nullable() }).meta({
      description: "Where routers reach it. What comes back to a host that they do not know is lost.",
    }),
    site: z.string().nullable().meta({ description: "Where it is; null if it does not say." }),
    weight: z.number().meta({ description: "Its share of the load compared with other hosts." }),
    uplink: uplinkSchema.meta({ description: "The worst of its addresses." }),
    rooms: z
      .array(
        z.object({
          ip: z.string(),
          portCount: z.int(),
          busiestCount: z.int().meta({ description: "Of these, in use towards the busiest destination." }),
          busiestDestination: destinationSchema.nullable().meta({
            description:
              "That destination; null when nothing is in use, or most by UDP, or an older host does not tell.",
          }),
          uplink: uplinkSchema,
          destinationCount: z.int().nullable().meta({ description: "Destinations dialled lately." }),
          failedCount: z.int().nullable().meta({ description: "Of these, not reached." }),
        }),
      )
      .readonly(),
    leaving: z
      .array(z.object({ ip: z.string(), portCount: z.int(), flowCount: z.int() }))
      .readonly()
      .meta({ description: "Addresses that it takes no new flows from, and has not let go of." }),
    drain: drainSchema.nullable().meta(ofOperator),
    policyVersion: z.int().nullable().meta({
      description: "Of the policy by which it decides; null when it has none, or is older and does not tell.",
    }),
    slots: z
      .array(z.object({ ip: z.string(), slot: z.int(), firstPort: z.int(), lastPort: z.int() }))
      .readonly()
      .meta({ description: "In a static pool: the slots that are its own for good, counted from 0." }),
  })
  .meta({ id: "PoolHost" });

/** A steering router of a pool. */
export const poolRouterSchema = z
  .object({
    router: z.string(),
    live: z.boolean(),
    ready: z.boolean().meta({ description: "Whether it has applied a whole table." }),
    acknowledged: z.int().nullable().meta({ description: "The last change that it has applied." }),
    lagging: z.boolean().meta({ description: "Whether grants have gone ahead of it." }),
    seenAtMs: z.number().meta({ description: "Unix milliseconds" }),
  })
  .meta({ id: "PoolRouter" });

/** The pools that the token is good for. */
export const poolNamesSchema = z.object({ pools: z.array(z.string()) });

/** A pool. */
export const poolSchema = z
  .object({
    pool: z.string(),
    settings: settingsSchema,
    ips: z.array(poolIpSchema).readonly(),
    hosts: z.array(poolHostSchema).readonly(),
    slots: z
      .object({
        portsPerSlot: z.int(),
        slotsPerIp: z.int().meta({ description: "Hosts that one address can have." }),
        lostPortsPerIp: z.int().meta({ description: "Ports of each address that are in no slot." }),
        slotCount: z.int().meta({ description: "Of all addresses that serve." }),
        takenCount: z.int().nullable().meta({
          description: "Of these, held or in quarantine; null while not every address answers.",
        }),
      })
      .nullable()
      .meta({ description: "What a static pool has room for; null for any other." }),
    steeringSequence: z.int().meta({ description: "Number of the last change of the steering table." }),
    routers: z.array(poolRouterSchema).readonly(),
    policyVersion: z.int().meta({ description: "Hosts of another version have yet to fetch the policy." }),
  })
  .meta({ id: "Pool" });

/** A host in every pool that knows it. */
export const hostSchema = z
  .object({
    host: z.string(),
    pools: z.array(z.intersection(poolHostSchema, z.object({ pool: z.string() }))),
  })
  .meta({ id: "Host" });

const instant = z.number().meta({ description: "Unix milliseconds" });

/** The table of an address: who may send from which ports. */
export const addressSchema = z
  .object({
    pool: z.string(),
    retiring: z.boolean().meta({ description: "Whether it was removed, so that nothing more is granted." }),
    settings: settingsSchema,
    lastEpoch: z.int(),
    freePortCount: z.int(),
    holders: z
      .array(
        z.object({
          host: z.string(),
          session: z.int(),
          expiresAtMs: instant.nullable().meta({ description: "Null for a host with a static slot." }),
        }),
      )
      .readonly(),
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
          steered: z.boolean().meta({ description: "Whether the routers have applied its grant." }),
        }),
      )
      .readonly(),
  })
  .meta({ id: "Address" });

/** Leave to talk to gateways directly. */
export const gatewayTokenSchema = z
  .object({
    token: z.string(),
    expiresAt: z.iso.datetime(),
    pool: z.string(),
    hosts: z.array(z.object({ host: z.string(), gateway: z.string(), ips: z.array(z.string()) })),
  })
  .meta({ id: "GatewayToken" });

/** What one isolate of the edge did since it began. */
export const edgeSchema = z
  .object({
    controlPlaneCalls: z.int(),
    handedOver: z.int().meta({ description: "Requests that were given to a host." }),
    handedOverOf: z.record(z.string(), z.int()).meta({
      description: "The same, of each pool that the token is good for; none of a pool without any.",
    }),
    retries: z.int(),
    isWhole: z.boolean().meta({
      description:
        "Whether this isolate is the whole edge, as on a machine of its own; elsewhere it is one of many.",
    }),
  })
  .meta({ id: "Edge" });

/** RFC 9457, with a stable code. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(PROBLEM_CODES),
    detail: z.string().optional(),
  })
  .meta({ id: "Problem" });

function canonicalIp(ip: string): string {
  return ip.includes(":") ? new URL(`http://[${ip}]`).hostname.slice(1, -1) : ip;
}

/** What the edge's API takes and answers about tokens, keys and joins, as schemas. [TK4] */
import { z } from "zod";
import { EVERY_POOL, ISSUED_ROLES, JOINED_ROLES, type Role } from "../core/identity.ts";
import { nameSchema } from "./schemas.ts";

const LONGEST_JOIN_MS = 7 * 86_400_000;
const LONGEST_WAIT_MS = 86_400_000;

const instant = z.number().meta({ description: "Unix milliseconds" });
const tokenId = z
  .string()
  .regex(/^[\w-]{1,64}$/, "the id of a token is expected")
  .meta({ example: "b1FzWkR4a0pt" });
const kid = z.string().regex(/^(issuer|edge):[\w-]{1,64}$/, "the id of a key is expected");
const tenant = z.string().min(1).max(128);
const poolOrEvery = z.union([z.literal(EVERY_POOL), nameSchema]);

/** The key in a path. */
export const keyInPath = z.object({ kid });

/** A token, to be noted. It must be signed by an issuer that the edge trusts, and have an id. */
export const registrationSchema = z.strictObject({ token: z.string().min(1).max(16_384) });

/** A token by what it says. */
export const tokenSchema = z
  .object({
    id: z.string(),
    role: z.enum(ISSUED_ROLES as readonly Role[] as [Role, ...Role[]]),
    name: z.string(),
    tenant: z.string().nullable(),
    pools: z.array(z.string()).readonly(),
    restrictions: z
      .object({
        ips: z.array(z.string()).readonly().optional(),
        destinations: z.array(z.string()).readonly().optional(),
        requestsPerSecond: z.number().optional(),
      })
      .nullable()
      .meta({ description: "What it permits less than its tenant may do; null for nothing less." }),
    endsAtMs: instant,
    registeredAtMs: instant,
    registeredBy: z.string(),
    isJoined: z
      .boolean()
      .meta({ description: "Whether a machine got it by a join, and renews it by itself." }),
    revokedAtMs: instant.nullable(),
    revokedBy: z.string().nullable(),
    kid: z.string().nullable().meta({
      description: "The key that signed it; null where that is not known, as of what machines got by a join.",
    }),
    keyRetiredAtMs: instant.nullable().meta({
      description: "When that key was retired: from then on the token counts no more.",
    }),
  })
  .meta({ id: "Token" });

/** Which tokens to list. */
export const tokenPageSchema = z.object({
  after: z.string().max(64).optional().meta({ description: "The id of the last one that was listed." }),
});

/** Some tokens. */
export const tokensSchema = z.object({
  tokens: z.array(tokenSchema).readonly(),
  next: z.string().nullable().meta({ description: "What to give as `after` for more; null if that is all." }),
});

/** Which tokens to revoke: one by its id, or all of a name (and a role), or all of a tenant. */
export const revocationSchema = z
  .strictObject({
    id: tokenId.optional(),
    name: nameSchema.optional(),
    role: z.enum(ISSUED_ROLES).optional(),
    tenant: tenant.optional(),
    endsAtMs: z.int().positive().optional().meta({
      description:
        "When the token of this id ends, if it was never registered; else it stays revoked for ten years.",
    }),
  })
  .refine(
    ({ id, name, tenant: whose }) => [id, name, whose].filter((given) => given !== undefined).length === 1,
    "one of id, name and tenant is expected",
  );

/** What was revoked. */
export const revokedSchema = z.object({
  ids: z.array(z.string()).readonly(),
  pendingPools: z
    .array(z.string())
    .readonly()
    .meta({ description: "Pools that did not answer yet; they are told as soon as they do." }),
});

/** Keys by which tokens count. */
export const keysSchema = z.object({
  keys: z
    .array(
      z.object({
        kid: z.string(),
        kind: z.enum(["issuer", "edge"]),
        isTrusted: z.boolean().meta({ description: "Whether tokens that it signed count." }),
        isSigning: z.boolean().meta({ description: "Whether the edge signs with it now." }),
        source: z.enum(["environment", "register"]),
        addedAtMs: instant.nullable(),
        addedBy: z.string().nullable(),
        signsFromMs: instant.nullable(),
        retiredAtMs: instant.nullable(),
        retiredBy: z.string().nullable(),
      }),
    )
    .readonly(),
  everywhereAtMs: instant.meta({
    description: "From then on no part of the edge goes by what was before, if the register answers.",
  }),
});

/** The public key of a further issuer. */
export const issuerKeySchema = z.strictObject({
  key: z.strictObject({
    kid: kid.refine((text) => text.startsWith("issuer:"), "the key of an issuer is expected"),
    kty: z.literal("OKP"),
    crv: z.literal("Ed25519"),
    x: z.string().regex(/^[\w-]{43}$/),
    alg: z.literal("Ed25519").optional(),
    use: z.literal("sig").optional(),
  }),
});

/** When a new key of the edge begins to sign. */
export const edgeRotationSchema = z.strictObject({
  signsInMs: z.int().min(0).max(LONGEST_WAIT_MS).optional().meta({
    description: "By default 10 minutes: until then every host has fetched it.",
  }),
});

/** Whom a machine is to become. */
export const joinOfferSchema = z.strictObject({
  role: z.enum(JOINED_ROLES),
  name: nameSchema,
  pools: z.array(poolOrEvery).min(1).max(256),
  ttlMs: z.int().min(1_000).max(LONGEST_JOIN_MS).optional().meta({ description: "By default an hour." }),
});

const joinSchema = z.object({
  id: z.string(),
  role: z.enum(JOINED_ROLES),
  name: z.string(),
  pools: z.array(z.string()).readonly(),
  endsAtMs: instant,
  madeAtMs: instant,
  madeBy: z.string(),
  usedAtMs: instant.nullable(),
  refusedCount: z
    .int()
    .meta({ description: "Tries by others after that: somebody else has the join token." }),
  refusedAtMs: instant.nullable(),
});

/** A join as it was offered, with the token for it, which is told this once. */
export const offeredJoinSchema = z.object({ join: joinSchema, token: z.string() });

/** All joins of late. */
export const joinsSchema = z.object({ joins: z.array(joinSchema).readonly() });

/** A machine that joins says by what it will prove to be the same one, should it have to ask again. */
export const joinUseSchema = z.strictObject({ proof: z.string().regex(/^[\w-]{43}$/) });

/** The token of a host or a router. */
export const joinedSchema = z.object({
  token: z.string(),
  role: z.enum(JOINED_ROLES),
  name: z.string(),
  pools: z.array(z.string()).readonly(),
  endsAtMs: instant,
});

/** A code that signs in to the dashboard, once. [DA4] */
export const signInCodeSchema = z.object({
  // It is printed as it comes, in a link that somebody clicks on.
  code: z
    .string()
    .regex(/^[\w-]{1,128}$/)
    .meta({ description: "For EDGE/dashboard#sign-in=CODE; good once." }),
  endsAt: z.iso.datetime().meta({ description: "Until when it is good." }),
});

/** How long a join is good for unless said otherwise. */
export const DEFAULT_JOIN_MS = 3_600_000;

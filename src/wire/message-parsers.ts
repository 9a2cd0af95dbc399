/** Reads the messages of `core/messages.ts` off a WebSocket; anything else is refused. [ME1] [ME3] */
import { z } from "zod";
import type { LeaseRefusal } from "../core/lease-commands.ts";
import {
  type LeaseReply,
  type LeaseRequest,
  type MessageRefusal,
  type PoolRefusal,
  type PoolReply,
  type PoolRequest,
  PROTOCOL_VERSION,
  type RouterRefusal,
  type RouterReply,
  type RouterRequest,
} from "../core/messages.ts";
import { ok, type Outcome, refuse } from "../core/outcome.ts";
import { isLeasableBlock, MAX_ORDER, MIN_ORDER, PORT_END } from "../core/port-block.ts";
import type { NextHop, SteeringChange, SteeringEntry, SteeringTable } from "../core/steering.ts";
import type { Amounts } from "../core/tenant-limits.ts";
import { MAX_DOUBTS } from "../core/uplink.ts";
import { isLabel, isWeight } from "../core/whereabouts.ts";
import { telling, watch } from "./live-view-schema.ts";
import { leaseSettingsSchema, poolOwnSettingsSchema } from "./pool-settings-schema.ts";
import { countUpTo, wholeNumber } from "./whole-number.ts";

/** Longest message that is looked at, in characters. */
export const MAX_MESSAGE_LENGTH = 256 * 1024;

const requestId = textOf(1, 64);
const version = countUpTo();
/** Most requests have none: they go on from one that had. */
const opening = z.object({ version: version.optional() });
const instance = textOf(8, 128);
const port = countUpTo(PORT_END - 1);
const epoch = z.int().positive();
const ip = z.union([z.ipv4(), z.ipv6()]);
const lease = z
  .strictObject({ base: port, order: z.int().min(MIN_ORDER).max(MAX_ORDER), epoch })
  .refine(isLeasableBlock);
/** No address has more blocks. */
const MOST_LEASES = 1_008;
const LONGEST_LEASE_MS = 86_400_000;
const holdings = z.strictObject({
  leases: z.array(lease).max(MOST_LEASES),
  leftMs: z.number().nonnegative().max(LONGEST_LEASE_MS).nullable(),
});
const messageRefusals = ["version-unsupported", "message-malformed"] as const satisfies MessageRefusal[];

const leaseRequest = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("join"), version, requestId, instance, holdings: holdings.optional() }),
  z.strictObject({ type: z.literal("renew"), requestId }),
  z.strictObject({ type: z.literal("acquire"), requestId, order: wholeNumber() }),
  z.strictObject({ type: z.literal("release"), requestId, base: port, epoch }),
]) satisfies z.ZodType<LeaseRequest>;

const leaseRefusals = [
  "host-already-present",
  "stale-session",
  "stale-epoch",
  "order-out-of-range",
  "share-exceeded",
  "address-exhausted",
  "steering-pending",
  "ip-retiring",
  "holdings-wanted",
  "address-recovering",
] as const satisfies LeaseRefusal[];

const leaseReply = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("answer"),
    requestId,
    leases: z.array(lease),
    leaseDurationMs: z.number().positive().nullable(),
    granted: lease.nullable(),
    settings: leaseSettingsSchema,
    room: z.object({ portCount: countUpTo(), hostCount: countUpTo() }).optional(),
  }),
  z.object({
    type: z.literal("refused"),
    requestId: z.string().max(64),
    code: z.enum([...leaseRefusals, ...messageRefusals]),
  }),
  z.object({ type: z.literal("changed") }),
]) satisfies z.ZodType<LeaseReply>;

const place = z.strictObject({
  ip,
  port: z
    .int()
    .min(1)
    .max(PORT_END - 1),
});
const uplink = z.strictObject({
  state: z.enum(["good", "suspect"]),
  destinationCount: countUpTo(),
  failedCount: countUpTo(),
  doubts: z.array(place).max(MAX_DOUBTS),
});
const destination = z.strictObject({ protocol: z.enum(["tcp", "udp"]), ...place.shape });
const capacity = z.strictObject({
  ip,
  portCount: countUpTo(),
  busiestCount: countUpTo(),
  busiestDestination: destination.optional(),
  limit: countUpTo().optional(),
  absent: z.boolean().optional(),
  uplink: uplink.optional(),
});
const leavingAddress = z.strictObject({ ip, portCount: countUpTo(), flowCount: countUpTo() });

const amounts = z.strictObject({
  // A token's own rate may be a part of one, and so is a share of it.
  requestsPerSecond: z.number().nonnegative().max(Number.MAX_SAFE_INTEGER).optional(),
  requestsInFlight: countUpTo().optional(),
  tunnels: countUpTo().optional(),
  ports: countUpTo().optional(),
  bytesPerDay: countUpTo().optional(),
}) satisfies z.ZodType<Amounts>;
/** A token's key holds its id and its subject. */
const LONGEST_TENANT = 1_024;
const tenantUse = z.strictObject({
  tenant: textOf(1, LONGEST_TENANT),
  used: amounts,
  wanted: amounts,
  rate: z.number().nonnegative().max(Number.MAX_SAFE_INTEGER).optional(),
});
const MAX_TENANTS = 256;

const poolRequest = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("enlist"),
    version,
    instance,
    gateway: textOf(1, 2048),
    reach: z.strictObject({ ipv4: z.ipv4().nullable(), ipv6: z.ipv6().nullable() }).optional(),
    site: z.string().refine(isLabel).optional(),
    weight: z.number().refine(isWeight).optional(),
  }),
  z.strictObject({
    type: z.literal("report"),
    draining: z.boolean(),
    rooms: z.array(capacity).max(4096),
    leaving: z.array(leavingAddress).max(4096).optional(),
    policyVersion: countUpTo().optional(),
    watchable: z.literal(true).optional(),
  }),
  z.strictObject({
    type: z.literal("use"),
    number: countUpTo(),
    tenants: z.array(tenantUse).max(MAX_TENANTS),
  }),
  z.strictObject({ type: z.literal("tried"), ip, reached: z.array(place).max(MAX_DOUBTS) }),
  z.strictObject({ type: z.literal("watched"), ...telling.shape }),
]) satisfies z.ZodType<PoolRequest>;

const poolRefusals = [
  "host-already-present",
  "pool-unknown",
  "gateway-invalid",
] as const satisfies PoolRefusal[];

const poolReply = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("enlisted"),
    pool: z.string(),
    ips: z.array(ip),
    retiring: z.array(ip).optional(),
    steered: z.boolean().optional(),
    takes: z.array(z.string()).optional(),
    settings: poolOwnSettingsSchema.optional(),
    policyVersion: countUpTo().optional(),
    advertised: z.record(ip, ip).optional(),
    shortage: z.literal("address-exhausted").optional(),
  }),
  z.object({ type: z.literal("try"), ip, places: z.array(place).max(MAX_DOUBTS) }),
  z.object({
    type: z.literal("shares"),
    number: countUpTo(),
    members: z.int().min(1),
    tenants: z.array(z.object({ tenant: z.string(), share: amounts })),
  }),
  z.object({ type: z.literal("ejected"), ips: z.array(ip) }),
  z.object({ type: z.literal("watch"), ...watch.shape }),
  z.object({ type: z.literal("refused"), code: z.enum([...poolRefusals, ...messageRefusals]) }),
]) satisfies z.ZodType<PoolReply>;

const sequence = countUpTo();
const entry = z
  .object({ ip, base: port, order: z.int().min(MIN_ORDER).max(MAX_ORDER), host: z.string().min(1), epoch })
  .refine(isLeasableBlock) satisfies z.ZodType<SteeringEntry>;
const nextHop = z.object({
  host: z.string().min(1),
  ipv4: z.ipv4().nullable(),
  ipv6: z.ipv6().nullable(),
}) satisfies z.ZodType<NextHop>;

const steeringTable = z.object({
  sequence,
  ips: z.array(ip),
  entries: z.array(entry),
  nextHops: z.array(nextHop),
  isPartial: z.boolean().optional(),
}) satisfies z.ZodType<SteeringTable>;

const steeringChange = z.object({
  sequence,
  withdraw: z.array(z.object({ ip, base: port, epoch })),
  put: z.array(entry),
  addIps: z.array(ip),
  removeIps: z.array(ip),
  nextHops: z.array(nextHop),
}) satisfies z.ZodType<SteeringChange>;

const routerRequest = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("enroll"), version, instance }),
  z.strictObject({ type: z.literal("observe"), version }),
  z.strictObject({ type: z.literal("acknowledge"), sequence }),
  z.strictObject({ type: z.literal("resync") }),
]) satisfies z.ZodType<RouterRequest>;

const routerRefusals = [
  "router-already-present",
  "pool-unknown",
  "sequence-unknown",
] as const satisfies RouterRefusal[];

/** Every code by which the edge refuses what hosts and routers say, for documents. */
export const LINK_REFUSALS: readonly string[] = [
  ...new Set([...leaseRefusals, ...poolRefusals, ...routerRefusals, ...messageRefusals]),
];

const routerReply = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("table"),
    part: z.int().positive(),
    parts: z.int().positive(),
    table: steeringTable,
  }),
  z.object({ type: z.literal("change"), change: steeringChange }),
  z.object({ type: z.literal("refused"), code: z.enum([...routerRefusals, ...messageRefusals]) }),
]) satisfies z.ZodType<RouterReply>;

/** What a host says to an address. */
export function parseLeaseRequest(text: string): Outcome<LeaseRequest, MessageRefusal> {
  return parseVersioned(leaseRequest, text);
}

/** What an address says to a host. */
export function parseLeaseReply(text: string): Outcome<LeaseReply, MessageRefusal> {
  return parse(leaseReply, text);
}

/** What a host says to its pool. */
export function parsePoolRequest(text: string): Outcome<PoolRequest, MessageRefusal> {
  return parseVersioned(poolRequest, text);
}

/** What a pool says to a host. */
export function parsePoolReply(text: string): Outcome<PoolReply, MessageRefusal> {
  return parse(poolReply, text);
}

/** What a router says to its pool. */
export function parseRouterRequest(text: string): Outcome<RouterRequest, MessageRefusal> {
  return parseVersioned(routerRequest, text);
}

/** What a pool says to a router. */
export function parseRouterReply(text: string): Outcome<RouterReply, MessageRefusal> {
  return parse(routerReply, text);
}

function parse<Message>(schema: z.ZodType<Message>, text: string): Outcome<Message, MessageRefusal> {
  return judge(schema, readJson(text));
}

/** The version is read before the rest, which another version may well have changed. [ME1] */
function parseVersioned<Message>(schema: z.ZodType<Message>, text: string): Outcome<Message, MessageRefusal> {
  const json = readJson(text);
  const spoken = opening.safeParse(json).data?.version ?? PROTOCOL_VERSION;
  return spoken === PROTOCOL_VERSION ? judge(schema, json) : refuse("version-unsupported");
}

function judge<Message>(schema: z.ZodType<Message>, json: unknown): Outcome<Message, MessageRefusal> {
  const result = schema.safeParse(json);
  return result.success ? ok(result.data) : refuse("message-malformed");
}

/** Text of so many characters. Halves of characters, which JSON can spell, no disk gives back. */
function textOf(shortest: number, longest: number): z.ZodType<string> {
  return z
    .string()
    .min(shortest)
    .max(longest)
    .refine((text) => text.isWellFormed());
}

/** Undefined, which no message is, for what is no JSON or too long. */
function readJson(text: string): unknown {
  if (text.length > MAX_MESSAGE_LENGTH) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Reads what is said while somebody looks: by a page to the object, by a pool to its hosts, and by a host of itself. [LV2] [LV7] */
import { z } from "zod";
import {
  LONGEST_EVERY_MS,
  LONGEST_NAME,
  type LookRequest,
  MOST_CODES,
  MOST_DECISIONS,
  MOST_MINUTES,
  MOST_QUARTERS,
  MOST_TOLD_ADDRESSES,
  MOST_TOLD_BLOCKS,
  type PastCounts,
  type Telling,
  type Watch,
} from "../core/live-view.ts";
import { ok, type Outcome, refuse } from "../core/outcome.ts";
import { PORT_END } from "../core/port-block.ts";
import { countUpTo } from "./whole-number.ts";

/** Longest message of a page that is looked at, in characters. */
const LONGEST_LOOK = 1_024;
const LONGEST_FOR_MS = 600_000;
const MOST_PROCESSES = 1_024;

const lookRequest = z.strictObject({
  type: z.literal("look"),
  past: z.boolean().optional(),
  decisions: z.boolean().optional(),
  heard: countUpTo().optional(),
}) satisfies z.ZodType<LookRequest>;

const text = z
  .string()
  .max(LONGEST_NAME)
  .refine((said) => said.isWellFormed());
/** A stable code, or one that a newer host knows. */
const code = z.string().regex(/^[a-z][a-z0-9-]{0,63}$/);
const atMs = z.number().nonnegative().max(Number.MAX_SAFE_INTEGER);
const ip = z.union([z.ipv4(), z.ipv6()]);
const portCount = countUpTo(PORT_END);

/** A key of this name is no code, and a record would leave it out without a word. */
function hasPrototypeKey(said: unknown): boolean {
  return typeof said === "object" && said !== null && Object.hasOwn(said, "__proto__");
}

const slot = z.strictObject({
  atMs: countUpTo(),
  requestCount: countUpTo(),
  flowCount: countUpTo(),
  refusals: z
    .unknown()
    .refine((said) => !hasPrototypeKey(said))
    .pipe(z.record(code, countUpTo()).refine((refusals) => Object.keys(refusals).length <= MOST_CODES + 1)),
  portCount: countUpTo(),
});

const pastCounts = z.strictObject({
  minutes: z.array(slot).max(MOST_MINUTES),
  quarters: z.array(slot).max(MOST_QUARTERS),
}) satisfies z.ZodType<PastCounts>;

const watchedAddress = z.strictObject({
  ip,
  renewedAtMs: atMs.nullable(),
  renewsAtMs: atMs.nullable(),
  endsAtMs: atMs.nullable(),
  inUseCount: countUpTo(),
  blocks: z.array(z.tuple([countUpTo(PORT_END - 1), portCount, portCount])).optional(),
});

const decision = z.strictObject({
  atMs,
  decision: z.enum(["admitted", "answered", "refused"]),
  requestId: text.optional(),
  tenant: text.optional(),
  client: text.optional(),
  kind: text.optional(),
  ip: ip.optional(),
  port: countUpTo(PORT_END - 1).optional(),
  status: countUpTo(999).optional(),
  code: code.optional(),
  tookMs: countUpTo().optional(),
});

/** What a host tells while it is watched. */
export const telling = z.strictObject({
  now: z
    .strictObject({
      version: text,
      startedAtMs: atMs,
      processCount: countUpTo(MOST_PROCESSES),
      runningCount: countUpTo(),
      addresses: z
        .array(watchedAddress)
        .max(MOST_TOLD_ADDRESSES)
        .refine((all) => all.reduce((sum, { blocks = [] }) => sum + blocks.length, 0) <= MOST_TOLD_BLOCKS),
      minute: slot,
    })
    .optional(),
  past: pastCounts.optional(),
  decisions: z.array(decision).max(MOST_DECISIONS).optional(),
  lostCount: countUpTo().optional(),
}) satisfies z.ZodType<Telling>;

/** How a pool watches a host. */
export const watch = z.object({
  everyMs: z.number().min(100).max(LONGEST_EVERY_MS),
  forMs: z.number().nonnegative().max(LONGEST_FOR_MS),
  past: z.boolean(),
  decisionCount: countUpTo(MOST_DECISIONS),
}) satisfies z.ZodType<Watch>;

/** What a page says. */
export function parseLookRequest(said: string): Outcome<LookRequest, "message-malformed"> {
  if (said.length > LONGEST_LOOK) return refuse("message-malformed");
  const look = lookRequest.safeParse(jsonOf(said));
  return look.success ? ok(look.data) : refuse("message-malformed");
}

/** What a host has kept of its past on disk; null for what is none. */
export function parsePastCounts(kept: string): PastCounts | null {
  return pastCounts.safeParse(jsonOf(kept)).data ?? null;
}

function jsonOf(said: string): unknown {
  try {
    return JSON.parse(said);
  } catch {
    return undefined;
  }
}

/** What the stand-in is told to answer: data alone, since it may run in another process than who tells it. [TE2] */
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import { PROBLEM_CODES, type ProblemCode } from "../../core/problems.ts";

/** One answer, of the destination or of ipshard. */
export interface StandInAnswer {
  /** A refusal of ipshard's, by its code, instead of an answer of the destination's. */
  readonly refuse?: ProblemCode;
  /** What the refusal says to people. */
  readonly detail?: string;
  /** Of a refusal for a limit: `retry-after`. */
  readonly retryAfterSeconds?: number;
  /** Of the destination: 200 where nothing is said. */
  readonly status?: number;
  /** Its fields; a list for one that is repeated. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string;
  /** How long it is waited for. */
  readonly afterMs?: number;
  /** How long its body is waited for when its head is there. */
  readonly bodyAfterMs?: number;
  /** The body breaks off after so many bytes. */
  readonly cutAfterBytes?: number;
}

/** Why something is no answer. */
export type AnswerRefusal = { readonly code: "input-invalid"; readonly detail: string };

const LONG_TEXT = "0123456789abcdef".repeat(64);

/** What a caller should have seen once, ready to be told. [TE2] */
export const TROUBLE = {
  /** Every host has all its ports in use towards this destination. */
  exhausted: { refuse: "port-block-exhausted" },
  /** Every host has as many connections as it may have. */
  full: { refuse: "connections-exhausted" },
  /** The hosts hold no valid lease on the address. */
  leaseLost: { refuse: "lease-lost" },
  /** The pool's policy does not let this destination be reached. */
  denied: { refuse: "destination-denied" },
  /** The tenant may send no more for the moment. */
  limited: { refuse: "requests-limited", retryAfterSeconds: 1 },
  /** The host was lost while it served the request. */
  hostLost: { refuse: "host-lost" },
  /** The destination does not answer in time. */
  timeout: { refuse: "response-timeout" },
  /** An answer that takes two seconds to come. */
  slow: { afterMs: 2_000 },
  /** A body that breaks off half-way. */
  cutOff: { body: LONG_TEXT, cutAfterBytes: LONG_TEXT.length / 2 },
} as const satisfies Readonly<Record<string, StandInAnswer>>;

const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** What bytes can say. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const isText = (value: unknown): boolean => typeof value === "string";
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

const MEMBERS: { readonly [Key in keyof Required<StandInAnswer>]: (value: unknown) => boolean } = {
  refuse: (value) => (PROBLEM_CODES as readonly unknown[]).includes(value),
  detail: isText,
  retryAfterSeconds: isCount,
  status: (value) => isCount(value) && (value as number) >= 200 && (value as number) <= 599,
  headers: isFields,
  body: isText,
  afterMs: isCount,
  bodyAfterMs: isCount,
  cutAfterBytes: isCount,
};

/** Whether these can be the fields of an answer. */
function isFields(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).every(([name, given]) => {
    const values: unknown[] = Array.isArray(given) ? given : [given];
    return FIELD_NAME.test(name) && values.every((one) => typeof one === "string" && FIELD_VALUE.test(one));
  });
}

/** Reads an answer, whoever has written it. */
export function readAnswer(value: unknown): Outcome<StandInAnswer, AnswerRefusal> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return invalid("It is no object.");
  for (const [name, member] of Object.entries(value)) {
    if (!Object.hasOwn(MEMBERS, name)) return invalid(`An answer has no ${JSON.stringify(name)}.`);
    if (!MEMBERS[name as keyof StandInAnswer](member)) {
      return invalid(`${name} cannot be ${JSON.stringify(member)}.`);
    }
  }
  return ok(value as StandInAnswer);
}

function invalid(detail: string): Outcome<never, AnswerRefusal> {
  return refuse({ code: "input-invalid", detail });
}

/** Refusals on their way to clients. Each edge renders from the one table and invents nothing. [ER1] */
import { CATALOGUE, type ProblemKind } from "./problem-catalogue.ts";

/** The stable code of a refusal, as in the `code` member of the problem document. */
export type ProblemCode = keyof typeof CATALOGUE;

/** All codes, for documents and tests. */
export const PROBLEM_CODES = Object.keys(CATALOGUE) as readonly ProblemCode[];

/** Those that are no fault of who asks. They are counted from zero, since an increase begins with a number. [MT11] */
export function ownProblemCodes(): ProblemCode[] {
  return PROBLEM_CODES.filter((code) => CATALOGUE[code].status >= 500);
}

/** A refusal on its way to a client. `detail` is for people and never parsed. */
export interface Problem {
  readonly code: ProblemCode;
  readonly detail?: string;
  /** Where a redirect leads that only the client can follow; sent as `egress-location`. */
  readonly location?: string;
  /** After how long it makes sense to ask again; sent as `retry-after`. */
  readonly retryAfterSeconds?: number;
}

/** What the catalogue says of a code. */
export function problemKind(code: ProblemCode): ProblemKind {
  return CATALOGUE[code];
}

/** The RFC 9457 document of a problem. */
export function problemDocument(problem: Problem): Record<string, string | number> {
  const { status, title } = CATALOGUE[problem.code];
  return {
    type: `urn:ipshard:problem:${problem.code}`,
    title,
    status,
    code: problem.code,
    ...(problem.detail === undefined ? {} : { detail: problem.detail }),
  };
}

const HOST_REFUSALS = [
  "lease-lost",
  "draining",
  "port-block-exhausted",
  "connections-exhausted",
  "policy-missing",
  "address-family-mismatch",
] as const satisfies readonly ProblemCode[];

/** A refusal that concerns the host or its address, not the request. */
export type HostRefusal = (typeof HOST_REFUSALS)[number];

/**
 * Whether another host may be asked after this refusal: nothing of the request has reached the
 * destination. [PL4]
 */
export function isHostRefusal(code: string): code is HostRefusal {
  return (HOST_REFUSALS as readonly string[]).includes(code);
}

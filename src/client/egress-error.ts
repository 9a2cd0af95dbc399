/** How the SDK says that ipshard, not the destination, said no. */
import type { ProblemCode } from "../core/problems.ts";
import { PROXY_STATUS } from "../wire/header-names.ts";
import { problemCodeOf } from "../wire/problem-response.ts";

/** A code of this version, or one that a newer edge has come to know. */
export type EgressErrorCode = ProblemCode | (string & {});

/**
 * A refusal of ipshard's own, told apart by its `code`. A TypeError, because that is what
 * `fetch` rejects with when no response of the destination could be had. [CL3]
 */
export class EgressError extends TypeError {
  readonly code: EgressErrorCode;
  /** Status of the edge's answer. */
  readonly status: number;
  /** More for people, never to be parsed; null if there is none. */
  readonly detail: string | null;

  constructor(code: EgressErrorCode, status: number, title: string, detail: string | null) {
    super(detail === null ? `${title} [${code}]` : `${title} ${detail} [${code}]`);
    this.name = "EgressError";
    this.code = code;
    this.status = status;
    this.detail = detail;
  }
}

/** The refusal that a response is; null if it is the destination's. Reads a refusal's body. */
export async function refusalOf(response: Response): Promise<EgressError | null> {
  const code = problemCodeOf(response.headers.get(PROXY_STATUS));
  if (code === null) return null;
  const { title, detail } = await readProblem(response);
  return new EgressError(code, response.status, title ?? "The egress was refused.", detail ?? null);
}

async function readProblem(response: Response): Promise<{ title?: string; detail?: string }> {
  try {
    const { title, detail } = (await response.json()) as Record<string, unknown>;
    return {
      ...(typeof title === "string" ? { title } : {}),
      ...(typeof detail === "string" ? { detail } : {}),
    };
  } catch {
    // A HEAD has no body to read; the code has arrived in the header.
    return {};
  }
}

/** How the SDK says that ipshard, not the destination, said no. */
import type { ProblemCode } from "../core/problems.ts";
import { EGRESS_HOST, PROXY_STATUS } from "../wire/header-names.ts";
import { problemCodeOf } from "../wire/problem-response.ts";

/** Codes that are the SDK's own: what each means. */
export const SDK_CODES = {
  "answer-foreign": "Something other than ipshard answered in place of the edge.",
  "carrier-lost": "The WebSocket that carried a connection ended without a word of the gateway's.",
  "plain-http-refused": "The endpoint is plain HTTP on another machine, and allowPlainHttp was not given.",
} as const satisfies Readonly<Record<string, string>>;

/** A code of this version, one that a newer edge has come to know, or the SDK's own. */
export type EgressErrorCode = ProblemCode | keyof typeof SDK_CODES | (string & {});

const FOREIGN_ANSWER = "answer-foreign" satisfies keyof typeof SDK_CODES;

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

/**
 * The refusal that a response is when nothing of ipshard has seen the request: the edge's
 * platform answers some by itself, and so may a proxy before it. It is never the
 * destination's answer. [CL9]
 */
export function strangersAnswer(response: Response): EgressError | null {
  const { headers, status, statusText, type } = response;
  // Of a redirect that it does not follow a browser shows nothing.
  if (headers.has(PROXY_STATUS) || headers.has(EGRESS_HOST) || type === "opaqueredirect") return null;
  void response.body?.cancel();
  const title = "Something other than ipshard answered in place of the edge.";
  return new EgressError(FOREIGN_ANSWER, status, title, `It said ${`${status} ${statusText}`.trim()}.`);
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

/** How a call of the edge's API fails, told apart by class, and a refusal by its code. */
import type { ProblemCode } from "../core/problems.ts";

/** A code of this version, or one that a newer edge has come to know. */
export type EdgeRefusalCode = ProblemCode | (string & {});

/** The edge said no. */
export class EdgeRefusal extends Error {
  override readonly name = "EdgeRefusal";
  readonly code: EdgeRefusalCode;
  readonly status: number;
  /** More for people, never to be parsed; null if there is none. */
  readonly detail: string | null;

  /** `call` is method and path, such as `GET /v1/pools`. */
  constructor(
    call: string,
    status: number,
    problem: { readonly code: string; readonly title: string; readonly detail?: string | undefined },
  ) {
    const { code, title, detail } = problem;
    const words = detail === undefined ? title : `${title} ${detail}`;
    super(`The edge refused ${call}: ${words} (${status}, ${code})`);
    this.code = code;
    this.status = status;
    this.detail = detail ?? null;
  }
}

/** Nothing answered. */
export class EdgeUnreachable extends Error {
  override readonly name = "EdgeUnreachable";

  constructor(edge: string, cause: unknown) {
    super(`The edge at ${edge} cannot be reached: ${reasonOf(cause)}${adviceOn(cause)}`, { cause });
  }
}

/** What answered does not speak as this version's edge does; it may be a proxy before it. */
export class EdgeAnswerUnreadable extends Error {
  override readonly name = "EdgeAnswerUnreadable";
  readonly status: number;

  constructor(call: string, status: number, cause: unknown) {
    super(`What answered ${call} (with ${status}) is no edge of this version.`, { cause });
    this.status = status;
  }
}

/** Of certificates that Node does not trust, how it comes to trust them. */
const UNTRUSTED: ReadonlySet<string> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

function adviceOn(fault: unknown): string {
  const { code } = (fault as { cause?: { code?: string } }).cause ?? {};
  if (code === undefined || !UNTRUSTED.has(code)) return "";
  return ". An authority of your own is trusted with NODE_EXTRA_CA_CERTS=FILE in the environment";
}

/** What `fetch` hides behind "fetch failed". */
function reasonOf(fault: unknown): string {
  const { cause, message } = fault as { cause?: { message?: string; code?: string }; message?: string };
  return cause?.message || cause?.code || message || String(fault);
}

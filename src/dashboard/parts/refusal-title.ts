/** What is known of a refusal by its code. */
import { PROBLEM_CODES, problemKind } from "../../core/problems.ts";

const kinds = new Map(PROBLEM_CODES.map((code) => [code as string, problemKind(code)]));

/** What it says; empty for one that this page does not know. */
export function refusalTitle(code: string): string {
  return kinds.get(code)?.title ?? "";
}

/** RFC 9209's type of it; null where none fits. */
export function proxyErrorOf(code: string): string | null {
  return kinds.get(code)?.proxyError ?? null;
}

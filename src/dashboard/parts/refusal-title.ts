/** What a refusal says, by its code; empty for one that this page does not know. */
import { PROBLEM_CODES, problemKind } from "../../core/problems.ts";

const titles: ReadonlyMap<string, string> = new Map(
  PROBLEM_CODES.map((code) => [code, problemKind(code).title]),
);

/** The sentence. */
export function refusalTitle(code: string): string {
  return titles.get(code) ?? "";
}

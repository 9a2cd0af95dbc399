/** Which decisions are shown. */
import type { HeardDecision } from "../live/pool-store.ts";

/** What is asked for. */
export interface DecisionFilter {
  readonly decision: HeardDecision["decision"] | "all";
  /** Each of these has to be in one of its members, in either case. */
  readonly words: string;
}

/** Those that are asked for, in their order. */
export function filtered(
  decisions: readonly HeardDecision[],
  { decision, words }: DecisionFilter,
): readonly HeardDecision[] {
  const wanted = words
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  if (decision === "all" && wanted.length === 0) return decisions;
  return decisions.filter((each) => {
    if (decision !== "all" && each.decision !== decision) return false;
    if (wanted.length === 0) return true;
    const text = textOf(each);
    return wanted.every((word) => text.includes(word));
  });
}

function textOf({ host, tenant, client, kind, ip, port, status, code, requestId }: HeardDecision): string {
  return [host, tenant, client, kind, ip, port, status, code, requestId]
    .filter((each) => each !== undefined)
    .join("\n")
    .toLowerCase();
}

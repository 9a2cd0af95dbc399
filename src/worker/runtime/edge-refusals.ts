/** What the edge itself refuses clients of the egress API: counted, for whoever reads its metrics. [MT8] */
import { EGRESS_HOST, PROXY_STATUS } from "../../wire/header-names.ts";
import { problemCodeOf } from "../../wire/problem-response.ts";

/** How often each was said by this isolate, by code. */
export const edgeRefusals = new Map<string, number>();

/** The code of an answer that is the edge's own refusal, not a host's; null for any other. */
export function edgeRefusalOf({ status, headers }: Response): string | null {
  if (status < 400 || headers.has(EGRESS_HOST)) return null;
  return problemCodeOf(headers.get(PROXY_STATUS));
}

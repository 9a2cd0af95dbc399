/** The last that is done with an answer of the egress API: its name, and that it is counted. [MT8] [MT9] [MT10] */
import { EGRESS_HOST, EGRESS_IP, EGRESS_REQUEST_ID } from "../../wire/header-names.ts";
import { edgeRefusalOf, edgeRefusals } from "../runtime/edge-refusals.ts";
import type { Environment } from "../runtime/environment.ts";

/** A request of a client, from when it came. */
export interface Received {
  readonly requestId: string;
  /** Unix milliseconds. */
  readonly atMs: number;
}

/** The answer as the client gets it. */
export function finish(answer: Response, { requestId, atMs }: Received, env: Environment): Response {
  const code = edgeRefusalOf(answer);
  if (code !== null) edgeRefusals.set(code, (edgeRefusals.get(code) ?? 0) + 1);
  const { status, headers } = answer;
  env.ANALYTICS?.writeDataPoint({
    indexes: [headers.get(EGRESS_HOST) ?? "edge"],
    blobs: [code ?? "", headers.get(EGRESS_HOST) ?? "", headers.get(EGRESS_IP) ?? ""],
    doubles: [1, status, Date.now() - atMs],
  });
  // A host says it by itself; an older one does not, and what is switching protocols cannot be copied.
  if (status === 101 || status < 200 || status > 599 || headers.has(EGRESS_REQUEST_ID)) return answer;
  const named = new Response(answer.body, answer);
  named.headers.set(EGRESS_REQUEST_ID, requestId);
  return named;
}

/** The last that is done with an answer of the egress API: its name, and that it is counted, timed and logged. [MT8] [MT9] [MT10] [MT12] [MT15] */
import {
  EGRESS_HOST,
  EGRESS_IP,
  EGRESS_PORT,
  EGRESS_REQUEST_ID,
  PROXY_STATUS,
} from "../../wire/header-names.ts";
import { newRequestId } from "../../wire/request-id.ts";
import { problemCodeOf } from "../../wire/problem-response.ts";
import { edgeRefusalOf, edgeRefusals } from "../runtime/edge-refusals.ts";
import { edgePast } from "./edge-past.ts";
import { edgeTimes } from "./edge-times.ts";
import type { Background, Environment } from "../runtime/environment.ts";
import { type EdgeTrace, sendSpan, traceOf } from "./edge-trace.ts";
import { say } from "../runtime/log.ts";

/** A request of a client, from when it came. */
export interface Received {
  readonly requestId: string;
  /** Unix milliseconds. */
  readonly atMs: number;
  readonly method: string;
  /** Null where nobody records it. */
  readonly trace: EdgeTrace | null;
}

/** A request of a client that has just come. */
export function receive(request: Request, env: Environment): Received {
  const { method } = request;
  return { requestId: newRequestId(), atMs: Date.now(), method, trace: traceOf(request, env) };
}

/** The answer as the client gets it. */
export function finish(
  answer: Response,
  received: Received,
  env: Environment,
  background: Background,
): Response {
  const { requestId, atMs, method, trace } = received;
  const code = edgeRefusalOf(answer);
  if (code !== null) edgeRefusals.set(code, (edgeRefusals.get(code) ?? 0) + 1);
  const nowMs = Date.now();
  const tookMs = nowMs - atMs;
  if (env.SELF_HOSTED !== undefined) edgePast.note(nowMs, code, answer.status);
  edgeTimes[code === null ? "host" : "edge"].note(tookMs);
  const { status, headers } = answer;
  env.ANALYTICS?.writeDataPoint({
    indexes: [headers.get(EGRESS_HOST) ?? "edge"],
    blobs: [code ?? "", headers.get(EGRESS_HOST) ?? "", headers.get(EGRESS_IP) ?? ""],
    doubles: [1, status, tookMs],
  });
  logDecision(answer, { code, requestId, tookMs }, env);
  if (trace !== null) {
    const refused = code ?? problemCodeOf(headers.get(PROXY_STATUS));
    const traced = { answer, code: refused, method, requestId, beganAtMs: atMs };
    background.waitUntil(sendSpan(trace, traced, env));
  }
  // A host says it by itself; an older one does not, and what is switching protocols cannot be copied.
  if (status === 101 || status < 200 || status > 599 || headers.has(EGRESS_REQUEST_ID)) return answer;
  const named = new Response(answer.body, answer);
  named.headers.set(EGRESS_REQUEST_ID, requestId);
  return named;
}

/** What a line says that the answer does not. */
interface Decided {
  /** Of the edge's own refusal. */
  readonly code: string | null;
  readonly requestId: string;
  readonly tookMs: number;
}

/** With the names of the hosts' lines, as JSON, which Cloudflare's log takes apart. */
function logDecision({ status, headers }: Response, decided: Decided, { LOG_DECISIONS }: Environment): void {
  if (LOG_DECISIONS !== "all" && LOG_DECISIONS !== "refused") return;
  const { requestId, tookMs } = decided;
  const code = decided.code ?? problemCodeOf(headers.get(PROXY_STATUS));
  if (code === null && LOG_DECISIONS === "refused") return;
  const host = headers.get(EGRESS_HOST);
  const port = headers.get(EGRESS_PORT);
  const fields = {
    decision: code === null ? "answered" : "refused",
    requestId,
    ...(host === null ? {} : { host, ip: headers.get(EGRESS_IP) ?? undefined }),
    ...(port === null ? {} : { port: Number(port) }),
    status,
    ...(code === null ? {} : { code }),
    tookMs,
  };
  say("info", code === null ? "a request was answered" : "a flow was refused", fields);
}

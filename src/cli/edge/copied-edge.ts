/** The edge that a standby copies, asked over its API. [OC9] */
import { Readable } from "node:stream";
import type { ReadableStream as WebStream } from "node:stream/web";
import { edgeApi } from "../../api/edge-api.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { EGRESS_AUTHORIZATION } from "../../wire/header-names.ts";
import { problemCodeOf } from "../../wire/problem-response.ts";
import type { Operator } from "../credentials/operator.ts";
import type { CopySource } from "./standby.ts";

/** An answer without a body, or the head of one with. */
const ANSWER_MS = 30_000;
/** Bytes in a millisecond; slower than this nothing is worth waiting for. */
const LEAST_PACE = 100;

/** `operator` is asked for at every call: its token may have been replaced in its file. */
export function copiedEdge(operator: () => Promise<Operator>, stop: AbortSignal): CopySource {
  const within = (limitMs: number): AbortSignal => AbortSignal.any([stop, AbortSignal.timeout(limitMs)]);
  return {
    list: async (heldAtMs) => {
      const { edge, allowPlainHttp, token } = await operator();
      const api = edgeApi({ edge, allowPlainHttp, token: () => token, signal: within(ANSWER_MS) });
      return api.listEdgeFiles(heldAtMs === null ? {} : { heldAtMs: String(heldAtMs) });
    },
    read: async ({ path, bytes }) => {
      const { edge, token } = await operator();
      const url = new URL(`/v1/edge/copy/database?path=${encodeURIComponent(path)}`, edge);
      const response = await fetch(url, {
        headers: { [EGRESS_AUTHORIZATION]: `Bearer ${token}` },
        signal: within(ANSWER_MS + Math.ceil(bytes / LEAST_PACE)),
      });
      if (response.status === 200 && response.body !== null) {
        return Readable.fromWeb(response.body as WebStream<Uint8Array>);
      }
      await response.body?.cancel();
      const code = problemCodeOf(response.headers.get("proxy-status"));
      if (response.status === 404) return null;
      if (code === "copy-under-way") return "wait";
      throw new CommandFault("edge-refused", `${path} is refused: ${code ?? `status ${response.status}`}.`);
    },
  };
}

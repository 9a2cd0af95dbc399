/** Clients that ask without a pause, name no address, and never try again. */
import type { Cluster } from "./cluster.ts";

/** Requests that are under way until they are told to stop. */
export interface Load {
  /** How many were sent, and those that failed. */
  readonly stop: () => Promise<{ readonly sentCount: number; readonly failed: readonly string[] }>;
}

/** Begins to ask: uploads and short answers. */
export function load(cluster: Cluster): Load {
  const sending = { isOver: false, sentCount: 0 };
  const failed: string[] = [];
  const lines = Array.from({ length: 6 }, async (_, line) => {
    const headers = await cluster.clientHeaders();
    const posted = { method: "POST", headers, body: "x".repeat(20_000) };
    const init = line % 3 === 0 ? posted : { headers };
    const path = line % 3 === 0 ? "/upload" : "/seen";
    while (!sending.isOver) {
      sending.sentCount += 1;
      try {
        const reply = await fetch(cluster.through(cluster.originUrl(path)), init);
        const text = await reply.text();
        if (reply.status !== 200) failed.push(`${line}: ${reply.status} ${text}`);
      } catch (fault) {
        failed.push(`${line}: ${String(fault)}`);
      }
    }
  });
  return {
    stop: async () => {
      sending.isOver = true;
      await Promise.all(lines);
      return { sentCount: sending.sentCount, failed };
    },
  };
}

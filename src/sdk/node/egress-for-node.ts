/**
 * The SDK as Node gets it from the package: the same, and `connect` finds its WebSockets by itself. What
 * they are made with is loaded by the first call of `connect`. [CL11]
 */
import { createEgress as createAnywhere, type Egress, type EgressOptions } from "../egress.ts";
import type { OpenWebSocket } from "../connect.ts";

export * from "../egress.ts";

const openWebSocket: OpenWebSocket = async (url, init) => {
  const { openWebSocket: open } = await import("./open-websocket.ts");
  return open(url, init);
};

/** Makes an egress; throws a TypeError when the options make no sense. */
export function createEgress(options: EgressOptions): Egress {
  if ("binding" in options || options.fetch !== undefined) return createAnywhere(options);
  return createAnywhere({ ...options, openWebSocket: options.openWebSocket ?? openWebSocket });
}

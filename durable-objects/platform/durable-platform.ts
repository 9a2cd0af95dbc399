/** A Durable Object's platform, as Cloudflare and workerd provide it. */
import { HEARTBEAT, HEARTBEAT_ANSWER } from "../../src/core/messages.ts";
import type { Restoration } from "../../src/core/recovery.ts";
import { logLine } from "../../src/wire/log-line.ts";
import type { ObjectPlatform, ObjectSocket } from "./object-platform.ts";

/** The platform of the object that this state belongs to; heartbeats are answered without waking it up. [DO15] */
export function durablePlatform(
  ctx: DurableObjectState,
  restoration: Restoration | null = null,
): ObjectPlatform {
  ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(HEARTBEAT, HEARTBEAT_ANSWER));
  return {
    get name() {
      return ctx.id.name;
    },
    storage: ctx.storage,
    restoration,
    nowMs: () => Date.now(),
    random: () => crypto.getRandomValues(new Uint32Array(1))[0]! / 2 ** 32,
    wait: (delayMs, signal) => scheduler.wait(delayMs, signal === undefined ? {} : { signal }),
    setAlarm: (atMs) => ctx.storage.setAlarm(atMs),
    deleteAlarm: () => ctx.storage.deleteAlarm(),
    sockets: (tag) => ctx.getWebSockets(tag),
    heartbeatAtMs: (socket: ObjectSocket) =>
      ctx.getWebSocketAutoResponseTimestamp(socket as WebSocket)?.getTime() ?? null,
    keepAwake: (work) => ctx.waitUntil(work),
    abort: (reason) => ctx.abort(reason),
    report: (text, fault) => {
      const level = fault === undefined ? "warn" : "error";
      console[level](logLine(level, text, { object: ctx.id.name }, Date.now(), fault));
    },
  };
}

/** The restore that a binding names, as `ipshard edge` wrote it there; null for none. */
export function restorationIn(text: string | undefined): Restoration | null {
  return text === undefined || text === "" ? null : (JSON.parse(text) as Restoration);
}

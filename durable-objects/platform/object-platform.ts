/**
 * The platform as our objects use it: storage, alarms, sockets, time and chance. Cloudflare's is
 * `durable-platform.ts`; whatever else keeps these promises can run the same objects, as the
 * simulator does.
 *
 * What an object writes between two waits is stored as a whole or not at all, and what it sends
 * leaves only once that is on disk. [DO3]
 */
import type { Restoration } from "../../src/core/recovery.ts";
import { type Migrations, schemaAtFirstWrite } from "../storage/migrate.ts";
import type { SqlDatabase } from "../storage/sql-database.ts";

/** What is asked of the platform. Times are Unix milliseconds by the clock of the object's machine. */
export interface ObjectPlatform {
  /** The name by which the object is reached; undefined where the platform does not tell, as in an alarm. */
  readonly name: string | undefined;
  readonly storage: SqlDatabase;
  /** The last restore of a backup from which this edge runs; null for none. [OC1] */
  readonly restoration: Restoration | null;
  nowMs(): number;
  /** A number in [0, 1) that strangers cannot foresee. */
  readonly random: () => number;
  /** Done after this time; fails when the signal comes first. */
  wait(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Wakes the object at this time, instead of any time asked for before; done when it is on disk. */
  setAlarm(atMs: number): Promise<void>;
  deleteAlarm(): Promise<void>;
  /** The sockets that were accepted with this tag and have not gone. */
  sockets(tag: string): readonly ObjectSocket[];
  /** When a heartbeat on this socket was answered last; null for never. */
  heartbeatAtMs(socket: ObjectSocket): number | null;
  /** Keeps the object from being put to sleep. */
  keepAwake(work: Promise<void>): void;
  /** Throws this instance away, with all that is not on disk. */
  abort(reason: string): void;
  /** Tells the operator of the edge, in the log. */
  report(text: string, fault?: unknown): void;
}

/** The platform with the schema of its storage, which an object that never was gets at its first write. [DO1] [DO22] */
export function withSchema(platform: ObjectPlatform, migrations: Migrations): ObjectPlatform {
  const storage = schemaAtFirstWrite(platform.storage, migrations);
  if (storage === platform.storage) return platform;
  // Not a copy: what is asked of a platform, such as its name, may change. Nor an heir: it would lack what is
  // private to the platform.
  return new Proxy(platform, {
    get: (its, name) => {
      if (name === "storage") return storage;
      const member: unknown = Reflect.get(its, name, its);
      return typeof member === "function" ? member.bind(its) : member;
    },
  });
}

/** A WebSocket that outlives the instance that accepted it, with what was attached to it. */
export interface ObjectSocket {
  readonly readyState: number;
  send(text: string): void;
  close(code: number, reason: string): void;
  serializeAttachment(attachment: object): void;
  deserializeAttachment(): unknown;
}

/** How a connection is to be accepted: both stay with its socket for good. */
export interface Acceptance {
  readonly tags: readonly string[];
  readonly attachment: object;
}

/** `readyState` of a socket on which anything can be sent. */
const OPEN = 1;

/** Whether anything can still be sent. */
export function isOpen(socket: ObjectSocket): boolean {
  return socket.readyState === OPEN;
}

/** Sends a message, unless the socket has gone: its peer will ask again on the next one. */
export function sendTo(socket: ObjectSocket, message: object): void {
  if (isOpen(socket)) socket.send(JSON.stringify(message));
}

/**
 * When the peer was last heard: its last heartbeat, or its last message at `heardAtMs`, whichever
 * is nearer to now, since one from before the clock was set back seems to be still to come.
 */
export function lastHeardMs(platform: ObjectPlatform, socket: ObjectSocket, heardAtMs: number): number {
  const heartbeatAtMs = platform.heartbeatAtMs(socket) ?? 0;
  const nowMs = platform.nowMs();
  return Math.abs(nowMs - heartbeatAtMs) < Math.abs(nowMs - heardAtMs) ? heartbeatAtMs : heardAtMs;
}

/** Whether who was last heard then counts as live. A clock that was set back must not make it last. */
export function isHeardLately(platform: ObjectPlatform, lastMs: number, silenceMs: number): boolean {
  return Math.abs(platform.nowMs() - lastMs) < silenceMs;
}

/** A newer connection of the same host or router has taken over. */
export const CLOSE_FENCED = 4001;
/** What the connection opened with was refused; the reason is the code of the refusal. */
export const CLOSE_REFUSED = 4002;
/** What was looked at is there no more, or whoever looked has been silent too long. [LV2] */
export const CLOSE_GONE = 4004;
/** A message that is none, of a peer to which no refusal is told (RFC 6455 section 7.4.1). */
export const CLOSE_MALFORMED = 1008;
/** A message could not be taken, through no fault of the peer (RFC 6455 section 7.4.1). */
export const CLOSE_FAULT = 1011;

/**
 * A TCP connection carried by a WebSocket: what the two ends say to each other.
 *
 *     binary message   bytes of the connection, in order
 *     text message     one control, as JSON
 *     close            why it is over: a code, and a reason that begins with a code of `core/problems.ts`
 *
 * A WebSocket in a Worker never tells that it is full, so whoever receives says how much may come:
 * each side may send `WINDOW_BYTES`, and beyond that what it gets as credit. A message counts with
 * its bytes and at least with `LEAST_COST_BYTES`, so that a window of tiny messages takes no more
 * memory than one of large ones. [RC4]
 */
import { ok, type Outcome, refuse } from "../core/outcome.ts";
import type { ProblemCode } from "../core/problems.ts";

/** The WebSocket subprotocol, with its version. */
export const CARRIER_PROTOCOL = "ipshard.tcp.v1";

/** What either side may send before it has any credit. */
export const WINDOW_BYTES = 256 * 1024;
/** The longest binary message. */
export const MAX_MESSAGE_BYTES = 64 * 1024;
/** What a shorter message counts with. */
export const LEAST_COST_BYTES = 512;
/** The longest text message, in characters. */
export const MAX_CONTROL_LENGTH = 1_024;
/** So much has been taken when it is worth a message to say so. */
export const CREDIT_STEP_BYTES = WINDOW_BYTES / 4;
/** No side ever has more credit than this. */
export const MAX_CREDIT_BYTES = 2 ** 31;

/** After how much silence a side asks the other by a ping; after twice that the other is gone. */
export const SILENCE_MS = 30_000;

/** How a carrier is closed. */
export const CARRIER_CLOSE = {
  /** Both directions have ended; or, from the client: it wants no more, and what it sent is to arrive. */
  done: 1000,
  /** The port was taken away; the reason says why. */
  goingAway: 1001,
  /** A side broke these rules: `carrier-malformed`. */
  malformed: 4400,
  /** From the gateway: the connection failed, for the reason given. From the client: reset it. */
  failed: 4500,
} as const;

/** What a text message says. */
export type CarrierControl =
  /** So many bytes more may be sent. */
  | { readonly type: "credit"; readonly bytes: number }
  /** The sender has sent its last byte (FIN). */
  | { readonly type: "end" }
  /** Asks whether the other side is there, which answers with a pong. */
  | { readonly type: "ping" }
  | { readonly type: "pong" }
  /** From the client: TLS is to begin. `name` is what the certificate must be for, if not the host. */
  | { readonly type: "start-tls"; readonly name: string | null }
  /** From the gateway: all bytes from here on came through TLS. */
  | { readonly type: "secured" };

/** A name that a certificate can be for. */
export const CERTIFICATE_NAME = /^[a-z0-9_](?:[a-z0-9_.:-]{0,252}[a-z0-9_.])?$/i;

/** What a message of so many bytes takes of the sender's credit. */
export function costOf(byteCount: number): number {
  return Math.max(byteCount, LEAST_COST_BYTES);
}

/** How many bytes of so many may go as the next message; none when the credit does not reach. */
export function sendableBytes(byteCount: number, creditBytes: number): number {
  if (creditBytes < LEAST_COST_BYTES) return 0;
  return Math.min(byteCount, creditBytes, MAX_MESSAGE_BYTES);
}

/** A control as it is sent. */
export function formatControl(control: CarrierControl): string {
  return JSON.stringify(control);
}

/** Reads a text message; the refusal is for people. */
export function parseControl(text: string): Outcome<CarrierControl, string> {
  if (text.length > MAX_CONTROL_LENGTH) return refuse("A control is too long.");
  const members = membersOf(text);
  if (members === null) return refuse("A control is no JSON object.");
  const { type, ...rest } = members;
  const names = Object.keys(rest).join();
  if (type === "credit" && names === "bytes") {
    const { bytes } = rest;
    const isCount = typeof bytes === "number" && Number.isInteger(bytes);
    if (isCount && bytes > 0 && bytes <= MAX_CREDIT_BYTES) return ok({ type, bytes });
    return refuse("A credit is no number of bytes.");
  }
  if (isBare(type) && names === "") return ok({ type });
  if (type === "start-tls" && names === "name") {
    const { name } = rest;
    if (name === null || (typeof name === "string" && CERTIFICATE_NAME.test(name))) return ok({ type, name });
    return refuse("The name for TLS is none.");
  }
  return refuse("A control is unknown.");
}

function isBare(type: unknown): type is "end" | "ping" | "pong" | "secured" {
  return type === "end" || type === "ping" || type === "pong" || type === "secured";
}

function membersOf(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** The longest reason of a close frame, in bytes. */
const MAX_REASON_BYTES = 123;
const REASON = /^([a-z][a-z0-9-]{0,63})(?:: (.*))?$/s;

/** The reason of a close. */
export function formatCloseReason(code: ProblemCode, detail?: string): string {
  if (detail === undefined) return code;
  // In ASCII a character is a byte.
  return `${code}: ${detail.replace(/[^\x20-\x7e]/g, "?")}`.slice(0, MAX_REASON_BYTES);
}

/** What a reason says; null for one that is not of this form. */
export function parseCloseReason(
  reason: string,
): { readonly code: string; readonly detail: string | null } | null {
  const [, code, detail] = REASON.exec(reason) ?? [];
  return code === undefined ? null : { code, detail: detail ?? null };
}

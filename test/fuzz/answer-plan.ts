/**
 * Answers of origins, drawn at random, with what is right for each: the whole of it, or nothing
 * that looks whole. What is broken on purpose has one right value in common with all others: the
 * same bytes give the same result however they are cut into segments.
 */
import type { Chance } from "./chance.ts";

/** What the client may see of an answer. */
export type Expected =
  /** This status and this body, complete. */
  | { readonly kind: "whole"; readonly status: number; readonly body: string }
  /** A refusal, or an answer that breaks off; nothing that looks complete. */
  | { readonly kind: "broken" }
  /** Whatever it is, the same each time. */
  | { readonly kind: "same" }
  /** Whatever it is, but for a fault of ours. */
  | { readonly kind: "any" };

/** An answer and its right value. */
export interface AnswerPlan {
  readonly id: number;
  readonly secure: boolean;
  readonly bytes: Buffer;
  readonly expected: Expected;
  /** How the origin ends the connection after the bytes; null leaves it open. */
  readonly ending: "fin" | "reset" | null;
  /** What was done to a right answer, for people. */
  readonly told: string;
}

const STATUSES = [200, 200, 201, 206, 203, 302, 404, 413, 418, 429, 500, 502, 503, 504, 299, 599] as const;
const BODYLESS = [204, 304] as const;
const REASONS = ["OK", "", "Not \u00e4 problem", "a".repeat(200)] as const;
const ODD_FIELDS = [
  ["x-bytes", "caf\u00e9 \u00ff\u0080"],
  ["set-cookie", "a=1"],
  ["set-cookie", "b=2"],
  ["x-empty", ""],
  ["egress-ip", "192.0.2.66"],
  ["connection", "x-hop, keep-alive"],
  ["x-hop", "1"],
  ["keep-alive", "timeout=100"],
  ["via", "1.1 other"],
  ["x-long", "l".repeat(3_000)],
  ["proxy-status", "other;error=dns_error"],
] as const;

type Framing = "length" | "chunked" | "close" | "none";

interface Draft {
  readonly head: Buffer;
  readonly content: Buffer;
  readonly status: number;
  readonly body: string;
  readonly framing: Framing;
}

function draft(id: number, chance: Chance): Draft {
  const isBodyless = chance.is(0.1);
  const status = isBodyless ? chance.of(BODYLESS) : chance.of(STATUSES);
  const length = isBodyless ? 0 : chance.of([0, 1, 20, 300, 5_000, 70_000]);
  // Its number in the body, so that no answer passes for another's.
  const body = isBodyless ? "" : `#${id}#${"b".repeat(length)}`;
  const framing: Framing = isBodyless ? "none" : chance.of(["length", "length", "chunked", "close"]);
  const lines = [`HTTP/1.1 ${status} ${chance.of(REASONS)}`];
  for (let count = chance.below(4); count > 0; count -= 1) lines.push(chance.of(ODD_FIELDS).join(": "));
  if (framing === "length") lines.push(`Content-Length: ${body.length}`);
  if (framing === "chunked") lines.push("Transfer-Encoding: chunked");
  const interim = chance.is(0.1) ? `HTTP/1.1 ${chance.of([100, 102, 103])} Early\r\nlink: </a>\r\n\r\n` : "";
  const head = Buffer.from(`${interim}${lines.join("\r\n")}\r\n\r\n`, "latin1");
  const content = framing === "chunked" ? chunked(body, chance) : Buffer.from(body);
  return { head, content, status, body, framing };
}

function chunked(body: string, chance: Chance): Buffer {
  let text = "";
  for (let at = 0; at < body.length;) {
    const size = Math.min(body.length - at, 1 + chance.below(chance.of([3, 100, 20_000])));
    const extension = chance.is(0.1) ? ";ext=1" : "";
    text += `${size.toString(16)}${extension}\r\n${body.slice(at, at + size)}\r\n`;
    at += size;
  }
  return Buffer.from(`${text}0\r\n${chance.is(0.1) ? "x-trailer: 1\r\n" : ""}\r\n`);
}

/** Draws the next answer. */
export function drawAnswer(id: number, chance: Chance): AnswerPlan {
  const made = draft(id, chance);
  const secure = chance.is(0.15);
  const bytes = Buffer.concat([made.head, made.content]);
  const whole: Expected = { kind: "whole", status: made.status, body: made.body };
  const what = chance.share();
  if (what < 0.35) {
    const ending = made.framing === "close" ? "fin" : chance.of(["fin", null, null] as const);
    return { id, secure, bytes, expected: whole, ending, told: `${made.framing} whole` };
  }
  if (what < 0.7) {
    const cut = chance.below(bytes.length);
    const ending = chance.of(["fin", "reset"] as const);
    return {
      id,
      secure,
      bytes: bytes.subarray(0, cut),
      expected: expectedOfCut(made, cut, ending),
      ending,
      told: `${made.framing} cut at ${cut} of ${bytes.length}, ${ending}`,
    };
  }
  const { bytes: broken, told } = mutate(bytes, made.head.length, chance);
  return { id, secure, bytes: broken, expected: { kind: "same" }, ending: "fin", told };
}

function expectedOfCut(made: Draft, cut: number, ending: "fin" | "reset"): Expected {
  if (cut < made.head.length) return { kind: "broken" };
  if (made.framing === "none") return { kind: "whole", status: made.status, body: "" };
  // The only end that such a body has is the connection's. What came before a reset is not it.
  if (made.framing === "close" && ending === "fin") {
    const body = made.body.slice(0, cut - made.head.length);
    return { kind: "whole", status: made.status, body };
  }
  return { kind: "broken" };
}

const INSERTS = [
  "\r\n",
  "\n",
  "\r",
  "\0",
  " ",
  "\t",
  ":",
  ";",
  "0\r\n\r\n",
  "\u00ff",
  "HTTP/1.1 200 OK\r\n\r\n",
  "HTTP/1.1 099 X\r\n\r\n",
  "HTTP/1.1 100 Continue\r\n\r\n",
  "Content-Length: 5\r\n",
  "Content-Length: 9007199254740993\r\n",
  "Transfer-Encoding: gzip\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Connection: close\r\n",
  "Upgrade: websocket\r\n",
  "-1\r\n",
  "ffffffffffffffff\r\n",
] as const;

function mutate(bytes: Buffer, headLength: number, chance: Chance): { bytes: Buffer; told: string } {
  const isInHead = chance.is(0.75);
  const at = isInHead ? chance.below(headLength) : chance.below(bytes.length);
  const kind = chance.of(["change", "remove", "insert", "status"] as const);
  if (kind === "change") {
    const copy = Buffer.from(bytes);
    copy[at] = chance.below(256);
    return { bytes: copy, told: `byte ${at} is ${copy[at]}` };
  }
  if (kind === "remove") {
    const count = 1 + chance.below(6);
    return {
      bytes: Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + count)]),
      told: `${count} bytes from ${at} on are gone`,
    };
  }
  if (kind === "status") {
    const status = String(chance.of([0, 1, 99, 100, 101, 600, 999, 1000])).padStart(3, "0");
    const text = bytes.toString("latin1").replace(/^HTTP\/1.1 \d+/, `HTTP/1.1 ${status}`);
    return { bytes: Buffer.from(text, "latin1"), told: `status ${status}` };
  }
  const insert = chance.of(INSERTS);
  // At the beginning of a line a field is a field.
  const line = bytes.indexOf("\r\n", at);
  const place = insert.length > 4 && isInHead && line !== -1 ? line + 2 : at;
  return {
    bytes: Buffer.concat([bytes.subarray(0, place), Buffer.from(insert, "latin1"), bytes.subarray(place)]),
    told: `${JSON.stringify(insert)} inserted at ${place}`,
  };
}

/** Where to cut bytes into segments: nowhere, everywhere in a short answer, or here and there. */
export function drawSegments(length: number, chance: Chance): readonly number[] {
  if (length === 0) return [];
  const how = chance.share();
  if (how < 0.4 && length < 300) return Array.from({ length }, () => 1);
  const sizes: number[] = [];
  for (let left = length; left > 0;) {
    const size = Math.min(left, 1 + chance.below(chance.of([2, 30, 2_000, 60_000])));
    sizes.push(size);
    left -= size;
    if (sizes.length === 20 && left > 0) {
      sizes.push(left);
      left = 0;
    }
  }
  return sizes;
}

/**
 * Answers over HTTP/2, drawn at random: whole, cut off in any way, or broken. `bytes` follow the
 * settings of the origin, on stream 1 of a new connection.
 */
import { encodeFields } from "../../src/agent/traffic/http2/hpack-encoder.ts";
import * as wire from "../../src/agent/traffic/http2/http2-frames.ts";
import type { Expected } from "./answer-plan.ts";
import type { Chance } from "./chance.ts";

/** An answer and its right value. */
export interface H2AnswerPlan {
  readonly id: number;
  readonly bytes: Buffer;
  readonly expected: Expected;
  /** How the connection ends after the bytes. */
  readonly ending: "fin" | "reset";
  /** What was done to a right answer, for people. */
  readonly told: string;
}

const STREAM = 1;
const STATUSES = ["200", "200", "201", "302", "404", "413", "500", "503"] as const;
const FIELDS = [
  ["x-bytes", "caf\u00e9 \u00ff"],
  ["set-cookie", "a=1"],
  ["set-cookie", "b=2"],
  ["egress-ip", "192.0.2.66"],
  ["x-long", "l".repeat(3_000)],
  ["x-wide", "w".repeat(20_000)],
] as const;

interface Draft {
  readonly frames: readonly Buffer[];
  /** Frames up to the end of the body. */
  readonly bodyFrameCount: number;
  readonly status: number;
  readonly body: string;
  readonly hasLength: boolean;
}

function draft(id: number, chance: Chance): Draft {
  const status = chance.of(STATUSES);
  const body = `#${id}#${"b".repeat(chance.of([0, 1, 300, 20_000, 90_000]))}`;
  const hasLength = chance.is(0.5);
  const fields = [":status", status];
  for (let count = chance.below(4); count > 0; count -= 1) fields.push(...chance.of(FIELDS));
  if (hasLength) fields.push("content-length", String(body.length));
  const frames: Buffer[] = [];
  if (chance.is(0.1)) frames.push(head([":status", "103", "link", "</a>"], 0, chance));
  frames.push(head(fields, 0, chance));
  const trailers = chance.is(0.1);
  let bodyFrameCount = frames.length;
  for (let at = 0; at < body.length;) {
    const size = Math.min(body.length - at, 1 + chance.below(chance.of([5, 1_000, 16_000])));
    const isLast = at + size === body.length && !trailers && chance.is(0.7);
    frames.push(data(body.slice(at, at + size), isLast ? wire.END_STREAM : 0, chance));
    at += size;
    bodyFrameCount = frames.length;
    if (isLast) return { frames, bodyFrameCount, status: Number(status), body, hasLength };
    if (chance.is(0.05)) frames.push(wire.frame(wire.PING, 0, 0, Buffer.alloc(8)));
    // Whatever its size, the frames of one answer stay few.
    if (frames.length > 60) {
      frames.push(data(body.slice(at, at + 16_000), 0, chance));
      at += 16_000;
      bodyFrameCount = frames.length;
    }
  }
  frames.push(
    trailers ? head(["x-trailer", "1"], wire.END_STREAM, chance) : data("", wire.END_STREAM, chance),
  );
  return { frames, bodyFrameCount, status: Number(status), body, hasLength };
}

function head(fields: string[], flags: number, chance: Chance): Buffer {
  // The largest head is 60 KB, and a head is refused beyond 256 frames.
  const frameBytes = chance.is(0.2) ? 300 + chance.below(300) : 16_384;
  return Buffer.concat(wire.headerFrames(STREAM, flags, encodeFields(fields), frameBytes));
}

function data(text: string, flags: number, chance: Chance): Buffer {
  const content = Buffer.from(text, "latin1");
  if (!chance.is(0.1)) return wire.frame(wire.DATA, flags, STREAM, content);
  const padding = chance.below(50);
  const padded = Buffer.concat([Buffer.from([padding]), content, Buffer.alloc(padding)]);
  return wire.frame(wire.DATA, flags | 0x8, STREAM, padded);
}

/** Draws the next answer. */
export function drawH2Answer(id: number, chance: Chance): H2AnswerPlan {
  const { frames, bodyFrameCount, status, body, hasLength } = draft(id, chance);
  // A client that has all that was announced may take it for whole, whatever becomes of the stream.
  const mayBeAllThere = (byteCount: number): boolean =>
    hasLength && byteCount > Buffer.concat(frames.slice(0, bodyFrameCount - 1)).length;
  const brokenAt = (byteCount: number): Expected => ({ kind: mayBeAllThere(byteCount) ? "any" : "broken" });
  const bytes = Buffer.concat(frames);
  const ending = chance.of(["fin", "reset"] as const);
  const what = chance.share();
  // A reset right behind its last bytes may outrun them.
  if (what < 0.35) {
    return { id, bytes, expected: { kind: "whole", status, body }, ending: "fin", told: "whole" };
  }
  if (what < 0.5) {
    const cut = chance.below(bytes.length);
    const told = `cut at ${cut} of ${bytes.length}, ${ending}`;
    return { id, bytes: bytes.subarray(0, cut), expected: brokenAt(cut), ending, told };
  }
  if (what < 0.7) {
    const count = chance.below(frames.length);
    const end = chance.is(0.6)
      ? wire.numberFrame(wire.RST_STREAM, STREAM, chance.of([0, 1, 2, 5, 8, 11]))
      : wire.goawayFrame(STREAM, chance.of([0, 1, 2, 11]));
    const told = `${count} of ${frames.length} frames, then a ${end[3] === wire.GOAWAY ? "GOAWAY" : "RST_STREAM"}`;
    const cut = Buffer.concat([...frames.slice(0, count), end]);
    return { id, bytes: cut, expected: brokenAt(cut.length - end.length), ending, told };
  }
  const copy = Buffer.from(bytes);
  const at = chance.below(Math.min(copy.length, chance.of([40, 400, copy.length])));
  copy[at] = chance.below(256);
  const expected: Expected = { kind: hasLength ? "any" : "same" };
  return { id, bytes: copy, expected, ending: "fin", told: `byte ${at} is ${copy[at]}` };
}

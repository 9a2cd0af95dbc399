/**
 * A reader of requests of its own, by the letter of RFC 9112, to judge the proxy by. It tells three
 * things apart: what can be read in one way only, what a recipient may read so or refuse (`doubts`),
 * and what must be refused, or goes on where nobody knows.
 */

/** A request as the letter has it. */
export interface StrictRequest {
  readonly kind: "request";
  readonly method: string;
  readonly target: string;
  readonly version: string;
  /** Names in lower case. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: Buffer;
  readonly endAt: number;
  /** Why a recipient may refuse it all the same. */
  readonly doubts: readonly string[];
  /** Nothing that follows on the connection is a request. */
  readonly isLast: boolean;
}

/** What comes next on a connection. */
export type Reading =
  | StrictRequest
  /** To be refused. `head` is there if it was whole and right: the body may have been begun. */
  | { readonly kind: "broken"; readonly why: string; readonly head: Head | null }
  /** It ends before it is whole. */
  | { readonly kind: "cut"; readonly head: Head | null };

/** The head of a request. */
export interface Head {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly fields: readonly (readonly [string, string])[];
  readonly doubts: string[];
  readonly bodyAt: number;
  /** Some readers take what is behind the name of a coding for part of it. */
  readonly hasBlanksBehind: boolean;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~\w]+$/;
const REQUEST_LINE = /^(\S+)( +)(\S+)( +)HTTP\/(\d)\.(\d)$/;
const KNOWN = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT"]);
const HOST = /^(?:\[[\da-f:.]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?$/i;
/** What an extension says is of no use to anybody, and does not say where it ends. */
const CHUNK = /^([\da-f]+)([ \t]*;.*?)?([ \t]*)$/i;
const MOST_HEAD_BYTES = 16_000;
const MOST_BODY_BYTES = Number.MAX_SAFE_INTEGER;

class Broken extends Error {}
class Cut extends Error {}

/** Reads what begins at `from`. */
export function readStrictly(bytes: Buffer, from: number): Reading {
  let head: Head | null = null;
  try {
    head = readHead(bytes, from);
    return readBody(bytes, head);
  } catch (fault) {
    if (fault instanceof Broken) return { kind: "broken", why: fault.message, head };
    if (fault instanceof Cut) return { kind: "cut", head };
    throw fault;
  }
}

/** Everything on a connection, up to what is no request any more, or makes what follows none. */
export function readAllStrictly(bytes: Buffer): Reading[] {
  const all: Reading[] = [];
  for (let at = 0; at < bytes.length;) {
    // Empty lines before a request are passed over, and what is nothing else is nothing.
    if (/^(?:\r?\n)*$/.test(bytes.toString("latin1", at))) break;
    const reading = readStrictly(bytes, at);
    all.push(reading);
    if (reading.kind !== "request" || reading.isLast) break;
    at = reading.endAt;
  }
  return all;
}

/** One line without its end; one that ends with a bare LF is a doubt. */
function lineAt(bytes: Buffer, at: number, doubts: string[]): { text: string; nextAt: number } {
  const end = bytes.indexOf(0x0a, at);
  const isCut = end === -1;
  const isWhole = !isCut && bytes[end - 1] === 0x0d && end > at;
  const text = bytes.toString("latin1", at, isCut ? bytes.length : isWhole ? end - 1 : end);
  if (isCut) {
    if (/\r./s.test(text)) throw new Broken("bare CR");
    throw new Cut();
  }
  if (text.includes("\r")) throw new Broken("bare CR");
  if (!isWhole) doubts.push("bare LF");
  return { text, nextAt: end + 1 };
}

function readHead(bytes: Buffer, from: number): Head {
  const doubts: string[] = [];
  let at = from;
  // One empty line may be passed over; some readers pass over whatever of its bytes there are, which
  // makes no other request of what follows.
  while (bytes[at] === 0x0d || bytes[at] === 0x0a) {
    doubts.push("empty line before");
    at += 1;
  }
  const line = lineAt(bytes, at, doubts);
  at = line.nextAt;
  const match = REQUEST_LINE.exec(line.text);
  if (match === null) throw new Broken("request line");
  const [, method = "", blanks, target = "", moreBlanks, major, minor] = match;
  if (blanks !== " " || moreBlanks !== " ") doubts.push("several blanks");
  const version = `${major}.${minor}`;
  if (!TOKEN.test(method)) throw new Broken("method");
  if (!KNOWN.has(method)) doubts.push("unknown method");
  if (/[^\x21-\x7e]/.test(target)) doubts.push("target characters");
  if (version !== "1.1" && version !== "1.0") doubts.push("version");
  const { fields, nextAt } = readFields(bytes, at, doubts);
  // A recipient may read the whole head before it says so.
  if (major !== "1") throw new Broken("version");
  if (nextAt - from > MOST_HEAD_BYTES) doubts.push("long head");
  const hosts = fields.filter(([name]) => name === "host");
  if (hosts.length > 1) throw new Broken("several hosts");
  if (hosts.length === 0 && version !== "1.0") throw new Broken("no host");
  if (hosts.length === 1 && !HOST.test(hosts[0]![1])) throw new Broken("host");
  const expects = fields.filter(([name]) => name === "expect");
  if (expects.some(([, value]) => value.toLowerCase() !== "100-continue")) doubts.push("expect");
  if (fields.some(([name]) => name === "upgrade")) doubts.push("upgrade");
  // Of an older time than `connection`; a proxy may end a connection by it.
  if (fields.some(([name]) => name === "proxy-connection")) doubts.push("proxy-connection");
  const written = bytes.toString("latin1", at, nextAt);
  const hasBlanksBehind = /transfer-encoding:[^\n]*[ \t]\r?\n/i.test(written);
  return { method, target, version, fields, doubts, bodyAt: nextAt, hasBlanksBehind };
}

function readFields(
  bytes: Buffer,
  from: number,
  doubts: string[],
): { fields: [string, string][]; nextAt: number } {
  const fields: [string, string][] = [];
  let at = from;
  for (;;) {
    const { text, nextAt } = lineAt(bytes, at, doubts);
    at = nextAt;
    if (text === "") return { fields, nextAt };
    const colonAt = text.indexOf(":");
    if (colonAt === -1 || !TOKEN.test(text.slice(0, colonAt))) throw new Broken("field");
    const value = text.slice(colonAt + 1).replace(/^[ \t]+|[ \t]+$/g, "");
    if (value.includes("\0")) throw new Broken("NUL");
    // oxlint-disable-next-line no-control-regex
    if (/[\x01-\x08\x0b-\x1f\x7f]/.test(value)) doubts.push("control character");
    fields.push([text.slice(0, colonAt).toLowerCase(), value]);
  }
}

function readBody(bytes: Buffer, head: Head): StrictRequest {
  const { method, target, version, fields, bodyAt } = head;
  const doubts = [...head.doubts];
  const codings = fields.filter(([name]) => name === "transfer-encoding");
  const lengths = fields.filter(([name]) => name === "content-length").map(([, value]) => value);
  let body: Buffer = Buffer.alloc(0);
  let endAt = bodyAt;
  if (codings.length > 0) {
    if (lengths.length > 0) throw new Broken("length and coding");
    if (version === "1.0") throw new Broken("coding in 1.0");
    const coding = codings.map(([, value]) => value).join(", ");
    if (coding.toLowerCase() !== "chunked") throw new Broken("coding");
    if (head.hasBlanksBehind) doubts.push("blanks behind a coding");
    if (method === "CONNECT") throw new Broken("CONNECT with a body");
    ({ body, endAt } = readChunks(bytes, bodyAt, doubts));
  } else if (lengths.length > 0) {
    const [length = ""] = lengths;
    const parts = lengths
      .join(",")
      .split(",")
      .map((part) => part.trim());
    if (parts.some((part) => !/^\d+$/.test(part) || part !== parts[0])) throw new Broken("length");
    if (parts.length > 1) doubts.push("length told twice");
    if (/^0\d/.test(length)) doubts.push("leading zero");
    const count = Number(parts[0]);
    if (count > MOST_BODY_BYTES) throw new Broken("length beyond reason");
    if (method === "CONNECT") {
      if (count > 0) throw new Broken("CONNECT with a body");
      doubts.push("CONNECT with a length");
    }
    endAt = bodyAt + count;
    if (bytes.length < endAt) throw new Cut();
    body = bytes.subarray(bodyAt, endAt);
  }
  // Who expects a word and gets none may be hung up on.
  if (body.length === 0 && fields.some(([name]) => name === "expect")) doubts.push("expects nothing");
  const options = fields.filter(([name]) => name === "connection").map(([, value]) => value);
  const listed = options.join(",").toLowerCase().split(",");
  const persists = new Set(listed.map((option) => option.trim()));
  const isLast =
    method === "CONNECT" || persists.has("close") || (version === "1.0" && !persists.has("keep-alive"));
  return { kind: "request", method, target, version, fields, body, endAt, doubts, isLast };
}

function readChunks(bytes: Buffer, from: number, doubts: string[]): { body: Buffer; endAt: number } {
  const pieces: Buffer[] = [];
  const strictly: string[] = [];
  let at = from;
  for (;;) {
    const { text, nextAt } = lineAt(bytes, at, strictly);
    if (strictly.length > 0) throw new Broken("bare LF in a chunk");
    const match = CHUNK.exec(text);
    // oxlint-disable-next-line no-control-regex
    if (match === null || /[\0-\x08\x0b-\x1f\x7f]/.test(text)) throw new Broken("chunk");
    if (match[2] !== undefined) doubts.push("chunk extension");
    if (match[3] !== "") doubts.push("blank behind a chunk's size");
    const size = Number.parseInt(match[1]!, 16);
    if (size > MOST_BODY_BYTES) throw new Broken("chunk beyond reason");
    at = nextAt;
    if (size === 0) break;
    if (bytes.length >= at + size + 1 && bytes[at + size] !== 0x0d) throw new Broken("chunk's end");
    if (bytes.length < at + size + 2) throw new Cut();
    if (bytes[at + size + 1] !== 0x0a) throw new Broken("chunk's end");
    pieces.push(bytes.subarray(at, at + size));
    at += size + 2;
  }
  const { fields, nextAt } = readFields(bytes, at, doubts);
  if (fields.length > 0) doubts.push("trailer");
  return { body: Buffer.concat(pieces), endAt: nextAt };
}

/**
 * The head of a CONNECT, read off the first bytes of a connection. Only what is clean in every respect
 * is read here; whatever else it may be is left to the full reader. [PX5]
 */

/** A CONNECT that came alone and whole, and what was read behind it. */
export interface ConnectHead {
  /** As written. */
  readonly target: string;
  /** Names and values in turn, as Node's `rawHeaders`. */
  readonly fields: readonly string[];
  readonly rest: Buffer;
}

const METHOD = Buffer.from("CONNECT ");
const END = "\r\n\r\n";
const REQUEST_LINE = /^CONNECT (\S{1,300}) HTTP\/1\.1$/;
/** RFC 9110 section 5: a token, and a value of visible characters, blanks and obs-text. */
// oxlint-disable-next-line no-control-regex
const FIELD = /^([!#$%&'*+\-.^_`|~\w]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;
const MAX_HEAD_BYTES = 16 * 1024;
const MAX_FIELDS = 100;

/** Null for anything but a whole and clean CONNECT. */
export function readConnectHead(bytes: Buffer): ConnectHead | null {
  if (bytes.length < METHOD.length || METHOD.compare(bytes, 0, METHOD.length) !== 0) return null;
  const endAt = bytes.indexOf(END, METHOD.length, "latin1");
  if (endAt === -1 || endAt > MAX_HEAD_BYTES) return null;
  const lines = bytes.toString("latin1", 0, endAt).split("\r\n");
  const target = REQUEST_LINE.exec(lines[0] ?? "")?.[1];
  if (target === undefined || lines.length > MAX_FIELDS) return null;
  const fields: string[] = [];
  for (let at = 1; at < lines.length; at += 1) {
    const match = FIELD.exec(lines[at] ?? "");
    if (match === null) return null;
    fields.push(match[1]!, match[2]!);
  }
  return { target, fields, rest: bytes.subarray(endAt + END.length) };
}

/** What a client of HTTP/1.1 reads off its connection, by the letter: answers, one for each request. */

/** One final answer. */
export interface StrictAnswer {
  readonly status: number;
  readonly fields: ReadonlyMap<string, string>;
  readonly body: string;
  /** It was broken off by the end of the connection. */
  readonly isCut: boolean;
}

/** All that came. */
export interface StrictAnswers {
  readonly answers: readonly StrictAnswer[];
  /** What is behind the last of them: of a tunnel, or what cannot be read. */
  readonly rest: string;
}

const STATUS_LINE = /^HTTP\/1\.[01] (\d{3}) ?[^\r\n]*$/;

/** Reads answers to requests of these methods, in turn. The connection has ended. */
export function readAnswers(text: string, methods: readonly string[]): StrictAnswers {
  const answers: StrictAnswer[] = [];
  let at = 0;
  while (at < text.length) {
    const headEnd = text.indexOf("\r\n\r\n", at);
    if (headEnd === -1) break;
    const [line = "", ...lines] = text.slice(at, headEnd).split("\r\n");
    const match = STATUS_LINE.exec(line);
    if (match === null) break;
    const status = Number(match[1]);
    at = headEnd + 4;
    if (status < 200 && status !== 101) continue;
    const fields = new Map<string, string>();
    for (const field of lines) {
      const colonAt = field.indexOf(":");
      fields.set(field.slice(0, colonAt).toLowerCase(), field.slice(colonAt + 1).trim());
    }
    const method = methods[answers.length] ?? "GET";
    const { body, endAt, isCut } = bodyOf(text, at, fields, method, status);
    answers.push({ status, fields, body, isCut });
    at = endAt;
    if (method === "CONNECT" && status === 200) break;
    if (fields.get("connection")?.toLowerCase() === "close") break;
  }
  return { answers, rest: text.slice(at) };
}

function bodyOf(
  text: string,
  at: number,
  fields: ReadonlyMap<string, string>,
  method: string,
  status: number,
): { body: string; endAt: number; isCut: boolean } {
  if (method === "HEAD" || status === 204 || status === 304 || (method === "CONNECT" && status === 200)) {
    return { body: "", endAt: at, isCut: false };
  }
  if (fields.has("transfer-encoding")) return chunksOf(text, at);
  const length = fields.get("content-length");
  const endAt = length === undefined ? text.length : at + Number(length);
  return { body: text.slice(at, endAt), endAt: Math.min(endAt, text.length), isCut: endAt > text.length };
}

function chunksOf(text: string, from: number): { body: string; endAt: number; isCut: boolean } {
  let at = from;
  let body = "";
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd === -1) return { body, endAt: text.length, isCut: true };
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    at = lineEnd + 2;
    if (size === 0) {
      const end = text.startsWith("\r\n", at) ? at : text.indexOf("\r\n\r\n", at) + 2;
      return { body, endAt: end + 2, isCut: end < at };
    }
    body += text.slice(at, at + size);
    at += size + 2;
    if (!(at <= text.length)) return { body, endAt: text.length, isCut: true };
  }
}

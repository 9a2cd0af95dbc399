/**
 * What is said to a proxy over HTTP, drawn from a grammar of requests with something odd in each: in
 * its framing, its lines, its target, its fields, its end. What is right for each the strict reader
 * says, from the bytes alone.
 */
import type { Chance } from "./chance.ts";
import {
  CODINGS,
  EXPECTS,
  EXTENSIONS,
  FOREIGN,
  LENGTHS,
  LISTED,
  METHODS,
  NAMES_OF_CODING,
  NAMES_OF_LENGTH,
  ODD_BYTES,
  SIZES,
  VERSIONS,
} from "./odd-values.ts";

/** Something that is said to a proxy, in these pieces. */
export interface ProxyCase {
  readonly id: string;
  readonly told: string;
  readonly pieces: readonly Buffer[];
  /** It listens for all its answers before it ends its side; else it does that at once. */
  readonly isPatient: boolean;
}

/** A request before it is written out. */
interface Draft {
  readonly id: string;
  readonly origin: string;
  method: string;
  target: string;
  version: string;
  fields: string[];
  body: string;
}

type Family = (draft: Draft, chance: Chance) => string;

/** A whole request, to be taken for one by whoever loses count. */
function baitFor({ id, origin }: Draft): string {
  return `GET http://${origin}/${id}-bait HTTP/1.1\r\nhost: ${origin}\r\n\r\n`;
}

function withLength(draft: Draft, body: string, method = "POST"): void {
  draft.method = method;
  draft.body = body;
  draft.fields.push(`content-length: ${body.length}`);
}

function chunk(text: string, extension = ""): string {
  return `${text.length.toString(16)}${extension}\r\n${text}\r\n`;
}

/** What the odd thing is about. Each is drawn as often as any other. */
const FAMILIES: Readonly<Record<string, Family>> = {
  plain: (draft, chance) => {
    const kind = chance.of(["none", "length", "chunked", "zero"] as const);
    draft.method = chance.of(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]);
    const body = "b".repeat(chance.of([1, 30, 3_000]));
    if (kind === "length") withLength(draft, body, draft.method);
    if (kind === "zero") draft.fields.push("content-length: 0");
    if (kind === "chunked") {
      draft.fields.push("transfer-encoding: chunked");
      draft.body = `${chunk(body)}${chunk("tail")}0\r\n\r\n`;
    }
    return kind;
  },
  framing: (draft, chance) => {
    const bait = baitFor(draft);
    draft.method = chance.of(["POST", "GET"]);
    const isChunked = chance.is(0.5);
    draft.body = isChunked ? `${chunk("chunk")}0\r\n\r\n${chance.is(0.5) ? bait : ""}` : bait;
    const lines: string[] = [];
    for (let count = 1 + chance.below(3); count > 0; count -= 1) {
      const isLength = chance.is(0.5);
      const name = chance.is(0.6)
        ? isLength
          ? "content-length"
          : "transfer-encoding"
        : chance.of(isLength ? NAMES_OF_LENGTH : NAMES_OF_CODING);
      const value = isLength
        ? chance.is(0.5)
          ? String(chance.of([0, 5, draft.body.length]))
          : chance.of(LENGTHS)
        : chance.is(0.4)
          ? "chunked"
          : chance.of(CODINGS);
      lines.push(`${name}:${chance.of([" ", "", "\t", "  "])}${value}`);
    }
    draft.fields.push(...lines);
    return lines.join(" | ");
  },
  chunks: (draft, chance) => {
    draft.method = "POST";
    draft.fields.push("transfer-encoding: chunked");
    const bait = baitFor(draft);
    const what = chance.of(["size", "extension", "end", "data", "last"] as const);
    const odd =
      what === "size"
        ? chance.of(SIZES)
        : what === "extension"
          ? chance.of(EXTENSIONS)
          : chance.of(ODD_BYTES);
    if (what === "size")
      draft.body = `${chance.is(0.5) ? odd : ""}5${chance.is(0.5) ? odd : ""}\r\nchunk\r\n0\r\n\r\n`;
    if (what === "extension") draft.body = `${chunk(bait, odd)}0${chance.is(0.3) ? odd : ""}\r\n\r\n`;
    if (what === "end") draft.body = `5\r\nchunk${odd}0\r\n\r\n${bait}`;
    if (what === "data") draft.body = `${chance.of([4, 6, 3])}\r\nchunk\r\n0\r\n\r\n${bait}`;
    if (what === "last") draft.body = `${chunk(bait)}0${odd}\r\n\r\n`;
    return `${what} ${JSON.stringify(odd)}`;
  },
  trailers: (draft, chance) => {
    draft.method = "POST";
    draft.fields.push("transfer-encoding: chunked");
    const trailer = chance.of([
      "x-t: 1",
      "content-length: 5",
      "transfer-encoding: chunked",
      "host: b.test",
      "x t: 1",
      "x-t",
      " folded: 1",
      "x-t: 1\n",
      "x-t: \0",
      ": 1",
      "x-t: 1\r\n again",
      `x-t: ${"t".repeat(20_000)}`,
    ]);
    draft.body = `${chunk("chunk")}0\r\n${trailer}\r\n\r\n`;
    return trailer.slice(0, 40);
  },
  versions: (draft, chance) => {
    draft.version = chance.of(VERSIONS);
    if (chance.is(0.4)) draft.fields.push(`connection: ${chance.of(["keep-alive", "close", "Keep-Alive"])}`);
    if (chance.is(0.3)) withLength(draft, baitFor(draft));
    else if (chance.is(0.2)) {
      draft.fields.push("transfer-encoding: chunked");
      draft.body = `${chunk("chunk")}0\r\n\r\n`;
    }
    return `${draft.version} ${draft.fields.join(" | ")}`;
  },
  targets: (draft, chance) => {
    const { origin, id } = draft;
    const [ip = "", port = ""] = origin.split(":");
    const last = ip.split(".").at(-1)!;
    const path = `/${id}`;
    draft.target = chance.of([
      `HTTP://${origin}${path}`,
      `http://user@${origin}${path}`,
      `http://user:pw@${origin}${path}`,
      `http://${origin}${path}#part`,
      `http://${origin}#part`,
      `http://${origin}`,
      `http://${origin}?q=${id}`,
      `http://${origin}${path}?`,
      `http://${origin}${path}?a=b?c=d`,
      `http://${origin}/a/../${id}`,
      `http://${origin}/./a/%2e%2e/${id}`,
      `http://${origin}//${id}`,
      `http://${origin}/%7e${id}`,
      `http://${origin}/${id}\\a`,
      `http://${origin}\\${id}`,
      `http://${origin}\\@b.test/${id}`,
      `http:\\\\${origin}${path}`,
      `http:/${origin}${path}`,
      `http:${origin}${path}`,
      `http:///${origin}${path}`,
      path,
      `*`,
      `//${origin}${path}`,
      origin,
      `ftp://${origin}${path}`,
      `httpx://${origin}${path}`,
      `http://${path}`,
      `http://:${port}${path}`,
      `http://${ip}:0${port}${path}`,
      `http://${ip}:0${path}`,
      `http://${ip}:65536${path}`,
      `http://${ip}:${port}x${path}`,
      `http://${ip}:-1${path}`,
      `http://${ip}:${path}`,
      `http://127.${last}:${port}${path}`,
      `http://0x7f.0.0.${last}:${port}${path}`,
      `http://0177.0.0.${last}:${port}${path}`,
      `http://${0x7f000000 + Number(last)}:${port}${path}`,
      `http://${ip}.:${port}${path}`,
      `http://${ip}%2e:${port}${path}`,
      `http://${encodeURIComponent(ip).replaceAll(".", "%2e")}:${port}${path}`,
      `http://[::ffff:${ip}]:${port}${path}`,
      `http://[::1]:${port}${path}`,
      `http://[::1%25lo]:${port}${path}`,
      `http://[${ip}]:${port}${path}`,
      `http://[:${port}${path}`,
      `http://${origin}${path}?\u00e9=\u00ff`,
      `http://${origin}/${id}\u00c3\u00a9`,
      `http://${origin}/${id}|{}^"<>\`[]`,
      `http://${origin}/${id}?'"<>|{}`,
      `http://${origin}/${id}%`,
      `http://${origin}/${id}%zz%00`,
      `http://${origin}/${id}\0`,
      `http://${origin}/${id} HTTP/1.1 x`,
      `http://${origin}/${id}\t`,
      `http://${origin}/${id};a=1,b`,
      `http://\uff11${origin}/${id}`,
      `http://b\u00e9.test/${id}`,
      `ws://${origin}${path}`,
      `http://${origin}/${"l".repeat(9_000)}${id}`,
    ]);
    if (chance.is(0.15)) draft.method = "OPTIONS";
    return `${draft.method} ${draft.target.slice(0, 80)}`;
  },
  hosts: (draft, chance) => {
    const host = chance.of([
      "host: b.test",
      "host: b.test:1",
      "host:",
      "host: b.test, c.test",
      "host: b.test\r\nhost: c.test",
      `host: ${draft.origin}\r\nHost: ${draft.origin}`,
      "x-no: host",
      "host: http://b.test",
      "host: b.test/path",
      "host: u@b.test",
      "host: b test",
      "host: [::1",
      "host : b.test",
      "\thost: b.test",
      "host: b.test\0",
      "host: *",
      "HOST: B.TEST",
      "host:b.test:99999",
    ]);
    draft.fields = [host, ...draft.fields.slice(1)];
    return host;
  },
  lines: (draft, chance) => {
    const at = chance.below(draft.fields.length);
    const field = draft.fields[at]!;
    const place = chance.below(field.length + 1);
    const odd = chance.of(ODD_BYTES);
    draft.fields[at] = field.slice(0, place) + odd + field.slice(place);
    if (chance.is(0.3)) withLength(draft, baitFor(draft));
    return draft.fields.join(" | ");
  },
  beginnings: (draft, chance) => {
    const odd = chance.of([
      "\r\n",
      "\n",
      "\r\n\r\n",
      " ",
      "\t",
      "\0",
      "\r",
      "\r\n \r\n",
      "\u00ef\u00bb\u00bf",
      "0\r\n\r\n",
      "x\r\n",
    ]);
    draft.method = odd + draft.method;
    return JSON.stringify(odd);
  },
  methods: (draft, chance) => {
    draft.method = chance.of(METHODS);
    if (chance.is(0.3)) withLength(draft, baitFor(draft), draft.method);
    return JSON.stringify(draft.method.slice(0, 20));
  },
  spaces: (draft, chance) => {
    const odd = chance.of(["  ", "\t", "", "\x0b", "\r", "\n", " \t ", "\u00a0", "\0"]);
    if (chance.is(0.5)) draft.method += `${odd}X`.slice(0, chance.of([1, 2, 3]));
    else draft.version = odd + draft.version;
    return JSON.stringify([draft.method, draft.version]);
  },
  upgrades: (draft, chance) => {
    const upgrade = chance.of(["websocket", "h2c", "websocket, h2c", "TLS/1.0", "WebSocket", ""]);
    draft.fields.push(
      `upgrade: ${upgrade}`,
      `connection: ${chance.of(["upgrade", "Upgrade, HTTP2-Settings", "close", "keep-alive"])}`,
    );
    if (chance.is(0.5))
      draft.fields.push("sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==");
    if (upgrade === "h2c") draft.fields.push("http2-settings: AAMAAABkAAQAAP__");
    if (chance.is(0.5)) withLength(draft, baitFor(draft), chance.of(["GET", "POST"]));
    return draft.fields.slice(2).join(" | ");
  },
  expectations: (draft, chance) => {
    draft.fields.push(`expect: ${chance.of(EXPECTS)}`);
    if (chance.is(0.7)) withLength(draft, baitFor(draft));
    return draft.fields.slice(2).join(" | ");
  },
  connections: (draft, chance) => {
    const listed = chance.of(LISTED);
    draft.fields.push(`${chance.of(["connection", "Connection", "proxy-connection"])}: ${listed}`);
    if (chance.is(0.6)) withLength(draft, baitFor(draft));
    return draft.fields.slice(2).join(" | ");
  },
  sizes: (draft, chance) => {
    const kind = chance.of(["many", "long", "endless", "names"] as const);
    if (kind === "many") for (let at = 0; at < 900; at += 1) draft.fields.push(`x-${at}: ${at}`);
    if (kind === "long") draft.fields.push(`x-long: ${"v".repeat(chance.of([8_000, 20_000, 40_000]))}`);
    if (kind === "endless") draft.fields.push(`x-long: ${"v".repeat(100_000)}`);
    if (kind === "names") draft.fields.push(`${"n".repeat(10_000)}: 1`);
    return kind;
  },
  connect: (draft, chance) => {
    const { origin } = draft;
    const [ip = "", port = ""] = origin.split(":");
    draft.method = "CONNECT";
    draft.target = chance.is(0.5)
      ? origin
      : chance.of([
          `http://${origin}/`,
          `http://${origin}`,
          `/${origin}`,
          ip,
          `${ip}:`,
          `${origin}/`,
          `${origin}#a`,
          `u@${origin}`,
          `${ip}:0${port}`,
          `127.1:${port}`,
          `${ip}:70000`,
          `[${ip}]:${port}`,
          `[::ffff:${ip}]:${port}`,
          `${origin}\0`,
          `${ip}%00:${port}`,
          `${ip} :${port}`,
          "*",
          `${ip}:+${port}`,
        ]);
    draft.fields[0] = `host: ${chance.is(0.7) ? draft.target : chance.of(["b.test", "", "b.test/x", "a b", origin])}`;
    const odd = chance.of([
      "",
      "",
      "",
      "content-length: 0",
      "content-length: 5",
      "content-length: 5, 5",
      "content-length: -1",
      "content-length: x",
      "content-length: 0x5",
      "content-length: 0, 5",
      "content-length: +5",
      "transfer-encoding: chunked",
      "expect: 100-continue",
      "upgrade: websocket\r\nconnection: upgrade",
      "connection: close",
      `host: ${origin}`,
      "x y: 1",
      "x-odd: a\x01b",
      "x-odd: a\tb\u00ff",
      "content-length : 5",
      " content-length: 5",
    ]);
    if (odd !== "") draft.fields.push(odd);
    draft.body = chance.of([
      "",
      "hello",
      baitFor(draft),
      "\x16\x03\x01\x02\x00\x01\x00",
      "\r\n\r\n",
      "5\r\nhello\r\n0\r\n\r\n",
    ]);
    return `${draft.target} ${odd}`;
  },
};

/** All names of families; a case is of the one that its number says. */
export const HTTP_FAMILIES: readonly string[] = [...Object.keys(FAMILIES), "cut", "foreign"];

/** Draws a case of a family. `origin` is where it leads. */
export function drawHttpCase(family: string, number: number, origin: string, chance: Chance): ProxyCase {
  const id = `m${number}-${chance.below(1e9)}`;
  if (family === "foreign") {
    const bytes = Buffer.from(
      FOREIGN[number % FOREIGN.length]! + following(`${id}-next`, origin, chance),
      "latin1",
    );
    return {
      id,
      told: `foreign ${JSON.stringify(bytes.toString("latin1", 0, 30))}`,
      pieces: [bytes],
      isPatient: chance.is(0.5),
    };
  }
  const drawn = family === "cut" ? chance.of(Object.keys(FAMILIES)) : family;
  const draft: Draft = {
    id,
    origin,
    method: "GET",
    target: `http://${origin}/${id}`,
    version: "HTTP/1.1",
    fields: [`host: ${origin}`, `x-mark: ${id}`],
    body: "",
  };
  const told = FAMILIES[drawn]!(draft, chance);
  const before = chance.is(0.2) ? preceding(`${id}-first`, origin) : "";
  const head = `${draft.method} ${draft.target} ${draft.version}\r\n${draft.fields.join("\r\n")}\r\n\r\n`;
  const isTunnel = draft.method === "CONNECT";
  const behind = isTunnel ? "" : following(`${id}-next`, origin, chance);
  let bytes = Buffer.from(`${before}${head}${draft.body}${behind}`, "latin1");
  if (family === "cut")
    bytes = bytes.subarray(0, 1 + chance.below(before.length + head.length + draft.body.length));
  return {
    id,
    told: `${family} (${drawn}): ${told}`,
    pieces: inPieces(bytes, chance),
    isPatient: chance.is(0.5),
  };
}

function preceding(name: string, origin: string): string {
  return `GET http://${origin}/${name} HTTP/1.1\r\nhost: ${origin}\r\n\r\n`;
}

/** A request as it should be. */
function following(name: string, origin: string, chance: Chance): string {
  const fields = `host: ${origin}\r\nx-mark: ${name}\r\n`;
  if (chance.is(0.15)) return `CONNECT ${origin} HTTP/1.1\r\n${fields}\r\n`;
  return chance.is(0.5)
    ? `GET http://${origin}/${name} HTTP/1.1\r\n${fields}\r\n`
    : `POST http://${origin}/${name} HTTP/1.1\r\n${fields}content-length: 4\r\n\r\nnext`;
}

/** Bytes as one, in two, or byte by byte around a place. */
export function inPieces(bytes: Buffer, chance: Chance): Buffer[] {
  const how = chance.share();
  if (how < 0.6 || bytes.length < 2) return [bytes];
  const at = 1 + chance.below(bytes.length - 1);
  if (how < 0.85) return [bytes.subarray(0, at), bytes.subarray(at)];
  const pieces = [bytes.subarray(0, at)];
  const end = Math.min(bytes.length, at + 12);
  for (let place = at; place < end; place += 1) pieces.push(bytes.subarray(place, place + 1));
  if (end < bytes.length) pieces.push(bytes.subarray(end));
  return pieces;
}

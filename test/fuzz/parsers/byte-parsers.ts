/** Bytes that strangers send: SOCKS, the beginnings of HTTP, and what origins answer in HTTP/1.1, HTTP/2 and WebSocket frames. */
import { EgressFault } from "../../../src/agent/egress/faults.ts";
import { ResponseReader } from "../../../src/agent/traffic/http1/http1-response.ts";
import { HpackDecoder, HpackError } from "../../../src/agent/traffic/http2/hpack-decoder.ts";
import {
  END_HEADERS,
  END_STREAM,
  FrameReader,
  frame,
  HEADERS,
  Http2Error,
  settingsFrame,
} from "../../../src/agent/traffic/http2/http2-frames.ts";
import { Http2Response } from "../../../src/agent/traffic/http2/http2-response.ts";
import { passedTrailers } from "../../../src/agent/traffic/http/trailers.ts";
import {
  readRequestHeaders,
  readResponseHeaders,
} from "../../../src/agent/traffic/http/forwarded-headers.ts";
import { readConnectHead } from "../../../src/agent/traffic/proxy/connect-head.ts";
import {
  readGreeting,
  readLogin,
  readRequest,
  SocksMalformed,
} from "../../../src/agent/traffic/socks/socks-messages.ts";
import { readDatagram } from "../../../src/agent/traffic/socks/udp-datagram.ts";
import { FrameBoundary } from "../../../src/agent/traffic/websocket/websocket-frames.ts";
import { mustHold, type ParserUnderFire, seed } from "./parser.ts";

const MAX_HEAD_BYTES = 16 * 1024;
const FIELD_WORDS = [
  "\r\n",
  "\r\n\r\n",
  ": ",
  "\n",
  "\r",
  "content-length: 5",
  "transfer-encoding: chunked",
  "connection: close",
];

/** One of the faults that a parser may have, or a finding. */
function expected(fault: unknown): string {
  if (fault instanceof EgressFault) return fault.code;
  if (fault instanceof Http2Error) return `h2 ${fault.code}`;
  if (fault instanceof HpackError) return "hpack";
  if (fault instanceof SocksMalformed) return "socks";
  throw fault;
}

/** Where an input is cut in two follows from the input, so that a finding can be told again. */
function cutOf(input: Buffer): number {
  let sum = 0;
  for (const byte of input) sum = (sum * 31 + byte) >>> 0;
  return input.length === 0 ? 0 : sum % input.length;
}

/** A reader of a stream must say the same however the bytes are cut into segments. */
function readInPieces(name: string, input: Buffer, readAll: (segments: readonly Buffer[]) => string): string {
  const whole = readAll([input]);
  const at = cutOf(input);
  const cut = readAll([input.subarray(0, at), input.subarray(at)]);
  mustHold(
    cut === whole,
    `${name} reads alike when cut at ${at}: ${whole.slice(0, 80)} and ${cut.slice(0, 80)}`,
  );
  return whole;
}

function readAnswer(segments: readonly Buffer[], method: string): string {
  const heads: string[] = [];
  let body = "";
  const reader = new ResponseReader(method, MAX_HEAD_BYTES, {
    onHead: (status, _phrase, headers) => {
      heads.push(`${status} ${headers.length}`);
      readResponseHeaders(headers, status);
    },
    onBody: (chunk) => {
      body += chunk.toString("latin1");
    },
  });
  let fault = "";
  try {
    for (const segment of segments) reader.read(segment);
    reader.end(true);
  } catch (thrown) {
    fault = expected(thrown);
  }
  // Of a broken answer it does not matter how much of the body was passed on before.
  return `${heads.slice(0, 4).join()} ${reader.isOver} ${fault === "" ? body : ""} ${reader.trailers.length} ${fault}`;
}

function answers(): ParserUnderFire {
  return {
    name: "http1-answer",
    seeds: [
      "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 204 No Content\r\nkeep-alive: timeout=5\r\n\r\n",
      "HTTP/1.1 304 \r\ncontent-length: 10\r\n a folded\r\n\r\n",
    ].map(seed),
    words: [...FIELD_WORDS, "HTTP/1.1 ", "0\r\n\r\n", "ffffffff\r\n", "content-length: ", "5\r\n"],
    weight: 14,
    read: (input) => {
      const method = input.length % 7 === 0 ? "HEAD" : "GET";
      return shape(readInPieces("an answer", input, (segments) => readAnswer(segments, method)));
    },
  };
}

function http2(): ParserUnderFire {
  const block = Buffer.from([0x88, 0x5f, 0x87, 0x49, 0x7c, 0xa5, 0x8a, 0xe8, 0x19, 0xaa]);
  const plain = Buffer.concat([Buffer.from([0x88, 0x00, 0x01]), Buffer.from("a\x01b")]);
  return {
    name: "http2-answer",
    seeds: [
      Buffer.concat([
        settingsFrame([[3, 100]]),
        frame(HEADERS, END_HEADERS, 1, plain),
        frame(0, END_STREAM, 1, seed("hello")),
      ]),
      Buffer.concat([settingsFrame([]), frame(HEADERS, END_HEADERS | END_STREAM, 1, block)]),
    ],
    words: [
      "\x00\x00\x00\x04\x01\x00\x00\x00\x00",
      "\x82",
      "\x3f\xe1\x1f",
      "\xff\xff\xff",
      "\x00\x00\x08\x06\x00\x00\x00\x00\x00",
    ],
    weight: 14,
    read: (input) => {
      const said = readInPieces("frames", input, (segments) => {
        const frames: string[] = [];
        const decoder = new HpackDecoder();
        const response = new Http2Response("GET", MAX_HEAD_BYTES);
        const reader = new FrameReader({
          onFrameBegin: () => {},
          onFrame: (type, flags, stream, payload) => {
            frames.push(`${type} ${flags & 5} ${stream} ${payload.length}`);
            if (type === HEADERS) decoder.decode(payload, response.onField);
          },
          onData: (_stream, piece, _windowBytes, isEnd) => {
            if (isEnd) frames.push("end");
            mustHold(piece.length <= MAX_HEAD_BYTES * 16, "a piece is of its frame");
          },
        });
        try {
          for (const segment of segments) reader.read(segment);
        } catch (fault) {
          frames.push(expected(fault));
        }
        return frames.join();
      });
      return shape(said);
    },
  };
}

function hpack(): ParserUnderFire {
  return {
    name: "hpack",
    seeds: [
      Buffer.from("828684418cf1e3c2e5f23a6ba0ab90f4ff", "hex"),
      Buffer.from("400a637573746f6d2d6b65790d637573746f6d2d686561646572", "hex"),
      Buffer.from("488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff", "hex"),
      Buffer.from("3fe11f828786", "hex"),
    ],
    words: ["\x82", "\x3f\xe1\x1f", "\x40", "\x7f\xff\xff\xff\xff\x0f", "\x00\x85", "\xff\xff\xff"],
    weight: 10,
    read: (input) => {
      let count = 0;
      const decoder = new HpackDecoder();
      try {
        decoder.decode(input, (name, value) => {
          count += 1;
          mustHold(
            name.length + value.length <= 8 * input.length + 8_192,
            "a field is not longer than its code can be",
          );
        });
        decoder.decode(input, () => {});
      } catch (fault) {
        return expected(fault);
      }
      return `ok ${Math.min(count, 8)}`;
    },
  };
}

function socks(): ParserUnderFire {
  return {
    name: "socks",
    seeds: [
      Buffer.from("050102", "hex"),
      Buffer.from("0503000102", "hex"),
      Buffer.concat([Buffer.from([1, 3]), seed("a=b"), Buffer.from([5]), seed("token")]),
      Buffer.concat([Buffer.from([5, 1, 0, 3, 11]), seed("example.com"), Buffer.from([1, 187])]),
      Buffer.from("05010001c00002010050", "hex"),
      Buffer.from("0503000420010db80000000000000000000000010050", "hex"),
    ],
    words: ["\x05\x01\x00", "\x01", "\x03\xff", "\x04", "\xc2\x80"],
    weight: 10,
    read: (input) => {
      const said = [readGreeting, readLogin, readRequest].map((read) => {
        try {
          const result = read(input);
          if (result === null) return "more";
          mustHold(result.byteCount <= input.length, "no more is read than came");
          return "ok";
        } catch (fault) {
          return expected(fault);
        }
      });
      return said.join(" ");
    },
  };
}

function datagrams(): ParserUnderFire {
  return {
    name: "socks-datagram",
    seeds: [
      Buffer.from("00000001c0000201003568656c6c6f", "hex"),
      Buffer.concat([
        Buffer.from([0, 0, 0, 3, 11]),
        seed("example.com"),
        Buffer.from([0, 53]),
        seed("hello"),
      ]),
    ],
    words: ["\x00\x00\x00\x04", "\x00\x00\x01", "\x03\x00"],
    weight: 8,
    read: (input) => {
      const outcome = readDatagram(input);
      if (!outcome.ok) return outcome.refusal;
      mustHold(outcome.value.payload.length < input.length, "a payload is less than the datagram");
      return "ok";
    },
  };
}

function connectHeads(): ParserUnderFire {
  return {
    name: "connect-head",
    seeds: [
      "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\nproxy-authorization: Basic YTpi\r\n\r\nearly",
    ].map(seed),
    words: [...FIELD_WORDS, "CONNECT ", " HTTP/1.1"],
    weight: 8,
    read: (input) => {
      const head = readConnectHead(input);
      if (head === null) return "none";
      mustHold(head.fields.length % 2 === 0, "each name has a value");
      return `ok ${head.fields.length}`;
    },
  };
}

/** Fields of a request, as a parser of HTTP gives them in turn. */
function fields(): ParserUnderFire {
  return {
    name: "request-fields",
    seeds: ["host\nexample.com\nconnection\nx-a, keep-alive\nx-a\n1\negress\npool=eu\ncontent-length\n5"].map(
      seed,
    ),
    words: [
      "\nconnection\n",
      "\nhost\n",
      "\ntransfer-encoding\nchunked",
      "\negress\n",
      "\negress-authorization\n",
      ", ",
      "content-length",
    ],
    weight: 8,
    read: (input) => {
      const raw = input.toString("latin1").split("\n");
      if (raw.length % 2 === 1) raw.pop();
      const { forwarded, hosts } = readRequestHeaders(raw);
      const own = forwarded.filter((name, at) => at % 2 === 0 && /^egress(?:-|$)/i.test(name));
      mustHold(own.length === 0, "nothing of ours goes on");
      mustHold(passedTrailers(raw, raw).length <= raw.length, "no more trailers than there were");
      return `${Math.min(hosts.length, 3)} ${Math.min(forwarded.length, 12)}`;
    },
  };
}

function webSocketFrames(): ParserUnderFire {
  return {
    name: "websocket-frames",
    seeds: [
      Buffer.from("810568656c6c6f", "hex"),
      Buffer.from("827e0100", "hex"),
      Buffer.from("88820000000003e8", "hex"),
    ],
    words: ["\x82\x7f", "\x81\xfe", "\x00\x00\x00\x00\x00\x00\x00\x01"],
    weight: 6,
    read: (input) =>
      readInPieces("frames of a WebSocket", input, (segments) => {
        const boundary = new FrameBoundary();
        for (const segment of segments) boundary.pass(segment);
        return `${boundary.isBetweenFrames}`;
      }),
  };
}

/** What came of a stream, without its numbers and its content: what is new is a new order of things. */
function shape(said: string): string {
  return said
    .replace(/[0-9]{3,}/g, "n")
    .replace(/[^\x20-\x7e]/g, ".")
    .slice(0, 48);
}

/** All of them. */
export function byteParsers(): ParserUnderFire[] {
  return [answers(), http2(), hpack(), socks(), datagrams(), connectHeads(), fields(), webSocketFrames()];
}

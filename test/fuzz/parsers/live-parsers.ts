/** What is read by others in our place: HTTP of clients by Node's parser, and answers of name servers by c-ares. */
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { once } from "node:events";
import { Resolver } from "../../../src/agent/egress/resolver.ts";
import { EgressFault } from "../../../src/agent/egress/faults.ts";
import { startProxyRig } from "../../agent/proxy-rig.ts";
import { answerTo } from "../../e2e/name-server.ts";
import { mustHold, type ParserUnderFire, seed } from "./parser.ts";

const LANES = 16;
const FIELD_WORDS = [
  "\r\n",
  "\r\n\r\n",
  "content-length: 3\r\n",
  "transfer-encoding: chunked\r\n",
  "0\r\n\r\n",
  "GET ",
  " HTTP/1.1\r\n",
  "host: a\r\n",
  "expect: 100-continue\r\n",
  "upgrade: websocket\r\nconnection: upgrade\r\n",
  "\x05\x01\x00",
];
/** A server that has neither answered nor hung up by then does not any more. */
const HANGING_MS = 30_000;

/** Says bytes and its end, and waits until the other side has ended too. */
function said(port: number, bytes: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    let first = "";
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error("broken: a connection that its client has ended hangs"));
    }, HANGING_MS);
    socket.on("data", (chunk: Buffer) => {
      if (first.length < 16) first += chunk.toString("latin1", 0, 16);
    });
    socket.on("error", () => {});
    socket.once("close", () => {
      clearTimeout(timer);
      resolve(first.slice(0, 12).replace(/[^\x20-\x7e]/g, "."));
    });
    socket.end(bytes);
  });
}

function requests(url: string, token: string): Buffer[] {
  const fetchPath = `/v1/fetch?url=${encodeURIComponent("http://127.0.0.1:9/")}`;
  return [
    `GET ${fetchPath} HTTP/1.1\r\nhost: a\r\negress-authorization: Bearer ${token}\r\n\r\n`,
    `POST ${fetchPath} HTTP/1.1\r\nhost: a\r\negress-authorization: Bearer ${token}\r\ncontent-length: 3\r\n\r\nabc`,
    `PUT ${fetchPath} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
    `GET /health HTTP/1.1\r\nhost: a\r\n\r\nGET /v1/status HTTP/1.0\r\n\r\n`,
    `GET http://127.0.0.1:9/ HTTP/1.1\r\nhost: 127.0.0.1:9\r\n\r\n`,
    `CONNECT 127.0.0.1:9 HTTP/1.1\r\nhost: 127.0.0.1:9\r\n\r\nearly`,
    `OPTIONS * HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n`,
    `GET ${url.replace("http", "ws")}/ HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n`,
    "\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x09",
  ].map(seed);
}

/** The gateway's port and a proxy's. */
async function listeners(): Promise<ParserUnderFire[]> {
  // Nothing is reached from there, so no bytes of ours go any further.
  const rig = await startProxyRig({ allow: [] });
  const seeds = requests(rig.url, rig.token);
  const read = (port: number) => async (input: Buffer) => {
    const answered = await said(port, input);
    const [fault] = rig.faults.splice(0);
    if (fault !== undefined) throw fault;
    return answered;
  };
  const common = { seeds, words: FIELD_WORDS, weight: 0.05, laneCount: LANES };
  return [
    { ...common, name: "gateway", read: read(rig.port) },
    { ...common, name: "proxy", read: read(rig.proxyPort), close: () => rig.close() },
  ];
}

/** Each input is the answer to one question, under the question's number. */
async function nameServerAnswers(): Promise<ParserUnderFire> {
  const inputs = new Map<string, Buffer>();
  const server = createSocket("udp4");
  server.on("message", (query, from) => {
    // The first label is the number of the input.
    const number = query.toString("latin1", 13, 13 + query[12]!);
    const answer = Buffer.from(inputs.get(number) ?? Buffer.alloc(0));
    if (answer.length >= 2) query.copy(answer, 0, 0, 2);
    server.send(answer, from.port, from.address, () => {});
  });
  server.bind(0, "127.0.0.1");
  await once(server, "listening");
  const resolver = new Resolver({ servers: [`127.0.0.1:${server.address().port}`], timeoutMs: 40 });
  let count = 0;
  // As c-ares would write it: header, question, class.
  const question = Buffer.concat([
    Buffer.from("000001000001000000000000", "hex"),
    Buffer.from([8]),
    seed("00000000"),
    Buffer.from([4]),
    seed("test"),
    Buffer.from("0000010001", "hex"),
  ]);
  return {
    name: "name-server",
    seeds: [
      answerTo(question, ["192.0.2.1"]),
      answerTo(question, ["192.0.2.1", "192.0.2.2"]),
      answerTo(question, []),
    ],
    words: ["\xc0\x0c", "\x00\x05\x00\x01", "\x00\x01\x00\x01", "\x81\x83", "\xc0\x00", "\x3f"],
    weight: 0.02,
    laneCount: 64,
    read: async (input) => {
      count += 1;
      const number = `${count % 100_000_000}`.padStart(8, "0");
      // The number in the question of the answer, where it still stands, is that of this question.
      const own = Buffer.from(input.toString("latin1").replaceAll("00000000", number), "latin1");
      inputs.set(number, own);
      try {
        const addresses = await resolver.resolve(`${number}.test`, 4);
        mustHold(addresses.length > 0 && addresses.length <= 256, "an answer has 1 to 256 addresses");
        return "ok";
      } catch (fault) {
        if (fault instanceof EgressFault) return fault.code;
        throw fault;
      } finally {
        inputs.delete(number);
      }
    },
    close: async () => {
      resolver.close();
      server.close();
    },
  };
}

/** All of them. */
export async function liveParsers(): Promise<ParserUnderFire[]> {
  return [...(await listeners()), await nameServerAnswers()];
}

/**
 * A client of the laboratory that asks for destinations by every way there is, several at once, and says of each
 * what came of it: `reached ADDRESS`, the code of a refusal, or that there was no answer.
 *
 *     node policy-client.ts QUESTIONS ANSWERS
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { connect, type Socket } from "node:net";
import { readDatagram } from "../../src/agent/traffic/socks/udp-datagram.ts";
import {
  CARRIER_UPGRADE,
  codeIn,
  connectTarget,
  datagramTo,
  fetchTarget,
  headOf,
  socksAddress,
  socksCode,
  socksName,
  UPGRADE,
} from "../spellings/ways.ts";
import type { Question, Questions, Server } from "./policy-questions.ts";

const AT_ONCE = 8;
const LONGEST_MS = 10_000;
const REACHED = /reached (\S+)\n/;
/** Fewer than may wait at once for a name server. */
const DATAGRAMS_AT_ONCE = 16;
const TRIES = 4;
/** Of a token, in a user name of SOCKS5. */
const TOKEN_PART = 180;

const [questionsFile = "", answersFile = ""] = process.argv.slice(2);
const asked = JSON.parse(await readFile(questionsFile, "utf8")) as Questions;

async function answerTo(question: Question): Promise<string> {
  const { way, host, port, from, redirecting } = question;
  const url = `http://${host}:${port}/`;
  const byRedirect = `http://${redirecting}/?to=${encodeURIComponent(url)}`;
  const follow = "egress-redirect: follow";
  switch (way) {
    case "the gateway":
      return byApi(false, from, fetchTarget(url), ["connection: close"]);
    case "the edge":
      return byApi(true, from, fetchTarget(url), ["connection: close"]);
    case "a redirect at the gateway":
      return byApi(false, from, fetchTarget(byRedirect), [follow, "connection: close"]);
    case "a redirect at the edge":
      return byApi(true, from, fetchTarget(byRedirect), [follow, "connection: close"]);
    case "a WebSocket at the gateway":
      return byApi(false, from, fetchTarget(url), UPGRADE);
    case "a WebSocket at the edge":
      return byApi(true, from, fetchTarget(url), UPGRADE);
    case "TCP at the gateway":
      return byApi(false, from, connectTarget(host, port), CARRIER_UPGRADE);
    case "TCP at the edge":
      return byApi(true, from, connectTarget(host, port), CARRIER_UPGRADE);
    case "the proxy":
      return exchange(asked.proxy, headOf("GET", url, [...proxyFields(from), "connection: close"]), codeIn);
    case "CONNECT":
      return exchange(asked.proxy, headOf("CONNECT", `${host}:${port}`, proxyFields(from)), codeIn);
    case "SOCKS5 by name":
      return bySocks(from, socksName(host, port));
    case "SOCKS5 by address":
      return bySocks(from, socksAddress(host, port));
    case "UDP":
      throw new Error("datagrams go by an association");
  }
}

function byApi(isEdge: boolean, from: string, target: string, fields: readonly string[]): Promise<string> {
  const { gateway, edge, gatewayToken, clientToken } = asked;
  const head = headOf("GET", target, [
    "host: egress",
    `egress-authorization: Bearer ${isEdge ? clientToken : gatewayToken}`,
    `egress: ip="${from}"`,
    ...fields,
  ]);
  return exchange(isEdge ? edge : gateway, head, codeIn);
}

function proxyFields(from: string): readonly string[] {
  // A colon ends the user name.
  const login = Buffer.from(`ip=${encodeURIComponent(from)}:${asked.clientToken}`).toString("base64");
  return ["host: proxy", `proxy-authorization: Basic ${login}`];
}

/** What is said to log in, and to ask for something, all at once. */
function socksRequest(from: string, command: number, place: Uint8Array): Buffer {
  const user = Buffer.from(`ip=${from},token=${asked.clientToken.slice(0, TOKEN_PART)}`);
  const password = Buffer.from(asked.clientToken.slice(TOKEN_PART));
  const login = [1, user.length, ...user, password.length, ...password];
  return Buffer.from([5, 1, 2, ...login, 5, command, 0, ...place]);
}

function bySocks(from: string, place: Buffer): Promise<string> {
  return exchange(asked.proxy, socksRequest(from, 1, place), (said) => {
    if (said.length < 6) return null;
    if (said.charCodeAt(3) !== 0) return "socks-login";
    return said.charCodeAt(5) === 0 ? null : socksCode(said.charCodeAt(5));
  });
}

/** Says something and reads until it is known what came of it. */
function exchange(
  { ip, port }: Server,
  bytes: string | Buffer,
  refusalIn: (said: string) => string | null,
): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port, allowHalfOpen: true });
    let said = "";
    const end = (answer: string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => end(`nothing in time: ${said}`), LONGEST_MS);
    socket.setEncoding("latin1");
    socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
    socket.on("data", (text: string) => {
      said += text;
      const known = REACHED.exec(said)?.[0].trim() ?? refusalIn(said);
      if (known !== null) end(known);
    });
    socket.on("end", () => end(`an end: ${said.slice(0, 200)}`));
    socket.on("error", (fault) => end(`${fault.message}: ${said.slice(0, 200)}`));
  });
}

/** By one association for each address that datagrams leave from. */
async function askByDatagrams(answers: string[]): Promise<void> {
  const entries = [...asked.questions.entries()].filter(([, { way }]) => way === "UDP");
  const byAddress = Map.groupBy(entries, ([, { from }]) => from);
  for (const [from, ofAddress] of byAddress) {
    const association = await Association.open(from);
    for (const [at] of ofAddress) answers[at] = "silent";
    association.onAnswer = (at, ip) => (answers[at] = `reached ${ip}`);
    let pending = ofAddress;
    for (let attempt = 0; attempt < TRIES && pending.length > 0; attempt += 1) {
      for (let start = 0; start < pending.length; start += DATAGRAMS_AT_ONCE) {
        for (const [at, { host, port }] of pending.slice(start, start + DATAGRAMS_AT_ONCE)) {
          association.send(at, host, port);
        }
        await association.isThrough(asked.fences[from]!);
      }
      pending = pending.filter(([at, { isAnswered }]) => isAnswered && answers[at] === "silent");
      // What was sent while a neighbour was being looked for may be lost.
      if (pending.length > 0) await delay(100);
    }
    association.close();
  }
}

class Association {
  onAnswer: (at: number, ip: string) => void = () => {};
  readonly #control: Socket;
  readonly #relay: Server;
  readonly #socket = createSocket("udp4");
  #fenceCount = 0;
  #onFence: () => void = () => {};

  private constructor(control: Socket, relay: Server) {
    this.#control = control;
    this.#relay = relay;
    this.#socket.on("message", (bytes) => {
      const read = readDatagram(bytes);
      if (!read.ok) throw new Error(read.refusal);
      const [kind, number] = read.value.payload.toString("latin1").split(" ");
      if (kind === "question") this.onAnswer(Number(number), read.value.host);
      else if (Number(number) === this.#fenceCount) this.#onFence();
    });
  }

  static async open(from: string): Promise<Association> {
    const control = connect(asked.proxy.port, asked.proxy.ip);
    control.write(socksRequest(from, 3, Buffer.from([1, 0, 0, 0, 0, 0, 0])));
    let said = Buffer.alloc(0);
    while (said.length < 14) said = Buffer.concat([said, ...((await once(control, "data")) as Buffer[])]);
    if (said[5] !== 0) throw new Error(`refused: ${said[5]}`);
    return new Association(control, { ip: said.subarray(8, 12).join("."), port: said.readUInt16BE(12) });
  }

  send(at: number, host: string, port: number): void {
    this.#socket.send(datagramTo(host, port, `question ${at}`), this.#relay.port, this.#relay.ip);
  }

  /** Waits until a datagram that was sent now has been answered. */
  async isThrough({ host, port }: { readonly host: string; readonly port: number }): Promise<void> {
    this.#fenceCount += 1;
    const through = new Promise<void>((resolve) => (this.#onFence = resolve));
    const send = (): void =>
      this.#socket.send(
        datagramTo(host, port, `fence ${this.#fenceCount}`),
        this.#relay.port,
        this.#relay.ip,
      );
    send();
    const again = setInterval(send, 500);
    await through;
    clearInterval(again);
  }

  close(): void {
    this.#socket.close();
    this.#control.destroy();
  }
}

const answers: string[] = [];
const left = [...asked.questions.entries()].filter(([, { way }]) => way !== "UDP");
const lanes = Array.from({ length: AT_ONCE }, async () => {
  for (let next = left.shift(); next !== undefined; next = left.shift()) {
    answers[next[0]] = await answerTo(next[1]);
  }
});
await Promise.all(lanes);
await askByDatagrams(answers);
await writeFile(answersFile, JSON.stringify(answers));

/**
 * A client that holds tens of thousands of requests through one gateway with few connections: on
 * each it sends one request after the other without waiting for answers (RFC 9112, section 9.3.2).
 * A gateway sends each on at once, on a connection of its own, and answers them in order. So nearly
 * all of the gateway's descriptors are left for connections to the origin. Nothing is sent twice.
 *
 *     node crowd-client.ts GATEWAY TOKEN SHARED DESTINATION
 *
 * Told on its input, each line answered by one:
 *
 *     send COUNT PER-SECOND   sends so many more; answered once all are sent
 *     answered                how many have got an answer, and how many are broken off
 *     take                    once each has its answer: what has come, as JSON, and begins anew
 */
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { CrowdAnswers } from "./crowd.ts";

/** Requests on one connection. */
const DEPTH = 100;
const TICK_MS = 20;
const HEAD_END = "\r\n\r\n";

const [gateway, token, shared, destination] = process.argv.slice(2);
const { hostname, port, host } = new URL(gateway!);
const prefix = `${process.pid}-`;
let sentCount = 0;
let current: { readonly socket: Socket; readonly nonces: string[]; count: number } | null = null;
let answers = emptyAnswers();

function emptyAnswers(): CrowdAnswers {
  return { sent: 0, byCode: {}, wrong: [], ports: [] };
}

function send(): void {
  if (current === null || current.count === DEPTH) current = openConnection();
  sentCount += 1;
  const nonce = `${prefix}${sentCount}`;
  current.count += 1;
  current.nonces.push(nonce);
  answers.sent += 1;
  const target = `/v1/fetch?url=${encodeURIComponent(`${destination}?nonce=${nonce}`)}`;
  const fields = `host: ${host}\r\negress: ip="${shared}"\r\negress-authorization: Bearer ${token}`;
  current.socket.write(`GET ${target} HTTP/1.1\r\n${fields}${HEAD_END}`);
}

function openConnection() {
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  const nonces: string[] = [];
  let received = "";
  socket.on("data", (chunk: Buffer) => {
    received += chunk.toString("latin1");
    for (let end = endOfAnswer(received); end !== null; end = endOfAnswer(received)) {
      note(received.slice(0, end), nonces.shift());
      received = received.slice(end);
    }
  });
  socket.on("error", (fault: NodeJS.ErrnoException) => breakOff(fault.code ?? fault.message, nonces));
  socket.on("close", () => breakOff("closed", nonces));
  return { socket, nonces, count: 0 };
}

function endOfAnswer(text: string): number | null {
  const headEnd = text.indexOf(HEAD_END);
  if (headEnd < 0) return null;
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text.slice(0, headEnd))?.[1] ?? Number.NaN);
  const end = headEnd + HEAD_END.length + length;
  return text.length >= end ? end : null;
}

function note(text: string, nonce: string | undefined): void {
  const [head = "", body = ""] = text.split(HEAD_END);
  const isOk = head.startsWith("HTTP/1.1 200 ");
  count(isOk ? "200" : ((JSON.parse(body) as { code?: string }).code ?? head));
  if (!isOk) return;
  const seen = JSON.parse(body) as { address: string; port: number; nonce: string };
  const from = Number(/\r\negress-port: *(\d+)/i.exec(head)?.[1]);
  const isRight = seen.nonce === nonce && seen.address === shared && seen.port === from;
  if (!isRight) answers.wrong.push(`${nonce}: ${JSON.stringify(seen)}, from ${from}`);
  answers.ports.push(seen.port);
}

function breakOff(code: string, nonces: string[]): void {
  for (const _ of nonces.splice(0)) count(code);
}

function count(code: string): void {
  answers.byCode[code] = (answers.byCode[code] ?? 0) + 1;
}

function answeredCount(): number {
  return Object.values(answers.byCode).reduce((sum, one) => sum + one, 0);
}

/** By the clock, so that a machine that was busy for a moment sends what it owes. */
async function sendEvenly(total: number, perSecond: number): Promise<void> {
  const beganMs = performance.now();
  for (let sent = 0; sent < total;) {
    const due = Math.min(total, Math.ceil(((performance.now() - beganMs) / 1000) * perSecond));
    for (; sent < due; sent += 1) send();
    await delay(TICK_MS);
  }
}

async function obey([verb = "", ...numbers]: readonly string[]): Promise<unknown> {
  const [total, perSecond] = numbers.map(Number);
  switch (verb) {
    case "send":
      await sendEvenly(total!, perSecond!);
      return answers.sent;
    case "answered":
      return answeredCount();
    case "take": {
      while (answeredCount() < answers.sent) await delay(TICK_MS);
      const taken = answers;
      answers = emptyAnswers();
      return taken;
    }
    default:
      throw new Error(`unknown order ${verb}`);
  }
}

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await obey(line.split(" "))));
}

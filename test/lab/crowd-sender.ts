/**
 * Sends from chosen ports of a shared address itself, as a further process of a host would: what its
 * agent has leased and has no descriptors left for.
 *
 *     node crowd-sender.ts SHARED IP PORT
 *
 * Told on its input, each line answered by one:
 *
 *     send PORT,PORT,...   sends a request from each of these; answered once all are connected
 *     take                 once each has its answer: what has come, as JSON, and begins anew
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { CrowdAnswers } from "./crowd.ts";

const POLL_MS = 20;
const AT_A_TIME = 200;

const [shared, ip, port] = process.argv.slice(2);
let answers: CrowdAnswers = { sent: 0, byCode: {}, wrong: [], ports: [] };

async function sendFrom(localPort: number): Promise<void> {
  answers.sent += 1;
  const into = answers;
  const count = (code: string): void => {
    into.byCode[code] = (into.byCode[code] ?? 0) + 1;
  };
  const socket = connect({ host: ip!, port: Number(port), localAddress: shared!, localPort });
  try {
    await once(socket, "connect");
  } catch (fault) {
    return count((fault as NodeJS.ErrnoException).code ?? String(fault));
  }
  const nonce = `sender-${localPort}`;
  socket.write(`GET /hold?nonce=${nonce} HTTP/1.1\r\nhost: ${ip}\r\n\r\n`);
  void take(socket, { nonce, localPort, into, count });
}

interface Asked {
  readonly nonce: string;
  readonly localPort: number;
  readonly into: CrowdAnswers;
  readonly count: (code: string) => void;
}

async function take(socket: Socket, { nonce, localPort, into, count }: Asked): Promise<void> {
  try {
    const text = await answerOf(socket);
    const seen = JSON.parse(text.slice(text.indexOf("{"))) as {
      address: string;
      port: number;
      nonce: string;
    };
    const isRight = seen.nonce === nonce && seen.address === shared && seen.port === localPort;
    if (!isRight) into.wrong.push(`${nonce}: ${JSON.stringify(seen)}`);
    into.ports.push(seen.port);
    count("200");
  } catch (fault) {
    count(String(fault));
  }
}

/** It comes in one piece, and nothing comes after it. */
async function answerOf(socket: Socket): Promise<string> {
  const [chunk] = (await once(socket, "data")) as [Buffer];
  socket.on("error", () => {});
  socket.destroy();
  return chunk.toString();
}

async function obey(line: string): Promise<unknown> {
  if (line === "take") {
    const answered = (): number => Object.values(answers.byCode).reduce((sum, one) => sum + one, 0);
    while (answered() < answers.sent) await delay(POLL_MS);
    const taken = answers;
    answers = { sent: 0, byCode: {}, wrong: [], ports: [] };
    return taken;
  }
  const ports = line.replace("send ", "").split(",").map(Number);
  for (let at = 0; at < ports.length; at += AT_A_TIME) {
    await Promise.all(ports.slice(at, at + AT_A_TIME).map(sendFrom));
  }
  return answers.sent;
}

console.log("ready");
for await (const line of createInterface({ input: process.stdin }))
  console.log(JSON.stringify(await obey(line)));

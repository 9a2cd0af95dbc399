/**
 * A host that takes all there is: every free port of some addresses, and renews what it has
 * until it is ended. It sends nothing; it is there so that the next block to become free is
 * the only one.
 *
 *     node lease-taker.ts EDGE TOKEN-FILE IP...
 */
import { readFile } from "node:fs/promises";
import { WebSocket } from "ws";
import { type LeaseReply, type LeaseRequest, PROTOCOL_VERSION } from "../../src/core/messages.ts";
import { MAX_ORDER } from "../../src/core/port-block.ts";

const RENEW_INTERVAL_MS = 500;

const [edge, tokenFile, ...ips] = process.argv.slice(2);
const token = (await readFile(tokenFile!, "utf8")).trim();

async function takeAll(ip: string): Promise<void> {
  const url = new URL(`/v1/ips/${encodeURIComponent(ip)}/connect`, edge);
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } });
  let count = 0;
  const ask = (request: LeaseRequest): void => socket.send(JSON.stringify(request));
  const nextId = (): string => `${(count += 1)}`;
  socket.on("open", () => {
    const instance = "the-taker-of-all";
    ask({ type: "join", version: PROTOCOL_VERSION, requestId: nextId(), instance });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  let isFull = false;
  socket.on("message", (data: Buffer) => {
    const reply = JSON.parse(data.toString()) as LeaseReply;
    if (reply.type === "refused" && reply.code !== "address-exhausted") throw new Error(reply.code);
    if (isFull) return;
    if (reply.type === "answer") return ask({ type: "acquire", requestId: nextId(), order: MAX_ORDER });
    isFull = true;
    setInterval(() => ask({ type: "renew", requestId: nextId() }), RENEW_INTERVAL_MS);
    resolve();
  });
  return promise;
}

await Promise.all(ips.map(takeAll));
console.log("all is taken");

/**
 * Hosts that take all they may: every free port of some addresses, one host after the other, and
 * renew what they have until they are ended; told to end, they give it back first. They send nothing;
 * they are there so that little is left for others.
 *
 *     node lease-taker.ts EDGE TOKEN-FILE IP...      a token of a host in each line
 */
import { readFile } from "node:fs/promises";
import { WebSocket } from "ws";
import type { Lease } from "../../src/core/lease-commands.ts";
import { type LeaseReply, type LeaseRequest, PROTOCOL_VERSION } from "../../src/core/messages.ts";
import { MAX_ORDER } from "../../src/core/port-block.ts";

const AGAIN_MS = 200;

const [edge, tokenFile, ...ips] = process.argv.slice(2);
/** What each has to do at the end. */
const leaving: (() => Promise<void>)[] = [];
let isLeaving = false;
const tokens = (await readFile(tokenFile!, "utf8")).trim().split("\n");

async function takeAll(ip: string, token: string): Promise<void> {
  const url = new URL(`/v1/ips/${encodeURIComponent(ip)}/connect`, edge);
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } });
  let count = 0;
  const ask = (request: LeaseRequest): void => socket.send(JSON.stringify(request));
  const nextId = (): string => `${(count += 1)}`;
  const acquire = (): void => ask({ type: "acquire", requestId: `${count}`, order: MAX_ORDER });
  socket.on("open", () => {
    const instance = "the-taker-of-all";
    ask({ type: "join", version: PROTOCOL_VERSION, requestId: nextId(), instance });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  let isFull = false;
  let renewing: NodeJS.Timeout | undefined;
  const giveBack = (leases: readonly Lease[]): void => {
    const [lease] = leases;
    if (lease === undefined) return gone.resolve();
    ask({ type: "release", requestId: nextId(), base: lease.base, epoch: lease.epoch });
  };
  const gone = Promise.withResolvers<void>();
  leaving.push(() => {
    clearInterval(renewing);
    isLeaving = true;
    // Its answer tells what there is to give back.
    ask({ type: "renew", requestId: nextId() });
    return gone.promise;
  });
  let leaseDurationMs = 0;
  socket.on("message", (data: Buffer) => {
    const reply = JSON.parse(data.toString()) as LeaseReply;
    if (isLeaving && reply.type === "answer") return giveBack(reply.leases);
    if (isFull) return;
    if (reply.type === "answer") {
      leaseDurationMs = reply.leaseDurationMs ?? leaseDurationMs;
      nextId();
      return acquire();
    }
    if (reply.type !== "refused") return;
    // The pool could not be told of the block in time; the same acquire waits for it again. [ST6]
    if (reply.code === "steering-pending") return void setTimeout(acquire, AGAIN_MS);
    if (reply.code !== "address-exhausted" && reply.code !== "share-exceeded") throw new Error(reply.code);
    isFull = true;
    renewing = setInterval(() => ask({ type: "renew", requestId: nextId() }), leaseDurationMs / 5);
    resolve();
  });
  return promise;
}

process.once("SIGTERM", () => {
  void Promise.all(leaving.map((leave) => leave())).then(() => process.exit(0));
});

for (const token of tokens) await Promise.all(ips.map((ip) => takeAll(ip, token)));
console.log("all is taken");

/** The stream for drivers that were written for Node, over a real gateway. */
import { once } from "node:events";
import { pipeline } from "node:stream/promises";
import { Readable } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NodeSocket } from "../../src/sdk/node/node-socket.ts";
import { eventually } from "./gateway-rig.ts";
import { startTcpRig, type TcpRig } from "./raw-tcp-rig.ts";

let world: TcpRig;
beforeEach(async () => {
  world = await startTcpRig();
});
afterEach(async () => {
  const { rig } = world;
  expect(rig.faults).toEqual([]);
  await eventually(() => rig.ports.heldCounts().inUse === 0, "no port is held");
  await eventually(() => rig.gateway.runningCount === 0, "no client is left");
  await world.close();
});

test("[CL11] it connects, streams with back pressure and ends like a socket of Node's", async () => {
  const stream = new NodeSocket(world.connect());
  expect([stream.connecting, stream.readyState]).toEqual([true, "opening"]);
  expect(stream.connect().setNoDelay().setKeepAlive().ref().unref()).toBe(stream);
  const destination = await world.accepted();
  const total = 4 * 1024 * 1024;
  let received = 0;
  destination.on("data", (chunk: Buffer) => {
    received += chunk.length;
  });
  destination.once("end", () => destination.end("thanks"));
  const pieces = Array.from({ length: 64 }, () => Buffer.alloc(total / 64, 1));
  stream.setEncoding("utf8");
  let answer = "";
  stream.on("data", (text: string) => {
    answer += text;
  });
  // It ends for reading when it is ended for writing, as `cloudflare:sockets` does not.
  const ended = once(stream, "close");
  await pipeline(Readable.from(pieces), stream, { end: true }).catch(() => {});
  await ended;
  expect(received).toBe(total);
  expect(answer).toBe("thanks");
  expect(stream.readyState).toBe("closed");
});

test("[CL11] a refusal, and a reset, are its error", async () => {
  const refused = new NodeSocket(world.connect({}, "10.0.0.1:80"));
  expect(await once(refused, "error")).toMatchObject([{ code: "destination-prohibited" }]);
  const reset = new NodeSocket(world.connect());
  const destination = await world.accepted();
  await once(reset, "connect");
  destination.resetAndDestroy();
  expect(await once(reset, "error")).toMatchObject([{ code: "connection-terminated" }]);
  expect(reset.destroyed).toBe(true);
});

test("[CL11] destroyed in the middle of what it writes, it is reset at the destination", async () => {
  const stream = new NodeSocket(world.connect());
  const destination = await world.accepted();
  destination.pause();
  await once(stream, "connect");
  for (let count = 0; count < 256; count += 1) stream.write(Buffer.alloc(65_536));
  stream.destroy();
  const failed = once(destination, "error");
  destination.resume();
  expect(await failed).toMatchObject([{ code: "ECONNRESET" }]);
});

test("[CL11] it tells when nothing has passed for a while, if it is asked to", async () => {
  const stream = new NodeSocket(world.connect());
  const destination = await world.accepted();
  await once(stream, "connect");
  let count = 0;
  stream.setTimeout(20, () => {
    count += 1;
  });
  await once(stream, "timeout");
  expect(count).toBe(1);
  stream.setTimeout(0);
  destination.end();
  stream.resume();
  await once(stream, "close");
});

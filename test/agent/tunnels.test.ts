/** Tunnels from end to end: ends, resets, slow readers, idleness, and what is left when they are over. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Socket } from "node:net";
import { IdleTunnels } from "../../src/agent/traffic/tunnel/idle-tunnels.ts";
import { startDeafServer } from "./deaf-server.ts";
import { eventually, type Origin, startByteOrigin } from "./gateway-rig.ts";
import { ByteClient, openTunnel, type ProxyRig, startProxyRig } from "./proxy-rig.ts";

let rig: ProxyRig;
let origin: Origin;
let atOrigin: Socket[];
let place: string;

beforeAll(async () => {
  rig = await startProxyRig();
  origin = await startByteOrigin((socket) => {
    socket.allowHalfOpen = true;
    atOrigin.push(socket);
  });
  place = `127.0.0.1:${origin.port}`;
});
afterAll(async () => {
  origin.close();
  await rig.close();
});
afterEach(async () => {
  await eventually(() => rig.ports.heldCounts().inUse === 0, "every port given back");
  await eventually(() => rig.idle.size === 0, "no tunnel left");
  await eventually(() => rig.proxy.clientCount === 0, "no client left");
  expect(rig.faults).toEqual([]);
});

async function open(): Promise<{ client: ByteClient; far: Socket }> {
  atOrigin = [];
  const client = await openTunnel(rig, place);
  await eventually(() => atOrigin.length === 1, "the connection arrives");
  return { client, far: atOrigin[0]! };
}

describe("ends", () => {
  test("[TN2] the client's end is passed on, and the answer still comes", async () => {
    const { client, far } = await open();
    let got = "";
    far.on("data", (chunk: Buffer) => {
      got += chunk;
    });
    const ended = new Promise<void>((resolve) => {
      far.once("end", resolve);
    });
    client.socket.end("question");
    await ended;
    expect(got).toBe("question");
    far.end("answer");
    await client.until(({ hasEnded }) => hasEnded, "the answer's end");
    expect(client.text).toBe("answer");
  });

  test("[TN2] the destination's end is passed on, and it is still spoken to", async () => {
    const { client, far } = await open();
    let got = "";
    far.on("data", (chunk: Buffer) => {
      got += chunk;
    });
    far.end("bye");
    await client.until(({ hasEnded }) => hasEnded, "the end");
    client.socket.end("and one more thing");
    await eventually(() => got.length >= 18, "what came later");
    expect(got).toBe("and one more thing");
  });

  test("[TN2] a reset of either side is a reset of the other", async () => {
    const first = await open();
    first.far.resetAndDestroy();
    await first.client.until(({ isClosed }) => isClosed, "the client's end");
    expect(first.client.wasReset).toBe(true);
    const second = await open();
    let code: string | undefined;
    second.far.on("error", (fault: NodeJS.ErrnoException) => {
      code = fault.code;
    });
    second.far.resume();
    second.client.socket.resetAndDestroy();
    await eventually(() => code === "ECONNRESET", "the origin's reset");
  });

  test("[TN2] a client that half-closes and then goes away takes the destination along", async () => {
    const { client, far } = await open();
    client.socket.end();
    await new Promise<void>((resolve) => {
      far.resume().once("end", resolve);
    });
    client.socket.resetAndDestroy();
    const writing = setInterval(() => far.write("are you there?"), 5);
    await eventually(() => far.destroyed, "the origin's end");
    clearInterval(writing);
    expect(far.destroyed).toBe(true);
  });

  test("[TN2] the loss of the lease resets both", async () => {
    const own = await startProxyRig();
    atOrigin = [];
    const client = await openTunnel(own, place);
    await eventually(() => atOrigin.length === 1, "the connection arrives");
    let code: string | undefined;
    atOrigin[0]!.on("error", (fault: NodeJS.ErrnoException) => {
      code = fault.code;
    });
    own.ports.removeBlock(1);
    await client.until(({ isClosed }) => isClosed, "the client's end");
    expect(client.wasReset).toBe(true);
    await eventually(() => code === "ECONNRESET", "the origin's reset");
    await own.close();
  });

  test("[TN1] a client that goes away while its destination is dialled ends the dial", async () => {
    const deaf = await startDeafServer(["127.0.0.61"], 7_501);
    const client = new ByteClient(rig.proxyPort);
    client.write(`CONNECT 127.0.0.61:7501 HTTP/1.1\r\nhost: a\r\n\r\n`);
    await eventually(() => rig.ports.heldCounts().inUse === 1, "a port in use");
    client.socket.resetAndDestroy();
    await eventually(() => rig.ports.heldCounts().inUse === 0, "the port given back");
    expect([...rig.counts]).toEqual([["connection-terminated", 1]]);
    await deaf.close();
  });
});

describe("slow readers", () => {
  const PIECE = Buffer.alloc(64 * 1024, 7);

  /** Writes as long as there is room, until nothing is taken any more; how much it was. */
  async function fill(socket: Socket): Promise<number> {
    let writtenBytes = 0;
    let isStuck = false;
    while (!isStuck) {
      while (socket.write(PIECE)) writtenBytes += PIECE.length;
      writtenBytes += PIECE.length;
      isStuck = !(await Promise.race([
        new Promise<boolean>((resolve) => {
          socket.once("drain", () => resolve(true));
        }),
        new Promise<boolean>((resolve) => {
          setTimeout(() => resolve(false), 500);
        }),
      ]));
    }
    return writtenBytes;
  }

  test("[TN3] a side that reads nothing stops the other, and all of it arrives in the end", async () => {
    const { client, far } = await open();
    client.socket.pause();
    const writtenBytes = await fill(far);
    // Two kernels' buffers of a loopback connection and no more of ours than one write.
    expect(writtenBytes).toBeLessThan(64 * 1024 * 1024);
    let receivedBytes = 0;
    client.socket.removeAllListeners("data");
    client.socket.on("data", (chunk: Buffer) => {
      receivedBytes += chunk.length;
    });
    client.socket.resume();
    await eventually(() => receivedBytes === writtenBytes, "every byte");
    far.destroy();
    await client.until(({ isClosed, hasEnded }) => isClosed || hasEnded, "the end");
    client.socket.destroy();
  });

  test("[TN3] so does a destination, and its reset is met though nobody reads", async () => {
    const { client, far } = await open();
    far.pause();
    const writtenBytes = await fill(client.socket);
    expect(writtenBytes).toBeLessThan(64 * 1024 * 1024);
    far.resetAndDestroy();
    await client.until(({ isClosed }) => isClosed, "the client's end");
    expect(client.wasReset).toBe(true);
  });
});

describe("idleness", () => {
  test("[TN4] a tunnel on which nothing passes ends, a half-closed one sooner, a busy one not", async () => {
    const idle = new IdleTunnels({ openMs: 1_200, halfClosedMs: 400 });
    const own = await startProxyRig({ idle });
    atOrigin = [];
    const quiet = await openTunnel(own, place);
    const half = await openTunnel(own, place);
    const busy = await openTunnel(own, place);
    await eventually(() => atOrigin.length === 3, "the connections arrive");
    half.socket.end();
    const speaking = setInterval(() => busy.write("x"), 50);
    await half.until(({ isClosed }) => isClosed, "the half-closed one's end");
    expect(quiet.isClosed).toBe(false);
    await quiet.until(({ isClosed }) => isClosed, "the quiet one's end");
    expect([quiet.wasReset, half.wasReset, busy.isClosed]).toEqual([true, true, false]);
    clearInterval(speaking);
    busy.socket.destroy();
    await eventually(() => idle.size === 0, "no tunnel left");
    await own.close();
  });

  test("[TN4] the limits are those of RFC 5382", () => {
    const idle = new IdleTunnels();
    const asked: string[] = [];
    const tunnel = (usedMs: number, isHalfClosed: boolean) => ({
      usedAtMs: idle.nowMs - usedMs,
      isHalfClosed,
      expire: () => asked.push(`${usedMs} ${isHalfClosed}`),
    });
    const all = [
      tunnel(7_400_000, false),
      tunnel(7_450_000, false),
      tunnel(230_000, true),
      tunnel(250_000, true),
    ];
    for (const each of all) idle.add(each);
    idle.look();
    expect(asked).toEqual(["7450000 false", "250000 true"]);
    for (const each of all) idle.remove(each);
  });
});

/** Bodies in very small pieces. */
import { afterAll, beforeAll, expect, it } from "vitest";
import * as wire from "../../src/agent/traffic/http2/http2-frames.ts";
import { exchangeBytes, fetchHead, type Rig, startByteOrigin, startRig } from "./gateway-rig.ts";
import { startFrameOrigin } from "./h2-frame-origin.ts";
import { CERTIFICATE } from "./tls-origin.ts";

const COUNT = 5_000;
const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

let rig: Rig;
beforeAll(async () => {
  rig = await startRig({ egressIp: "127.0.0.27", authorities: [CERTIFICATE] });
});
afterAll(() => rig.close());

/** The sizes of the chunks that a client gets. */
async function chunkSizes(url: string): Promise<number[]> {
  const answer = await exchangeBytes(rig.port, fetchHead(rig, "GET", url, "connection: close"));
  expect(answer).toMatch(/^HTTP\/1.1 200 /);
  const body = answer.slice(answer.indexOf("\r\n\r\n") + 4);
  return [...body.matchAll(/(?:^|\r\n)([0-9a-f]+)\r\n/g)].map(([, size]) => Number.parseInt(size!, 16));
}

it("[GW22] thousands of chunks of a byte each go on in a few", async () => {
  const origin = await startByteOrigin((socket) => {
    socket.once("data", () => socket.end(`${CHUNKED}${"1\r\nx\r\n".repeat(COUNT)}0\r\n\r\n`));
  });
  const sizes = await chunkSizes(origin.url);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(COUNT);
  expect(sizes.length).toBeLessThan(COUNT / 100);
  expect(sizes.at(-1)).toBe(0);
  origin.close();
});

it("[GW22] so do thousands of frames", async () => {
  const origin = await startFrameOrigin(async (peer) => {
    peer.send(peer.settings());
    const { stream } = await peer.request();
    const frames = Array.from({ length: COUNT }, () => peer.data(stream, "x"));
    peer.send(peer.headers(stream, [":status", "200"]), ...frames, peer.data(stream, "", wire.END_STREAM));
  });
  const sizes = await chunkSizes(origin.url);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(COUNT);
  expect(sizes.length).toBeLessThan(COUNT / 100);
  origin.close();
});

it("[GW22] a small piece does not wait for the next, and a large one does not overtake it", async () => {
  const large = "L".repeat(5_000);
  const pieces = ["a", "b", large, "c", "d".repeat(1_023), "e".repeat(1_024), "f"];
  let goOn = (): void => {};
  const origin = await startByteOrigin((socket) => {
    socket.once("data", () => {
      socket.write(CHUNKED);
      const rest = [...pieces];
      goOn = () => {
        const piece = rest.shift();
        socket.write(piece === undefined ? "0\r\n\r\n" : `${piece.length.toString(16)}\r\n${piece}\r\n`);
      };
      goOn();
    });
  });
  const response = await rig.fetch(origin.url);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let received = "";
  for (let sent = 1; ; sent += 1) {
    const wanted = pieces.slice(0, sent).join("");
    while (received.length < wanted.length) received += (await reader.read()).value ?? "";
    expect(received).toBe(wanted);
    goOn();
    if (sent === pieces.length) break;
  }
  expect((await reader.read()).done).toBe(true);
  origin.close();
  const together = await startByteOrigin((socket) => {
    const chunks = pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join("");
    socket.once("data", () => socket.end(`${CHUNKED}${chunks}0\r\n\r\n`));
  });
  expect(await (await rig.fetch(together.url)).text()).toBe(pieces.join(""));
  together.close();
});

it("[GW22] what came of a body that breaks off goes out, and it never looks whole", async () => {
  const origin = await startByteOrigin((socket) => {
    socket.once("data", () => socket.end(`${CHUNKED}${"1\r\nx\r\n".repeat(COUNT)}nonsense\r\n`));
  });
  const answer = await exchangeBytes(rig.port, fetchHead(rig, "GET", origin.url, "connection: close"));
  expect(answer.endsWith("\r\n0\r\n\r\n")).toBe(false);
  expect(answer.split("x").length - 1).toBeGreaterThanOrEqual(COUNT);
  origin.close();
});

it("[GW22] a client that does not read halts the origin, however small the pieces", async () => {
  let written = 0;
  const origin = await startByteOrigin((socket) => {
    socket.once("data", () => {
      socket.write(CHUNKED);
      const chunks = "3f\r\n".concat("y".repeat(63), "\r\n").repeat(1_000);
      const more = (): void => {
        for (let hasRoom = true; hasRoom && written < 64 * 1024 * 1024; written += chunks.length) {
          hasRoom = socket.write(chunks);
        }
      };
      socket.on("drain", more);
      more();
    });
  });
  const response = await rig.fetch(origin.url);
  await new Promise((resolve) => {
    setTimeout(resolve, 1_000);
  });
  const before = written;
  expect(before).toBeLessThan(32 * 1024 * 1024);
  await response.body!.cancel();
  origin.close();
});

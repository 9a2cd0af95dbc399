/** HTTP/2 with origins that break its rules, frame by frame. */
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import * as wire from "../../src/agent/traffic/http2/http2-frames.ts";
import { Http2Transport } from "../../src/agent/traffic/http2/http2-transport.ts";
import { eventually, startByteOrigin } from "./gateway-rig.ts";
import { answering, type Script, startWithRig } from "./h2-frame-origin.ts";

const { END_STREAM } = wire;
const OK = [":status", "200"];

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const start = async (...parameters: Parameters<typeof startWithRig>): ReturnType<typeof startWithRig> => {
  const started = await startWithRig(...parameters);
  closing.push(started.rig.close, started.origin.close);
  return started;
};

describe("an origin that breaks the rules", () => {
  const flood = (frame: Buffer): Buffer => Buffer.concat(Array.from({ length: 12_000 }, () => frame));
  const wrong: Record<string, (peer: Parameters<Script>[0]) => Buffer> = {
    "a flood of SETTINGS": (peer) => flood(peer.settings()),
    "a flood of PING": (peer) => flood(peer.ping()),
    "a flood of empty DATA": (peer) => Buffer.concat([peer.headers(1, OK), flood(peer.data(1, ""))]),
    "a flood of PRIORITY": () => flood(wire.frame(wire.PRIORITY, 0, 3, Buffer.alloc(5))),
    "a flood of CONTINUATION": () =>
      Buffer.concat([wire.frame(wire.HEADERS, 0, 1), flood(wire.frame(wire.CONTINUATION, 0, 1))]),
    "a header block without end": () =>
      Buffer.concat([
        wire.frame(wire.HEADERS, 0, 1),
        ...Array.from({ length: 40 }, () => wire.frame(wire.CONTINUATION, 0, 1, Buffer.alloc(16_384))),
      ]),
    "a window that overflows": (peer) => Buffer.concat([peer.window(0, wire.MAX_31_BITS), peer.window(0, 9)]),
    "a window that does not grow": (peer) => peer.window(0, 0),
    PUSH_PROMISE: () => wire.frame(wire.PUSH_PROMISE, wire.END_HEADERS, 1, Buffer.from([0, 0, 0, 2])),
    "a stream that nobody opened": (peer) => peer.headers(7, OK, END_STREAM),
    "DATA of the connection": (peer) => peer.data(0, "x"),
    "a frame that is too large": () => wire.frame(wire.DATA, 0, 1, Buffer.alloc(16_385)),
    "settings of a wrong size": () => wire.frame(wire.SETTINGS, 0, 0, Buffer.alloc(5)),
    "a window setting that is too large": (peer) =>
      peer.settings([wire.SETTINGS_INITIAL_WINDOW_SIZE, 0x8000_0000]),
    "a header block that is none": () => wire.frame(wire.HEADERS, wire.END_HEADERS, 1, Buffer.from([0xff])),
    "a frame within a header block": (peer) => Buffer.concat([wire.frame(wire.HEADERS, 0, 1), peer.ping()]),
    "padding that is longer than its frame": () => wire.frame(wire.DATA, 0x8, 1, Buffer.from([9, 0])),
  };
  it.each(Object.keys(wrong))("[OR7] %s ends that connection, by name", async (name) => {
    const { rig, origin } = await start(async (peer, at) => {
      if (at > 0) return answering(peer, at);
      peer.send(peer.settings());
      await peer.request();
      peer.send(wrong[name]!(peer));
      return undefined;
    });
    const refused = await rig.fetch(origin.url);
    if (refused.status === 200) await expect(refused.text()).rejects.toThrow("terminated");
    else expect(await refused.json()).toMatchObject({ code: expect.stringMatching(/^response-/) });
    await origin.peers[0]!.frame(wire.GOAWAY);
    await eventually(() => rig.ports.heldCounts().inUse === 0, "its port is free");
    expect(await (await rig.fetch(`${origin.url}/next`)).text()).toBe("/next");
    expect(rig.faults).toEqual([]);
  });

  it("[OR7] a second head on a stream that has ended ends the connection", async () => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      peer.send(peer.headers(stream, OK, END_STREAM), peer.headers(stream, OK, END_STREAM));
    });
    expect((await rig.fetch(origin.url)).status).toBe(200);
    const { payload } = await origin.peers[0]!.frame(wire.GOAWAY);
    expect(payload.readUInt32BE(4)).toBe(wire.STREAM_CLOSED);
  });

  it("[OR7] what still comes of a stream that the client left is no fault", async () => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const left = await peer.request();
      peer.send(peer.headers(left.stream, OK), peer.data(left.stream, "x"));
      await peer.frame(wire.RST_STREAM);
      peer.send(peer.data(left.stream, "late"), peer.headers(left.stream, ["x", "1"], END_STREAM));
      const next = await peer.request();
      peer.send(peer.headers(next.stream, OK, END_STREAM));
    });
    const leaving = new AbortController();
    const left = await rig.fetch(origin.url, { signal: leaving.signal });
    leaving.abort();
    await expect(left.text()).rejects.toThrow("aborted");
    await origin.peers[0]!.frame(wire.RST_STREAM);
    expect((await rig.fetch(origin.url)).status).toBe(200);
    expect(origin.peers).toHaveLength(1);
  });

  it.each([
    ["NO_ERROR", wire.NO_ERROR],
    ["ENHANCE_YOUR_CALM", wire.ENHANCE_YOUR_CALM],
  ])(
    "[OR30] GOAWAY(%s) while nothing is on the connection frees its port, though it stays open",
    async (_name, code) => {
      const { rig, origin } = await start(
        async (peer) => {
          peer.send(peer.settings());
          const { stream } = await peer.request();
          peer.send(peer.headers(stream, OK, END_STREAM));
          await peer.frame(wire.SETTINGS);
          setTimeout(() => peer.send(peer.goaway(stream, code)), 50);
        },
        { idleTimeoutMs: 600_000 },
      );
      expect((await rig.fetch(origin.url)).status).toBe(200);
      expect(rig.ports.heldCounts().inUse).toBe(1);
      await eventually(() => rig.ports.heldCounts().inUse === 0, "its port is free");
    },
  );

  it.each([
    ["HEAD", "200"],
    ["GET", "204"],
    ["GET", "304"],
  ])(
    "[OR32] %s answered with %s is whole with its head, though its stream goes on",
    async (method, status) => {
      const { rig, origin } = await start(async (peer) => {
        peer.send(peer.settings());
        const { stream } = await peer.request();
        peer.send(peer.headers(stream, [":status", status, "x-said", "yes"]));
        await peer.frame(wire.RST_STREAM, stream);
        peer.send(peer.data(stream, "late", END_STREAM));
        const next = await peer.request();
        peer.send(peer.headers(next.stream, OK), peer.data(next.stream, "next", END_STREAM));
      });
      const answer = await rig.fetch(origin.url, { method });
      expect([answer.status, answer.headers.get("x-said")]).toEqual([Number(status), "yes"]);
      expect(await answer.text()).toBe("");
      expect(await (await rig.fetch(origin.url)).text()).toBe("next");
      expect(origin.peers).toHaveLength(1);
    },
  );

  it("[GW21] half a million fields in half a million bytes are refused, and halt nobody", async () => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      const value = Buffer.from("y".repeat(4_000));
      // A field for the table, with the length of its value in three bytes, and then its index.
      const entry = Buffer.concat([Buffer.from([0x40, 1, 0x78, 127, 0xa1, 0x1e]), value]);
      const block = Buffer.concat([Buffer.from([0x88]), entry, Buffer.alloc(500_000, 0xbe)]);
      peer.send(...wire.headerFrames(stream, END_STREAM, block));
    });
    const answer = await rig.fetch(origin.url);
    expect(await answer.json()).toMatchObject({ code: "response-headers-too-large" });
  });

  it("[OR7] windows that are given back in small steps are no flood", async () => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      let read = 0;
      const isWhole = (): boolean =>
        peer.frames.some(({ type, flags }) => type === wire.DATA && (flags & END_STREAM) !== 0);
      while (!isWhole()) {
        await peer.until(() => peer.bodyBytes(stream) > read || isWhole());
        for (; read < peer.bodyBytes(stream); read += 1_024) {
          peer.send(peer.window(stream, 1_024), peer.window(0, 1_024));
        }
      }
      peer.send(peer.headers(stream, OK), peer.data(stream, String(peer.bodyBytes(stream)), END_STREAM));
    });
    const body = new Uint8Array(8 * 1024 * 1024);
    const answer = await rig.fetch(origin.url, { method: "POST", body });
    expect(await answer.text()).toBe(String(body.length));
    expect(origin.peers).toHaveLength(1);
  });

  it("[OR7] answers without a body are no flood", async () => {
    const [headBytes, noContent] = [9, Buffer.from([0x89])];
    const origin = await startByteOrigin((socket) => {
      let unread = Buffer.alloc(0);
      socket.write(wire.settingsFrame([]));
      socket.on("data", (bytes) => {
        unread = Buffer.concat([unread, bytes]);
        if (unread.subarray(0, wire.PREFACE.length).equals(wire.PREFACE)) {
          unread = unread.subarray(wire.PREFACE.length);
        }
        const answers: Buffer[] = [];
        while (unread.length >= headBytes) {
          const length = headBytes + unread.readUIntBE(0, 3);
          if (unread.length < length) break;
          const stream = unread.readUInt32BE(5);
          if (unread[3] === wire.HEADERS) {
            answers.push(wire.frame(wire.HEADERS, wire.END_HEADERS | END_STREAM, stream, noContent));
          }
          unread = unread.subarray(length);
        }
        if (answers.length > 0) socket.write(Buffer.concat(answers));
      });
    });
    closing.push(origin.close);
    const socket = connect(origin.port, "127.0.0.1");
    const limits = { responseTimeoutMs: 10_000, maxHeaderBytes: 10_000 };
    const transport = new Http2Transport(socket, "a", limits, {
      onGone: ignore,
      onCapacity: ignore,
      onHttp1Required: ignore,
    });
    closing.push(() => transport.close());
    const request = {
      method: "GET",
      path: "/",
      headers: [],
      body: null,
      takesTrailers: false,
      trailers: null,
    };
    const ask = (): Promise<true> =>
      new Promise((resolve, reject) => {
        transport.dispatch(request, {
          onRequestStart: ignore,
          onResponseStart: ignore,
          onResponseData: ignore,
          onResponseEnd: () => resolve(true),
          onResponseError: (_controller, fault) => reject(fault),
        });
      });
    let answered = 0;
    for (let round = 0; round < 120; round += 1) {
      answered += (await Promise.all(Array.from({ length: 100 }, ask))).length;
    }
    expect(answered).toBe(12_000);
  });

  it("[OR7] what still comes of many streams that the client left is no flood", async () => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      for (;;) {
        const { stream, fields } = await peer.request();
        peer.send(peer.headers(stream, OK));
        if (fields[7] === "/kept") {
          peer.send(peer.data(stream, "kept", END_STREAM));
          continue;
        }
        peer.send(peer.data(stream, "x"));
        await peer.frame(wire.RST_STREAM, stream);
        peer.send(...Array.from({ length: 256 }, () => peer.data(stream, Buffer.alloc(1_000))));
      }
    });
    for (let at = 0; at < 50; at += 1) {
      const leaving = new AbortController();
      const left = await rig.fetch(origin.url, { signal: leaving.signal });
      leaving.abort();
      await expect(left.text()).rejects.toThrow("aborted");
    }
    expect(await (await rig.fetch(`${origin.url}/kept`)).text()).toBe("kept");
    expect(origin.peers).toHaveLength(1);
  });
});

function ignore(): void {
  // Of no interest here.
}

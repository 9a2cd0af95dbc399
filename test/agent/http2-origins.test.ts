/** HTTP/2 with origins that speak in single frames, right and wrong. */
import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import * as wire from "../../src/agent/traffic/http2/http2-frames.ts";
import { eventually, exchangeBytes, fetchHead, startByteOrigin } from "./gateway-rig.ts";
import { answering, type Script, startWithRig } from "./h2-frame-origin.ts";

const { END_STREAM } = wire;
const OK = [":status", "200"];
const HTTP1_ANSWER = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const start = async (...parameters: Parameters<typeof startWithRig>): ReturnType<typeof startWithRig> => {
  const started = await startWithRig(...parameters);
  closing.push(started.rig.close, started.origin.close);
  return started;
};

describe("what is sent", () => {
  it.each([
    ["http2-settings: x"],
    ["te: trailers"],
    ["connection: x-hop", "x-hop: 1"],
    ["upgrade-insecure-requests: 1", "keep-alive: 5"],
    ["!#$%&'*+-.^_`|~0aZ: odd"],
    ["x-bytes: \x80\xff"],
    ["proxy-connection: keep-alive"],
  ])("[OR1] %s %s does not end the streams of others", async (...fields) => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const held = await peer.request();
      const other = await peer.request();
      peer.send(peer.headers(other.stream, OK, END_STREAM));
      await peer.until(() => false).catch(() => null);
      void held;
    });
    const held = rig.fetch(`${origin.url}/held`).catch(() => null);
    await eventually(() => origin.peers[0]?.requests.length === 1, "it is there");
    const answer = await exchangeBytes(
      rig.port,
      fetchHead(rig, "GET", `${origin.url}/odd`, ...fields),
      (received) => received.includes("\r\n\r\n"),
    );
    expect(answer).toMatch(/^HTTP\/1.1 (200|400)/);
    expect(origin.peers).toHaveLength(1);
    expect(origin.peers[0]!.isClosed).toBe(false);
    for (const { fields: sent } of origin.peers[0]!.requests) {
      for (const name of [
        "http2-settings",
        "te",
        "connection",
        "x-hop",
        "keep-alive",
        "host",
        "proxy-connection",
      ]) {
        expect(sent).not.toContain(name);
      }
    }
    rig.gateway.server.closeAllConnections();
    await held;
  });

  it("[OR1] more fields than the origin takes are refused before they are sent", async () => {
    const { rig, origin } = await start(async (peer, at) => {
      peer.send(peer.settings([wire.SETTINGS_MAX_HEADER_LIST_SIZE, 2_000]));
      await answering(peer, at);
    });
    await (await rig.fetch(origin.url)).text();
    const refused = await rig.fetch(origin.url, { headers: { "x-long": "y".repeat(3_000) } });
    expect(refused.status).toBe(431);
    expect(await (await rig.fetch(`${origin.url}/again`)).text()).toBe("/again");
    expect(origin.peers).toHaveLength(1);
  });
});

describe("the end of a response", () => {
  const cut: Record<string, Script> = {
    "RST_STREAM(NO_ERROR)": (peer) => peer.send(peer.reset(1, wire.NO_ERROR)),
    "RST_STREAM(CANCEL)": (peer) => peer.send(peer.reset(1, wire.CANCEL)),
    "GOAWAY and then a reset": (peer) => {
      peer.send(peer.goaway(1, wire.NO_ERROR));
      peer.resetConnection();
    },
    "GOAWAY and then the end": (peer) => {
      peer.send(peer.goaway(1, wire.NO_ERROR));
      peer.socket.end();
    },
    "a reset of the connection": (peer) => peer.resetConnection(),
    "the end of the connection": (peer) => void peer.socket.end(),
    "a frame that is cut": (peer) => {
      peer.send(peer.data(1, "x".repeat(100)).subarray(0, 50));
      peer.socket.end();
    },
  };
  it.each(Object.keys(cut))("[OR2] %s after half of it never looks whole", async (name) => {
    const { rig, origin } = await start(async (peer, at) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      peer.send(peer.headers(stream, OK), peer.data(stream, "half"));
      await cut[name]!(peer, at);
    });
    const response = await rig.fetch(origin.url);
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow("terminated");
    expect(rig.faults).toEqual([]);
  });

  it.each([
    ["shorter", "12", "half"],
    ["longer", "2", "half"],
  ])("[OR2] a body that is %s than its length never looks whole", async (_what, length, body) => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      peer.send(peer.headers(stream, [...OK, "content-length", length]));
      await new Promise((resolve) => {
        setTimeout(resolve, 20);
      });
      peer.send(peer.data(stream, body, END_STREAM));
      const next = await peer.request();
      peer.send(peer.headers(next.stream, OK, END_STREAM));
    });
    const response = await rig.fetch(origin.url);
    await expect(response.text()).rejects.toThrow("terminated");
    // Its connection is as good as before.
    expect((await rig.fetch(origin.url)).status).toBe(200);
    expect(origin.peers).toHaveLength(1);
  });

  it("[OR2] trailers and padding are not of the body, in whatever segments they come", async () => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      const padded = wire.frame(wire.DATA, 0x8, stream, Buffer.from("\x03body\0\0\0", "latin1"));
      const bytes = Buffer.concat([
        peer.headers(stream, OK),
        padded,
        peer.headers(stream, ["x-trailer", "1"], END_STREAM),
      ]);
      for (const byte of bytes) {
        peer.send(Buffer.from([byte]));
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      }
    });
    const response = await rig.fetch(origin.url);
    expect(await response.text()).toBe("body");
    expect(response.headers.get("x-trailer")).toBeNull();
  });

  it("[GW12] no 100 Continue comes within an answer that came before the body was wanted", async () => {
    const { rig, origin } = await start(async (peer) => {
      const { stream } = await peer.request();
      peer.send(peer.settings(), peer.headers(stream, OK), peer.data(stream, "early"));
      await peer.until(() => peer.bodyBytes(stream) === 4);
      peer.send(peer.data(stream, " and late", END_STREAM));
    });
    const head = fetchHead(rig, "POST", origin.url, "content-length: 4", "expect: 100-continue");
    const answer = await exchangeBytes(rig.port, `${head}body`, (received) =>
      received.endsWith("\r\n0\r\n\r\n"),
    );
    const [, ...body] = answer.split("\r\n\r\n");
    expect(body.join("")).toBe("5\r\nearly\r\n9\r\n and late\r\n0");
  });

  it("[OR2] an answer before the upload has ended is whole, and ends the upload", async () => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      peer.send(peer.headers(stream, [":status", "413"]), peer.data(stream, "enough", END_STREAM));
      peer.send(peer.reset(stream, wire.NO_ERROR));
    });
    const response = await rig.fetch(origin.url, { method: "POST", body: "u".repeat(2_000_000) });
    expect(response.status).toBe(413);
    expect(await response.text()).toBe("enough");
  });
});

it("[OR3] the port is told, also when the origin has said that it will go", async () => {
  const { rig, origin } = await start(async (peer) => {
    peer.send(peer.settings());
    const { stream } = await peer.request();
    peer.send(peer.goaway(1, wire.NO_ERROR));
    await new Promise((resolve) => {
      setTimeout(resolve, 30);
    });
    peer.send(peer.headers(stream, OK), peer.data(stream, "late", END_STREAM));
  });
  const response = await rig.fetch(origin.url);
  expect(response.headers.get("egress-port")).toBe(String(origin.peers[0]!.port));
  expect(await response.text()).toBe("late");
  await eventually(() => rig.ports.heldCounts().inUse === 0, "the connection is not kept");
});

it.each([1, 3])(
  "[OR4] an origin that takes %i requests at once gets more on more connections",
  async (most) => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings([wire.SETTINGS_MAX_CONCURRENT_STREAMS, most]));
      for (;;) {
        const { stream, fields } = await peer.request();
        peer.send(peer.headers(stream, OK));
        if (fields[7] !== "/endless") peer.send(peer.data(stream, "", END_STREAM));
      }
    });
    const endless = new AbortController();
    closing.push(() => endless.abort());
    for (let at = 0; at < most; at += 1) await rig.fetch(`${origin.url}/endless`, { signal: endless.signal });
    expect((await rig.fetch(origin.url)).status).toBe(200);
    expect(origin.peers).toHaveLength(2);
    expect(origin.peers[0]!.requests).toHaveLength(most);
  },
);

it("[OR4] a bound that is lowered later holds for what comes after", async () => {
  const { rig, origin } = await start(async (peer) => {
    peer.send(peer.settings());
    for (;;) {
      const { stream } = await peer.request();
      peer.send(peer.settings([wire.SETTINGS_MAX_CONCURRENT_STREAMS, 1]));
      peer.send(peer.headers(stream, OK));
    }
  });
  const endless = new AbortController();
  closing.push(() => endless.abort());
  for (let at = 0; at < 3; at += 1) await rig.fetch(origin.url, { signal: endless.signal });
  expect(origin.peers.map(({ requests }) => requests.length)).toEqual([1, 1, 1]);
});

describe("heads", () => {
  it.each([127, 1_000, 3_000])("[OR5] %i fields pass", async (count) => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      const fields = Array.from({ length: count }, (_, at) => [`x-${at}`, `${at}`]).flat();
      peer.send(peer.longHeaders(stream, [...OK, ...fields], END_STREAM));
    });
    const raw = await exchangeBytes(rig.port, fetchHead(rig, "GET", origin.url, "connection: close"));
    expect(raw).toMatch(/^HTTP\/1.1 200/);
    expect(raw.match(/\r\nx-\d+: \d+/g)).toHaveLength(count);
  });

  it("[OR5] a head beyond 128 KiB is refused by name, and the connection goes on", async () => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      peer.send(peer.longHeaders(stream, [...OK, "x-long", "y".repeat(140_000)], END_STREAM));
      const next = await peer.request();
      peer.send(peer.headers(next.stream, OK, END_STREAM));
    });
    const refused = await rig.fetch(origin.url);
    expect(await refused.json()).toMatchObject({ code: "response-headers-too-large" });
    expect((await rig.fetch(origin.url)).status).toBe(200);
    expect(origin.peers).toHaveLength(1);
  });

  it("[OR5] bytes from 0x80 up pass as they came, also when the body comes later", async () => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      peer.send(peer.headers(stream, [...OK, "x-bytes", "\x80\xe9\xff"]));
      await new Promise((resolve) => {
        setTimeout(resolve, 30);
      });
      peer.send(peer.data(stream, "later", END_STREAM));
    });
    const raw = await exchangeBytes(rig.port, fetchHead(rig, "GET", origin.url, "connection: close"));
    expect(raw).toContain("x-bytes: \x80\xe9\xff\r\n");
  });

  it.each([
    ["no status", ["x", "1"]],
    ["two statuses", [":status", "200", ":status", "200"]],
    ["a status of 099", [":status", "099"]],
    ["a status of 600", [":status", "600"]],
    ["a status of 101", [":status", "101"]],
    ["a status behind a field", ["x", "1", ":status", "200"]],
    ["another pseudo-field", [":status", "200", ":path", "/"]],
    ["a name in upper case", [":status", "200", "X-Up", "1"]],
    ["a line end in a value", [":status", "200", "x", "a\r\nset-cookie: b"]],
    ["a field of the connection", [":status", "200", "connection", "close"]],
    ["a transfer coding", [":status", "200", "transfer-encoding", "chunked"]],
    ["two lengths", [":status", "200", "content-length", "0", "content-length", "0"]],
    ["a length that is none", [":status", "200", "content-length", "+1"]],
  ])("[OR5] %s is malformed, and no other stream's fault", async (_what, fields) => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      peer.send(peer.headers(stream, fields, END_STREAM));
      const next = await peer.request();
      peer.send(peer.headers(next.stream, OK, END_STREAM));
    });
    const refused = await rig.fetch(origin.url);
    expect(await refused.json()).toMatchObject({ code: "response-malformed" });
    expect((await rig.fetch(origin.url)).status).toBe(200);
    expect(origin.peers).toHaveLength(1);
  });

  it("[OR6] a 100 that nobody asked for is ignored, a 103 is passed on", async () => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      peer.send(
        peer.headers(stream, [":status", "100"]),
        peer.headers(stream, [":status", "103", "link", "</a>"]),
      );
      peer.send(peer.headers(stream, OK), peer.data(stream, "ok", END_STREAM));
    });
    const raw = await exchangeBytes(rig.port, fetchHead(rig, "GET", origin.url, "connection: close"));
    expect(raw).toMatch(/^HTTP\/1.1 103 Early Hints\r\nlink: <\/a>\r\n\r\nHTTP\/1.1 200 /);
  });

  it("[OR6] interim responses without end do not put off the time-out", async () => {
    const { rig, origin } = await start(
      async (peer) => {
        peer.send(peer.settings());
        const { stream } = await peer.request();
        while (!peer.isClosed) {
          peer.send(peer.headers(stream, [":status", "103"]));
          await new Promise((resolve) => {
            setTimeout(resolve, 10);
          });
        }
      },
      { responseTimeoutMs: 300 },
    );
    expect(await (await rig.fetch(origin.url)).json()).toMatchObject({ code: "response-timeout" });
  });
});

describe("what an origin has not begun with", () => {
  const refusals: Record<string, Script> = {
    RST_STREAM: async (peer) => {
      const { stream } = await peer.request();
      peer.send(peer.reset(stream, wire.HTTP_1_1_REQUIRED));
    },
    "GOAWAY before the request": (peer) => peer.send(peer.goaway(0, wire.HTTP_1_1_REQUIRED)),
    "GOAWAY after it": async (peer) => {
      await peer.request();
      peer.send(peer.goaway(1, wire.HTTP_1_1_REQUIRED));
    },
  };
  it.each(Object.keys(refusals).flatMap((name) => ["GET", "POST"].map((method) => [name, method] as const)))(
    "[OR8] HTTP_1_1_REQUIRED by %s: %s goes out by HTTP/1.1, and so do later ones",
    async (name, method) => {
      const { rig, origin } = await start(
        async (peer, at) => {
          if (method === "GET") {
            peer.send(peer.settings());
            await refusals[name]!(peer, at);
            return;
          }
          // Of a body nothing is read until the origin has spoken.
          if (name !== "GOAWAY before the request") await peer.request();
          const refusal =
            name === "RST_STREAM"
              ? peer.reset(1, wire.HTTP_1_1_REQUIRED)
              : peer.goaway(name === "GOAWAY after it" ? 1 : 0, wire.HTTP_1_1_REQUIRED);
          peer.send(peer.settings(), refusal);
        },
        { http1Answer: HTTP1_ANSWER },
      );
      const body = method === "POST" ? { body: "new" } : {};
      const response = await rig.fetch(origin.url, { method, ...body });
      expect([response.status, await response.text()]).toEqual([200, "old"]);
      await (await rig.fetch(origin.url)).text();
      expect(origin.peers).toHaveLength(1);
      expect(origin.http1Count).toBe(2);
    },
  );

  it.each(["REFUSED_STREAM", "GOAWAY"])(
    "[OR9] by %s goes out once more, on a new connection",
    async (how) => {
      const { rig, origin } = await start(async (peer, at) => {
        if (at > 0) return answering(peer, at);
        peer.send(peer.settings());
        const first = await peer.request();
        peer.send(peer.headers(first.stream, OK));
        const { stream } = await peer.request();
        peer.send(how === "GOAWAY" ? peer.goaway(1, wire.NO_ERROR) : peer.reset(stream, wire.REFUSED_STREAM));
        await new Promise((resolve) => {
          setTimeout(resolve, 30);
        });
        peer.send(peer.data(1, "first", END_STREAM));
        return undefined;
      });
      const first = await rig.fetch(`${origin.url}/first`);
      // A method that may not be repeated otherwise.
      const second = await rig.fetch(`${origin.url}/second`, { method: "DELETE" });
      expect(await second.text()).toBe("/second");
      expect(await first.text()).toBe("first");
      expect(origin.peers).toHaveLength(2);
    },
  );

  it("[OR9] an origin that refuses always is asked twice", async () => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      peer.send(peer.reset(stream, wire.REFUSED_STREAM));
    });
    const refused = await rig.fetch(origin.url);
    expect(await refused.json()).toMatchObject({ code: "connection-terminated" });
    expect(origin.peers.flatMap(({ requests }) => requests)).toHaveLength(2);
  });
});

it("[BI10] a client that leaves while the protocol is found out leaves the others one port", async () => {
  const { rig, origin } = await start(answering);
  const held: Socket[] = [];
  const door = await startByteOrigin((socket) => {
    socket.pause();
    held.push(socket);
  });
  closing.push(door.close);
  const url = door.url.replace("http:", "https:");
  const leaving = new AbortController();
  const left = rig.fetch(url, { signal: leaving.signal });
  await eventually(() => held.length === 1, "its connection stands");
  const others = Array.from({ length: 20 }, (_, at) => rig.fetch(`${url}/${at}`));
  await eventually(() => rig.gateway.runningCount === 21, "all of them are there");
  leaving.abort();
  await expect(left).rejects.toThrow("aborted");
  await eventually(() => rig.gateway.runningCount === 20, "the first has gone");
  for (const socket of held) {
    socket.pipe(connect(origin.port, "127.0.0.1").on("error", () => socket.destroy())).pipe(socket);
  }
  const texts = await Promise.all(others.map(async (answer) => (await answer).text()));
  expect(texts).toEqual(others.map((_, at) => `/${at}`));
  expect(held).toHaveLength(1);
});

describe("windows", () => {
  it("[OR22] an origin that takes a body slowly is not late", async () => {
    const { rig, origin } = await start(
      async (peer) => {
        peer.send(peer.settings([wire.SETTINGS_INITIAL_WINDOW_SIZE, 1_000]));
        const { stream } = await peer.request();
        for (let taken = 1_000; taken < 10_000; taken += 1_000) {
          await peer.until(() => peer.bodyBytes(stream) === taken);
          await new Promise((resolve) => {
            setTimeout(resolve, 150);
          });
          peer.send(peer.window(stream, 1_000));
        }
        await peer.until(() => peer.bodyBytes(stream) === 10_000);
        peer.send(peer.headers(stream, OK, END_STREAM));
      },
      { responseTimeoutMs: 1_000 },
    );
    const answer = await rig.fetch(origin.url, { method: "POST", body: "u".repeat(10_000) });
    expect(answer.status).toBe(200);
  });

  it("[OR4] a client that does not read stops its stream, and no other", { timeout: 20_000 }, async () => {
    const sent = new Map<number, number>();
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings());
      const slow = await peer.request();
      peer.send(peer.headers(slow.stream, OK));
      const windowOf = (): number =>
        peer.frames
          .filter(({ type, stream }) => type === wire.WINDOW_UPDATE && stream === slow.stream)
          .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 262_144);
      void (async () => {
        for (;;) {
          await peer.until(() => windowOf() - (sent.get(slow.stream) ?? 0) >= 16_384);
          peer.send(peer.data(slow.stream, Buffer.alloc(16_384)));
          sent.set(slow.stream, (sent.get(slow.stream) ?? 0) + 16_384);
        }
      })().catch(() => null);
      for (;;) {
        const { stream } = await peer.request();
        peer.send(peer.headers(stream, OK), peer.data(stream, "fast", END_STREAM));
      }
    });
    const response = await rig.fetch(origin.url);
    const count = (): number => sent.get(1) ?? 0;
    let before = -1;
    await eventually(() => {
      const isStill = count() === before && count() >= 262_144;
      before = count();
      return isStill;
    }, "it stalls");
    for (let at = 0; at < 20; at += 1) expect(await (await rig.fetch(origin.url)).text()).toBe("fast");
    expect(count()).toBeLessThan(32 * 1024 * 1024);
    expect(origin.peers).toHaveLength(1);
    await response.body!.cancel();
  });

  it("[OR4] an upload goes on as far as the origin takes it", async () => {
    const { rig, origin } = await start(async (peer) => {
      peer.send(peer.settings([wire.SETTINGS_INITIAL_WINDOW_SIZE, 1_000]));
      const { stream } = await peer.request();
      await peer.until(() => peer.bodyBytes(stream) === 1_000);
      await new Promise((resolve) => {
        setTimeout(resolve, 50);
      });
      expect(peer.bodyBytes(stream)).toBe(1_000);
      peer.send(peer.window(stream, 10_000_000), peer.window(0, 10_000_000));
      await peer.until(() =>
        peer.frames.some(({ type, flags }) => type === wire.DATA && (flags & END_STREAM) !== 0),
      );
      peer.send(peer.headers(stream, OK), peer.data(stream, String(peer.bodyBytes(stream)), END_STREAM));
    });
    const response = await rig.fetch(origin.url, { method: "POST", body: "u".repeat(1_000_000) });
    expect(await response.text()).toBe("1000000");
  });
});

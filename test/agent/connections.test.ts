/** Ports and connections under load: every port, none leaked, HTTP/2, draining, exhaustion. */
import { readClock } from "../../src/process/clock.ts";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import type { TLSSocket } from "node:tls";
import { afterEach, expect, it } from "vitest";
import {
  eventually,
  type Origin,
  type Rig,
  type RigOptions,
  startByteOrigin,
  startOrigin,
  startRig,
} from "./gateway-rig.ts";
import { CERTIFICATE, startSecureOrigin } from "./tls-origin.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function start(options: RigOptions = {}): Promise<Rig> {
  const rig = await startRig(options);
  closing.push(rig.close);
  return rig;
}

function closeLater(origin: Origin): Origin {
  closing.push(origin.close);
  return origin;
}

/** An origin that answers when told. */
async function holdingOrigin(ip: string): Promise<Origin & { ports: number[]; letGo: () => void }> {
  const ports: number[] = [];
  const waiting: (() => void)[] = [];
  const origin = await startOrigin((request, response) => {
    ports.push(request.socket.remotePort!);
    waiting.push(() => response.end("done"));
  }, ip);
  return { ...closeLater(origin), ports, letGo: () => waiting.splice(0).forEach((answer) => answer()) };
}

const small = [{ base: 20_480, order: 6, epoch: 1 }];

it("[BI1] more connections than ports: each port serves every destination at once", async () => {
  const rig = await start({ leases: small });
  const origins = await Promise.all(["127.0.0.1", "127.0.0.2", "127.0.0.3"].map((ip) => holdingOrigin(ip)));
  const responses = origins.flatMap(({ url }) => Array.from({ length: 64 }, () => rig.fetch(url)));
  await eventually(() => origins.every(({ ports }) => ports.length === 64), "all requests arrived");
  expect(rig.ports.heldCounts().inUse).toBe(192);
  for (const { ports } of origins) expect(new Set(ports).size).toBe(64);
  const refused = await rig.fetch(origins[0]!.url);
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ code: "port-block-exhausted" });
  expect(refused.headers.get("proxy-status")).toContain("error=connection_limit_reached");
  for (const origin of origins) origin.letGo();
  for (const response of await Promise.all(responses)) expect(await response.text()).toBe("done");
});

it("[UP1] what waits for its answer is known, on new connections and on those that stood", async () => {
  const rig = await start({ leases: small });
  const origin = await holdingOrigin("127.0.0.1");
  const oldest = () => rig.outgoing.oldestWait(rig.ports);
  expect(oldest()).toBeNull();
  // By the clock of those who judge the wait.
  let sinceMs = readClock().monotonicMs;
  for (let round = 1; round <= 3; round += 1) {
    const response = rig.fetch(origin.url);
    await eventually(() => origin.ports.length === round, "the request arrived");
    expect(oldest()).toMatchObject({ place: { ip: "127.0.0.1", port: origin.port } });
    expect(oldest()!.sinceMs).toBeGreaterThan(sinceMs);
    sinceMs = oldest()!.sinceMs;
    expect(sinceMs).toBeLessThanOrEqual(readClock().monotonicMs);
    origin.letGo();
    await (await response).text();
    expect(oldest()).toBeNull();
  }
  expect(new Set(origin.ports).size).toBe(1);
});

it("[UP1] what waits is the origin's matter once a later request was answered, and so is a body that has begun", async () => {
  const rig = await start({ leases: small });
  const [slow, fast] = [await holdingOrigin("127.0.0.1"), await holdingOrigin("127.0.0.2")];
  const first = rig.fetch(slow.url);
  await eventually(() => slow.ports.length === 1, "the first is under way");
  const second = rig.fetch(fast.url);
  await eventually(() => fast.ports.length === 1, "so is the second");
  expect(rig.outgoing.oldestWait(rig.ports)!.place.ip).toBe("127.0.0.1");
  fast.letGo();
  await (await second).text();
  expect(rig.outgoing.oldestWait(rig.ports)).toBeNull();
  slow.letGo();
  await (await first).text();
  const streaming = closeLater(await startOrigin((_request, response) => void response.write("begun")));
  const third = await rig.fetch(streaming.url);
  expect(third.status).toBe(200);
  expect(rig.outgoing.oldestWait(rig.ports)).toBeNull();
  await third.body!.cancel();
});

it("[BI6] a request that finds all ports taken waits for the block that is on its way", async () => {
  const rig = await start({ leases: small });
  const origin = await holdingOrigin("127.0.0.1");
  rig.ports.onPressure = () => (rig.ports.growthOutstanding = true);
  const responses = Array.from({ length: 65 }, () => rig.fetch(origin.url));
  await eventually(() => origin.ports.length === 64, "the block is full");
  rig.ports.addBlock({ base: 30_720, order: 6, epoch: 2 });
  await eventually(() => origin.ports.length === 65, "the last one has a port");
  expect(origin.ports.at(-1)).toBeGreaterThanOrEqual(30_720);
  origin.letGo();
  await Promise.all(responses.map(async (response) => (await response).text()));
});

it("[BI7] a 4-tuple that the kernel refuses is passed over", async () => {
  const rig = await start({ leases: small });
  const origin = closeLater(await startOrigin((_request, response) => response.end("x")));
  // Others on this machine sit on half of the block towards the same destination.
  const squatters = Array.from({ length: 32 }, (_, at) =>
    connect({ host: "127.0.0.1", port: origin.port, localAddress: "127.0.0.10", localPort: 20_480 + at }),
  );
  closing.push(() => squatters.forEach((socket) => socket.destroy()));
  await eventually(() => squatters.every((socket) => !socket.connecting), "they are connected");
  for (let round = 0; round < 16; round += 1) {
    const response = await rig.fetch(origin.url, { headers: { connection: "close" } });
    expect(Number(response.headers.get("egress-port"))).toBeGreaterThanOrEqual(20_512);
    await response.text();
  }
});

it("[BI3] connections one after the other never reuse a 4-tuple within its rest", async () => {
  const rig = await start({ leases: small, holdDownMs: 60_000 });
  const seen: number[] = [];
  const origin = closeLater(
    await startOrigin((request, response) => {
      seen.push(request.socket.remotePort!);
      response.setHeader("connection", "close");
      response.end();
    }),
  );
  for (let round = 0; round < 64; round += 1) await (await rig.fetch(origin.url)).text();
  expect(new Set(seen).size).toBe(64);
  expect((await rig.fetch(origin.url)).status).toBe(503);
});

it.each([0, 100, 4_095])(
  "[OR1] a table of %d bytes at the origin ends no connection",
  async (headerTableSize) => {
    const rig = await start({ authorities: [CERTIFICATE] });
    const ports = new Set<number>();
    const origin = closeLater(
      await startSecureOrigin(
        "h2",
        (request, response) => {
          ports.add(request.stream.session!.socket.remotePort!);
          response.end(String(request.headers["x-said"]));
        },
        { headerTableSize },
      ),
    );
    for (const said of ["one", "two", "three"]) {
      const answer = await rig.fetch(origin.url, { method: "POST", headers: { "x-said": said } });
      expect(await answer.text()).toBe(said);
    }
    expect(ports.size).toBe(1);
  },
);

it("[BI10] many streams share one HTTP/2 connection, and so one port", async () => {
  const rig = await start({ authorities: [CERTIFICATE] });
  const waiting: (() => void)[] = [];
  const ports = new Set<number>();
  const origin = closeLater(
    await startSecureOrigin("h2", (request, response) => {
      ports.add(request.stream.session!.socket.remotePort!);
      response.setHeader("x-version", request.httpVersion);
      if (request.method === "POST") request.pipe(response);
      else waiting.push(() => response.end(request.url));
    }),
  );
  const responses = Array.from({ length: 50 }, (_, at) => rig.fetch(`${origin.url}/${at}`));
  await eventually(() => waiting.length === 50, "all are there");
  expect(ports.size).toBe(1);
  expect(rig.ports.heldCounts().inUse).toBe(1);
  // An upload does not wait behind them: it begins on a connection without others. [BI10]
  const upload = await rig.fetch(`${origin.url}/up`, { method: "POST", body: "u".repeat(100_000) });
  expect(await upload.text()).toHaveLength(100_000);
  for (const answer of waiting) answer();
  const texts = await Promise.all(responses.map(async (response) => (await response).text()));
  expect(texts).toEqual(Array.from({ length: 50 }, (_, at) => `/${at}`));
  const first = await responses[0]!;
  expect(first.headers.get("x-version")).toBe("2.0");
  expect(first.headers.get("egress-port")).toBe(String([...ports][0]));
});

it("[BI10] an HTTP/2 stream that is given up leaves the others alone", async () => {
  const rig = await start({ authorities: [CERTIFICATE] });
  const answers: (() => void)[] = [];
  let isLeft = false;
  const origin = closeLater(
    await startSecureOrigin("h2", (request, response) => {
      response.write("begun");
      if (request.url === "/left") request.stream.on("close", () => (isLeft = true));
      if (request.url === "/reset") response.stream.close(2);
      else answers.push(() => response.end(" and ended"));
    }),
  );
  const leaving = new AbortController();
  const kept = await rig.fetch(`${origin.url}/kept`);
  const left = await rig.fetch(`${origin.url}/left`, { signal: leaving.signal });
  leaving.abort();
  await expect(left.text()).rejects.toThrow("aborted");
  await eventually(() => isLeft, "the origin hears of it");
  await expect(rig.fetch(`${origin.url}/reset`).then((response) => response.text())).rejects.toThrow(
    "terminated",
  );
  answers[0]!();
  expect(await kept.text()).toBe("begun and ended");
  expect(rig.ports.heldCounts().inUse).toBe(1);
});

it("[BI10] over TLS without HTTP/2 every request at once has its own port", async () => {
  const rig = await start({ authorities: [CERTIFICATE] });
  const origin = closeLater(await startSecureOrigin("h1", (_request, response) => response.end("ok")));
  const responses = await Promise.all(Array.from({ length: 20 }, () => rig.fetch(origin.url)));
  expect(await Promise.all(responses.map((response) => response.text()))).toEqual(Array(20).fill("ok"));
});

it.each(["h1", "h2"] as const)(
  "[OR10] a dot at the end of a name is not in TLS, and stays in the request: %s",
  async (speaks) => {
    const rig = await start({ authorities: [CERTIFICATE], records: { "secure.test": ["127.0.0.1"] } });
    const seen: unknown[] = [];
    const origin = closeLater(
      await startSecureOrigin(speaks, (request, response) => {
        seen.push((request.socket as TLSSocket).servername, request.authority || request.headers.host);
        response.end("ok");
      }),
    );
    const response = await rig.fetch(`https://secure.test.:${origin.port}/`);
    expect([response.status, await response.text()]).toEqual([200, "ok"]);
    expect(seen).toEqual(["secure.test", `secure.test.:${origin.port}`]);
  },
);

it("[BI5] idle connections give their ports back: after a while, and at once when their block drains", async () => {
  const rig = await start({ idleTimeoutMs: 300, authorities: [CERTIFICATE] });
  const plain = closeLater(await startOrigin((_request, response) => response.end("x")));
  const secure = closeLater(await startSecureOrigin("h2", (_request, response) => response.end("x")));
  for (const { url } of [plain, secure]) await (await rig.fetch(url)).text();
  expect(rig.ports.flowCount(1)).toBe(2);
  await eventually(() => rig.ports.flowCount(1) === 0, "both idle connections end");
  for (const { url } of [plain, secure]) await (await rig.fetch(url)).text();
  rig.ports.addBlock({ base: 30_720, order: 6, epoch: 2 });
  rig.ports.drainBlock(1);
  await eventually(() => rig.ports.flowCount(1) === 0, "the draining block is empty", 250);
  const response = await rig.fetch(plain.url);
  expect(Number(response.headers.get("egress-port"))).toBeGreaterThanOrEqual(30_720);
  await response.text();
});

it("[BI5] a lease that ends between the choice of a port and its use lets no connection out", async () => {
  const rig = await start();
  let connectionCount = 0;
  const { url } = closeLater(await startByteOrigin(() => (connectionCount += 1)));
  const takeWithin = rig.ports.takeWithin.bind(rig.ports);
  rig.ports.takeWithin = async (...parameters) => {
    const taken = await takeWithin(...parameters);
    rig.ports.removeBlock(1);
    return taken;
  };
  const response = await rig.fetch(url);
  expect(response.status).toBe(503);
  expect(await response.json()).toMatchObject({ code: "lease-lost" });
  expect(connectionCount).toBe(0);
  expect(rig.ports.heldCounts().inUse).toBe(0);
});

it("[BI5] a request on a draining block ends in peace; on a removed one it is reset", async () => {
  const rig = await start();
  const origin = await holdingOrigin("127.0.0.1");
  const first = rig.fetch(origin.url);
  await eventually(() => origin.ports.length === 1, "it is there");
  rig.ports.drainBlock(1);
  origin.letGo();
  expect(await (await first).text()).toBe("done");
  await eventually(() => rig.ports.flowCount(1) === 0, "its connection is not kept");
  rig.ports.addBlock({ base: 30_720, order: 6, epoch: 2 });
  const second = rig.fetch(origin.url);
  await eventually(() => origin.ports.length === 2, "it is there");
  rig.ports.removeBlock(2);
  expect((await second).status).toBe(502);
});

it("[BI4] the end of the term resets what is under way", async () => {
  const rig = await start();
  const origin = await holdingOrigin("127.0.0.1");
  const response = rig.fetch(origin.url);
  await eventually(() => origin.ports.length === 1, "it is there");
  rig.ports.setTerm(null);
  expect((await response).status).toBe(502);
  expect(rig.ports.heldCounts().inUse).toBe(0);
});

it("[BI7] a client that leaves while its connection is being made frees the port", async () => {
  const rig = await start({ connectTimeoutMs: 60_000, allow: ["127.0.0.0/8"], authorities: [CERTIFICATE] });
  // A TLS handshake that is never answered.
  const origin = closeLater(await startByteOrigin(() => {}));
  const leaving = new AbortController();
  const response = rig.fetch(origin.url.replace("http", "https"), { signal: leaving.signal });
  await eventually(() => rig.ports.heldCounts().inUse === 1, "it is connecting");
  leaving.abort();
  await expect(response).rejects.toThrow("aborted");
  await eventually(() => rig.ports.heldCounts().inUse === 0, "the port is free");
});

it(
  "[BI8] a soak with aborts on all sides ends with no port and no socket held",
  { timeout: 180_000 },
  async () => {
    const rig = await start({
      egressIp: "127.0.0.13",
      idleTimeoutMs: 200,
      leases: [{ base: 24_576, order: 11, epoch: 1 }],
    });
    const origin = closeLater(
      await startOrigin((request, response) => {
        if (request.url === "/reset") request.socket.resetAndDestroy();
        else if (request.url === "/half") {
          response.writeHead(200, { "content-length": 100_000 });
          response.write("x".repeat(50_000), () => request.socket.resetAndDestroy());
        } else if (request.url === "/slow") response.write("beginning");
        else if (request.url === "/last") response.writeHead(200, { connection: "close" }).end("ok");
        else request.pipe(response);
      }),
    );
    let left = 4_000;
    const lane = async (): Promise<void> => {
      while ((left -= 1) >= 0) {
        const kind = left % 8;
        const path = ["/echo", "/reset", "/half", "/slow", "/last", "/echo", "/echo", "/echo"][kind]!;
        const leaving = new AbortController();
        if (path === "/slow") setTimeout(() => leaving.abort(), left % 10);
        const body = kind > 4 ? { method: "POST", body: "y".repeat(20_000) } : {};
        await rig
          .fetch(`${origin.url}${path}`, { ...body, signal: leaving.signal })
          .then((response) => response.text())
          .catch(() => null);
      }
    };
    await Promise.all(Array.from({ length: 24 }, lane));
    await eventually(() => rig.ports.flowCount(1) === 0, "no flow is left");
    await eventually(() => rig.gateway.runningCount === 0, "no request is left");
    await eventually(() => rig.ports.heldCounts().heldDown === 0, "no port rests for ever");
    expect(rig.ports.capacity()).toEqual({ portCount: 2048, busiestCount: 0 });
    expect(rig.ports.busiestDestination()).toBeNull();
    expect(await kernelSocketsOf("0D00007F")).toBe(0);
    expect(rig.faults).toEqual([]);
  },
);

/** Sockets bound to an address, given as the kernel writes it; TIME_WAIT (06) belongs to no process. */
async function kernelSocketsOf(address: string): Promise<number> {
  const table = await readFile("/proc/net/tcp", "utf8");
  const rows = table.split("\n").map((line) => line.trim().split(/\s+/));
  return rows.filter(([, local, , state]) => local?.startsWith(address) && state !== "06").length;
}

/** One request at a time, in every shape that HTTP has: what arrives is what was sent. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { request as httpRequest } from "node:http";
import { Readable } from "node:stream";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { createEgress } from "../../src/sdk/egress.ts";
import { Cluster, EGRESS_IP, memoryOf, POOL } from "./cluster.ts";

const MEBIBYTE = 1024 * 1024;
const MEMORY_CAP_BYTES = 150_000_000;

let cluster: Cluster;
let headers: Record<string, string>;

beforeAll(async () => {
  cluster = await Cluster.start({ hosts: ["h1"] });
  headers = await cluster.clientHeaders();
});
afterAll(() => cluster?.stop());

/** A raw exchange with node:http, which decodes, follows and hides nothing. */
function exchange(
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: Readable | Buffer } = {},
): Promise<{
  status: number;
  headers: NodeJS.Dict<string | string[]>;
  body: Buffer;
  trailers: NodeJS.Dict<string>;
}> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      cluster.through(cluster.originUrl(path)),
      { method: options.method ?? "GET", headers: { ...headers, ...options.headers }, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode!,
            headers: response.headers,
            body: Buffer.concat(chunks),
            trailers: response.trailers,
          }),
        );
      },
    );
    request.on("error", reject);
    if (options.body instanceof Readable) options.body.pipe(request);
    else request.end(options.body);
  });
}

test("a GET leaves from the shared address, from a port its host holds, and the reply says so", async () => {
  const reply = await exchange("/seen");
  expect(reply.status).toBe(200);
  const seen = JSON.parse(reply.body.toString());
  expect(seen.address).toBe(EGRESS_IP);
  expect(await cluster.holderOf(seen.port)).toBe("h1");
  expect(reply.headers["egress-ip"]).toBe(EGRESS_IP);
  expect(reply.headers["egress-port"]).toBe(String(seen.port));
  expect(reply.headers["egress-host"]).toBe("h1");
  expect(reply.headers["proxy-status"]).toMatch(/^ipshard/);
});

test("the destination sees its own headers and none of ours", async () => {
  const reply = await exchange("/seen", {
    headers: { authorization: "Basic Zm9v", "x-mine": "1", egress: `pool=${POOL}` },
  });
  const seen = JSON.parse(reply.body.toString());
  expect(seen.headers["authorization"]).toEqual(["Basic Zm9v"]);
  expect(seen.headers["x-mine"]).toEqual(["1"]);
  expect(seen.headers["host"]).toEqual([`${cluster.origin.addresses[0]}:${cluster.origin.port}`]);
  const foreign = Object.keys(seen.headers).filter((name) => /^(egress|cf-|x-forwarded|x-real)/.test(name));
  expect(foreign).toEqual([]);
});

test("HEAD, 204 and 304 have no body and keep their headers", async () => {
  const head = await exchange("/download?bytes=1000&framing=length", { method: "HEAD" });
  expect(head.status).toBe(200);
  expect(head.headers["content-length"]).toBe("1000");
  expect(head.body.length).toBe(0);
  for (const code of [204, 304]) {
    const reply = await exchange(`/status?code=${code}`);
    expect(reply.status).toBe(code);
    expect(reply.headers["etag"]).toBe('"v1"');
    expect(reply.body.length).toBe(0);
  }
});

test("any method passes, with its body", async () => {
  for (const method of ["PUT", "PATCH", "DELETE", "PROPFIND"]) {
    const reply = await exchange("/seen", { method });
    expect(JSON.parse(reply.body.toString()).method).toBe(method);
  }
});

test("a GET may have a body, through the edge as well", async () => {
  const reply = await exchange("/upload", {
    headers: { "content-length": "5" },
    body: Buffer.from("hello"),
  });
  expect(JSON.parse(reply.body.toString())).toMatchObject({ byteCount: 5, framing: "length" });
});

test("chunked and content-length framing are kept, upwards and downwards", async () => {
  const body = Buffer.from("twelve bytes");
  const sized = await exchange("/upload", { method: "POST", body, headers: { "content-length": "12" } });
  expect(JSON.parse(sized.body.toString())).toMatchObject({ byteCount: 12, framing: "length" });
  const chunked = await exchange("/upload", {
    method: "POST",
    body: Readable.from([body]),
    headers: { "transfer-encoding": "chunked" },
  });
  expect(JSON.parse(chunked.body.toString())).toMatchObject({ byteCount: 12, framing: "chunked" });
  const down = await exchange("/download?bytes=5000&framing=length");
  expect(down.headers["content-length"]).toBe("5000");
  const downChunked = await exchange("/download?bytes=5000");
  expect(downChunked.headers["content-length"]).toBeUndefined();
  expect(downChunked.body.length).toBe(5000);
});

test("64 MB up and 256 MB down are streamed, within 150 MB of agent memory", async () => {
  const chunk = Buffer.alloc(65_536, "upload ");
  const chunkCount = (64 * MEBIBYTE) / chunk.length;
  const hash = createHash("sha256");
  for (let at = 0; at < chunkCount; at += 1) hash.update(chunk);
  const body = Readable.from(
    (function* () {
      for (let at = 0; at < chunkCount; at += 1) yield chunk;
    })(),
  );
  const up = await exchange("/upload", {
    method: "POST",
    body,
    headers: { "content-length": String(64 * MEBIBYTE) },
  });
  expect(JSON.parse(up.body.toString())).toEqual({
    byteCount: 64 * MEBIBYTE,
    framing: "length",
    sha256: hash.digest("hex"),
  });

  const down = await fetch(cluster.through(cluster.originUrl(`/download?bytes=${256 * MEBIBYTE}`)), {
    headers,
  });
  let byteCount = 0;
  for await (const part of down.body!) byteCount += (part as Uint8Array).length;
  expect(byteCount).toBe(256 * MEBIBYTE);
  expect((await memoryOf(cluster.pidOf("h1"))).peakBytes).toBeLessThan(MEMORY_CAP_BYTES);
});

test("the first byte of a trickling response arrives before the last is sent", async () => {
  const response = await fetch(cluster.through(cluster.originUrl("/trickle")), { headers });
  const arrivals: { text: string; atMs: number }[] = [];
  const decoder = new TextDecoder();
  for await (const part of response.body!) {
    arrivals.push({ text: decoder.decode(part as Uint8Array), atMs: performance.now() });
  }
  expect(arrivals[0]!.text).toContain("first");
  expect(arrivals.at(-1)!.text).toContain("last");
  // The origin spreads its words over a second; buffered, they would come as one.
  expect(arrivals.length).toBeGreaterThan(3);
});

test("compressed bodies are untouched, also when they are not what they claim", async () => {
  const reply = await exchange("/gzip", { headers: { "accept-encoding": "gzip" } });
  expect(reply.headers["content-encoding"]).toBe("gzip");
  expect(gunzipSync(reply.body).toString()).toMatch(/^the same bytes, untouched/);
  const bogus = await exchange("/bogus-encoding", { headers: { "accept-encoding": "gzip" } });
  expect(bogus.body.toString()).toBe("this was never gzipped");
});

test("the client's accept-encoding reaches the origin as it was, and none is made up", async () => {
  const asked = await exchange("/seen", { headers: { "accept-encoding": "identity" } });
  expect(JSON.parse(asked.body.toString()).headers["accept-encoding"]).toEqual(["identity"]);
  const silent = await exchange("/seen");
  expect(JSON.parse(silent.body.toString()).headers["accept-encoding"]).toBeUndefined();
});

test("two cookies stay two, trailers do not corrupt the body", async () => {
  const cookies = await exchange("/cookies");
  expect(cookies.headers["set-cookie"]).toEqual(["a=1; Path=/", "b=2; Path=/"]);
  const trailers = await exchange("/trailers");
  expect(trailers.body.toString()).toBe("body before trailers");
});

test("an origin's copies of our headers are replaced by the truth", async () => {
  const reply = await exchange("/seen");
  expect(reply.headers["egress-ip"]).toBe(EGRESS_IP);
});

test("an origin that resets half-way is an error for the client, never a short success", async () => {
  for (const framing of ["chunked", "length"]) {
    await expect(exchange(`/reset?framing=${framing}`)).rejects.toThrow(
      /aborted|terminated|socket|reset|hang up/i,
    );
  }
  expect((await exchange("/seen")).status).toBe(200);
});

test("a WebSocket echoes text and binary through the edge", async () => {
  const url = cluster.through(cluster.originUrl("/ws")).replace("http:", "ws:");
  const socket = new WebSocket(url, { headers });
  await new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  const echo = (data: string | Buffer): Promise<Buffer> =>
    new Promise((resolve) => {
      socket.once("message", (answer: Buffer) => resolve(answer));
      socket.send(data);
    });
  expect((await echo("hello")).toString()).toBe("hello");
  const binary = Buffer.alloc(200_000, 7);
  expect((await echo(binary)).equals(binary)).toBe(true);
  socket.close();
});

test("redirects are returned, and followed only when asked", async () => {
  const returned = await exchange("/redirect");
  expect(returned.status).toBe(302);
  expect(returned.headers["location"]).toBe("/seen");
  const followed = await exchange("/redirect", { headers: { "egress-redirect": "follow" } });
  expect(followed.status).toBe(200);
  expect(followed.headers["egress-location"]).toBe(cluster.originUrl("/seen"));
});

test("the SDK fetches as fetch does", async () => {
  const token = await cluster.token("client", "tester");
  const egress = createEgress({ endpoint: cluster.edgeUrl, token, pool: POOL });
  const response = await egress.fetch(cluster.originUrl("/redirect"));
  expect(response.ok).toBe(true);
  expect(response.url).toBe(cluster.originUrl("/seen"));
  expect(response.redirected).toBe(true);
  const seen = (await response.json()) as { address: string };
  expect(seen.address).toBe(EGRESS_IP);
  const posted = await egress.fetch(cluster.originUrl("/upload"), { method: "POST", body: "hello" });
  expect(await posted.json()).toMatchObject({ byteCount: 5 });
  const refused = await egress.fetch("http://10.0.0.1/").then(
    () => assert.fail("a private destination was reached"),
    (fault: unknown) => fault as { code: string; status: number },
  );
  expect(refused.code).toBe("destination-prohibited");
  expect(refused.status).toBe(403);
});

import { describe, expect, it, vi } from "vitest";
import { ok } from "../../src/core/outcome.ts";
import { GATEWAY_TOKEN_MS } from "../../src/worker/identity/gateway-token-issuer.ts";
import { COOLDOWN_MS } from "../../src/worker/hosts/edge-state.ts";
import { MAX_HEADERS_LENGTH } from "../../src/worker/egress/forward-with-failover.ts";
import { HELD_BYTES } from "../../src/worker/egress/request-body.ts";
import { publicPart } from "../../src/wire/keys.ts";
import { TokenVerifier } from "../../src/wire/tokens.ts";
import {
  askedHosts,
  codeOf,
  edgeKey,
  gatewayRefusal,
  gateways,
  newEgress,
  placementOf,
  type Gateway,
} from "./edge.ts";

const realFetch = globalThis.fetch;
const answers: Gateway = () => new Response("ok");
const lost: Gateway = () => {
  throw new Error("Network connection lost.");
};

/** Answers with what it got, after all of it has come. */
const echo: Gateway = async (request) => new Response(await request.arrayBuffer());

/** A body of this many bytes in pieces, of no declared length. */
function pieces(byteCount: number, pieceBytes = 16_384): ReadableStream<Uint8Array> {
  let left = byteCount;
  return new ReadableStream({
    pull(controller) {
      const size = Math.min(left, pieceBytes);
      left -= size;
      if (size > 0) controller.enqueue(new Uint8Array(size).fill(left % 251));
      if (left === 0) controller.close();
    },
  });
}

async function digest(body: BodyInit): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", await new Response(body).arrayBuffer());
  return [...new Uint8Array(hash)].join();
}

describe("what reaches a gateway", () => {
  it("[WK18] is the request as it came, with the egress and a token for the gateway", async () => {
    const { send, h1, pool } = await newEgress();
    let seen: Request | undefined;
    gateways.set(h1, (request) => {
      seen = request;
      return new Response("ok");
    });
    const search = "?url=http%3A%2F%2Forigin.test%2F%3Fa%3D%26b&x=%20";
    await send({ method: "PATCH", headers: { authorization: "mine", "x-a": "1" } }, search);
    expect(seen?.method).toBe("PATCH");
    expect(seen?.url).toBe(`http://${h1}.gateway/v1/fetch${search}`);
    expect(seen?.redirect).toBe("manual");
    const headers = new Map(seen?.headers);
    expect(headers.get("authorization")).toBe("mine");
    expect(headers.get("x-a")).toBe("1");
    expect(headers.get("egress")).toBe('ip="192.0.2.1"');
    expect(headers.has("accept-encoding")).toBe(false);
    const verifier = new TokenVerifier({ keys: [publicPart(edgeKey)] });
    const token = headers.get("egress-authorization")!.slice("Bearer ".length);
    const identity = await verifier.verify(token, Date.now());
    expect(identity).toMatchObject({
      ok: true,
      value: { role: "gateway", subject: "tester", pools: [pool] },
    });
  });

  it("[WK3] is a kept token, until it is about to end", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { send, h1 } = await newEgress();
    const tokens: (string | null)[] = [];
    gateways.set(h1, (request) => {
      tokens.push(request.headers.get("egress-authorization"));
      return new Response("ok");
    });
    await send();
    vi.setSystemTime(Date.now() + GATEWAY_TOKEN_MS - 62_000);
    await send();
    vi.setSystemTime(Date.now() + 4_000);
    await send();
    expect(tokens[1]).toBe(tokens[0]);
    expect(tokens[2]).not.toBe(tokens[0]);
  });

  it("[WK18] the gateway's response is returned as it is", async () => {
    const { send, h1 } = await newEgress();
    gateways.set(
      h1,
      () =>
        new Response("bytes", { status: 404, headers: { "egress-host": h1, "content-encoding": "zstd" } }),
    );
    const response = await send();
    expect(response.status).toBe(404);
    expect(response.headers.get("content-encoding")).toBe("zstd");
    expect(await response.text()).toBe("bytes");
  });

  it("[WK18] redirects are not followed", async () => {
    const { send, h1 } = await newEgress();
    gateways.set(
      h1,
      () => new Response(null, { status: 302, headers: { location: "http://elsewhere.test/" } }),
    );
    expect((await send()).status).toBe(302);
  });

  it("[WK18] WebSockets pass", async () => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, (request) => {
      expect(request.headers.get("upgrade")).toBe("websocket");
      const { 0: client, 1: server } = new WebSocketPair();
      server.accept();
      server.addEventListener("message", ({ data }) => server.send(`echo ${String(data)}`));
      return new Response(null, { status: 101, webSocket: client });
    });
    const response = await send({ headers: { upgrade: "websocket" } });
    expect(response.status).toBe(101);
    const socket = response.webSocket!;
    const heard = new Promise((resolve) => {
      socket.addEventListener("message", ({ data }) => resolve(data));
    });
    socket.accept();
    socket.send("hello");
    expect(await heard).toBe("echo hello");
    socket.close();
  });
});

describe("bodies", () => {
  it.each([0, 1, 1_000, HELD_BYTES, HELD_BYTES + 1, 1_000_000])(
    "[WK9] %i bytes of declared length arrive under that length",
    async (byteCount) => {
      const { send, h1 } = await newEgress();
      const lengths: (string | null)[] = [];
      gateways.set(h1, (request) => {
        lengths.push(request.headers.get("content-length"));
        return echo(request);
      });
      const body = new Uint8Array(byteCount).fill(7);
      const response = await send({
        method: "POST",
        body,
        headers: { "content-length": String(byteCount) },
      });
      expect(await digest(await response.arrayBuffer())).toBe(await digest(body));
      expect(lengths).toEqual([String(byteCount)]);
    },
  );

  it.each([1, HELD_BYTES, HELD_BYTES + 1, 3_000_000])(
    "[WK9] %i bytes of unknown length arrive whole",
    async (byteCount) => {
      const { send, h1 } = await newEgress();
      gateways.set(h1, echo);
      const response = await send({ method: "POST", body: pieces(byteCount) });
      expect(await digest(await response.arrayBuffer())).toBe(await digest(pieces(byteCount)));
    },
  );

  it.each([
    ["a declared length", { "content-length": "100000" }, "100000"],
    ["no length", {}, undefined],
  ])("[WK9] a streamed body with %s has it on the wire", async (_name, headers, length) => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, (request) => realFetch(request));
    const response = await send({ method: "POST", headers, body: pieces(100_000) });
    expect((await response.json<Record<string, string>>())["content-length"]).toBe(length);
  });

  it("[WK9] a streamed body reaches the gateway while the client still sends", async () => {
    const { send, h1 } = await newEgress();
    const { promise: waiting, resolve: sendMore } = Promise.withResolvers<void>();
    const first = new Promise<void>((resolve) => {
      gateways.set(h1, async (request) => {
        const reader = (request.body as ReadableStream<Uint8Array>).getReader();
        expect((await reader.read()).value).toEqual(new Uint8Array([1]));
        resolve();
        expect((await reader.read()).value).toEqual(new Uint8Array([2]));
        return new Response("both");
      });
    });
    const { readable, writable } = new IdentityTransformStream();
    const writer = writable.getWriter();
    const client = (async () => {
      await writer.write(new Uint8Array([1]));
      await waiting;
      await writer.write(new Uint8Array([2]));
      await writer.close();
    })();
    const answered = send({ method: "POST", body: readable });
    await first;
    sendMore();
    expect(await (await answered).text()).toBe("both");
    await client;
  });

  it("[WK10] a client that stops half-way is told so, and the host is not blamed", async () => {
    const { send, h1, h2 } = await newEgress(2);
    gateways.set(h1, echo);
    gateways.set(h2, echo);
    const body = new ReadableStream({
      pull(controller) {
        controller.error(new Error("client went away"));
      },
    });
    expect(await codeOf(await send({ method: "PUT", body }))).toEqual({
      status: 400,
      code: "body-length-mismatch",
    });
    expect(askedHosts).toHaveLength(1);
  });
});

describe("a short body that breaks off", () => {
  it("[WK10] goes to no host", async () => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, answers);
    const body = new ReadableStream({
      pull: (controller) => controller.error(new Error("client went away")),
    });
    const response = await send({ method: "PUT", body, headers: { "content-length": "10" } });
    expect(await codeOf(response)).toEqual({ status: 400, code: "body-length-mismatch" });
    expect(askedHosts).toEqual([]);
  });
});

describe("a host that refuses", () => {
  it.each(["lease-lost", "draining", "port-block-exhausted", "connections-exhausted"] as const)(
    "[WK11] with %s: another is tried",
    async (code) => {
      const { send, h1, h2, pools, pool } = await newEgress(1);
      pools.placement = async () => ok(placementOf(pool, [h1, h2]));
      let first: string | null = null;
      const refuseOnce: Gateway = (request) => {
        first ??= new URL(request.url).hostname;
        return first === new URL(request.url).hostname ? gatewayRefusal(code) : new Response("ok");
      };
      gateways.set(h1, refuseOnce);
      gateways.set(h2, refuseOnce);
      expect(await (await send()).text()).toBe("ok");
      expect(new Set(askedHosts)).toEqual(new Set([h1, h2]));
    },
  );

  it("[WK11] everywhere: the last refusal is the answer, when each has been asked once", async () => {
    const { send, hosts } = await newEgress(4);
    for (const host of hosts) gateways.set(host, () => gatewayRefusal("port-block-exhausted"));
    const response = await send();
    expect(response.headers.get("proxy-status")).toContain("connection_limit_reached");
    expect(await codeOf(response)).toEqual({ status: 503, code: "port-block-exhausted" });
    expect(askedHosts.toSorted()).toEqual(hosts.toSorted());
  });

  it.each(["destination-prohibited", "connection-refused", "dns-error"] as const)(
    "[WK11] with %s speaks of the destination: no other is tried",
    async (code) => {
      const { send, hosts } = await newEgress(2);
      for (const host of hosts) gateways.set(host, () => gatewayRefusal(code));
      expect((await codeOf(await send())).code).toBe(code);
      expect(askedHosts).toHaveLength(1);
    },
  );

  it("[WK11] an origin that says 503 by itself is believed", async () => {
    const { send, hosts } = await newEgress(2);
    for (const host of hosts) {
      gateways.set(host, () => new Response("busy", { status: 503, headers: { "egress-host": host } }));
    }
    expect(await (await send()).text()).toBe("busy");
    expect(askedHosts).toHaveLength(1);
  });

  it.each([
    ["of declared length", (size: number): RequestInit => ({ body: new Uint8Array(size).fill(5) })],
    ["of unknown length", (size: number): RequestInit => ({ body: pieces(size, 1_000) })],
  ])("[WK10] a short body %s is sent again from its beginning", async (_name, make) => {
    const { send, hosts } = await newEgress(2);
    let isFirst = true;
    for (const host of hosts) {
      gateways.set(host, async (request) => {
        const body = await request.arrayBuffer();
        const wasFirst = isFirst;
        isFirst = false;
        return wasFirst ? gatewayRefusal("draining") : new Response(body);
      });
    }
    const response = await send({ method: "POST", ...make(20_000) });
    expect(await digest(await response.arrayBuffer())).toBe(await digest(make(20_000).body as BodyInit));
    expect(askedHosts).toHaveLength(2);
  });

  it("[WK10] a long body of which too much is gone is not: the refusal is the answer", async () => {
    const { send, hosts } = await newEgress(2);
    for (const host of hosts) {
      gateways.set(host, async (request) => {
        await request.arrayBuffer();
        return gatewayRefusal("draining");
      });
    }
    const response = await send({ method: "POST", body: pieces(1_000_000) });
    expect(await codeOf(response)).toEqual({ status: 503, code: "draining" });
    expect(askedHosts).toHaveLength(1);
  });
});

describe("a host that is lost", () => {
  it.each(["GET", "HEAD", "OPTIONS", "DELETE"])("[WK12] %s goes to another", async (method) => {
    const { send, h1, h2 } = await newEgress(2);
    gateways.set(h1, lost);
    gateways.set(h2, answers);
    for (let count = 0; count < 10; count += 1) expect((await send({ method })).status).toBe(200);
  });

  it("[WK12] PUT goes to another with its body", async () => {
    const { send, h1, h2 } = await newEgress(2);
    gateways.set(h1, lost);
    gateways.set(h2, echo);
    for (let count = 0; count < 10; count += 1) {
      expect(await (await send({ method: "PUT", body: "again" })).text()).toBe("again");
    }
  });

  it.each([
    ["without a body", {}],
    ["with a short body", { body: "once", headers: { "content-length": "4" } }],
    ["with a streamed body", { body: pieces(100) }],
  ])("[WK12] POST %s may have happened: host-lost", async (_name, init) => {
    const { send, hosts } = await newEgress(2);
    for (const host of hosts) {
      gateways.set(host, async (request) => {
        await request.arrayBuffer();
        return lost(request);
      });
    }
    const response = await send({ method: "POST", ...init });
    expect(response.headers.get("proxy-status")).toContain("connection_terminated");
    expect(await codeOf(response)).toEqual({ status: 502, code: "host-lost" });
    expect(askedHosts).toHaveLength(1);
  });

  it("[WK12] POST goes to another while nothing of its body was given out", async () => {
    const { send, h1, h2 } = await newEgress(2);
    gateways.set(h1, lost);
    gateways.set(h2, echo);
    for (let count = 0; count < 10; count += 1) {
      const response = await send({ method: "POST", body: pieces(100) });
      expect((await response.arrayBuffer()).byteLength).toBe(100);
    }
  });

  it("[WK12] an answer that is not the gateway's counts as lost", async () => {
    const { send, h1, h2 } = await newEgress(2);
    gateways.set(h1, () => new Response("<html>tunnel error</html>", { status: 530 }));
    gateways.set(h2, answers);
    for (let count = 0; count < 10; count += 1) expect(await (await send()).text()).toBe("ok");
  });

  it("[WK8] is passed over for a while", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { send, h1, h2 } = await newEgress(2);
    gateways.set(h2, answers);
    vi.spyOn(Math, "random").mockReturnValue(0);
    await send();
    expect(askedHosts).toEqual([h1, h2]);
    await send();
    expect(askedHosts).toEqual([h1, h2, h2]);
    vi.setSystemTime(Date.now() + COOLDOWN_MS);
    await send();
    expect(askedHosts).toEqual([h1, h2, h2, h1, h2]);
  });

  it("[WK8] is asked all the same when there is no other", async () => {
    const { send, h1 } = await newEgress(1);
    expect(await codeOf(await send())).toEqual({ status: 502, code: "host-lost" });
    gateways.set(h1, answers);
    expect((await send()).status).toBe(200);
  });
});

describe("oversized headers", () => {
  const headers = { "x-big": "x".repeat(40_000) };

  it("[WK13] are named when the gateway does not take them", async () => {
    const { send, hosts } = await newEgress(2);
    for (const host of hosts) gateways.set(host, lost);
    expect(await codeOf(await send({ headers }))).toEqual({ status: 431, code: "headers-too-large" });
    expect(askedHosts).toHaveLength(1);
  });

  it("[WK13] are named when the gateway's own parser refuses them", async () => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, () => new Response(null, { status: 431 }));
    expect(await codeOf(await send({ headers }))).toEqual({ status: 431, code: "headers-too-large" });
  });
});

describe("request headers of exactly 32 KiB", () => {
  it.each([
    [0, 502, "host-lost"],
    [1, 431, "headers-too-large"],
  ])("[WK13] and %i more with a host that is lost: %i %s", async (moreCount, status, code) => {
    const { send, token } = await newEgress(1);
    const search = "?url=http%3A%2F%2Forigin.test%2F";
    const known = `/v1/fetch${search}egress-authorizationBearer ${token}x-big`.length;
    const headers = { "x-big": "x".repeat(MAX_HEADERS_LENGTH - known + moreCount) };
    expect(await codeOf(await send({ method: "POST", headers }, search))).toEqual({ status, code });
  });
});

describe("a status that a gateway has for itself", () => {
  it.each([431, 500, 502, 530])("[WK12] [WK18] %i of a destination passes as it is", async (status) => {
    const { send, hosts } = await newEgress(2);
    for (const host of hosts) {
      gateways.set(host, () => new Response("theirs", { status, headers: { "egress-host": host } }));
    }
    const response = await send();
    expect([response.status, await response.text()]).toEqual([status, "theirs"]);
    expect(askedHosts).toHaveLength(1);
  });

  it.each([500, 599])("[WK12] %i that bears no mark of a gateway counts as lost", async (status) => {
    const { send, hosts } = await newEgress(1);
    gateways.set(hosts[0]!, () => new Response("theirs", { status }));
    expect(await codeOf(await send())).toEqual({ status: 502, code: "host-lost" });
  });
});

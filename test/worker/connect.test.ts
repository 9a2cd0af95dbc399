import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import { PROTOCOL_VERSION } from "../../src/core/messages.ts";
import { createEgress, EgressError, type Egress } from "../../src/sdk/egress.ts";
import { CARRIER_PROTOCOL, WINDOW_BYTES } from "../../src/wire/tcp-carrier.ts";
import { CarryingGateway } from "./carrying-gateway.ts";
import {
  administer,
  ask,
  askedHosts,
  codeOf,
  gatewayRefusal,
  gateways,
  newEgress,
  tokenFor,
} from "./edge.ts";

const { EGRESS } = env as unknown as Record<"EGRESS", Fetcher>;
const TO = "db.example.com:5432";
const encode = (text: string): Uint8Array<ArrayBuffer> =>
  new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;
const decode = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

/** The SDK in a Worker, and the gateway that it ends at. */
async function carried(
  hostCount = 1,
): Promise<Awaited<ReturnType<typeof newEgress>> & { gateway: CarryingGateway; egress: Egress }> {
  const world = await newEgress(hostCount);
  const gateway = new CarryingGateway();
  gateways.set(world.h1, gateway.gateway);
  const egress = createEgress({
    endpoint: "https://edge.test",
    token: world.token,
    pool: world.pool,
    fetch: (url, init) => ask(url.slice("https://edge.test".length), init, world.pools.env),
  });
  return { ...world, gateway, egress };
}

describe("the edge", () => {
  it("[RC1] wants a token and a WebSocket", async () => {
    const { token, pools } = await newEgress();
    const nobody = await ask(`/v1/connect?to=${TO}`, { headers: { upgrade: "websocket" } }, pools.env);
    expect(await codeOf(nobody)).toEqual({ status: 401, code: "token-missing" });
    const headers = { "egress-authorization": `Bearer ${token}` };
    const plain = await ask(`/v1/connect?to=${TO}`, { headers }, pools.env);
    expect(plain.headers.get("upgrade")).toBe("websocket");
    expect(await codeOf(plain)).toEqual({ status: 426, code: "upgrade-required" });
    const other = await ask("/v1/connection?to=x", { headers }, pools.env);
    expect(await codeOf(other)).toEqual({ status: 404, code: "route-unknown" });
    expect(askedHosts).toEqual([]);
  });

  it("[RC2] hands the request to a host as it came, with a selection and a token of its own", async () => {
    const { gateway, egress, token } = await carried();
    const socket = egress.connect(TO, { secureTransport: "on", expectedServerHostname: "db.internal" });
    await socket.opened;
    const [request] = gateway.requests;
    expect(request!.url).toMatch(
      /^http:\/\/h1-\d+\.gateway\/v1\/connect\?to=db\.example\.com%3A5432&tls=on&tls-name=db\.internal$/,
    );
    expect(request!.headers.get("upgrade")).toBe("websocket");
    expect(request!.headers.get("sec-websocket-protocol")).toBe(CARRIER_PROTOCOL);
    expect(request!.headers.get("egress")).toBe('ip="192.0.2.1"');
    expect(request!.headers.get("egress-authorization")).not.toContain(token);
    await socket.close();
    await gateway.until(() => gateway.closes.length > 0);
    expect(gateway.closes).toEqual([{ code: 1000, reason: "" }]);
  });

  it("[RC1] asks another host after a refusal that concerns the host, and only then", async () => {
    const { gateway, egress, h1, h2 } = await carried(2);
    for (const [code, isFollowed] of [
      ["draining", true],
      ["connection-refused", false],
      ["destination-prohibited", false],
    ] as const) {
      askedHosts.length = 0;
      gateways.set(h1, () => gatewayRefusal(code));
      gateways.set(h2, () => gatewayRefusal(code));
      const fault = await egress.connect(TO).opened.catch((reason: unknown) => reason as EgressError);
      expect(fault).toBeInstanceOf(EgressError);
      expect(fault).toMatchObject({ code });
      expect(askedHosts.length, code).toBe(isFollowed ? 2 : 1);
    }
    gateways.set(h1, gateway.gateway);
    gateways.set(h2, () => gatewayRefusal("port-block-exhausted"));
    for (let count = 0; count < 4; count += 1) {
      expect((await egress.connect(TO).opened).egress.ip).toBe("192.0.2.1");
    }
  });
});

describe("the SDK in a Worker", () => {
  it("[CL10] gives a socket of the shape of `cloudflare:sockets`", async () => {
    const { gateway, egress } = await carried();
    const socket = egress.connect({ hostname: "db.example.com", port: 5_432 });
    expect([socket.upgraded, socket.secureTransport]).toEqual([false, "off"]);
    expect(await socket.opened).toEqual({
      remoteAddress: TO,
      localAddress: "192.0.2.1:5312",
      egress: { ip: "192.0.2.1", port: 5_312, host: "h1" },
    });
    const writer = socket.writable.getWriter();
    await writer.write(encode("question"));
    await gateway.until(() => gateway.byteCount === 8);
    gateway.say(encode("answer"));
    const reader = socket.readable.getReader();
    expect(decode((await reader.read()).value)).toBe("answer");
    await writer.close();
    gateway.say({ type: "end" });
    expect((await reader.read()).done).toBe(true);
    await gateway.until(() => gateway.closes.length > 0);
    await socket.closed;
    expect(gateway.heard).toEqual([8, { type: "end" }]);
  });

  it("[CL10] refuses what makes no sense at once", async () => {
    const { egress } = await carried();
    for (const to of [
      "db.example.com",
      "db.example.com:0",
      "http://db.example.com:80",
      { hostname: "", port: 1 },
    ]) {
      expect(() => egress.connect(to)).toThrow(TypeError);
    }
    expect(() => egress.connect(TO, { secureTransport: "maybe" as never })).toThrow(TypeError);
    expect(() => egress.connect(TO, { egress: { ttl: 5 } })).toThrow(TypeError);
    await expect(
      egress
        .connect(TO)
        .writable.getWriter()
        .write("text" as never),
    ).rejects.toThrow(TypeError);
    const elsewhere = createEgress({
      endpoint: "https://edge.test",
      token: "t",
      fetch: async () => new Response("hi"),
    });
    await expect(elsewhere.connect(TO).opened).rejects.toMatchObject({ code: "answer-foreign" });
  });

  it("[CL9] [CL10] takes no WebSocket that names no egress, and leaves none open", async () => {
    const { gateway, egress } = await carried();
    gateway.isForeign = true;
    const socket = egress.connect(TO);
    await expect(socket.opened).rejects.toMatchObject({ code: "answer-foreign" });
    await gateway.until(() => gateway.closes.length > 0);
    expect(gateway.closes[0]!.code).toBe(4500);
  });

  it("[RC4] sends its window and waits, and gives credit as it is read", async () => {
    const { gateway, egress } = await carried();
    const socket = egress.connect(TO);
    const writer = socket.writable.getWriter();
    const writing = writer.write(new Uint8Array(WINDOW_BYTES + 1_000));
    await gateway.until(() => gateway.byteCount === WINDOW_BYTES);
    let isWritten = false;
    void writing.then(() => (isWritten = true));
    gateway.say(encode("x"));
    const reader = socket.readable.getReader();
    await reader.read();
    expect([isWritten, gateway.byteCount]).toEqual([false, WINDOW_BYTES]);
    gateway.say({ type: "credit", bytes: 5_000 });
    await writing;
    await gateway.until(() => gateway.byteCount === WINDOW_BYTES + 1_000);
    expect(Math.max(...(gateway.heard as number[]))).toBe(65_536);

    // It counts as 512 bytes, so that after three pieces and it a step is full.
    const piece = new Uint8Array(32_768);
    for (let count = 0; count < 2; count += 1) gateway.say(piece);
    for (let count = 0; count < 2; count += 1) await reader.read();
    await gateway.until(() => typeof gateway.heard.at(-1) === "object");
    expect(gateway.heard.at(-1)).toEqual({ type: "credit", bytes: 66_048 });
    await socket.close();
  });

  it.each([
    ["a text that is none", "hello", "carrier-malformed"],
    ["a control of the other side", { type: "start-tls", name: null }, "carrier-malformed"],
    ["TLS that nobody asked for", { type: "secured" }, "carrier-malformed"],
  ] as const)("[RC4] %s of a gateway ends the connection by name", async (_what, said, code) => {
    const { gateway, egress } = await carried();
    const socket = egress.connect(TO);
    await socket.opened;
    gateway.say(said);
    await expect(socket.closed).rejects.toMatchObject({ code });
    await gateway.until(() => gateway.closes.length > 0);
    expect(gateway.closes[0]!.code).toBe(4400);
  });

  it("[RC4] a gateway that sends more than the window is cut off", async () => {
    const { gateway, egress } = await carried();
    const socket = egress.connect(TO);
    await socket.opened;
    for (let count = 0; count < 5; count += 1) gateway.say(new Uint8Array(65_536));
    await expect(socket.closed).rejects.toMatchObject({ code: "carrier-malformed" });
  });

  it.each([
    [4500, "connection-terminated: ECONNRESET", "connection-terminated", "ECONNRESET"],
    [4500, "connection-idle", "connection-idle", null],
    [1001, "lease-lost", "lease-lost", null],
    [4400, "carrier-malformed: Why.", "carrier-malformed", "Why."],
    [1011, "", "carrier-lost", "It was closed with 1011."],
    [1000, "", "carrier-lost", "It was closed with 1000."],
  ])("[RC5] a close with %s %j fails it as %s, after what had come", async (close, reason, code, detail) => {
    const { gateway, egress } = await carried();
    const socket = egress.connect(TO);
    await socket.opened;
    gateway.say(encode("last words"));
    gateway.close(close, reason);
    await expect(socket.closed).rejects.toMatchObject({ code, detail, status: 101 });
    const reader = socket.readable.getReader();
    expect(decode((await reader.read()).value)).toBe("last words");
    await expect(reader.read()).rejects.toMatchObject({ code });
    await expect(socket.writable.getWriter().write(encode("x"))).rejects.toMatchObject({ code });
  });

  it("[RC5] tells the gateway whether it ends or breaks off", async () => {
    const { gateway, egress } = await carried();
    const ending = egress.connect(TO);
    const writer = ending.writable.getWriter();
    void writer.write(encode("all of it"));
    await ending.close();
    await gateway.until(() => gateway.closes.length === 1);
    expect([gateway.byteCount, gateway.closes[0]!.code]).toEqual([9, 1000]);
    await ending.closed;

    const breaking = egress.connect(TO);
    await breaking.opened;
    await breaking.writable.abort(new Error("enough"));
    await gateway.until(() => gateway.closes.length === 2);
    expect(gateway.closes[1]!.code).toBe(4500);

    const ignoring = egress.connect(TO);
    await ignoring.opened;
    await ignoring.readable.cancel();
    // What comes from now on is dropped, and credit given for it.
    for (let count = 0; count < 2; count += 1) gateway.say(new Uint8Array(65_536));
    await gateway.until(() => gateway.heard.some((one) => typeof one === "object" && one.type === "credit"));
    await ignoring.close();
  });

  it("[RC6] begins TLS by a message, and trusts nothing that comes before the answer", async () => {
    const { gateway, egress } = await carried();
    const plain = egress.connect(TO, { secureTransport: "starttls" });
    const writer = plain.writable.getWriter();
    await writer.write(encode("S?"));
    writer.releaseLock();
    const secure = plain.startTls({ expectedServerHostname: "db.internal" });
    await gateway.until(() => gateway.heard.length === 2);
    expect(gateway.heard).toEqual([2, { type: "start-tls", name: "db.internal" }]);
    gateway.say({ type: "secured" });
    gateway.say(encode("secret"));
    await secure.opened;
    await plain.closed;
    expect(decode((await secure.readable.getReader().read()).value)).toBe("secret");
    await secure.close();

    const attacked = egress.connect(TO, { secureTransport: "starttls" });
    await attacked.opened;
    gateway.heard.length = 0;
    const insecure = attacked.startTls();
    await gateway.until(() => gateway.heard.length === 1);
    gateway.say(encode("injected"));
    gateway.say({ type: "secured" });
    await expect(insecure.opened).rejects.toMatchObject({ code: "tls-error" });
    await expect(insecure.readable.getReader().read()).rejects.toMatchObject({ code: "tls-error" });
  });
});

describe("a service binding", () => {
  const host = "carrying-host";
  beforeAll(async () => {
    await administer("PUT", "/v1/pools/bound", {});
    await administer("PUT", "/v1/pools/bound/ips/203.0.113.78");
    const token = await tokenFor({ role: "host", subject: host, pools: ["bound"] });
    const headers = { authorization: `Bearer ${token}`, upgrade: "websocket" };
    const { webSocket } = await ask("/v1/pools/bound/connect", { headers });
    webSocket!.accept();
    const enlisted = new Promise((resolve) => {
      webSocket!.addEventListener("message", resolve, { once: true });
    });
    const say = (message: object): void => webSocket!.send(JSON.stringify(message));
    say({
      type: "enlist",
      version: PROTOCOL_VERSION,
      instance: "instance-1",
      gateway: `http://${host}.gateway`,
    });
    say({ type: "report", draining: false, rooms: [{ ip: "203.0.113.78", portCount: 64, busiestCount: 0 }] });
    await enlisted;
  });

  it("[RC7] connects without a token, in the binding's name and pool", async () => {
    const gateway = new CarryingGateway();
    gateway.isEcho = true;
    gateways.set(host, gateway.gateway);
    const egress = createEgress({ binding: EGRESS });
    const socket = egress.connect(TO);
    await socket.opened;
    const [request] = gateway.requests;
    expect(request!.url).toBe(`http://${host}.gateway/v1/connect?to=db.example.com%3A5432`);
    const [, claims] = request!.headers.get("egress-authorization")!.split(".");
    expect(JSON.parse(atob(claims!))).toMatchObject({ sub: "shop", pools: ["bound"], role: "gateway" });
    const writer = socket.writable.getWriter();
    await writer.write(encode("hello"));
    const { value } = await socket.readable.getReader().read();
    expect(decode(value)).toBe("hello");
    await socket.close();

    gateways.set(host, () => gatewayRefusal("connection-refused"));
    await expect(egress.connect(TO).opened).rejects.toMatchObject({
      code: "connection-refused",
      status: 502,
    });
    const denied = createEgress({ binding: EGRESS, pool: "other" });
    await expect(denied.connect(TO).opened).rejects.toMatchObject({ code: "pool-denied", status: 403 });
  });

  it("[RC7] fetches through the SDK as well", async () => {
    gateways.set(host, (request) =>
      Response.json(
        { url: request.url, egress: request.headers.get("egress-redirect") },
        { headers: { "egress-host": host } },
      ),
    );
    const egress = createEgress({ binding: EGRESS });
    const response = await egress.fetch("https://api.example.com/x?a=1#part");
    expect(response.url).toBe("https://api.example.com/x?a=1");
    expect(await response.json()).toEqual({
      url: `http://${host}.gateway/v1/fetch?url=${encodeURIComponent("https://api.example.com/x?a=1")}`,
      egress: "follow",
    });
  });
});

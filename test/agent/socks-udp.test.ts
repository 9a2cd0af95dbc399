/** UDP ASSOCIATE as clients of SOCKS5 ask for it, through the listener. */
import { connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually } from "./gateway-rig.ts";
import { ByteClient, type ProxyRig, startProxyRig } from "./proxy-rig.ts";
import { CERTIFICATE, KEY } from "./tls-origin.ts";
import { DEFAULT_POOL_POLICY, NO_LIMITS, UNRESTRICTED } from "../../src/core/pool-policy.ts";
import { UdpEnd, unwrapped, wrapped } from "./udp-rig.ts";

let rig: ProxyRig;
let client: UdpEnd;
let echo: UdpEnd;

beforeAll(async () => {
  rig = await startProxyRig({
    certificate: () => ({ cert: Buffer.from(CERTIFICATE), key: Buffer.from(KEY) }),
    records: { "echo.test": ["127.0.0.1"] },
  });
  client = await UdpEnd.bind();
  echo = await UdpEnd.bind();
});
afterAll(async () => {
  client.close();
  echo.close();
  await rig.close();
});
afterEach(async () => {
  await eventually(() => rig.ports.heldCounts().inUse === 0, "every port given back");
  await eventually(() => rig.proxy.clientCount === 0, "no client left");
  expect(rig.associations.size).toBe(0);
  expect(rig.faults).toEqual([]);
  rig.counts.clear();
  client.heard.length = 0;
  echo.heard.length = 0;
});

const ANYWHERE = [1, 0, 0, 0, 0, 0, 0];

/** A control connection, and the reply to its request. */
async function associated(announced: readonly number[] = ANYWHERE) {
  const control = new ByteClient(rig.proxyPort);
  control.write(Buffer.from([5, 1, 0, 5, 3, 0, ...announced]));
  expect([...(await control.take(2))]).toEqual([5, 0]);
  const reply = await control.take(10);
  const place = { ip: reply.subarray(4, 8).join("."), port: reply.readUInt16BE(8) };
  return { control, code: reply[1], place };
}

/** The code of a request that is refused. */
async function refusal(announced?: readonly number[]): Promise<number | undefined> {
  const { control, code } = await associated(announced);
  control.socket.destroy();
  return code;
}

test("[UD1] [SX1] an association is asked for, used and ended by its connection", async () => {
  const { control, code, place } = await associated();
  expect([code, place.ip, rig.associations.size]).toEqual([0, "127.0.0.1", 1]);
  await client.send(wrapped("echo.test", echo.port, "hello"), place);
  const [asked] = await echo.hears(1);
  expect([asked!.ip, asked!.text]).toEqual(["127.0.0.10", "hello"]);
  expect(asked!.port >= 20_480 && asked!.port < 22_528).toBe(true);
  await echo.send("answer", asked!);
  expect(unwrapped((await client.hears(1))[0]!)).toEqual({
    ip: "127.0.0.1",
    port: echo.port,
    text: "answer",
  });
  expect(rig.associations.describe()).toMatchObject({ associations: 1, sent: 1, received: 1 });
  control.write("what is said on the connection means nothing");
  await client.send(wrapped("127.0.0.1", echo.port, "on"), place);
  await echo.hears(2);
  control.socket.end();
  await control.until(({ hasEnded }) => hasEnded, "the end");
});

test("[UD2] a reset of its connection ends it, and so does one that comes before the reply", async () => {
  const { control } = await associated();
  expect(rig.associations.size).toBe(1);
  control.socket.resetAndDestroy();
  await eventually(() => rig.associations.size === 0, "it is over");
  const hasty = new ByteClient(rig.proxyPort);
  await new Promise<void>((resolve) => {
    hasty.socket.write(Buffer.from([5, 1, 0, 5, 3, 0, ...ANYWHERE]), () => resolve());
  });
  hasty.socket.resetAndDestroy();
});

test("[UD2] when its lease ends its connection is reset, counted by name", async () => {
  const { control } = await associated();
  rig.ports.removeBlock(1);
  await control.until(({ wasReset }) => wasReset, "the reset");
  expect(Object.fromEntries(rig.counts)).toEqual({ "lease-lost": 1 });
  rig.ports.addBlock({ base: 20_480, order: 11, epoch: 1 });
});

test("[UD2] [PX11] within TLS it is asked for the same way, and ends with that connection, or that with it", async () => {
  for (const isLeaseLost of [false, true]) {
    const control = connectTls({ port: rig.proxyPort, host: "127.0.0.1", ca: CERTIFICATE });
    control.on("error", () => {});
    let said = Buffer.alloc(0);
    control.on("data", (bytes: Buffer) => (said = Buffer.concat([said, bytes])));
    control.write(Buffer.from([5, 1, 0, 5, 3, 0, ...ANYWHERE]));
    await eventually(() => said.length === 12, "both answers");
    const place = { ip: said.subarray(6, 10).join("."), port: said.readUInt16BE(10) };
    const one = await UdpEnd.bind();
    await one.send(wrapped("127.0.0.1", echo.port, "over TLS"), place);
    await eventually(() => echo.heard.some(({ text }) => text === "over TLS"), "it arrives");
    echo.heard.length = 0;
    one.close();
    if (isLeaseLost) rig.ports.removeBlock(1);
    else control.end();
    await eventually(() => control.closed, "the connection has ended");
    expect(rig.associations.size).toBe(0);
  }
  rig.ports.addBlock({ base: 20_480, order: 11, epoch: 1 });
});

test("[UD3] a client may announce a name, which says nothing, or a port, which is held to", async () => {
  const named = await associated([3, 1, 0x30, 0x12, 0x34]);
  await client.send(wrapped("127.0.0.1", echo.port, "named"), named.place);
  await echo.hears(1);
  named.control.socket.end();
  const other = await UdpEnd.bind();
  const held = await associated([1, 0, 0, 0, 0, client.port >> 8, client.port & 255]);
  await other.send(wrapped("127.0.0.1", echo.port, "no"), held.place);
  await client.send(wrapped("127.0.0.1", echo.port, "yes"), held.place);
  expect((await echo.hears(2)).map(({ text }) => text)).toEqual(["named", "yes"]);
  expect(rig.associations.tally.describe().drops).toEqual({ "sender-foreign": 1 });
  other.close();
  held.control.socket.end();
});

test("[UD2] [SX2] without a lease, while draining, or for a strange address type it is refused by its reply", async () => {
  rig.ports.drainBlock(1);
  expect(await refusal()).toBe(1);
  rig.ports.resumeBlock(1);
  rig.admission.isDraining = true;
  expect(await refusal()).toBe(1);
  rig.admission.isDraining = false;
  expect(await refusal([9, 0, 0, 0, 0, 0, 0])).toBe(8);
  expect(Object.fromEntries(rig.counts)).toEqual({
    "lease-lost": 1,
    draining: 1,
    "address-type-unsupported": 1,
  });
});

test("[UD2] a hundred clients at once, each with answers of its own, leave nothing behind", async () => {
  const all = await Promise.all(
    Array.from({ length: 100 }, async () => ({ ...(await associated()), end: await UdpEnd.bind() })),
  );
  const talkative = echo.socket.on("message", (payload, { address: ip, port }) => {
    void echo.send(payload, { ip, port });
  });
  await Promise.all(
    all.map(async ({ place, end }, at) => {
      await end.send(wrapped("127.0.0.1", echo.port, `to ${at}`), place);
      expect(unwrapped((await end.hears(1))[0]!).text).toBe(`to ${at}`);
    }),
  );
  talkative.removeAllListeners("message");
  expect(new Set(echo.heard.map(({ port }) => port)).size).toBe(100);
  for (const [at, { control, end }] of all.entries()) {
    end.close();
    if (at % 3 === 0) control.socket.resetAndDestroy();
    else control.socket.end();
  }
});

test("[LI4] an association counts as a tunnel, beside those by CONNECT, until its connection has closed", async () => {
  const limited = { ...UNRESTRICTED, limits: { ...NO_LIMITS, tunnels: 2 } };
  rig.tenants.take({ ...DEFAULT_POOL_POLICY, version: 1, anyTenant: limited });
  const used = (): unknown =>
    rig.tenants.meters.describe().find(({ tenant }) => tenant === "local")?.["used"];
  const first = await associated();
  const second = await associated();
  expect([first.code, second.code]).toEqual([0, 0]);
  expect(used()).toMatchObject({ tunnels: 2, associations: 2, ports: 2 });
  expect(await refusal()).toBe(2);
  const tunnel = new ByteClient(rig.proxyPort);
  tunnel.write("CONNECT 127.0.0.1:9 HTTP/1.1\r\nhost: a\r\n\r\n");
  await tunnel.until(({ text }) => text.includes('"code":"tunnels-limited"'), "a refusal");
  tunnel.socket.destroy();
  expect(rig.counts.get("tunnels-limited")).toBe(2);
  first.control.socket.destroy();
  await eventually(() => rig.associations.size === 1, "it has ended");
  const third = await associated();
  expect(third.code).toBe(0);
  for (const { control } of [second, third]) control.socket.destroy();
  await eventually(() => rig.associations.size === 0, "all have ended");
  expect(used()).toMatchObject({ tunnels: 0, associations: 0 });
  rig.tenants.take({ ...DEFAULT_POOL_POLICY, version: 2 });
});

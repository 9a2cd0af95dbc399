/** As many connections as a process may have descriptors for, less what it needs itself. */
import { once } from "node:events";
import { connect, Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { OpenSockets } from "../../src/agent/egress/open-sockets.ts";
import { descriptorLimit } from "../../src/process/descriptors.ts";
import { eventually, startOrigin, startRig } from "./gateway-rig.ts";

test("[GW25] sockets count until they have closed, and that there is no room is told once", async () => {
  const sockets = new OpenSockets(4);
  let toldCount = 0;
  sockets.onFull = () => (toldCount += 1);
  const open = Array.from({ length: 4 }, () => new Socket());
  for (const socket of open.slice(0, 3)) sockets.note(socket);
  expect([sockets.isFull, toldCount]).toEqual([false, 0]);
  sockets.note(open[3]!);
  expect([sockets.isFull, toldCount]).toEqual([true, 1]);
  const close = async (socket: Socket): Promise<void> => {
    socket.destroy();
    await once(socket, "close");
  };
  await close(open[0]!);
  expect(sockets.isFull).toBe(false);
  const again = new Socket();
  sockets.note(again);
  expect([sockets.isFull, toldCount]).toEqual([true, 1]);
  for (const socket of [again, ...open.slice(1)]) await close(socket);
  for (let count = 0; count < 4; count += 1) sockets.note(new Socket());
  expect(toldCount).toBe(2);
});

test("[GW25] clients have some room more, to be refused by name", () => {
  const sockets = new OpenSockets(1);
  for (let count = 0; count < 64; count += 1) sockets.note(new Socket());
  expect([sockets.isFull, sockets.isOverfull]).toEqual([true, false]);
  sockets.note(new Socket());
  expect(sockets.isOverfull).toBe(true);
});

test("[GW25] a process keeps some of its descriptors for itself", () => {
  expect(OpenSockets.within(20_000).max).toBe(19_808);
  expect(OpenSockets.within(100).max).toBe(1);
  expect(OpenSockets.within(Infinity).max).toBe(Infinity);
  expect(descriptorLimit()).toBeGreaterThan(256);
});

test("[GW25] what needs a connection more than there may be is refused by name, and served when one has ended", async () => {
  const rig = await startRig({ maxConnections: 6, idleTimeoutMs: 50 });
  onTestFinished(() => rig.close());
  const waiting: (() => void)[] = [];
  const origin = await startOrigin((_request, response) => {
    waiting.push(() => response.end("done"));
  });
  onTestFinished(() => origin.close());
  // Each has one with its client and one with the origin.
  const held = Array.from({ length: 3 }, () => rig.fetch(origin.url));
  await eventually(() => waiting.length === 3, "three are held");
  const refused = await rig.fetch(origin.url);
  expect([refused.status, refused.headers.get("proxy-status")]).toEqual([
    503,
    'ipshard; error=connection_limit_reached; details="connections-exhausted"'.replaceAll("; ", ";"),
  ]);
  await refused.body?.cancel();
  for (const answer of waiting.splice(0)) answer();
  for (const response of held) expect(await (await response).text()).toBe("done");
  // While those that were kept are being closed they count, and could serve nothing.
  await eventually(() => rig.outgoing.size === 0, "what was kept has closed");
  const next = rig.fetch(origin.url);
  await eventually(() => waiting.length === 1, "another is served");
  waiting[0]!();
  expect((await next).status).toBe(200);
  expect(rig.faults).toEqual([]);
});

test("[GW25] a client for whom not even a refusal can be said is reset", async () => {
  const rig = await startRig({ maxConnections: 1 });
  onTestFinished(() => rig.close());
  const clients = Array.from({ length: 66 }, () => connect(rig.port, "127.0.0.1"));
  onTestFinished(() => clients.forEach((client) => client.destroy()));
  let resetCount = 0;
  for (const client of clients) client.on("error", () => (resetCount += 1));
  await eventually(() => resetCount === 1, "one is reset");
  expect(clients.filter(({ destroyed }) => destroyed)).toHaveLength(1);
});

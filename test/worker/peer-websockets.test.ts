import { beforeAll, describe, expect, it, vi } from "vitest";
import { HEARTBEAT, PROTOCOL_VERSION } from "../../src/core/messages.ts";
import { PLACELESS } from "../../src/core/whereabouts.ts";
import { administer, ask, codeOf, environment, freshNames, gateways, tokenFor } from "./edge.ts";

const { pool, h1 } = freshNames();
const OTHER_POOL = "connect-other";
const IP = "203.0.113.1";
const OTHER_IP = "203.0.113.2";

beforeAll(async () => {
  for (const [name, ip] of [
    [pool, IP],
    [OTHER_POOL, OTHER_IP],
  ]) {
    await administer("PUT", `/v1/pools/${name}`, {});
    await administer("PUT", `/v1/pools/${name}/ips/${ip}`);
  }
});

async function connect(path: string, extra: Record<string, string> = {}): Promise<Response> {
  const token = await tokenFor({ role: "host", subject: h1, pools: [pool] });
  return ask(path, { headers: { authorization: `Bearer ${token}`, upgrade: "websocket", ...extra } });
}

/** Says something and returns the next thing heard. */
function converse(socket: WebSocket, message: unknown): Promise<Record<string, unknown>> {
  const heard = new Promise<Record<string, unknown>>((resolve) => {
    socket.addEventListener("message", ({ data }) => resolve(JSON.parse(data as string)), { once: true });
  });
  socket.send(JSON.stringify(message));
  return heard;
}

describe("a host's connection", () => {
  it("[PM9] tells where its ports are in use most, and the pool shows it, for its addresses too", async () => {
    const toPool = (await connect(`/v1/pools/${pool}/connect`)).webSocket!;
    toPool.accept();
    const enlist = { type: "enlist", version: PROTOCOL_VERSION, instance: "instance-1", gateway: "http://x" };
    expect(await converse(toPool, enlist)).toMatchObject({
      takes: ["busiestDestination", "policyVersion", "tenants", "watchable"],
    });
    const busiestDestination = { protocol: "tcp", ip: "198.51.100.1", port: 443 };
    const rooms = [{ ip: IP, portCount: 256, busiestCount: 70, busiestDestination }];
    toPool.send(JSON.stringify({ type: "report", draining: false, rooms }));
    await vi.waitFor(async () => {
      const shown = await (await administer("GET", `/v1/pools/${pool}`)).json<{ ips: object[] }>();
      expect(shown).toMatchObject({ hosts: [{ rooms }] });
      expect(shown.ips).toContainEqual(
        expect.objectContaining({ ip: IP, busiestDestination: { ...busiestDestination, portCount: 70 } }),
      );
    });
    toPool.close();
  });

  it("[WK17] leads through its pool and address to a served request", async () => {
    const toIp = (await connect(`/v1/ips/${IP}/connect`)).webSocket!;
    toIp.accept();
    const join = { type: "join", version: PROTOCOL_VERSION, requestId: "1", instance: "instance-1" };
    expect(await converse(toIp, join)).toMatchObject({ type: "answer", leases: [] });
    const acquired = await converse(toIp, { type: "acquire", requestId: "2", order: 8 });
    expect(acquired).toMatchObject({ type: "answer", granted: { order: 8 } });

    const toPool = (await connect(`/v1/pools/${pool}/connect`)).webSocket!;
    toPool.accept();
    const gateway = `http://${h1}.gateway`;
    const enlist = { type: "enlist", version: PROTOCOL_VERSION, instance: "instance-1", gateway };
    expect(await converse(toPool, enlist)).toMatchObject({ type: "enlisted", pool, ips: [IP] });
    const rooms = [{ ip: IP, portCount: 256, busiestCount: 0 }];
    toPool.send(JSON.stringify({ type: "report", draining: false, rooms }));
    await vi.waitFor(async () => {
      toPool.send(HEARTBEAT);
      const shown = await (await administer("GET", `/v1/hosts/${h1}`)).json<{ pools: unknown[] }>();
      const reach = { ipv4: null, ipv6: null };
      const figures = { uplink: "unknown", destinationCount: null, failedCount: null };
      const place = { site: null, weight: 1 };
      const host = { pool, host: h1, gateway, live: true, draining: false, reach, uplink: "unknown" };
      const room = { ...rooms[0], busiestDestination: null, ...figures };
      const own = { ...place, rooms: [room], leaving: [], drain: null, policyVersion: null, slots: [] };
      expect(shown.pools).toEqual([{ ...host, ...own }]);
    });

    gateways.set(h1, () => new Response("served"));
    const headers = { "egress-authorization": `Bearer ${await tokenFor({ pools: [pool] })}` };
    expect(await (await ask("/v1/fetch?url=http%3A%2F%2Fx%2F", { headers })).text()).toBe("served");

    const made = await ask("/v1/gateway-tokens", { method: "POST", headers });
    expect(await made.json()).toMatchObject({ pool, hosts: [{ host: h1, gateway, ips: [IP] }] });
    const table = await (await administer("GET", `/v1/ips/${IP}`)).json();
    expect(table).toMatchObject({ pool, blocks: [{ host: h1, order: 8, state: "leased" }] });
    toIp.close();
    toPool.close();
  });

  it.each([
    [`/v1/pools/${OTHER_POOL}/connect`, 403, "pool-denied"],
    [`/v1/ips/${OTHER_IP}/connect`, 403, "pool-denied"],
    ["/v1/ips/203.0.113.250/connect", 404, "ip-unknown"],
    ["/v1/ips/nonsense/connect", 400, "input-invalid"],
    ["/v1/pools/NO/connect", 400, "input-invalid"],
  ])("[WK17] to %s is refused: %i %s", async (path, status, code) => {
    expect(await codeOf(await connect(path))).toEqual({ status, code });
  });

  it.each([
    ["host", "connect"],
    ["router", "steering"],
  ] as const)(
    "[WK17] [ID5] as a %s to a pool whose name is only like its own is refused",
    async (role, way) => {
      for (const like of [`${pool}-private`, `private-${pool}`, pool.slice(0, -1), pool.slice(1)]) {
        const token = await tokenFor({ role, subject: h1, pools: [pool] });
        const headers = { authorization: `Bearer ${token}`, upgrade: "websocket" };
        const response = await ask(`/v1/pools/${like}/${way}`, { headers });
        expect(await codeOf(response)).toEqual({ status: 403, code: "pool-denied" });
      }
    },
  );

  it.each([
    ["/v1/ips/nonsense/connect", "That is no address."],
    ["/v1/pools/NO/connect", "That is no name of a pool."],
  ])("[WK16] [WK17] to %s is told what is wrong", async (path, detail) => {
    expect(await (await connect(path)).json()).toMatchObject({ code: "input-invalid", detail });
  });

  it("[WK17] [ID5] to an address of a pool whose name begins as its own is refused", async () => {
    const like = `${pool}-private`;
    const ip = "203.0.113.3";
    await administer("PUT", `/v1/pools/${like}`, {});
    await administer("PUT", `/v1/pools/${like}/ips/${ip}`);
    expect(await codeOf(await connect(`/v1/ips/${ip}/connect`))).toEqual({
      status: 403,
      code: "pool-denied",
    });
  });

  it.each([`/v1/pools/${pool}/connect`, `/v1/ips/${IP}/connect`])(
    "[WK17] without an upgrade %s says that one is required",
    async (path) => {
      const token = await tokenFor({ role: "host", subject: h1, pools: [pool] });
      const response = await ask(path, { headers: { authorization: `Bearer ${token}` } });
      expect(response.headers.get("upgrade")).toBe("websocket");
      expect(await codeOf(response)).toEqual({ status: 426, code: "upgrade-required" });
    },
  );

  it("[WK17] carries the name in its token, whatever it claims, and no token", async () => {
    const seen: Headers[] = [];
    const spied = {
      ...environment,
      EGRESS_POOL: {
        getByName: () => ({
          fetch: async (request: Request) => {
            seen.push(request.headers);
            return new Response(null, { status: 204 });
          },
        }),
      } as never,
    };
    const token = await tokenFor({ role: "host", subject: h1, pools: [pool] });
    const headers = {
      authorization: `Bearer ${token}`,
      upgrade: "websocket",
      "ipshard-host": "somebody-else",
    };
    await ask(`/v1/pools/${pool}/connect`, { headers }, spied);
    expect(seen[0]?.get("ipshard-host")).toBe(h1);
    expect(seen[0]?.has("authorization")).toBe(false);
    const ours = { "egress-authorization": `Bearer ${token}`, upgrade: "WebSocket" };
    await ask(`/v1/pools/${pool}/connect`, { headers: ours }, spied);
    expect(seen[1]?.get("ipshard-host")).toBe(h1);
    expect(seen[1]?.has("egress-authorization")).toBe(false);
  });
});

describe("an address that is removed", () => {
  it("[RE1] is shown with what is left of it, and can be taken back", async () => {
    const ip = "203.0.113.77";
    const path = `/v1/pools/${pool}/ips/${ip}`;
    await administer("PUT", path);
    const host = (await connect(`/v1/ips/${ip}/connect`)).webSocket!;
    host.accept();
    const join = { type: "join", version: PROTOCOL_VERSION, requestId: "1", instance: "instance-1" };
    expect(await converse(host, join)).toMatchObject({ type: "answer" });
    const acquire = { type: "acquire", requestId: "2", order: 8 };
    expect(await converse(host, acquire)).toMatchObject({ granted: { order: 8 } });
    const shown = {
      ip,
      advertised: null,
      ...PLACELESS,
      drain: null,
      busiestDestination: null,
      retiring: { leasedPortCount: 256, quarantinedPortCount: 0 },
    };
    for (let time = 0; time < 2; time += 1) {
      const removed = await (await administer("DELETE", path)).json<{ ips: unknown[] }>();
      expect(removed.ips).toContainEqual(shown);
    }
    const table = async () => (await administer("GET", `/v1/ips/${ip}`)).json();
    expect(await table()).toMatchObject({ pool, retiring: true });
    const elsewhere = await administer("PUT", `/v1/pools/${OTHER_POOL}/ips/${ip}`);
    expect(await codeOf(elsewhere)).toEqual({ status: 409, code: "ip-elsewhere" });
    const refused = { type: "refused", code: "ip-retiring" };
    expect(await converse(host, { ...acquire, requestId: "3" })).toMatchObject(refused);
    const back = await (await administer("PUT", path)).json<{ ips: unknown[] }>();
    expect(back.ips).toContainEqual({ ...shown, retiring: null });
    expect(await table()).toMatchObject({ pool, retiring: false });
    expect(await converse(host, { ...acquire, requestId: "4" })).toMatchObject({ granted: { order: 8 } });
    host.close();
  });
});

/** Objects that are asked for, and never were: anybody with a token can name them. */
import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import { HOST_HEADER, ROUTER_HEADER } from "../../durable-objects/calls/peer-headers.ts";
import { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
import { objects, settings, upgrade } from "./objects.ts";

const BY = { subject: "root", tokenId: "t1", route: "putPool", input: {} } as const;
const PAGE = { sinceMs: 0, before: null, kinds: null, host: null, limit: 5 };
/** What calls are given; those that are not here take nothing. */
const GIVEN: Readonly<Record<string, readonly unknown[]>> = {
  holdersAt: [{ port: 5_000, atMs: 1 }],
  leasesOf: [{ port: 5_000, limit: 5 }],
  removeHost: ["h1", BY],
  dropTokens: [["t1"]],
  settingsRefusal: [{ minPortsPerHost: 9_999, maxPortsPerHost: 64 }, BY],
  addIp: ["192.0.2.1", null, BY],
  removeIp: ["192.0.2.1", BY],
  drainHost: ["h1", true, BY],
  drainIp: ["192.0.2.1", true, BY],
  placement: [["h1"]],
  publish: ["192.0.2.1", { version: 1, lastEpoch: 0, blocks: [] }],
  changePolicy: [{ special: [] }, null, BY],
  putTenant: ["shop", {}, null, BY],
  removeTenant: ["shop", BY],
  revokeTokens: [[{ tokenId: "t1", expiresAtMs: 1 }], BY],
  audit: [{ limit: 5 }],
  events: [{ ...PAGE, pools: null }],
  takeRevocations: [[{ tokenId: "t1", expiresAtMs: 1, role: null }]],
  takeRetiredKeys: [["k1"]],
};
/** What makes an object what it is, and what needs a socket that an object which never was has not. */
const LEFT_OUT = new Set(["constructor", "configure", "assign", "fetch"]);

function callsOf(prototype: object): string[] {
  const names = Object.getOwnPropertyNames(prototype);
  return names.filter((name) => !LEFT_OUT.has(name) && !name.startsWith("webSocket"));
}

/** All that is in its storage. */
async function stored(stub: DurableObjectStub<EgressIp> | DurableObjectStub<EgressPool>): Promise<unknown> {
  return runInDurableObject(stub as DurableObjectStub, async (_instance, { storage }) => ({
    tables: storage.sql.exec("SELECT name FROM sqlite_master").toArray(),
    alarm: await storage.getAlarm(),
  }));
}

const NOTHING = { tables: [], alarm: null };

it.each(callsOf(EgressIp.prototype))("[DO22] an address that never was is asked: %s", async (call) => {
  const stub = objects.EGRESS_IP.getByName(`never ${call}`);
  await runInDurableObject(stub, async (instance: EgressIp) => {
    const answer: unknown = await (instance as any)[call](...(GIVEN[call] ?? []));
    if ("ok" in Object(answer)) expect(answer).toEqual({ ok: false, refusal: "ip-unknown" });
  });
  expect(await stored(stub)).toEqual(NOTHING);
});

it.each(callsOf(EgressPool.prototype))("[DO22] a pool that never was is asked: %s", async (call) => {
  const stub = objects.EGRESS_POOL.getByName(`never ${call}`);
  await runInDurableObject(stub, async (instance: EgressPool) => {
    const answer: unknown = await (instance as any)[call](...(GIVEN[call] ?? []));
    if ("ok" in Object(answer)) expect(answer).toEqual({ ok: false, refusal: "pool-unknown" });
  });
  expect(await stored(stub)).toEqual(NOTHING);
});

it("[DO22] who connects to what never was is refused, and leaves nothing", async () => {
  const address = objects.EGRESS_IP.getByName("192.0.2.250");
  const pool = objects.EGRESS_POOL.getByName("never");
  const asked = { upgrade: "websocket" };
  for (const [stub, header] of [
    [address, HOST_HEADER],
    [pool, HOST_HEADER],
    [pool, ROUTER_HEADER],
  ] as const) {
    expect((await upgrade(stub, { ...asked, [header]: "x1" })).status).toBe(404);
    expect(await stored(stub)).toEqual(NOTHING);
  }
  // It can become one all the same, in the same instance.
  expect(await address.assign("eu", settings)).toEqual({ ok: true, value: { status: "serving" } });
  expect(await address.describe()).toMatchObject({ ok: true, value: { pool: "eu" } });
});

/** The log of a pool: no change without its entry, and no entry without its change. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import type { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
import { HostConnection, objects } from "./objects.ts";

type Stub = DurableObjectStub<EgressPool>;

const BY = { subject: "ada", tokenId: "token-1", route: "aRoute", given: "{}" };
const PAGE = { limit: 100 };
let count = 0;

async function newPool() {
  count += 1;
  const stub = objects.EGRESS_POOL.getByName(`audited-${count}`);
  const ip = `198.18.7.${count}`;
  await stub.configure({}, BY);
  await stub.addIp(ip, null, BY);
  await stub.putTenant("shop", {}, null, BY);
  const host = await HostConnection.open(stub, "h1");
  await host.enlist("instance-1");
  return { stub, ip };
}

async function entriesOf(stub: Stub) {
  const entries = await stub.audit(PAGE);
  if (!entries.ok) throw new Error(entries.refusal);
  return [...entries.value];
}

/** All that a change can reach. */
async function stateOf(stub: Stub): Promise<unknown> {
  return runInDurableObject(stub, (_instance: EgressPool, { storage }) =>
    ["pool", "egress_ip", "policy", "revoked_token", "audit"].map((table) =>
      storage.sql.exec(`SELECT * FROM ${table}`).toArray(),
    ),
  );
}

const CHANGES: readonly (readonly [string, (pool: EgressPool, ip: string) => Promise<unknown>])[] = [
  ["configure", (pool) => pool.configure({ quarantineMs: 7_000 }, BY)],
  ["addIp", (pool, ip) => pool.addIp(ip, { tags: ["blue"] }, BY)],
  ["addIp of a new one", (pool, ip) => pool.addIp(ip.replace(".7.", ".6."), null, BY)],
  ["removeIp", (pool, ip) => pool.removeIp(ip, BY)],
  ["drainIp", (pool, ip) => pool.drainIp(ip, true, BY)],
  ["drainHost", (pool) => pool.drainHost("h1", true, BY)],
  ["removeHost", (pool) => pool.removeHost("h2", BY)],
  ["changePolicy", (pool) => pool.changePolicy({ special: ["10.0.0.0/8"] }, null, BY)],
  ["putTenant", (pool) => pool.putTenant("office", {}, null, BY)],
  ["removeTenant", (pool) => pool.removeTenant("shop", BY)],
  ["revokeTokens", (pool) => pool.revokeTokens([{ tokenId: "t", expiresAtMs: Date.now() + 3_600_000 }], BY)],
];

it.each(CHANGES)("[AU1] %s is made with its entry, or not at all", async (_name, change) => {
  const { stub, ip } = await newPool();
  await runInDurableObject(stub, (_instance: EgressPool, { storage }) => {
    storage.sql.exec(
      "CREATE TRIGGER no_room BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'there is no room'); END",
    );
  });
  const before = await stateOf(stub);
  // In the object: what it throws to who calls from outside is also said to be unhandled.
  const failed = await runInDurableObject(stub, (pool: EgressPool) => change(pool, ip).catch(String));
  expect(failed).toContain("there is no room");
  expect(await stateOf(stub)).toEqual(before);
  await runInDurableObject(stub, (_instance: EgressPool, { storage }) => {
    storage.sql.exec("DROP TRIGGER no_room");
  });
  const known = (await entriesOf(stub)).length;
  await runInDurableObject(stub, (pool: EgressPool) => change(pool, ip));
  const entries = await entriesOf(stub);
  expect(entries.length).toBeGreaterThan(known);
  expect(entries.at(-1)).toMatchObject({ subject: "ada", tokenId: "token-1", route: "aRoute" });
  await evictDurableObject(stub);
  expect(await entriesOf(stub)).toEqual(entries);
});

it("[AU1] names what the edge does by itself, and has no author for it", async () => {
  const { stub } = await newPool();
  await stub.revokeTokens([{ tokenId: "t", expiresAtMs: Date.now() + 3_600_000 }]);
  const entry = (await entriesOf(stub)).at(-1)!;
  expect(entry).toMatchObject({ subject: null, tokenId: null, route: "revoke", result: "done" });
  expect(JSON.parse(entry.after)).toMatchObject({ revoked: [{ tokenId: "t" }] });
});

it("[AU1] says of an address that it turned out to be another pool's", async () => {
  const { ip } = await newPool();
  const { stub } = await newPool();
  expect(await stub.addIp(ip, null, BY)).toEqual({ ok: false, refusal: "ip-elsewhere" });
  const results = (await entriesOf(stub)).slice(-2).map(({ result, after }) => [result, after === "null"]);
  expect(results).toEqual([
    ["done", false],
    ["ip-elsewhere", true],
  ]);
});

it("[AU1] has none of a pool that was never made", async () => {
  const stub = objects.EGRESS_POOL.getByName("audited-never");
  const unknown = { ok: false, refusal: "pool-unknown" };
  const refused = await runInDurableObject(stub, (pool: EgressPool) =>
    Promise.all(CHANGES.slice(1).map(([, change]) => change(pool, "198.18.6.250"))),
  );
  for (const answer of refused) expect(answer).toEqual(unknown);
  expect(await stub.audit(PAGE)).toEqual(unknown);
  await stub.configure({}, BY);
  expect(await entriesOf(stub)).toHaveLength(1);
});

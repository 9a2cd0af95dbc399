/** The stores on the SQLite of a real Durable Object. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import * as fc from "fast-check";
import { expect, it } from "vitest";
import type { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import type { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
import { ADDRESS_MIGRATIONS } from "../../durable-objects/address/address-schema.ts";
import { migrate } from "../../durable-objects/storage/migrate.ts";
import { histories, playHistory } from "../contract/lease-history.ts";
import { playPoolHistory, poolHistories } from "../contract/pool-history.ts";
import { objects, settings } from "./objects.ts";

it("[DO3] a table is read back as it was written, after every command", { timeout: 60_000 }, async () => {
  let objectCount = 0;
  let grantCount = 0;
  await fc.assert(
    fc.asyncProperty(histories, async (history) => {
      objectCount += 1;
      const stub = objects.EGRESS_IP.getByName(`history-${objectCount}`);
      await runInDurableObject(stub, (_instance: EgressIp, { storage }) => {
        grantCount += playHistory(storage, history).grantCount;
      });
    }),
    { numRuns: 50 },
  );
  expect(grantCount).toBeGreaterThan(25);
});

it("[DO3] a pool is read back as it was written, after every write", { timeout: 60_000 }, async () => {
  let objectCount = 0;
  await fc.assert(
    fc.asyncProperty(poolHistories, async (history) => {
      objectCount += 1;
      const stub = objects.EGRESS_POOL.getByName(`history-${objectCount}`);
      await runInDurableObject(stub, (_instance: EgressPool, { storage }) => {
        playPoolHistory(storage, history);
      });
    }),
    { numRuns: 15 },
  );
});

it("[DO1] an object brings its storage forward when it starts", async () => {
  const stub = objects.EGRESS_IP.getByName("192.0.2.1");
  await stub.assign("eu", settings);
  await runInDurableObject(stub, (_instance: EgressIp, { storage }) => {
    // As it was before there was any schema.
    const ours = "type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_cf%' ESCAPE '\\'";
    const tables = storage.sql
      .exec<{ name: string }>(`SELECT name FROM sqlite_master WHERE ${ours}`)
      .toArray();
    expect(tables.map(({ name }) => name)).toEqual(expect.arrayContaining(["lease", "schema_version"]));
    for (const { name } of tables) storage.sql.exec(`DROP TABLE ${name}`);
  });
  await evictDurableObject(stub);
  expect(await stub.assign("eu", settings)).toEqual({ ok: true, value: { status: "serving" } });
});

it("[DO2] an object whose storage is newer than the program refuses to run, and harms nothing", async () => {
  const stub = objects.EGRESS_IP.getByName("192.0.2.2");
  await stub.assign("eu", settings);
  await runInDurableObject(stub, (_instance: EgressIp, { storage }) => {
    migrate(storage, [...ADDRESS_MIGRATIONS, ["CREATE TABLE of_the_future (name TEXT)"]]);
  });
  await evictDurableObject(stub);
  await expect(Promise.resolve(stub.describe())).rejects.toThrow(`newer than ${ADDRESS_MIGRATIONS.length}`);
});

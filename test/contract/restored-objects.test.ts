/** What an address and a pool make of a restore at their starts: once, and again only when its operator says more. */
import { describe, expect, test } from "vitest";
import { AddressTable } from "../../durable-objects/address/address-table.ts";
import { EventLog } from "../../durable-objects/events/event-log.ts";
import type { ObjectPlatform } from "../../durable-objects/platform/object-platform.ts";
import { heedRestoration } from "../../durable-objects/pool/pool-restoration.ts";
import { POOL_MIGRATIONS } from "../../durable-objects/pool/pool-schema.ts";
import { PoolStore } from "../../durable-objects/pool/pool-store.ts";
import { SteeringStore } from "../../durable-objects/steering/steering-store.ts";
import { migrate } from "../../durable-objects/storage/migrate.ts";
import type { SqlDatabase } from "../../durable-objects/storage/sql-database.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import type { Restoration } from "../../src/core/recovery.ts";
import { openNodeDatabase } from "./node-database.ts";

const COPIED_MS = 1_800_000_000_000;
const RESTORED_MS = COPIED_MS + 3_600_000;
const RESTORATION: Restoration = { id: "r", atMs: RESTORED_MS, waitMs: 0, areSlotsKnown: false };
const CONFIRMED: Restoration = { ...RESTORATION, areSlotsKnown: true };
const STATIC: PoolSettings = { ...DEFAULT_POOL_SETTINGS, staticPortsPerHost: 256 };
const WAIT_MS = DEFAULT_POOL_SETTINGS.leaseDurationMs + DEFAULT_POOL_SETTINGS.quarantineMs;
const IP = "192.0.2.1";

/** One start of an object at this time; nothing of it waits for anything. */
function platformOf(storage: SqlDatabase, restoration: Restoration | null, nowMs: number) {
  const alarms: number[] = [];
  const platform = {
    name: IP,
    storage,
    restoration,
    nowMs: () => nowMs,
    random: () => 0.5,
    setAlarm: async (atMs: number) => void alarms.push(atMs),
    abort: (reason: string) => expect.unreachable(reason),
  } satisfies Partial<ObjectPlatform>;
  return { platform: platform as unknown as ObjectPlatform, alarms };
}

function started(storage: SqlDatabase, restoration: Restoration | null, nowMs: number) {
  const table = new AddressTable(platformOf(storage, restoration, nowMs).platform, () => {});
  return { table, address: () => table.address()! };
}

/** An address in which h1 holds a block. */
function copyOf(settings = DEFAULT_POOL_SETTINGS): SqlDatabase {
  const storage = openNodeDatabase();
  const { table, address } = started(storage, null, COPIED_MS);
  table.assign(IP, "eu", settings);
  table.execute(address(), { type: "join", host: "h1", instance: "h1" });
  const { session } = address().table.holders.get("h1")!;
  table.execute(address(), { type: "acquire", host: "h1", session, requestId: "1", order: 8 });
  return storage;
}

describe("an address", () => {
  test("[OC1] [OC2] heeds a restore at its first start after it, and at no later one", () => {
    const storage = copyOf();
    const untilMs = RESTORED_MS + WAIT_MS;
    expect(started(storage, RESTORATION, RESTORED_MS).address().table.recovery).toMatchObject({ untilMs });
    const { table } = started(storage, RESTORATION, RESTORED_MS + 60_000).address();
    expect(table.recovery).toMatchObject({ untilMs, copiedAtMs: COPIED_MS });
    expect(table.holders.get("h1")).toMatchObject({
      isUnheard: true,
      expiresAtMs: untilMs - DEFAULT_POOL_SETTINGS.quarantineMs,
    });
  });

  test("[OC2] [LE6] has on its disk by how much a leap of the clock has moved the wait", () => {
    const storage = copyOf();
    const leapedMs = RESTORED_MS + 86_400_000;
    started(storage, RESTORATION, RESTORED_MS).address();
    const leaped = started(storage, RESTORATION, leapedMs);
    leaped.table.execute(leaped.address(), { type: "tick" });
    const { untilMs } = leaped.address().table.recovery!;
    expect(untilMs).toBeGreaterThan(leapedMs);
    expect(started(storage, RESTORATION, leapedMs).address().table.recovery).toMatchObject({ untilMs });
  });

  test("[OC6] with slots waits for its operator, and from then on for the wait, once", () => {
    const storage = copyOf(STATIC);
    expect(started(storage, RESTORATION, RESTORED_MS).address().table.recovery!.untilMs).toBeNull();
    const saidMs = RESTORED_MS + 86_400_000;
    const untilMs = saidMs + WAIT_MS;
    expect(started(storage, CONFIRMED, saidMs).address().table.recovery).toMatchObject({ untilMs });
    expect(started(storage, CONFIRMED, saidMs + 9).address().table.recovery).toMatchObject({ untilMs });
  });

  test.each([
    ["within the wait", DEFAULT_POOL_SETTINGS, RESTORATION, WAIT_MS - 1, true],
    ["after it", DEFAULT_POOL_SETTINGS, RESTORATION, WAIT_MS, false],
    ["within that of the operator", DEFAULT_POOL_SETTINGS, { ...RESTORATION, waitMs: 9e6 }, 9e6 - 1, true],
    ["to slots that nobody knows all of", STATIC, RESTORATION, 9e9, true],
    ["to slots that are known", STATIC, CONFIRMED, WAIT_MS, false],
  ])("[OC2] [OC6] that is added for the first time %s", (_when, settings, restoration, afterMs, recovers) => {
    const { table, address } = started(openNodeDatabase(), restoration, RESTORED_MS + afterMs);
    table.assign(IP, "eu", settings);
    expect(address().table.recovery !== null).toBe(recovers);
  });
});

test("[OC4] [OC6] a pool wakes its addresses at a restore, and when its operator has said that slots are known", () => {
  const storage = openNodeDatabase();
  migrate(storage, POOL_MIGRATIONS);
  const store = new PoolStore(storage);
  const steering = new SteeringStore(storage);
  const start = (restoration: Restoration): readonly number[] => {
    const { platform, alarms } = platformOf(storage, restoration, RESTORED_MS);
    heedRestoration(platform, store, new EventLog(storage, () => RESTORED_MS));
    return alarms;
  };
  // A pool that there is not yet is no copy of anything.
  expect(start(RESTORATION)).toEqual([]);
  store.putPool({ name: "eu", settings: STATIC, revision: 7, isSteered: true });
  expect(start(RESTORATION)).toEqual([RESTORED_MS]);
  expect(steering.sequence()).toBe(RESTORED_MS);
  expect(store.pool()!.revision).toBe(8);
  expect(start(RESTORATION)).toEqual([]);
  const sequence = steering.advance();
  expect(start(CONFIRMED)).toEqual([RESTORED_MS]);
  expect(store.pool()!.revision).toBe(9);
  expect(steering.sequence()).toBe(sequence);
  expect(start(CONFIRMED)).toEqual([]);
  expect(start({ ...CONFIRMED, id: "s", atMs: RESTORED_MS + 5_000 })).toEqual([RESTORED_MS]);
  expect(steering.sequence()).toBe(RESTORED_MS + 5_000);
});

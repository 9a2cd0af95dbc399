/** A pool with more addresses than may be asked at once, on the storage of a real object. */
import { runInDurableObject } from "cloudflare:test";
import { expect, it, vi } from "vitest";
import type { PoolAddress } from "../../durable-objects/calls/address-calls.ts";
import { durablePlatform } from "../../durable-objects/platform/durable-platform.ts";
import type { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
import { PoolService } from "../../durable-objects/pool/pool-service.ts";
import { PoolStore } from "../../durable-objects/pool/pool-store.ts";
import { PLACELESS } from "../../src/core/whereabouts.ts";
import { objects } from "./objects.ts";

const COUNT = 1_200;
const AT_ONCE = 50;
const IN_ONE_PUSH = 500;

/** What a pool's addresses see of it. */
interface Seen {
  /** Every question since it was last emptied, in order. */
  readonly asked: string[];
  /** The most questions that were ever under way together. */
  most: number;
  alarmAtMs: number | null;
}

/** What an address does before it says that it serves. */
type Work = (ip: string) => Promise<void>;

/** Addresses that do this, and note that they were asked. */
function addresses(seen: Seen, work: Work): (ip: string) => PoolAddress {
  let underWay = 0;
  return (ip) => ({
    assign: async () => {
      seen.asked.push(ip);
      underWay += 1;
      seen.most = Math.max(seen.most, underWay);
      await work(ip).finally(() => (underWay -= 1));
      return { ok: true, value: { status: "serving" } };
    },
    describe: async () => {},
    held: async () => [],
    removeHost: async () => {},
    dropTokens: async () => {},
  });
}

const answers: Work = () => Promise.resolve();
const ipOf = (at: number): string => `10.0.${at >> 8}.${at & 255}`;

/** Runs a pool that has `COUNT` addresses, and an alarm that rings only when it is told to. */
async function withMany(
  name: string,
  work: Work,
  run: (service: PoolService, seen: Seen, store: PoolStore) => Promise<void>,
): Promise<void> {
  await runInDurableObject(objects.EGRESS_POOL.getByName(name), async (_instance: EgressPool, state) => {
    const seen: Seen = { asked: [], most: 0, alarmAtMs: null };
    const platform = {
      ...durablePlatform(state),
      name,
      setAlarm: async (atMs: number) => void (seen.alarmAtMs = atMs),
      deleteAlarm: async () => void (seen.alarmAtMs = null),
      report: () => {},
    };
    const service = new PoolService(platform, addresses(seen, work));
    await service.configure({});
    const store = new PoolStore(state.storage);
    for (let at = 0; at < COUNT; at += 1) {
      store.putIp({ ip: ipOf(at), advertised: null, ...PLACELESS }, 1);
    }
    await run(service, seen, store);
  });
}

it("[DO11] settings reach many addresses a few at a time, over several alarms", async () => {
  await withMany("many", answers, async (service, seen) => {
    await service.configure({ quarantineMs: 60_000 });
    for (let left = COUNT - IN_ONE_PUSH; left > 0; left -= IN_ONE_PUSH) {
      expect(seen.asked).toHaveLength(COUNT - left);
      expect(seen.alarmAtMs).not.toBeNull();
      await service.alarm();
    }
    expect(seen.asked).toEqual([...new Set(seen.asked)]);
    expect(seen).toMatchObject({ most: AT_ONCE, alarmAtMs: null });
    expect(seen.asked).toHaveLength(COUNT);
  });
});

it("[DO11] addresses that never answer do not keep the others from being told", async () => {
  const failing = new Set(Array.from({ length: IN_ONE_PUSH + 100 }, (_, at) => ipOf(at)));
  const work: Work = async (ip) => {
    if (failing.has(ip)) throw new Error("no answer");
  };
  await withMany("failing", work, async (service, seen, store) => {
    await service.configure({ quarantineMs: 60_000 });
    for (let time = 0; time < 2; time += 1) await service.alarm();
    expect(new Set(seen.asked).size).toBe(COUNT);
    expect(store.ipsToTell(store.pool()!.revision).toSorted()).toEqual([...failing].toSorted());
    // They are asked again for as long as they fail.
    expect(seen.alarmAtMs).not.toBeNull();
    seen.asked.length = 0;
    for (let time = 0; time < 2; time += 1) await service.alarm();
    expect(new Set(seen.asked)).toEqual(failing);
  });
});

it("[DO11] an address that hangs keeps only itself from being told", async () => {
  const mended = Promise.withResolvers<void>();
  const work: Work = (ip) => (ip === ipOf(0) ? mended.promise : Promise.resolve());
  await withMany("hanging", work, async (service, seen) => {
    const configured = service.configure({ quarantineMs: 60_000 });
    await vi.waitFor(() => expect(seen.asked).toHaveLength(IN_ONE_PUSH));
    mended.resolve();
    await configured;
  });
});

it("[DO11] an address that is added or removed is asked before those that wait", async () => {
  await withMany("first", answers, async (service, seen) => {
    const ip = "99.0.0.1";
    const configured = service.configure({ quarantineMs: 60_000 });
    expect(await service.addIp(ip, null)).toMatchObject({ ok: true });
    await configured;
    await service.configure({ quarantineMs: 50_000 });
    seen.asked.length = 0;
    await service.removeIp(ip);
    expect(seen.asked[0]).toBe(ip);
  });
});

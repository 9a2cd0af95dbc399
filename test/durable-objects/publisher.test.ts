/** When an address tries again that could not tell its pool, on the storage of a real object. */
import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { AddressService } from "../../durable-objects/address/address-service.ts";
import type { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import type { AddressPool } from "../../durable-objects/calls/pool-calls.ts";
import { durablePlatform } from "../../durable-objects/platform/durable-platform.ts";
import type { ObjectSocket } from "../../durable-objects/platform/object-platform.ts";
import { objects, type Reply, settings } from "./objects.ts";

const IP = "192.0.2.1";

/** A host's end of a connection is what its address sends on it. */
function socketOf(host: string, sent: Reply[]): ObjectSocket {
  let attachment: object = { host, session: null, pool: "eu" };
  return {
    readyState: WebSocket.OPEN,
    send: (text) => sent.push(JSON.parse(text) as Reply),
    close: () => {},
    serializeAttachment: (attached) => (attachment = attached),
    deserializeAttachment: () => attachment,
  };
}

it("[ST5] a pool is told again after 1 s, then after twice as long, up to 30 s, and anew once it was told", async () => {
  await runInDurableObject(objects.EGRESS_IP.getByName(IP), async (_instance: EgressIp, state) => {
    const nowMs = 1_700_000_000_000;
    let alarmAtMs = 0;
    let isBroken = true;
    const works: Promise<void>[] = [];
    const reported: string[] = [];
    const platform = {
      ...durablePlatform(state),
      name: IP,
      nowMs: () => nowMs,
      setAlarm: async (atMs: number) => void (alarmAtMs = atMs),
      keepAwake: (work: Promise<void>) => void works.push(work),
      report: (text: string) => void reported.push(text),
    };
    const pool: AddressPool = {
      publish: async () => (isBroken ? { ok: false, refusal: "pool-unknown" } : { ok: true, value: [] }),
    };
    const service = new AddressService(platform, () => pool);
    const sent: Reply[] = [];
    const socket = socketOf("h1", sent);
    const hear = async (message: object): Promise<Reply> => {
      await service.heard(socket, JSON.stringify(message));
      await Promise.all(works.splice(0));
      return sent.at(-1)!;
    };
    const ring = async (): Promise<number> => {
      await service.alarm();
      const delayMs = alarmAtMs - nowMs;
      await Promise.all(works.splice(0));
      return delayMs;
    };

    await service.assign("eu", settings, true);
    const delaysMs = [alarmAtMs - nowMs];
    for (let time = 0; time < 6; time += 1) delaysMs.push(await ring());
    expect(delaysMs).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    expect(reported).toEqual(Array.from({ length: 7 }, () => `address ${IP} could not be published`));

    isBroken = false;
    await ring();
    expect(
      await hear({ type: "join", version: 1, requestId: "j", instance: "first-instance" }),
    ).toMatchObject({
      type: "answer",
    });
    expect(await hear({ type: "acquire", requestId: "a", order: 8 })).toMatchObject({
      granted: { epoch: 1 },
    });
    isBroken = true;
    // Nothing is to be told any more, so that this alarm is not about the pool.
    expect(await ring()).toBeGreaterThan(30_000);
    expect(await hear({ type: "acquire", requestId: "b", order: 8 })).toMatchObject({
      code: "steering-pending",
    });
    expect(alarmAtMs - nowMs).toBe(1_000);
    expect(reported).toHaveLength(8);
  });
});

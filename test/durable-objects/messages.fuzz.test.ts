/** Objects that hear what no host or router of ours would say: each message has its answer, and no other effect. */
import { runInDurableObject } from "cloudflare:test";
import * as fc from "fast-check";
import { expect, it } from "vitest";
import type { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import type { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
import { LeaseStore } from "../../durable-objects/address/lease-store.ts";
import { PoolStore } from "../../durable-objects/pool/pool-store.ts";
import { SteeringStore } from "../../durable-objects/steering/steering-store.ts";
import { parseLeaseReply, parsePoolReply, parseRouterReply } from "../../src/wire/message-parsers.ts";
import { comparable } from "../contract/lease-history.ts";
import { garbage, mutationsOf } from "../wire/mutations.ts";
import { leaseRequests, poolRequests, routerRequests } from "../wire/valid-messages.ts";
import { HostConnection, objects, RouterConnection, settings } from "./objects.ts";

/** The limit is for shrinking what has failed, which else may take minutes. */
const RUNS = { numRuns: 120, interruptAfterTimeLimit: 40_000 } as const;
const LONG_TEST = { timeout: 60_000 };

/** Broken messages. A heartbeat is none, and an observer is answered by a table. */
function brokenOf(valid: fc.Arbitrary<{ readonly type: string }>): fc.Arbitrary<string> {
  return fc
    .oneof({ weight: 5, arbitrary: mutationsOf(valid) }, garbage)
    .map((text) => (text === "ping" ? "" : text));
}

it(
  "[ME3] [DO6] an address answers every message by name, and forgets what it refused",
  LONG_TEST,
  async () => {
    const stub = objects.EGRESS_IP.getByName("203.0.113.200");
    await stub.assign("eu", settings);
    const stored = () =>
      runInDurableObject(stub, (_instance: EgressIp, { storage }) =>
        comparable(new LeaseStore(storage).load()!.table),
      );
    let refusedCount = 0;
    await fc.assert(
      fc.asyncProperty(brokenOf(leaseRequests), async (text) => {
        const host = await HostConnection.open(stub, "h1");
        await host.join("first-instance");
        const before = await stored();
        const reply = JSON.stringify(await host.ask(text));
        const parsed = parseLeaseReply(reply);
        expect(parsed.ok).toBe(true);
        if (parsed.ok && parsed.value.type === "refused") {
          refusedCount += 1;
          expect(await stored()).toEqual(before);
        }
        expect(host.unread).toEqual([]);
        host.close();
      }),
      RUNS,
    );
    expect(refusedCount).toBeGreaterThan(20);
  },
);

it(
  "[ME3] [DO6] a pool answers its hosts and routers by name, and forgets what it refused",
  LONG_TEST,
  async () => {
    const stub = objects.EGRESS_POOL.getByName("fuzzed");
    await stub.configure({});
    const stored = () =>
      runInDurableObject(stub, (_instance: EgressPool, { storage }) => {
        const routers = new SteeringStore(storage)
          .routers()
          .map(({ router, instance }) => ({ router, instance }));
        return { hosts: new PoolStore(storage).hosts(), pool: new PoolStore(storage).pool(), routers };
      });
    let refusedCount = 0;
    const judge = async (type: string | undefined, before: object): Promise<void> => {
      if (type !== "refused") return;
      refusedCount += 1;
      expect(await stored()).toEqual(before);
    };
    await fc.assert(
      fc.asyncProperty(brokenOf(poolRequests), brokenOf(routerRequests), async (said, heard) => {
        const host = await HostConnection.open(stub, "h1");
        await host.enlist("first-instance");
        let before = await stored();
        // What is understood may have no answer: one that changes nothing and has one follows it.
        host.send(said);
        const reply = parsePoolReply(JSON.stringify(await host.enlist("first-instance")));
        expect(reply.ok).toBe(true);
        await judge(reply.ok ? reply.value.type : undefined, before);
        host.close();

        const router = await RouterConnection.open(stub, "r1");
        await router.enroll("first-instance");
        before = await stored();
        router.send(heard);
        const answer = parseRouterReply(JSON.stringify(await router.ask({ type: "resync" })));
        expect(answer.ok).toBe(true);
        await judge(answer.ok ? answer.value.type : undefined, before);
        router.close();
      }),
      RUNS,
    );
    expect(refusedCount).toBeGreaterThan(40);
  },
);

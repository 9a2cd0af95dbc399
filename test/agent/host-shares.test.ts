/** What a host has of tenants' limits, among its processes, and when its pool hears of it. */
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { HostShares } from "../../src/agent/tenants/host-shares.ts";
import { TenantBook } from "../../src/agent/tenants/tenant-book.ts";
import { TenantMeters } from "../../src/agent/tenants/tenant-meters.ts";
import { DestinationPolicy } from "../../src/policy/destination-policy.ts";
import type { Identity } from "../../src/core/identity.ts";
import {
  DEFAULT_POOL_POLICY,
  NO_LIMITS,
  type TenantLimits,
  UNRESTRICTED,
} from "../../src/core/pool-policy.ts";
import { ShareLedger } from "../../src/core/share-ledger.ts";

const SHOP: Identity = { role: "gateway", subject: "shop", pools: ["main"], expiresAtMs: Infinity };

class Ending {
  destroyed = false;
  readonly writableLength = 0;
  #onClose = (): void => {};

  on(_event: "close", listener: () => void): void {
    this.#onClose = listener;
  }

  close(): void {
    this.destroyed = true;
    this.#onClose();
  }
}

interface Part {
  readonly book: TenantBook;
  readonly open: Ending[];
}

/** A host of several processes, and the pool's side of it. */
class Host {
  readonly limits: TenantLimits;
  readonly shares: HostShares;
  readonly parts: Part[] = [];
  readonly pool: ShareLedger;
  readonly name: string;
  readonly partCount: number;

  constructor(name: string, pool: ShareLedger, limits: TenantLimits, partCount: number) {
    this.name = name;
    this.partCount = partCount;
    this.pool = pool;
    this.limits = limits;
    this.shares = new HostShares(partCount);
    this.shares.send = (part, message) => this.parts[part]?.book.meters.takeShare(message);
    for (let part = 0; part < partCount; part += 1) this.#begin(part);
  }

  get #isAlone(): boolean {
    return this.parts.length === 0 && this.partCount === 1;
  }

  #begin(part: number): void {
    const book = new TenantBook(() => new DestinationPolicy(), undefined, new TenantMeters());
    const anyTenant = { ...UNRESTRICTED, limits: this.limits };
    book.take({ ...DEFAULT_POOL_POLICY, version: 1, anyTenant });
    book.meters.shareWithOthers(this.#isAlone);
    this.parts[part] = { book, open: [] };
    book.meters.onUse = (number, uses) => this.shares.reported(part, number, uses);
    this.shares.addPart(part);
  }

  /** Tries to open a tunnel in a process; whether it stood in the end. */
  async open(part: number): Promise<boolean> {
    const { book, open } = this.parts[part]!;
    const standing = book.standingOf(SHOP);
    if (!standing.ok) throw new Error(standing.refusal.code);
    const until = new Ending();
    const begun = await book.begin(SHOP, standing.value, { kind: "tunnel", until, flow: { fail: () => {} } });
    if (begun.ok) open.push(until);
    return begun.ok;
  }

  get openCount(): number {
    return this.parts.reduce((sum, { open }) => sum + open.filter(({ destroyed }) => !destroyed).length, 0);
  }

  talk(hosts: readonly Host[]): void {
    for (const { book } of this.parts) book.meters.tellUse();
    const use = this.shares.due();
    if (use === null) return;
    if (this.pool.member(this.name) === null) this.pool.join(this.name);
    this.pool.report(this.name, use.number, use.tenants);
    for (const [name, message] of this.pool.review(this.pool.tenants())) {
      hosts.find((host) => host.name === name)?.shares.take(message);
    }
  }
}

function world(limit: number, hostCount: number, partCount: number): Host[] {
  const limits = { ...NO_LIMITS, tunnels: limit };
  const pool = new ShareLedger(() => limits);
  const hosts = Array.from({ length: hostCount }, (_, at) => new Host(`h${at}`, pool, limits, partCount));
  for (const host of hosts) host.shares.onWant = () => queueMicrotask(() => host.talk(hosts));
  return hosts;
}

test("[LI10] [LI14] one process of one host comes to the whole limit, share by share, and waits for each instead of refusing", async () => {
  const [host] = world(10, 1, 1);
  for (let at = 0; at < 10; at += 1) expect(await host!.open(0), `tunnel ${at + 1}`).toBe(true);
  expect(await host!.open(0)).toBe(false);
  host!.parts[0]!.open[0]!.close();
  expect(await host!.open(0)).toBe(true);
});

test("[LI10] [LI11] two hosts of two processes never have more than the limit together, and use nearly all of it", async () => {
  const hosts = world(40, 2, 2);
  const opened: boolean[] = [];
  for (let round = 0; round < 40; round += 1) {
    for (const host of hosts) {
      for (const part of [0, 1]) opened.push(await Promise.race([host.open(part), soon(hosts)]));
      const count = hosts.reduce((sum, { openCount }) => sum + openCount, 0);
      expect(count).toBeLessThanOrEqual(40);
    }
  }
  const count = hosts.reduce((sum, { openCount }) => sum + openCount, 0);
  expect(count).toBeGreaterThanOrEqual(38);
}, 30_000);

test("[LI12] a pool is told when more is wanted, and not of every flow", async () => {
  const [host] = world(1_000, 1, 1);
  await host!.open(0);
  host!.talk([host!]);
  host!.talk([host!]);
  let saidCount = 0;
  const due = host!.shares.due.bind(host!.shares);
  host!.shares.due = (nowMs) => {
    const use = due(nowMs);
    saidCount += use === null ? 0 : 1;
    return use;
  };
  for (let at = 0; at < 200; at += 1) {
    await host!.open(0);
    host!.talk([host!]);
  }
  expect(host!.openCount).toBe(201);
  expect(saidCount).toBeLessThan(5);
});

/** Lets all of them speak for a while. */
async function soon(hosts: readonly Host[]): Promise<boolean> {
  for (let round = 0; round < 5; round += 1) {
    for (const host of hosts) host.talk(hosts);
    await delay(2);
  }
  return false;
}

test("[LI11] while processes may still use more than a lowered share, the pool hears that they may", async () => {
  const hosts = world(40, 2, 2);
  const [one, two] = hosts as [Host, Host];
  const filled = [0, 1].flatMap((part) => Array.from({ length: 40 }, () => one.open(part)));
  await soon(hosts);
  // The processes of the first have told little of what they have by now, and the second wants much.
  const wanted = [0, 1].flatMap((part) => Array.from({ length: 40 }, () => two.open(part)));
  for (let round = 0; round < 30; round += 1) {
    await soon(hosts);
    expect(one.openCount + two.openCount).toBeLessThanOrEqual(40);
  }
  await Promise.all([...filled, ...wanted]);
  expect(one.openCount + two.openCount).toBeLessThanOrEqual(40);
  expect(one.openCount + two.openCount).toBeGreaterThanOrEqual(36);
});

test("[LI11] each process is told in order, also when one answers before the others are told", () => {
  const limits = { ...NO_LIMITS, tunnels: 40 };
  const shares = new HostShares(2);
  const told: number[][] = [[], []];
  const report = (part: number, tunnels: number): void => {
    const number = told[part]!.at(-1) ?? 0;
    shares.reported(part, number, [{ tenant: "shop", used: {}, wanted: { tunnels }, limits }]);
  };
  let answerCount = 0;
  shares.send = (part, { number }) => {
    told[part]!.push(number);
    answerCount += 1;
    if (answerCount < 100) report(part, answerCount % 3 === 0 ? 0 : 40);
  };
  for (const part of [0, 1]) shares.addPart(part);
  for (const tunnels of [40, 20, 40]) {
    shares.take({ number: tunnels, members: 1, tenants: [{ tenant: "shop", share: { tunnels } }] });
    for (const part of [0, 1]) report(part, 40);
  }
  expect(told.map(({ length }) => length > 3)).toEqual([true, true]);
  expect(told).toEqual(told.map((numbers) => numbers.toSorted((a, b) => a - b)));
});

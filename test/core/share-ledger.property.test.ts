/**
 * Limits shared out among members that start, crash, are cut off and come back, over channels that keep
 * their order and lose what is on its way when they break.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { MemberShares } from "../../src/core/member-shares.ts";
import { NO_LIMITS, type TenantLimits } from "../../src/core/pool-policy.ts";
import { ShareLedger, UNTOLD_MEMBERS } from "../../src/core/share-ledger.ts";
import type { ShareMessage, TenantUse } from "../../src/core/share-messages.ts";
import { baseOf } from "../../src/core/share-division.ts";
import { LIMITED } from "../../src/core/tenant-limits.ts";

const TENANT = "shop";

class Member {
  shares = new MemberShares();
  /** Flows that run. */
  used = 0;
  wanted = 0;
  bytes = 0;
  rate = 0;
  isConnected = true;
  readonly toMember: ShareMessage[] = [];
  readonly toLedger: { readonly number: number; readonly uses: readonly TenantUse[] }[] = [];

  mostOf(limits: TenantLimits, thing: "tunnels" | "bytesPerDay" | "requestsPerSecond"): number {
    return this.shares.of(TENANT, limits)[thing]!;
  }

  /** Uses as much of what it wants as it may. */
  act(limits: TenantLimits): void {
    const most = this.mostOf(limits, "tunnels");
    // What runs goes on, or ends by itself.
    this.used = Math.max(Math.min(this.wanted, most), Math.min(this.used, this.wanted));
    this.bytes = Math.max(this.bytes, Math.min(this.bytes + this.wanted, this.mostOf(limits, "bytesPerDay")));
  }

  say(): void {
    const used = { tunnels: this.used, bytesPerDay: this.bytes };
    const wanted = {
      tunnels: this.wanted,
      bytesPerDay: this.bytes + this.wanted,
      requestsPerSecond: this.wanted,
    };
    this.toLedger.push({ number: this.shares.number, uses: [{ tenant: TENANT, used, wanted }] });
  }
}

class World {
  readonly limits: TenantLimits;
  readonly ledger: ShareLedger;
  readonly members = new Map<string, Member>();

  constructor(limits: TenantLimits) {
    this.limits = limits;
    this.ledger = new ShareLedger(() => limits);
  }

  start(name: string): void {
    if (this.members.has(name)) return;
    this.members.set(name, new Member());
    this.join(name);
  }

  join(name: string): void {
    const member = this.members.get(name)!;
    member.isConnected = true;
    member.toLedger.length = 0;
    member.toMember.length = 0;
    const message = this.ledger.join(name);
    if (message !== null) member.toMember.push(message);
    member.say();
  }

  cut(name: string): void {
    const member = this.members.get(name);
    if (member === undefined) return;
    member.isConnected = false;
    member.toMember.length = 0;
    member.toLedger.length = 0;
  }

  /** A crash, and another start at once: it has forgotten all, and its flows are gone. */
  restart(name: string): void {
    if (!this.members.has(name)) return;
    this.members.set(name, new Member());
    this.join(name);
  }

  /** It is known to be gone. */
  end(name: string): void {
    this.members.delete(name);
    this.ledger.leave(name);
    this.#send();
  }

  deliver(name: string, isToMember: boolean): void {
    const member = this.members.get(name);
    if (member?.isConnected !== true) return;
    if (isToMember) {
      const message = member.toMember.shift();
      if (message === undefined) return;
      member.shares.take(message);
      member.act(this.limits);
      member.say();
    } else {
      const report = member.toLedger.shift();
      if (report === undefined) return;
      this.ledger.report(name, report.number, report.uses);
      this.#send();
    }
  }

  want(name: string, wanted: number): void {
    const member = this.members.get(name);
    if (member === undefined) return;
    member.wanted = wanted;
    member.act(this.limits);
    member.say();
  }

  #send(): void {
    for (const [name, message] of this.ledger.review([TENANT])) {
      const member = this.members.get(name);
      if (member?.isConnected === true) member.toMember.push(message);
    }
  }

  settle(): void {
    for (let round = 0; round < 40; round += 1) {
      for (const [name, member] of this.members) {
        if (!member.isConnected) this.join(name);
        // What runs beyond the share has ended by itself.
        member.used = 0;
        member.act(this.limits);
        member.say();
        while (member.toLedger.length > 0) this.deliver(name, false);
      }
      for (const name of this.members.keys()) {
        while (this.members.get(name)!.toMember.length > 0) this.deliver(name, true);
      }
    }
  }

  /** What has begun, and for which there was no room yet, counts beside the limit. */
  get untold(): number {
    const isUntold = ([who, { shares }]: readonly [string, Member]): boolean =>
      shares.number === 0 || this.ledger.member(who)?.knownMembers === UNTOLD_MEMBERS;
    return [...this.members].filter(isUntold).length;
  }

  check(): void {
    const { limits } = this;
    const all = [...this.members.values()];
    for (const thing of ["tunnels", "requestsPerSecond", "bytesPerDay"] as const) {
      const limit = limits[thing]!;
      const most = all.reduce((sum, member) => sum + member.mostOf(limits, thing), 0);
      const extra = this.untold * baseOf(limit, UNTOLD_MEMBERS);
      expect(most, `${thing}: what all may have`).toBeLessThanOrEqual(limit + extra);
    }
    const used = all.reduce((sum, member) => sum + member.used, 0);
    expect(used, "tunnels that run").toBeLessThanOrEqual(
      limits.tunnels! + this.untold * baseOf(limits.tunnels!, UNTOLD_MEMBERS),
    );
  }
}

const NAMES = ["a", "b", "c", "d", "e"];
const name = fc.constantFrom(...NAMES);
const step = fc.oneof(
  { weight: 2, arbitrary: name.map((who) => ["start", who] as const) },
  { weight: 1, arbitrary: name.map((who) => ["end", who] as const) },
  { weight: 1, arbitrary: name.map((who) => ["cut", who] as const) },
  { weight: 1, arbitrary: name.map((who) => ["back", who] as const) },
  { weight: 1, arbitrary: name.map((who) => ["restart", who] as const) },
  { weight: 6, arbitrary: fc.tuple(fc.constant("want" as const), name, fc.nat(300)) },
  { weight: 16, arbitrary: fc.tuple(fc.constant("deliver" as const), name, fc.boolean()) },
);

function limitsOf(limit: number): TenantLimits {
  return { ...NO_LIMITS, tunnels: limit, requestsPerSecond: limit, bytesPerDay: limit };
}

type Step = readonly [string, string, (number | boolean)?];

function run(world: World, steps: readonly Step[]): void {
  for (const [what, who, more] of steps) {
    if (what === "start") world.start(who);
    else if (what === "end") world.end(who);
    else if (what === "cut") world.cut(who);
    else if (what === "restart") world.restart(who);
    else if (what === "back" && world.members.get(who)?.isConnected === false) world.join(who);
    else if (what === "want") world.want(who, Number(more));
    else if (what === "deliver") world.deliver(who, more === true);
    world.check();
  }
}

test("[LI11] however messages cross and connections break, all together may never have more than the limit", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 400 }),
      fc.array(step, { minLength: 40, maxLength: 160 }),
      (limit, steps) => {
        run(new World(limitsOf(limit)), steps);
      },
    ),
    { numRuns: 1_500 },
  );
});

test("[LI10] once messages arrive, whoever wants no more than an equal part has it, and what anybody wants is not left unused", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 400 }),
      fc.array(step, { maxLength: 60 }),
      fc.array(fc.nat(300), { minLength: NAMES.length, maxLength: NAMES.length }),
      (limit, steps, wants) => {
        const world = new World({ ...NO_LIMITS, tunnels: limit, requestsPerSecond: 1, bytesPerDay: 1e9 });
        run(world, steps);
        for (const [at, who] of NAMES.entries()) if (world.members.has(who)) world.want(who, wants[at]!);
        world.settle();
        const members = [...world.members.entries()];
        const total = members.reduce((sum, [, member]) => sum + member.wanted, 0);
        const used = members.reduce((sum, [, member]) => sum + member.used, 0);
        // What of a base is not used stays where it is.
        const base = baseOf(limit, world.ledger.size);
        const idle = members.reduce((sum, [, { wanted }]) => sum + Math.max(0, base - wanted), 0);
        if (members.length > 0) expect(used).toBeGreaterThanOrEqual(Math.min(total, limit - idle));
        for (const [, member] of members) {
          expect(member.used).toBeGreaterThanOrEqual(Math.min(member.wanted, base));
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("[LI10] one that asks alone comes to nearly all, and gives it up again when another asks", () => {
  const world = new World(limitsOf(1_000));
  for (const who of ["a", "b", "c", "d"]) world.start(who);
  world.settle();
  world.want("a", 2_000);
  world.settle();
  const alone = world.members.get("a")!.used;
  // Three others have their base: an eighth of a half each.
  expect(alone).toBe(1_000 - 3 * baseOf(1_000, 4));
  world.want("b", 2_000);
  world.settle();
  world.check();
  // What runs goes on; it ends by itself.
  world.members.get("a")!.used = 0;
  world.settle();
  const [a, b] = ["a", "b"].map((who) => world.members.get(who)!.used);
  expect(Math.abs(a! - b!)).toBeLessThanOrEqual(1);
  expect(a! + b!).toBe(1_000 - 2 * baseOf(1_000, 4));
});

test("[LI13] one that is cut off counts with its base once that is all it goes by, and bytes of it stay spent", () => {
  const world = new World(limitsOf(1_000));
  for (const who of ["a", "b"]) world.start(who);
  world.settle();
  world.want("a", 600);
  world.settle();
  expect(world.members.get("a")!.used).toBe(600);
  world.cut("a");
  world.want("b", 600);
  world.deliver("b", false);
  // Not yet: it may have all of it.
  expect(world.members.get("b")!.mostOf(world.limits, "tunnels")).toBeLessThanOrEqual(400);
  world.members.get("a")!.shares.lapse();
  world.ledger.lapse("a");
  for (let round = 0; round < 5; round += 1) {
    world.want("b", 700);
    while (world.members.get("b")!.toLedger.length > 0) world.deliver("b", false);
    while (world.members.get("b")!.toMember.length > 0) world.deliver("b", true);
  }
  world.members.get("a")!.used = 0;
  world.check();
  expect(world.members.get("b")!.used).toBe(700);
  expect(world.members.get("b")!.mostOf(world.limits, "bytesPerDay")).toBeLessThan(1_000);
});

test("[LI10] a tenant without a limit on a thing has no share of it, and a day's bytes begin again at its end", () => {
  const world = new World(limitsOf(100));
  world.start("a");
  world.settle();
  world.want("a", 500);
  world.settle();
  expect(world.members.get("a")!.bytes).toBe(100);
  expect(world.ledger.committed(TENANT, "bytesPerDay")).toBe(100);
  world.ledger.leave("a");
  expect(world.ledger.committed(TENANT, "bytesPerDay")).toBe(100);
  world.ledger.turnDay();
  expect(world.ledger.committed(TENANT, "bytesPerDay")).toBe(0);
  for (const thing of LIMITED.filter((limited) => world.limits[limited] === null)) {
    expect(world.ledger.committed(TENANT, thing)).toBe(0);
  }
});

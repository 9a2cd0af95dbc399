/** What an address answers to each command, and what it writes down of it. */
import { describe, expect, test } from "vitest";
import { AddressStory, granted, refusal } from "./address-story.ts";
import { awaitsRouters, execute, type LeaseCommand } from "../../src/core/lease-commands.ts";
import {
  emptyLeaseTable,
  type LeaseEvent,
  type LeaseTable,
  portsHeldBy,
  portsLeased,
} from "../../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { publicationOf } from "../../src/core/publication.ts";

const START_MS = 1_800_000_000_000;

function run(table: LeaseTable, command: LeaseCommand, nowMs = START_MS) {
  return execute(table, command, nowMs, () => 0.5);
}

/** What a command writes, but for the looks at the clock. */
function written(table: LeaseTable, command: LeaseCommand): readonly LeaseEvent[] {
  return run(table, command).events.filter(({ type }) => type !== "clock-read");
}

function joinedTable(...hosts: string[]): LeaseTable {
  const table = emptyLeaseTable(DEFAULT_POOL_SETTINGS);
  for (const host of hosts) run(table, { type: "join", host, instance: `${host}-disk` });
  return table;
}

function acquireBy(table: LeaseTable, host: string, requestId: string): LeaseCommand {
  const { session } = table.holders.get(host)!;
  return { type: "acquire", host, session, requestId, order: 8 };
}

describe("the answer", () => {
  test.each<LeaseCommand>([
    { type: "tick" },
    { type: "configure", settings: DEFAULT_POOL_SETTINGS },
    { type: "steer" },
    { type: "retire", isRetiring: true },
    { type: "applied", publication: { version: 0, lastEpoch: 0, blocks: [] } },
  ])("[LE8] to $type, which no host says, tells of no lease and extends none", (command) => {
    const table = joinedTable("anna");
    run(table, acquireBy(table, "anna", "once"));
    const { expiresAtMs } = table.holders.get("anna")!;
    expect(run(table, command, START_MS + 1000).outcome).toEqual({
      ok: true,
      value: { leases: [], leaseDurationMs: null, session: null, granted: null },
    });
    expect(table.holders.get("anna")!.expiresAtMs).toBe(expiresAtMs);
  });

  test("[HO3] [LE8] to a host says its leases, their time, its session, and what it got just now", () => {
    const address = new AddressStory();
    const joined = { leases: [], leaseDurationMs: 600_000, session: 1, granted: null };
    expect(granted(address.join("anna"))).toEqual(joined);
    const first = granted(address.acquire("anna", 8));
    expect(first).toEqual({ ...joined, leases: [first.granted], granted: first.granted });
    expect(Object.keys(first.granted!).toSorted()).toEqual(["base", "epoch", "order"]);
    expect(granted(address.renew("anna"))).toEqual({ ...joined, leases: [first.granted] });
    expect(granted(address.join("anna"))).toEqual({ ...joined, leases: [first.granted], session: 2 });
    expect(granted(address.release("anna", first.granted!))).toEqual({
      ...joined,
      leaseDurationMs: null,
      session: 2,
    });
  });

  test("[LE8] to an acquire extends the leases as a renewal does", () => {
    const address = new AddressStory();
    address.join("anna");
    address.wait(1000);
    address.take("anna", 8);
    expect(address.table.holders.get("anna")!.expiresAtMs).toBe(address.nowMs + 600_000);
  });
});

describe("a grant that routers are to follow", () => {
  test("[ST4] is held back until they have, a renewal is not, nor a grant that nobody waits for", () => {
    const table = joinedTable("anna");
    const early = granted(run(table, acquireBy(table, "anna", "early")).outcome);
    expect(awaitsRouters(table, early)).toBe(false);
    run(table, { type: "steer" });
    const late = granted(run(table, acquireBy(table, "anna", "late")).outcome);
    expect(awaitsRouters(table, late)).toBe(true);
    const { session } = table.holders.get("anna")!;
    const renewed = granted(run(table, { type: "renew", host: "anna", session }).outcome);
    expect(awaitsRouters(table, renewed)).toBe(false);
    run(table, { type: "applied", publication: publicationOf(table) });
    expect(awaitsRouters(table, late)).toBe(false);
  });

  test("[ST4] is held back no more when its block is gone", () => {
    const table = joinedTable("anna");
    run(table, { type: "steer" });
    const answer = granted(run(table, acquireBy(table, "anna", "once")).outcome);
    const { session } = table.holders.get("anna")!;
    const { base, epoch } = answer.granted!;
    run(table, { type: "release", host: "anna", session, base, epoch });
    for (let ms = 0; ms <= DEFAULT_POOL_SETTINGS.quarantineMs; ms += 30_000) {
      run(table, { type: "tick" }, START_MS + ms);
    }
    expect(table.rows.size).toBe(0);
    expect(awaitsRouters(table, answer)).toBe(false);
  });
});

describe("what is written", () => {
  test("[LE2] of the pool's first router is written once", () => {
    const table = joinedTable();
    expect(written(table, { type: "steer" })).toEqual([{ type: "steering-began" }]);
    expect(written(table, { type: "steer" })).toEqual([]);
    expect(table).toMatchObject({ isSteered: true, steeringVersion: 1 });
  });

  test("[LE2] [ST5] of a publication is what it was first to bring: its blocks, and a newer version", () => {
    const table = joinedTable("anna", "bert");
    run(table, { type: "steer" });
    run(table, acquireBy(table, "anna", "a"));
    const first = publicationOf(table);
    run(table, acquireBy(table, "bert", "b"));
    const second = publicationOf(table);
    expect(written(table, { type: "applied", publication: second })).toEqual([
      { type: "steered", epoch: 1 },
      { type: "steered", epoch: 2 },
      { type: "published", version: second.version },
    ]);
    for (const publication of [first, second]) {
      expect(written(table, { type: "applied", publication })).toEqual([]);
    }
    expect(table.publishedVersion).toBe(second.version);
  });

  test("[LE2] of the end of a lease says whether its host gave it back", () => {
    const address = new AddressStory();
    address.join("anna");
    const [given] = [address.take("anna", 8), address.take("anna", 8)];
    address.release("anna", given);
    address.wait(DEFAULT_POOL_SETTINGS.leaseDurationMs);
    const ends = address.events.flatMap((event) => (event.type === "ended" ? [event.end] : []));
    expect(ends).toEqual(["released", "expired"]);
  });

  test("[EP2] of a release that comes twice is written once, and its block rests no longer for it", () => {
    const address = new AddressStory();
    address.join("anna");
    const lease = address.take("anna", 8);
    address.release("anna", lease);
    const before = structuredClone(address.table.rows);
    address.wait(1000);
    expect(refusal(address.release("anna", lease))).toBe("stale-epoch");
    expect(address.table.rows).toEqual(before);
  });
});

test("[AL3] when blocks were given up is known after their rows are gone: the first of them goes first", () => {
  const address = new AddressStory({ maxPortsPerHost: 64_512, minPortsPerHost: 0 });
  address.join("anna");
  address.takeAll("anna");
  const large = granted(address.renew("anna")).leases.filter(({ order }) => order === 12);
  const given = [3, 0, 5, 1, 4, 2].map((at) => large[at]!);
  for (const lease of given) {
    address.release("anna", lease);
    address.wait(1000);
  }
  address.wait(DEFAULT_POOL_SETTINGS.quarantineMs);
  expect(address.table.rows.size).toBe(17 - given.length);
  address.join("bert");
  expect(given.map(() => address.take("bert", 12).base)).toEqual(given.map(({ base }) => base));
});

test("[AL1] ports that rest are held by nobody", () => {
  const address = new AddressStory();
  for (const host of ["anna", "bert"]) address.join(host);
  address.take("anna", 8);
  address.take("bert", 7);
  address.release("anna", address.take("anna", 9));
  expect(["anna", "bert", "cleo"].map((host) => portsHeldBy(address.table, host))).toEqual([256, 128, 0]);
  expect(portsLeased(address.table)).toBe(384);
});

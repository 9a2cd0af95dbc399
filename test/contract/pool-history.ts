/**
 * The contract of the stores of a pool, on every database they run on: whatever is written, a
 * store that remembers nothing reads back what plain maps in memory hold. [DO3] [ST5] [ST8]
 */
import * as fc from "fast-check";
import { expect } from "vitest";
import { AssignmentStore, type LeftAddress } from "../../durable-objects/pool/assignment-store.ts";
import { DrainStore } from "../../durable-objects/pool/drain-store.ts";
import {
  type PoolIp,
  PoolStore,
  type StoredHost,
  type StoredPool,
} from "../../durable-objects/pool/pool-store.ts";
import { POOL_MIGRATIONS } from "../../durable-objects/pool/pool-schema.ts";
import { migrate } from "../../durable-objects/storage/migrate.ts";
import type { SqlDatabase } from "../../durable-objects/storage/sql-database.ts";
import { SteeringStore, type StoredRouter } from "../../durable-objects/steering/steering-store.ts";
import type { Assignment } from "../../src/core/address-assignment.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { changeBy, type Publication, type PublishedAddress, removalOf } from "../../src/core/publication.ts";
import type { SteeringEntry, SteeringTable } from "../../src/core/steering.ts";
import { LEAST_WEIGHT, MOST_WEIGHT } from "../../src/core/whereabouts.ts";

const plain = { noNullPrototype: true } as const;
/** Names of every length and letter that a database might fold together or cut off. */
const name = fc.constantFrom("a", "A", "a%", "a_b", "ä", "b", "h".repeat(63));
const ip = fc.constantFrom("192.0.2.1", "192.0.2.10", "192.0.2.2", "2001:db8::1");
const large = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const reach = fc.record({ ipv4: fc.option(fc.ipV4()), ipv6: fc.option(fc.ipV6()) }, plain);
/** Text that JSON and SQL write with care. */
const label = fc.constantFrom("fra1", "Rack 7, 'B'", '["x"]', "~".repeat(63));
const labels = fc.uniqueArray(label, { maxLength: 3 });

const pool = fc.record(
  {
    type: fc.constant("pool" as const),
    quarantineMs: fc.nat(86_400_000),
    revision: fc.nat(20),
    isSteered: fc.boolean(),
  },
  plain,
);
const address = fc.record(
  {
    type: fc.constant("address" as const),
    ip,
    advertised: fc.option(fc.string()),
    country: fc.option(fc.constantFrom("de", "nl")),
    sites: labels,
    tags: labels,
    revision: fc.nat(20),
  },
  plain,
);
const retiring = fc.record(
  { type: fc.constant("retiring" as const), ip, leased: fc.nat(64_512), isTold: fc.boolean() },
  plain,
);
const removal = fc.record({ type: fc.constant("removal" as const), ip }, plain);
/** Of hosts and addresses alike, those that there are not among them. */
const drain = fc.record(
  {
    type: fc.constant("drain" as const),
    host: name,
    ip,
    sinceMs: fc.option(large),
  },
  plain,
);
const assignment = fc.record(
  {
    type: fc.constant("assignment" as const),
    host: name,
    ip,
    state: fc.constantFrom("serving", "replaced", "leaving", null),
    /** Told of whether it leaves or not. */
    told: fc.record({ portCount: fc.nat(64_512), flowCount: fc.nat(100_000) }, plain),
    isTold: fc.boolean(),
  },
  plain,
);
const advance = fc.record({ type: fc.constant("advance" as const) }, plain);
const following = fc.record({ type: fc.constant("following" as const), ip, revision: fc.nat(20) }, plain);
const host = fc.record(
  {
    type: fc.constant("host" as const),
    host: name,
    instance: fc.string(),
    gateway: fc.string(),
    draining: fc.boolean(),
    rooms: fc.array(fc.record({ ip, portCount: fc.nat(64_512), busiestCount: fc.nat(64_512) }, plain), {
      maxLength: 3,
    }),
    reach,
    site: fc.option(label),
    weight: fc.double({ min: LEAST_WEIGHT, max: MOST_WEIGHT, noNaN: true }),
    policyVersion: fc.option(large),
    opinions: fc.dictionary(ip, fc.record({ askedAtMs: large, reachedAtMs: fc.option(large) }, plain), {
      maxKeys: 2,
      ...plain,
    }),
  },
  plain,
);
const router = fc.record(
  {
    type: fc.constant("router" as const),
    router: name,
    instance: fc.string(),
    isConnected: fc.boolean(),
    seenAtMs: large,
    acknowledged: fc.option(large),
    overdue: fc.option(large),
  },
  plain,
);
const forget = fc.record({ type: fc.constant("forget" as const), leftBeforeMs: large }, plain);
const publication = fc.record(
  {
    type: fc.constant("publication" as const),
    ip,
    version: fc.nat(30),
    /** Epochs of the blocks that it holds; every epoch is one block and stays so. */
    epochs: fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { maxLength: 12 }),
  },
  plain,
);

const write = fc.oneof(
  { weight: 8, arbitrary: fc.oneof(pool, address, following, host, router, forget) },
  { weight: 2, arbitrary: fc.oneof(retiring, removal, advance) },
  { weight: 5, arbitrary: publication },
  { weight: 2, arbitrary: fc.oneof(drain, assignment) },
);

type Valued<Source> = Source extends fc.Arbitrary<infer Value> ? Value : never;
type Write = Valued<typeof write>;

/** What is written in which order, and how large the pieces are in which the table is read. */
export interface PoolHistory {
  readonly writes: readonly Write[];
  readonly pieceSize: number;
}

/** Histories that write most things more than once. */
export const poolHistories: fc.Arbitrary<PoolHistory> = fc.record({
  writes: fc.array(write, { minLength: 10, maxLength: 80, size: "max" }),
  pieceSize: fc.integer({ min: 1, max: 9 }),
});

interface ModelAddress extends PublishedAddress, PoolIp {
  readonly drainedSinceMs: number | null;
  readonly revision: number;
  readonly isConfirmed: boolean;
}

/** The same in memory. */
class Model {
  pool: StoredPool | null = null;
  sequence = 0;
  readonly addresses = new Map<string, ModelAddress>();
  readonly hosts = new Map<string, StoredHost>();
  readonly drainedHosts = new Map<string, number>();
  readonly assignments = new Map<string, Assignment>();
  readonly left = new Map<string, LeftAddress>();
  readonly routers = new Map<string, StoredRouter>();
}

/** Plays a history on an empty database and compares all that can be read after each write. */
export function playPoolHistory(
  database: SqlDatabase,
  { writes, pieceSize }: PoolHistory,
): { readonly changeCount: number } {
  migrate(database, POOL_MIGRATIONS);
  const model = new Model();
  for (const current of writes) {
    database.transactionSync(() => {
      carryOut(database, model, current);
    });
    expectCatalogue(new PoolStore(database), model);
    expectSteering(new SteeringStore(database), model, pieceSize);
    expectDrains(database, model);
  }
  return { changeCount: model.sequence };
}

function carryOut(database: SqlDatabase, model: Model, current: Write): void {
  const catalogue = new PoolStore(database);
  const steering = new SteeringStore(database);
  switch (current.type) {
    case "pool": {
      const { quarantineMs, revision, isSteered } = current;
      model.pool = { name: "eu", settings: { ...DEFAULT_POOL_SETTINGS, quarantineMs }, revision, isSteered };
      return catalogue.putPool(model.pool);
    }
    case "address": {
      const { ip: at, advertised, country, sites, tags, revision } = current;
      const told = { ip: at, advertised, country, sites, tags };
      const known = model.addresses.get(at) ?? {
        version: null,
        entries: [],
        isConfirmed: false,
        drainedSinceMs: null,
      };
      const isConfirmed = known.isConfirmed || revision > 0;
      model.addresses.set(at, { ...known, ...told, revision, isConfirmed, retiring: null });
      return catalogue.putIp(told, revision);
    }
    case "following": {
      const known = model.addresses.get(current.ip);
      const { revision } = current;
      if (known) model.addresses.set(current.ip, { ...known, revision, isConfirmed: true });
      return catalogue.markFollowing(current.ip, current.revision, 0);
    }
    case "retiring":
      return retire(catalogue, model, current);
    case "removal":
      return remove(database, model, current.ip);
    case "drain":
      return putDrain(database, model, current);
    case "assignment":
      return assign(database, model, current);
    case "advance":
      return advanceRevision(catalogue, model);
    case "host": {
      const { type: _type, ...stored } = current;
      model.hosts.set(stored.host, stored);
      return catalogue.putHost(stored);
    }
    case "router": {
      const { type: _type, ...stored } = current;
      model.routers.set(stored.router, stored);
      return steering.putRouter(stored);
    }
    case "forget":
      for (const { router: at, isConnected, seenAtMs } of model.routers.values()) {
        if (!isConnected && seenAtMs < current.leftBeforeMs) model.routers.delete(at);
      }
      return steering.forgetRouters(current.leftBeforeMs);
    case "publication":
      return publish(steering, model, current);
  }
}

/** As the pool does it: told what is left only once it was told to retire. */
function retire(
  catalogue: PoolStore,
  model: Model,
  { ip: at, leased, isTold }: Extract<Write, { type: "retiring" }>,
): void {
  const known = model.addresses.get(at);
  if (known === undefined) return;
  const counts = { leasedPortCount: leased, quarantinedPortCount: 64 };
  const before = known.retiring ?? { leasedPortCount: null, quarantinedPortCount: null };
  catalogue.retireIp(at);
  if (isTold) catalogue.noteRemaining(at, counts);
  model.addresses.set(at, { ...known, revision: 0, retiring: isTold ? counts : before });
}

/** From the steering table first, which is a change if routers were told of it. */
function remove(database: SqlDatabase, model: Model, at: string): void {
  const steering = new SteeringStore(database);
  const known = model.addresses.get(at);
  if (known === undefined) return;
  const gone = removalOf(publishedPartOf(known));
  expect(gone === null).toBe(known.version === null);
  expect(gone?.withdraw.map(({ epoch }) => epoch) ?? []).toEqual(known.entries.map(({ epoch }) => epoch));
  if (gone !== null) steering.remove(at);
  expect(steering.address(at)).toEqual({ ip: at, version: null, entries: [] });
  new PoolStore(database).forgetIp(at);
  model.addresses.delete(at);
}

function putDrain(
  database: SqlDatabase,
  model: Model,
  { host: to, ip: at, sinceMs }: Extract<Write, { type: "drain" }>,
): void {
  const drains = new DrainStore(database);
  drains.putHost(to, sinceMs);
  drains.putIp(at, sinceMs);
  const known = model.addresses.get(at);
  if (known !== undefined) model.addresses.set(at, { ...known, drainedSinceMs: sinceMs });
  if (sinceMs === null) model.drainedHosts.delete(to);
  else if (model.hosts.has(to)) model.drainedHosts.set(to, sinceMs);
}

/** What is told of an address counts while the host leaves it, and until it stands otherwise to it. */
function assign(
  database: SqlDatabase,
  model: Model,
  { host: to, ip: at, state, told, isTold }: Extract<Write, { type: "assignment" }>,
): void {
  const store = new AssignmentStore(database);
  const key = `${to} ${at}`;
  model.left.delete(key);
  if (state === null) {
    store.remove({ host: to, ip: at });
    model.assignments.delete(key);
  } else {
    store.put({ host: to, ip: at, state });
    model.assignments.set(key, { host: to, ip: at, state });
  }
  if (!isTold) return;
  const left = { host: to, ip: at, ...told };
  store.noteLeft(left);
  store.noteLeft(left);
  if (state === "leaving") model.left.set(key, left);
}

function expectDrains(database: SqlDatabase, model: Model): void {
  const drains = new DrainStore(database);
  const assignments = new AssignmentStore(database);
  expect(drains.hosts()).toEqual(model.drainedHosts);
  const drained = [...model.addresses.values()].filter((known) => known.drainedSinceMs !== null);
  expect(drains.ips()).toEqual(new Map(drained.map((known) => [known.ip, known.drainedSinceMs])));
  const order = byText<Pick<Assignment, "host" | "ip">>((known) => `${known.host} ${known.ip}`);
  const assigned = [...model.assignments.values()].toSorted(order);
  expect(assignments.all().toSorted(order)).toEqual(assigned);
  for (const { host: to } of assigned) {
    expect(assignments.of(to).toSorted(order)).toEqual(assigned.filter((known) => known.host === to));
  }
  expect(assignments.left().toSorted(order)).toEqual([...model.left.values()].toSorted(order));
}

function advanceRevision(catalogue: PoolStore, model: Model): void {
  catalogue.advanceRevision();
  if (model.pool === null) return;
  const { revision } = model.pool;
  model.pool = { ...model.pool, revision: revision + 1 };
  for (const [at, known] of model.addresses) {
    if (known.revision === revision) model.addresses.set(at, { ...known, revision: revision + 1 });
  }
}

function poolIpOf({ ip: at, advertised, country, sites, tags, retiring: left }: ModelAddress): PoolIp {
  return { ip: at, advertised, country, sites, tags, retiring: left };
}

/** As the pool does it: the difference to what is stored is judged, applied and numbered. */
function publish(steering: SteeringStore, model: Model, { ip: at, version, epochs }: Publishing): void {
  const stored = steering.address(at);
  const known = model.addresses.get(at);
  expect(stored).toEqual(known === undefined ? null : publishedPartOf(known));
  // Without a pool nobody publishes.
  if (stored === null || known === undefined || model.pool === null) return;
  const published = publicationOf(version, epochs);
  const change = changeBy(stored, published);
  if (!change.ok) return;
  steering.apply(at, published, change.value);
  model.sequence += 1;
  expect(steering.advance()).toBe(model.sequence);
  const entries = published.blocks.map(({ base, order, host: to, epoch }) => {
    return { ip: at, base, order, host: to, epoch };
  });
  model.addresses.set(at, { ...known, version, entries: entries.toSorted((a, b) => a.base - b.base) });
}

type Publishing = Extract<Write, { type: "publication" }>;

function publishedPartOf({ ip: at, version, entries }: ModelAddress): PublishedAddress {
  return { ip: at, version, entries };
}

/** Every epoch is one block, thirteen of them stand in each other's place. */
function publicationOf(version: number, epochs: readonly number[]): Publication {
  const byBase = new Map<number, Publication["blocks"][number]>();
  for (const epoch of epochs.toSorted((a, b) => a - b)) {
    const base = (16 + (epoch % 13)) * 64;
    byBase.set(base, { base, order: 6, host: `h${epoch % 3}`, instance: `key-of-h${epoch % 3}`, epoch });
  }
  return { version, lastEpoch: Math.max(0, ...epochs), blocks: [...byBase.values()] };
}

function expectCatalogue(store: PoolStore, model: Model): void {
  const addresses = [...model.addresses.values()].toSorted(byText((known) => known.ip));
  expect(store.pool()).toEqual(model.pool);
  expect(store.ips()).toEqual(addresses.map(poolIpOf));
  for (const known of addresses) {
    expect(store.ip(known.ip)).toEqual(poolIpOf(known));
    expect(store.isConfirmed(known.ip)).toBe(known.isConfirmed);
  }
  expect(store.ip("192.0.2.99")).toBeNull();
  const served = addresses.filter((known) => known.isConfirmed && known.retiring === null);
  expect(store.ipsToServe()).toEqual(served.map(poolIpOf));
  for (const revision of [0, 7, 21]) {
    const toTell = addresses.filter((known) => known.revision < revision || known.retiring !== null);
    expect(store.ipsToTell(revision)).toEqual(toTell.map((known) => known.ip));
  }
  expect(store.hosts()).toEqual([...model.hosts.values()].toSorted(byText((known) => known.host)));
  for (const known of model.hosts.values()) expect(store.host(known.host)).toEqual(known);
  expect(store.host("nobody")).toBeNull();
}

function expectSteering(store: SteeringStore, model: Model, pieceSize: number): void {
  expect(store.sequence()).toBe(model.sequence);
  expect(store.routers()).toEqual([...model.routers.values()].toSorted(byText((known) => known.router)));
  for (const known of model.routers.values()) expect(store.router(known.router)).toEqual(known);
  expect(store.router("nobody")).toBeNull();
  const pieces = [...store.pieces(pieceSize)];
  expect(store.pieceCount(pieceSize)).toBe(pieces.length);
  for (const piece of pieces) {
    expect(piece.sequence).toBe(model.sequence);
    expect(piece.ips.length + piece.entries.length + piece.nextHops.length).toBeLessThanOrEqual(pieceSize);
  }
  expect(wholeOf(pieces)).toEqual(tableOf(model));
}

type Lists = Omit<SteeringTable, "sequence">;

function wholeOf(pieces: readonly SteeringTable[]): Lists {
  return {
    ips: pieces.flatMap((piece) => piece.ips),
    entries: pieces.flatMap((piece) => piece.entries),
    nextHops: pieces.flatMap((piece) => piece.nextHops),
  };
}

/** What routers must be told: addresses that have published, and hosts that can be reached. */
function tableOf(model: Model): Lists {
  const published = [...model.addresses.values()]
    .filter(({ version }) => version !== null)
    .toSorted(byText((known) => known.ip));
  const reachable = [...model.hosts.values()]
    .filter(({ reach: at }) => at.ipv4 !== null || at.ipv6 !== null)
    .toSorted(byText((known) => known.host));
  return {
    ips: published.map((known) => known.ip),
    entries: published.flatMap<SteeringEntry>(({ entries }) => entries),
    nextHops: reachable.map(({ host: at, reach: { ipv4, ipv6 } }) => ({ host: at, ipv4, ipv6 })),
  };
}

/** By the bytes of UTF-8, as SQLite compares; in these names they order as the code units do. */
function byText<Item>(textOf: (item: Item) => string): (a: Item, b: Item) => number {
  return (a, b) => (textOf(a) < textOf(b) ? -1 : 1);
}

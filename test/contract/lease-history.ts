/**
 * Random histories of an address, and the contract of a lease store on every database it runs
 * on: whatever is asked of an address, the table read from the store, the table folded from its
 * events, and the table that decided are one and the same after every command. [LE2] [DO3]
 */
import * as fc from "fast-check";
import { expect } from "vitest";
import { LeaseStore } from "../../durable-objects/address/lease-store.ts";
import { ADDRESS_MIGRATIONS } from "../../durable-objects/address/address-schema.ts";
import { migrate } from "../../durable-objects/storage/migrate.ts";
import type { SqlDatabase } from "../../durable-objects/storage/sql-database.ts";
import { execute, type LeaseCommand } from "../../src/core/lease-commands.ts";
import {
  applyEvent,
  emptyLeaseTable,
  type LeaseEvent,
  leasesOf,
  type LeaseTable,
} from "../../src/core/lease-table.ts";
import { publicationOf } from "../../src/core/publication.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import { type Holdings, mustTellHoldings } from "../../src/core/recovery.ts";

/** The pool of the address. */
export const POOL = "eu";
/** What the address begins with: so short that blocks come round again. */
export const SETTINGS: PoolSettings = {
  ...DEFAULT_POOL_SETTINGS,
  leaseDurationMs: 10_000,
  quarantineMs: 4_000,
  minPortsPerHost: 64,
};

const START_MS = 1_800_000_000_000;

/** One thing that happens to an address. */
export interface Step {
  readonly command: LeaseCommand["type"];
  readonly host: number;
  /** Which of its sizes, leases, instances or settings: reduced to what there is. */
  readonly choice: number;
  readonly isStale: boolean;
  readonly elapsedMs: number;
}

/** A history of an address: its steps, and the seed of its chance. */
export interface History {
  readonly steps: readonly Step[];
  readonly seed: number;
}

/** Without routers; as often as they are named. */
const COMMANDS = [
  ["join", 2],
  ["renew", 2],
  ["acquire", 5],
  ["release", 2],
  ["tick", 1],
  ["configure", 1],
  ["remove", 1],
  ["retire", 1],
] as const;
const STEERING_COMMANDS = [
  ["steer", 1],
  ["applied", 3],
] as const;
const RESTORES = [["restored", 1]] as const;

function historiesOf(commands: readonly (readonly [Step["command"], number])[]): fc.Arbitrary<History> {
  const step = fc.record({
    command: fc.oneof(...commands.map(([command, weight]) => ({ weight, arbitrary: fc.constant(command) }))),
    host: fc.nat({ max: 2 }),
    choice: fc.nat({ max: 20 }),
    isStale: fc.nat({ max: 9 }).map((chance) => chance === 0),
    elapsedMs: fc.oneof(
      { weight: 6, arbitrary: fc.nat({ max: 800 }) },
      { weight: 2, arbitrary: fc.integer({ min: 1_500, max: 12_000 }) },
      { weight: 1, arbitrary: fc.integer({ min: -5_000, max: 3_600_000 }) },
    ),
  });
  // Long enough for blocks to come round again.
  const steps = fc.array(step, { minLength: 10, maxLength: 60, size: "max" });
  return fc.record({ steps, seed: fc.nat() });
}

/** Histories of an address whose pool has routers from some moment on. */
export const histories = historiesOf([...COMMANDS, ...STEERING_COMMANDS]);
/** The same of an address that is restored from older copies now and then. */
export const restoredHistories = historiesOf([...COMMANDS, ...STEERING_COMMANDS, ...RESTORES]);
/** Histories of an address whose pool has no routers. */
export const unsteeredHistories = historiesOf(COMMANDS);

/** Plays a history on an empty database and compares the tables after each command. */
export function playHistory(
  database: SqlDatabase,
  history: History,
): { readonly grantCount: number; readonly heardCount: number } {
  migrate(database, ADDRESS_MIGRATIONS);
  const store = new LeaseStore(database);
  expect(store.load()).toBeNull();
  store.assign("192.0.2.1", POOL, SETTINGS, START_MS);
  const table = emptyLeaseTable(SETTINGS);
  const folded = emptyLeaseTable(SETTINGS);
  const random = generator(history.seed);
  let nowMs = START_MS;
  let heardCount = 0;
  for (const [at, current] of history.steps.entries()) {
    nowMs += current.elapsedMs;
    const events: LeaseEvent[] = [];
    for (const command of commandsFor(table, current, `r${at}`)) {
      events.push(...execute(table, command, nowMs, random).events);
    }
    heardCount += events.filter(({ type }) => type === "heard").length;
    database.transactionSync(() => {
      store.append(events);
    });
    for (const event of events) applyEvent(folded, event);
    // Read by another store, so that nothing can be remembered.
    const stored = new LeaseStore(database).load();
    expect(stored?.pool).toBe(POOL);
    const expected = comparable(table);
    expect(comparable(folded)).toEqual(expected);
    expect(comparable(stored!.table)).toEqual(expected);
  }
  return { grantCount: table.lastEpoch, heardCount };
}

/** What a step asks in one transaction: some renewals come with those of all other hosts. [DO21] */
function commandsFor(table: LeaseTable, step: Step, requestId: string): LeaseCommand[] {
  const command = commandFor(table, step, requestId);
  if (command.type !== "renew" || step.choice % 2 === 0) return [command];
  return Array.from(table.holders.values(), ({ host, session }) => ({ type: "renew", host, session }));
}

/** The command of a step, made to fit the table: mostly one that could be granted. */
export function commandFor(
  table: LeaseTable,
  { command, host, choice, isStale }: Step,
  requestId: string,
): LeaseCommand {
  const name = `h${host}`;
  const session = (table.holders.get(name)?.session ?? 0) - (isStale ? 1 : 0);
  switch (command) {
    case "tick":
    case "steer":
      return { type: command };
    case "restored": {
      const restoration = { id: requestId, atMs: 0, waitMs: choice * 1_000, areSlotsKnown: choice % 2 === 0 };
      return { type: "restored", restoration };
    }
    case "applied": {
      const publication = publicationOf(table);
      const lastEpoch = Math.max(0, publication.lastEpoch - (choice % 3));
      return { type: "applied", publication: { ...publication, lastEpoch } };
    }
    case "configure":
      return {
        type: "configure",
        settings: {
          ...SETTINGS,
          quarantineMs: (choice % 3) * 2_000,
          // Mostly it is too late for that. [SM6]
          staticPortsPerHost: choice > 9 ? 4_096 : null,
        },
      };
    case "remove":
      // The word may be of what was there before.
      return {
        type: "remove",
        host: name,
        epochs: isStale ? [] : leasesOf(table, name).map(({ epoch }) => epoch),
      };
    case "retire":
      // Rather taken back than not, else nothing is ever granted.
      return { type: "retire", isRetiring: choice % 3 === 0 };
    case "join": {
      const instance = `instance-${name}-${isStale ? "twin" : "own"}`;
      if (!mustTellHoldings(table, name, instance)) return { type: "join", host: name, instance };
      return { type: "join", host: name, instance, holdings: holdingsFor(table, name, choice) };
    }
    case "renew":
      return { type: "renew", host: name, session };
    case "acquire": {
      const again = leasesOf(table, name).at(-1)?.requestId;
      const id = choice % 5 === 0 && again !== undefined ? again : requestId;
      return { type: "acquire", host: name, session, requestId: id, order: 6 + (choice % 8) };
    }
    case "release": {
      const leases = leasesOf(table, name);
      const { base, epoch } = leases[choice % Math.max(1, leases.length)] ?? { base: 1024, epoch: 1 };
      return { type: "release", host: name, session, base, epoch };
    }
  }
}

/** Some of what the table has of a host, and something that it does not have. */
function holdingsFor(table: LeaseTable, host: string, choice: number): Holdings {
  const known = leasesOf(table, host).slice(0, choice % 3);
  const strange = {
    base: 1_024 + 256 * choice,
    order: 6 + (choice % 3),
    epoch: table.lastEpoch + 1 + choice,
  };
  const leases = [...known.map(({ base, order, epoch }) => ({ base, order, epoch })), strange];
  return { leases: leases.filter(({ epoch }) => epoch > 0), leftMs: choice * 500 };
}

/** A table as plain values: hosts in alphabetical order, blocks in the order of their epochs. */
export function comparable(table: LeaseTable): object {
  const { holders, rows, unitHistory, ...rest } = table;
  return {
    ...rest,
    holders: [...holders.values()].toSorted((a, b) => (a.host < b.host ? -1 : 1)),
    // Kept by epoch; hosts of a restored edge may tell a later one first.
    rows: [...rows.values()].toSorted((one, other) => one.epoch - other.epoch),
    unitHistory: unitHistory.join(),
  };
}

/** Mulberry32: chance that can be repeated. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * The contract of an address, for whatever keeps its table: the same history of commands gives
 * the same answers and leaves the same table as the core alone gives and leaves, which stores
 * nothing. Between any two commands the keeper may lose its memory, and its alarm may come
 * early, late, twice or not at all. [DO3] [DO8]
 */
import * as fc from "fast-check";
import { expect } from "vitest";
import { LeaseStore, type StoredAddress } from "../../durable-objects/address/lease-store.ts";
import { ADDRESS_MIGRATIONS } from "../../durable-objects/address/address-schema.ts";
import { migrate } from "../../durable-objects/storage/migrate.ts";
import type { SqlDatabase } from "../../durable-objects/storage/sql-database.ts";
import { execute, type Lease, type LeaseCommand, type LeaseDecision } from "../../src/core/lease-commands.ts";
import { emptyLeaseTable, type LeaseTable, nextDeadlineMs } from "../../src/core/lease-table.ts";
import { settingsToFollow } from "../../src/core/static-slots.ts";
import { commandFor, comparable, generator, type History, POOL, SETTINGS } from "./lease-history.ts";

/** What a host learns of a command. */
export type Answer =
  | {
      readonly leases: readonly Lease[];
      readonly leaseDurationMs: number | null;
      readonly granted: Lease | null;
    }
  | { readonly refused: string };

/** The part of an outcome that a host learns. */
export function answerOf(outcome: LeaseDecision["outcome"]): Answer {
  if (!outcome.ok) return { refused: outcome.refusal };
  const { leases, leaseDurationMs, granted } = outcome.value;
  return { leases, leaseDurationMs, granted };
}

/** Whatever keeps the table of one address. */
export interface TableKeeper {
  /** Carries a command out; null for commands that nobody gets an answer to. */
  perform(command: LeaseCommand, nowMs: number): Promise<Answer | null>;
  /** Loses all that is not on disk. */
  restart(): Promise<void>;
  /** Lets the alarm come now, whenever it was due. */
  ring(nowMs: number): Promise<void>;
  stored(): Promise<StoredAddress>;
  /** When it wants to be woken; undefined where nothing wakes it. */
  alarmAtMs(): Promise<number | null | undefined>;
}

/** What may happen between two commands. */
export type Interruption = "restart" | "ring";

/** For each command of a history what happens before it. */
export const interruptions: fc.Arbitrary<readonly (readonly Interruption[])[]> = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: fc.constant([]) },
    { weight: 3, arbitrary: fc.array(fc.constantFrom("restart", "ring"), { minLength: 1, maxLength: 4 }) },
  ),
  { minLength: 60, maxLength: 60, size: "max" },
);

/** Far enough ahead that no alarm comes by itself. */
export const START_MS = 4_000_000_000_000;

/** Plays a history and compares every answer, and the table after it, with what the core says. */
export async function playOnKeeper(
  keeper: TableKeeper,
  history: History,
  interrupted: readonly (readonly Interruption[])[],
): Promise<{ readonly grantCount: number }> {
  const table = emptyLeaseTable(SETTINGS);
  const random = generator(history.seed);
  let nowMs = START_MS;
  // An address sees the clock as soon as it is given its settings. [LE6]
  execute(table, { type: "tick" }, nowMs, random);
  await keeper.ring(nowMs);
  for (const [at, step] of history.steps.entries()) {
    nowMs += step.elapsedMs;
    for (const what of interrupted[at] ?? []) {
      await (what === "restart" ? keeper.restart() : keeper.ring(nowMs));
    }
    const command = realCommand(table, commandFor(table, step, `r${at}`));
    const expected = answerOf(execute(table, command, nowMs, random).outcome);
    const answer = await keeper.perform(command, nowMs);
    if (answer !== null) expect(answer).toEqual(expected);
    await expectSameTable(keeper, table);
  }
  return { grantCount: table.lastEpoch };
}

async function expectSameTable(keeper: TableKeeper, table: LeaseTable): Promise<void> {
  const stored = await keeper.stored();
  expect(stored.pool).toBe(POOL);
  expect(comparable(stored.table)).toEqual(comparable(table));
  const alarmAtMs = await keeper.alarmAtMs();
  const deadlineMs = nextDeadlineMs(table);
  if (alarmAtMs === undefined || deadlineMs === null) return;
  // It may come early, but never later than something is due.
  expect(alarmAtMs).not.toBeNull();
  expect(alarmAtMs).toBeLessThanOrEqual(deadlineMs);
}

/** Settings that do not change are no command, nor is to serve what is served. */
function realCommand(table: LeaseTable, command: LeaseCommand): LeaseCommand {
  if (command.type === "retire") {
    return command.isRetiring || table.isRetiring ? command : { type: "tick" };
  }
  if (command.type !== "configure") return command;
  // An object that is told its settings again would follow later what it could not follow then. [SM6]
  const settings = settingsToFollow(table, command.settings);
  return JSON.stringify(settings) === JSON.stringify(table.settings)
    ? { type: "tick" }
    : { ...command, settings };
}

/** The core and a lease store, with nothing around them. */
export class StoredTable implements TableKeeper {
  readonly #database: SqlDatabase;
  readonly #random: () => number;
  #loaded: LeaseTable | null = null;

  constructor(database: SqlDatabase, random: () => number) {
    this.#database = database;
    this.#random = random;
    migrate(database, ADDRESS_MIGRATIONS);
    new LeaseStore(database).assign("192.0.2.1", POOL, SETTINGS, START_MS);
  }

  async perform(command: LeaseCommand, nowMs: number): Promise<Answer> {
    const store = new LeaseStore(this.#database);
    this.#loaded ??= store.load()!.table;
    const { events, outcome } = execute(this.#loaded, command, nowMs, this.#random);
    this.#database.transactionSync(() => {
      store.append(events);
    });
    return answerOf(outcome);
  }

  async restart(): Promise<void> {
    this.#loaded = null;
  }

  async ring(nowMs: number): Promise<void> {
    await this.perform({ type: "tick" }, nowMs);
  }

  async stored(): Promise<StoredAddress> {
    return new LeaseStore(this.#database).load()!;
  }

  async alarmAtMs(): Promise<undefined> {
    return undefined;
  }
}

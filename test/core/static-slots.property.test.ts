/** A static address under random commands, lost answers and clocks that leap: its laws, in true time. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { test } from "vitest";
import { seededRandom } from "./address-story.ts";
import { execute, type Lease, type LeaseCommand } from "../../src/core/lease-commands.ts";
import { emptyLeaseTable, leasesOf, nextDeadlineMs } from "../../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import { blocksOverlap } from "../../src/core/port-block.ts";
import { slotLayout, slotNumberOf } from "../../src/core/static-slots.ts";

const HOST_COUNT = 5;
const MINUTE = 60_000;

type Step =
  | {
      readonly type: "join" | "renew" | "acquire" | "release" | "remove";
      readonly agent: number;
      readonly isAnswerLost: boolean;
    }
  | { readonly type: "wait"; readonly durationMs: number }
  | { readonly type: "leap"; readonly byMs: number }
  | { readonly type: "configure"; readonly size: number | null };

/** A machine with its own disk: the first of each name, and one that was set up anew under it. */
interface Agent {
  readonly host: string;
  readonly instance: string;
  session: number;
  /** What it may send from, for all that it knows; no time ends that. */
  slots: readonly Lease[];
}

const agent = fc.oneof(
  { weight: 4, arbitrary: fc.nat(HOST_COUNT - 1) },
  { weight: 1, arbitrary: fc.nat(2 * HOST_COUNT - 1) },
);
const spoken = (type: "join" | "renew" | "acquire" | "release" | "remove"): fc.Arbitrary<Step> =>
  fc.record({ type: fc.constant(type), agent, isAnswerLost: fc.boolean() });
const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: spoken("join") },
    { weight: 2, arbitrary: spoken("renew") },
    { weight: 6, arbitrary: spoken("acquire") },
    { weight: 2, arbitrary: spoken("release") },
    { weight: 2, arbitrary: spoken("remove") },
    {
      weight: 3,
      arbitrary: fc.record({ type: fc.constant("wait" as const), durationMs: fc.nat(30 * MINUTE) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        type: fc.constant("leap" as const),
        byMs: fc.integer({ min: -1e11, max: 1e11 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant("configure" as const),
        size: fc.constantFrom(null, 64, 4_096),
      }),
    },
  ),
  { minLength: 20, maxLength: 120, size: "max" },
);

class StaticWorld {
  readonly #layout;
  readonly #table;
  readonly #agents: Agent[];
  readonly #random: () => number;
  readonly #settings: PoolSettings;
  /** What an operator said last of each host. */
  readonly #removals = new Map<string, LeaseCommand>();
  /** What was given up last, and when in true time. */
  readonly #endedAtMs = new Map<number, number>();
  #trueMs = 0;
  #offsetMs = 1_790_000_000_000;
  #hasLeapt = false;
  #requestCount = 0;

  constructor(size: number, seed: number) {
    this.#settings = { ...DEFAULT_POOL_SETTINGS, staticPortsPerHost: size };
    this.#layout = slotLayout(size);
    this.#table = emptyLeaseTable(this.#settings);
    this.#random = seededRandom(seed);
    this.#agents = Array.from({ length: 2 * HOST_COUNT }, (_, at) => ({
      host: `h${at % HOST_COUNT}`,
      instance: `disk-${at}`,
      session: 0,
      slots: [],
    }));
  }

  take(step: Step): void {
    if (step.type === "wait") return this.#wait(step.durationMs);
    if (step.type === "leap") {
      this.#offsetMs += step.byMs;
      this.#hasLeapt = true;
      return;
    }
    if (step.type === "configure") {
      const wasLeased = [...this.#table.rows.values()].some(({ state }) => state === "leased");
      const settings = { ...this.#settings, staticPortsPerHost: step.size };
      if (!wasLeased) return;
      this.#carryOut({ type: "configure", settings });
      assert.equal(this.#table.settings.staticPortsPerHost, this.#settings.staticPortsPerHost);
      return;
    }
    this.#speak(this.#agents[step.agent]!, step.type, step.isAnswerLost);
  }

  #speak(
    speaker: Agent,
    type: "join" | "renew" | "acquire" | "release" | "remove",
    isAnswerLost: boolean,
  ): void {
    const { host, session } = speaker;
    if (type === "remove" && isAnswerLost) return this.#repeatRemoval(host);
    const command = this.#commandOf(speaker, type);
    if (command === null) return;
    const { outcome } = this.#carryOut(command);
    if (command.type === "remove") {
      this.#removals.set(host, command);
      // By the operator's word all of its name are gone: they were ended before.
      for (const one of this.#agents) if (one.host === host) one.slots = [];
      assert.deepEqual(leasesOf(this.#table, host), []);
      return;
    }
    if (!outcome.ok) return;
    if (type === "join") speaker.session = outcome.value.session!;
    else assert.equal(session, speaker.session);
    assert(leasesOf(this.#table, host).length <= 1, "a host has two slots");
    if (!isAnswerLost) speaker.slots = outcome.value.leases;
    this.#checkSenders();
  }

  /** It comes once more, and late: of its name there may be somebody who is well. [LAW3] */
  #repeatRemoval(host: string): void {
    const removal = this.#removals.get(host);
    if (removal === undefined) return;
    const before = leasesOf(this.#table, host);
    this.#carryOut(removal);
    assert.deepEqual(leasesOf(this.#table, host), before);
  }

  #commandOf(speaker: Agent, type: "join" | "renew" | "acquire" | "release" | "remove"): LeaseCommand | null {
    const { host, instance, session } = speaker;
    this.#requestCount += 1;
    if (type === "join") return { type, host, instance };
    if (type === "remove") {
      return { type, host, epochs: leasesOf(this.#table, host).map(({ epoch }) => epoch) };
    }
    if (type === "renew") return { type, host, session };
    if (type === "acquire")
      return {
        type,
        host,
        session,
        requestId: `r${this.#requestCount}`,
        order: 6 + (this.#requestCount % 7),
      };
    const slot = leasesOf(this.#table, host).find((row) => row.instance === instance);
    if (slot === undefined) return null;
    // A host stops before it says so.
    speaker.slots = [];
    return { type, host, session, base: slot.base, epoch: slot.epoch };
  }

  /** Law 1: what any two machines count on is apart. */
  #checkSenders(): void {
    for (const [at, one] of this.#agents.entries()) {
      for (const other of this.#agents.slice(at + 1)) {
        for (const slot of one.slots)
          assert(!other.slots.some((its) => blocksOverlap(slot, its)), "two senders");
      }
    }
  }

  #carryOut(command: LeaseCommand) {
    const before = new Map(this.#table.rows);
    const decision = execute(this.#table, command, this.#trueMs + this.#offsetMs, this.#random);
    for (const event of decision.events) {
      if (event.type === "ended") {
        assert.notEqual(event.end, "expired", "time has ended a slot");
        this.#endedAtMs.set(before.get(event.epoch)!.base, this.#trueMs);
      }
      if (event.type !== "granted") continue;
      assert.notEqual(slotNumberOf(this.#layout, event.row), null, "a block is no slot");
      const isAnothers = [...before.values()].every(
        ({ base, instance }) => base !== event.row.base || instance !== event.row.instance,
      );
      const sinceMs = this.#trueMs - (this.#endedAtMs.get(event.row.base) ?? -Infinity);
      // Law 6; a leap of the clock may take of it what it takes.
      if (isAnothers && !this.#hasLeapt)
        assert(sinceMs >= this.#settings.quarantineMs, "a slot did not rest");
    }
    const rows = [...this.#table.rows.values()].toSorted((a, b) => a.base - b.base);
    for (let at = 1; at < rows.length; at += 1) assert(!blocksOverlap(rows[at - 1]!, rows[at]!));
    return decision;
  }

  #wait(durationMs: number): void {
    const endMs = this.#trueMs + durationMs;
    for (let rings = 0; ; rings += 1) {
      const deadlineMs = nextDeadlineMs(this.#table);
      if (deadlineMs === null || deadlineMs - this.#offsetMs > endMs) break;
      assert(rings < 10_000, "the alarm rings for nothing");
      this.#trueMs = Math.max(this.#trueMs, deadlineMs - this.#offsetMs);
      this.#carryOut({ type: "tick" });
    }
    this.#trueMs = endMs;
  }
}

test(
  "[SM1] [SM2] [SM3] [SM5] [SM6] slots are apart, of the formula, one to a host, and end by no time",
  { timeout: 60_000 },
  () => {
    fc.assert(
      fc.property(steps, fc.constantFrom(64, 2_048, 4_096), fc.nat(), (all, size, seed) => {
        const world = new StaticWorld(size, seed);
        for (const step of all) world.take(step);
      }),
      { numRuns: 200, interruptAfterTimeLimit: 50_000 },
    );
  },
);

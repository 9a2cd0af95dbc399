/**
 * Hosts and their address under everything that may go wrong between them: answers are lost,
 * messages arrive twice and late, processes are paused and set up anew, the object sleeps
 * through its alarms and its clock leaps. Every step checks what must hold whatever happens.
 */
import assert from "node:assert/strict";
import { seededRandom } from "./address-story.ts";
import { freeBlocks, portTotal } from "../../src/core/buddy-allocator.ts";
import { execute, type LeaseCommand, type LeaseDecision } from "../../src/core/lease-commands.ts";
import {
  applyEvent,
  emptyLeaseTable,
  type Holder,
  leasesOf,
  type LeaseEvent,
  type LeaseRow,
  type LeaseTable,
  nextDeadlineMs,
  portsHeldBy,
} from "../../src/core/lease-table.ts";
import { remainingMs, type LeaseTerm, termFrom } from "../../src/core/lease-term.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import {
  blocksOverlap,
  isLeasableBlock,
  LEASABLE_PORT_COUNT,
  type PortBlock,
  portCountOf,
} from "../../src/core/port-block.ts";

/** What a host says to its address; `agent` and `at` are taken modulo what there is. */
type Message =
  | { readonly type: "join"; readonly agent: number; readonly isAnswerLost: boolean }
  | { readonly type: "renew"; readonly agent: number; readonly isAnswerLost: boolean }
  | {
      readonly type: "acquire";
      readonly agent: number;
      readonly order: number;
      /** How many blocks it asks for, one after the other. */
      readonly times: number;
      readonly isAnswerLost: boolean;
    }
  | {
      readonly type: "release";
      readonly agent: number;
      readonly at: number;
      readonly isAnswerLost: boolean;
    };

/** One thing that happens. */
export type Step =
  | Message
  /** A message of the past arrives again, with the session it was sent in. */
  | { readonly type: "replay"; readonly at: number }
  /** Time passes; the alarm rings when it is due, unless the object sleeps through it. */
  | { readonly type: "wait"; readonly durationMs: number; readonly isAsleep: boolean }
  | { readonly type: "leap"; readonly byMs: number }
  | { readonly type: "configure"; readonly settings: PoolSettings };

/** A host as it sees itself. It goes on sending until its own term is over, whoever it is by then. */
interface Agent {
  readonly host: string;
  readonly instance: string;
  session: number;
  blocks: readonly PortBlock[];
  term: LeaseTerm;
}

/** The past wherein forward leaps add up, in true time; two of them a quarantine absorbs. */
const LEAP_MEMORY_MS = 1_000_000;

/** The whole little world. */
export class HostsAndAddress {
  readonly table: LeaseTable;
  readonly #mirror: LeaseTable;
  readonly #agents: readonly Agent[];
  readonly #random: () => number;
  readonly #sent: LeaseCommand[] = [];
  readonly #leapsAtMs: number[] = [];
  /** What nobody can read: the time that really passed. */
  #trueMs = 0;
  #offsetMs = 1_767_225_600_000;
  #hasLeapt = false;
  #highestSession = 0;
  #highestEpoch = 0;
  #requestCount = 0;
  /** Ends of leases in true time, newest last. */
  readonly #ended: { row: LeaseRow; trueMs: number; quarantineMs: number }[] = [];

  constructor(settings: PoolSettings, hostCount: number, seed: number) {
    this.table = emptyLeaseTable(settings);
    this.#mirror = emptyLeaseTable(settings);
    this.#random = seededRandom(seed);
    const over = { monotonicEndMs: 0, wallEndMs: 0 };
    this.#agents = Array.from({ length: hostCount * 2 }, (_, at) => ({
      host: `host-${at % hostCount}`,
      instance: `disk-${at}`,
      session: 0,
      blocks: [],
      term: over,
    }));
  }

  take(step: Step): void {
    switch (step.type) {
      case "wait":
        return step.isAsleep ? this.#sleep(step.durationMs) : this.#wait(step.durationMs);
      case "leap":
        return this.#leap(step.byMs);
      case "configure":
        this.#carryOut({ type: "configure", settings: step.settings });
        return;
      case "replay":
        if (this.#sent.length > 0) this.#carryOut(this.#sent[step.at % this.#sent.length]!);
        return;
      case "acquire":
        for (let time = 1; time < step.times; time += 1) this.take({ ...step, times: 1 });
        return this.#ask(this.#agents[step.agent % this.#agents.length]!, step);
      case "join":
      case "renew":
      case "release":
        this.#ask(this.#agents[step.agent % this.#agents.length]!, step);
    }
  }

  /** Every present host that is below its minimum gets more, if the minimums fit at all. [AL5] */
  checkMinimums(): void {
    // An object that has slept looks at its clock first: it may move deadlines, and so who is present. [LE6]
    const table = structuredClone(this.table);
    execute(table, { type: "tick" }, this.#nowMs, this.#random);
    const shortage = shortageOf(table, this.#nowMs);
    if (shortage > 0) return;
    for (const holder of presentHolders(table, this.#nowMs)) {
      if (portsHeldBy(table, holder.host) + 64 > table.settings.minPortsPerHost) continue;
      const { host, session } = holder;
      const command = { type: "acquire", host, session, requestId: "minimum", order: 6 } as const;
      const { outcome } = execute(structuredClone(table), command, this.#nowMs, this.#random);
      assert(outcome.ok, `${host} cannot reach its minimum`);
    }
  }

  get #nowMs(): number {
    return this.#trueMs + this.#offsetMs;
  }

  #ask(agent: Agent, step: Message): void {
    const { host, instance, session } = agent;
    const requestId = `request-${(this.#requestCount += 1)}`;
    let command: LeaseCommand;
    if (step.type === "join") command = { type: "join", host, instance };
    else if (step.type === "renew") command = { type: "renew", host, session };
    else if (step.type === "acquire") {
      command = { type: "acquire", host, session, requestId, order: step.order };
    } else {
      const held = leasesOf(this.table, host);
      const lease = held[step.at % Math.max(1, held.length)];
      if (lease === undefined || lease.instance !== instance) return;
      // A host stops before it says so.
      agent.blocks = agent.blocks.filter((block) => block.base !== lease.base);
      command = { type: "release", host, session, base: lease.base, epoch: lease.epoch };
    }
    this.#sent.push(command);
    const sentAt = { monotonicMs: this.#trueMs, wallMs: this.#trueMs };
    const { outcome } = this.#carryOut(command);
    if (command.type === "join" && outcome.ok) agent.session = outcome.value.session!;
    if (step.isAnswerLost || !outcome.ok) return;
    agent.blocks = outcome.value.leases;
    const { leaseDurationMs } = outcome.value;
    if (leaseDurationMs === null) return;
    const term = termFrom(sentAt, leaseDurationMs);
    if (term.wallEndMs > agent.term.wallEndMs) agent.term = term;
  }

  #carryOut(command: LeaseCommand): LeaseDecision {
    const nowMs = this.#nowMs;
    const presentBefore = new Set(presentHolders(this.table, nowMs).map(({ host }) => host));
    const shortageBefore = shortageOf(this.table, nowMs);
    const decision = execute(this.table, command, nowMs, this.#random);
    for (const event of structuredClone(decision.events)) this.#follow(event, nowMs);
    this.#checkTable();
    const { outcome } = decision;
    if ("host" in command && outcome.ok) {
      const rows = leasesOf(this.table, command.host);
      assert.deepEqual(
        outcome.value.leases,
        rows.map(({ base, order, epoch }) => ({ base, order, epoch })),
      );
      for (const row of rows) assert.equal(row.instance, this.table.holders.get(command.host)!.instance);
    }
    const present = presentHolders(this.table, nowMs);
    const isNewcomer = command.type === "join" || command.type === "configure";
    const hasGrown = isNewcomer || present.some(({ host }) => !presentBefore.has(host));
    if (!hasGrown) {
      assert(shortageOf(this.table, nowMs) <= Math.max(0, shortageBefore), "a minimum was given away");
    }
    return decision;
  }

  /** Checks an event against the world before it happened, then lets it happen to the mirror. */
  #follow(event: LeaseEvent, nowMs: number): void {
    const before = this.#mirror;
    if (event.type === "granted") this.#checkGrant(event.row);
    if (event.type === "joined") {
      assert(event.holder.session > this.#highestSession, "a session did not rise");
      this.#highestSession = event.holder.session;
    }
    if (event.type === "ended") {
      const row = before.rows.get(event.epoch)!;
      const { quarantineMs } = before.settings;
      assert.equal(row.state, "leased");
      assert.equal(event.freeAtMs, event.endedAtMs + quarantineMs);
      assert(event.endedAtMs <= nowMs);
      if (event.end === "expired") assert.equal(event.endedAtMs, before.holders.get(row.host)!.expiresAtMs);
      this.#ended.push({ row, trueMs: this.#trueMs - (nowMs - event.endedAtMs), quarantineMs });
    }
    applyEvent(before, event);
  }

  #checkGrant(row: LeaseRow): void {
    const { settings, rows } = this.#mirror;
    assert(row.epoch > this.#highestEpoch, "an epoch did not rise");
    this.#highestEpoch = row.epoch;
    assert(isLeasableBlock(row));
    for (const other of rows.values()) assert(!blocksOverlap(other, row), "a block was not free");
    const held = portsHeldBy(this.#mirror, row.host) + portCountOf(row.order);
    assert(held <= settings.maxPortsPerHost, "a share was exceeded");

    // Law 1, seen from those who send: nobody else still believes in any of these ports.
    const now = { monotonicMs: this.#trueMs, wallMs: this.#trueMs };
    for (const agent of this.#agents) {
      if (isSame(agent, row) || remainingMs(agent.term, now) <= 0) continue;
      for (const block of agent.blocks) assert(!blocksOverlap(block, row), "two senders on one port");
    }
    // Law 6 in true time; a leap of the clock may take of it what it takes.
    if (this.#hasLeapt) return;
    for (const past of this.#ended) {
      if (isSame(past.row, row) || !blocksOverlap(past.row, row)) continue;
      assert(this.#trueMs - past.trueMs >= past.quarantineMs, "a quarantine was cut short");
    }
  }

  #checkTable(): void {
    const { table } = this;
    assert.deepEqual(table, this.#mirror);
    const rows = [...table.rows.values()].toSorted((a, b) => a.base - b.base);
    for (let at = 1; at < rows.length; at += 1) assert(!blocksOverlap(rows[at - 1]!, rows[at]!));
    assert.equal(portTotal(rows) + portTotal(freeBlocks(rows)), LEASABLE_PORT_COUNT);
  }

  /** The alarm rings when it is due: then something ends or the clock is looked at, never earlier. */
  #wait(durationMs: number): void {
    const endMs = this.#nowMs + durationMs;
    for (;;) {
      const deadlineMs = nextDeadlineMs(this.table);
      if (deadlineMs === null || deadlineMs > endMs) break;
      if (deadlineMs - 1 > this.#nowMs) {
        this.#trueMs += deadlineMs - 1 - this.#nowMs;
        const early = this.#carryOut({ type: "tick" }).events;
        assert.deepEqual(
          early.filter(({ type }) => type !== "clock-read"),
          [],
        );
        if (nextDeadlineMs(this.table) !== deadlineMs) continue;
      }
      this.#trueMs += Math.max(0, deadlineMs - this.#nowMs);
      assert.notEqual(this.#carryOut({ type: "tick" }).events.length, 0, "the alarm rang for nothing");
    }
    this.#trueMs += Math.max(0, endMs - this.#nowMs);
  }

  #sleep(durationMs: number): void {
    this.#trueMs += durationMs;
  }

  #leap(byMs: number): void {
    const recent = this.#leapsAtMs.filter((atMs) => this.#trueMs - atMs < LEAP_MEMORY_MS);
    if (byMs > 0 && recent.length >= 2) return;
    if (byMs > 0) this.#leapsAtMs.push(this.#trueMs);
    this.#hasLeapt = true;
    this.#offsetMs += byMs;
  }
}

function isSame(a: Pick<Agent, "host" | "instance">, b: Pick<Agent, "host" | "instance">): boolean {
  return a.host === b.host && a.instance === b.instance;
}

function presentHolders(table: LeaseTable, nowMs: number): Holder[] {
  return [...table.holders.values()].filter(({ expiresAtMs }) => nowMs < expiresAtMs);
}

/** Free ports that are missing for all minimums of the present hosts; none when zero or less. */
function shortageOf(table: LeaseTable, nowMs: number): number {
  let needed = 0;
  for (const { host, instance } of presentHolders(table, nowMs)) {
    const own = [...table.rows.values()].filter((row) => isSame(row, { host, instance }));
    needed += Math.max(0, table.settings.minPortsPerHost - portTotal(own));
  }
  return needed - portTotal(freeBlocks(table.rows.values()));
}

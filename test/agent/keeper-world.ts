/**
 * Lease keepers in a world of their own: virtual clocks, a network that does as it is told, and
 * an edge that judges by the real lease table.
 */
import assert from "node:assert/strict";
import type { KeeperEvent } from "../../src/agent/leasing/keeper-options.ts";
import { LeaseKeeper } from "../../src/agent/leasing/lease-keeper.ts";
import type { PortCommand, PortControl, PortReport } from "../../src/agent/egress/port-messages.ts";
import { execute, type Lease, type LeaseCommand } from "../../src/core/lease-commands.ts";
import {
  emptyLeaseTable,
  type LeaseRow,
  type LeaseTable,
  nextDeadlineMs,
} from "../../src/core/lease-table.ts";
import { type LeaseTerm, remainingMs } from "../../src/core/lease-term.ts";
import type { LeaseReply, LeaseRequest } from "../../src/core/messages.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import { portCountOf } from "../../src/core/port-block.ts";
import { settingsFor } from "../../src/core/share.ts";

const EPOCH_START_MS = 1_790_000_000_000;

/** Time, and what will happen in it. */
class Timeline {
  nowMs = 0;
  #entries: { atMs: number; order: number; what: () => void }[] = [];
  #count = 0;

  at(atMs: number, what: () => void): void {
    this.#count += 1;
    this.#entries.push({ atMs: Math.max(atMs, this.nowMs), order: this.#count, what });
  }

  advance(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const next = this.#entries.toSorted((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
      if (next === undefined || next.atMs > endMs) break;
      this.#entries.splice(this.#entries.indexOf(next), 1);
      this.nowMs = next.atMs;
      next.what();
    }
    this.nowMs = endMs;
  }
}

/** Stands for the binder's ports of the address, behind a guard. */
export class FakePorts implements PortControl {
  readonly blocks = new Map<number, { lease: Lease; isDraining: boolean; flows: number }>();
  term: LeaseTerm | null = null;
  busiestCount = 0;
  growthOutstanding = false;
  growthEndCount = 0;
  /** Epochs of which the kernel still lets something out. */
  readonly loud = new Set<number>();
  readonly resetFlows: { epoch: number; flows: number }[] = [];
  readonly commands: PortCommand[] = [];
  onReport: ((report: PortReport) => void) | null = null;
  /** They hear, and report, when `hear` is called. */
  areApart = false;
  #unheard: PortCommand[] = [];
  #number = 0;

  command(command: PortCommand): void {
    this.#unheard.push(command);
    if (!this.areApart) this.hear();
  }

  hear(): void {
    for (const command of this.#unheard.splice(0)) {
      if (command.number > this.#number) this.#apply(command);
      this.report();
    }
  }

  #apply(command: PortCommand): void {
    const { number, term, blocks, isGrowing } = command;
    this.commands.push(command);
    this.#number = number;
    this.term = term;
    const epochs = new Set(blocks.map(({ lease }) => lease.epoch));
    for (const [epoch, { flows }] of this.blocks) {
      if (epochs.has(epoch)) continue;
      if (flows > 0) this.resetFlows.push({ epoch, flows });
      this.blocks.delete(epoch);
    }
    for (const { lease, isDraining } of blocks) {
      const block = this.blocks.get(lease.epoch);
      if (block === undefined) this.blocks.set(lease.epoch, { lease, isDraining, flows: 0 });
      else block.isDraining = isDraining;
    }
    if (this.growthOutstanding && !isGrowing) this.growthEndCount += 1;
    this.growthOutstanding = isGrowing;
  }

  report(): void {
    const flows = [...this.blocks].map(([epoch, block]) => ({ epoch, count: block.flows }));
    const lingering = [...this.loud].filter((epoch) => !this.blocks.has(epoch));
    this.onReport?.({ number: this.#number, busiestCount: this.busiestCount, flows, lingering });
  }

  usablePortCount(): number {
    let total = 0;
    for (const { lease, isDraining } of this.blocks.values())
      if (!isDraining) total += portCountOf(lease.order);
    return total;
  }

  epochs(): number[] {
    return [...this.blocks.keys()].toSorted((a, b) => a - b);
  }
}

/** One life of a host's agent, from its start to its crash or drain. */
export class FakeHost {
  readonly name: string;
  readonly ports = new FakePorts();
  readonly events: KeeperEvent[] = [];
  readonly sent: LeaseRequest[] = [];
  readonly keeper: LeaseKeeper;
  highestEpoch: number;
  /** How far this machine's clocks are off the timeline. */
  wallSkewMs = 0;
  monotonicSkewMs = 0;
  /** A paused process neither gets messages nor sees its timers. */
  isPaused = false;
  readonly #world: World;
  #late: (() => void)[] = [];
  #wake = 0;
  /** Rises with every connection; null while there is none. */
  connection: number | null = null;
  /** How what it says gets on its way. */
  carry: (request: LeaseRequest) => void;
  session: number | null = null;

  constructor(
    world: World,
    name: string,
    instance: string,
    highestEpoch: number,
    slots: readonly Lease[] = [],
  ) {
    this.#world = world;
    this.name = name;
    this.highestEpoch = highestEpoch;
    this.carry = (request) => world.carryRequest(this, request);
    this.keeper = new LeaseKeeper({
      instance,
      ports: this.ports,
      clock: () => this.clock(),
      random: world.random,
      renewalPhase: 0,
      highestEpoch,
      slots,
      send: (request) => {
        assert(this.connection !== null, "a keeper sends on an open connection only");
        this.sent.push(request);
        this.carry(request);
      },
      wakeIn: (delayMs) => {
        this.#wake += 1;
        const wake = this.#wake;
        world.timeline.at(world.timeline.nowMs + delayMs, () => {
          if (wake === this.#wake) this.whenAwake(() => this.keeper.tick());
        });
      },
      onEvent: (event) => {
        this.events.push(event);
        if (event.type === "epoch-seen") this.highestEpoch = event.epoch;
      },
      timing: world.timing,
    });
  }

  clock(): { monotonicMs: number; wallMs: number } {
    const { nowMs } = this.#world.timeline;
    return { monotonicMs: nowMs + this.monotonicSkewMs, wallMs: EPOCH_START_MS + nowMs + this.wallSkewMs };
  }

  connect(): void {
    this.#world.connectionCount += 1;
    this.connection = this.#world.connectionCount;
    this.session = null;
    this.keeper.connected();
  }

  disconnect(): void {
    this.connection = null;
    this.keeper.disconnected();
  }

  pause(): void {
    this.isPaused = true;
  }

  /** Wakes up, and gets everything that came meanwhile, messages before timers. */
  wake(): void {
    this.isPaused = false;
    const late = this.#late;
    this.#late = [];
    for (const what of late) what();
  }

  whenAwake(what: () => void): void {
    if (this.isPaused) this.#late.push(what);
    else what();
  }

  /** Never heard of again. */
  crash(): void {
    this.connection = null;
    this.#wake = -1;
    this.ports.blocks.clear();
    this.ports.term = null;
  }

  /** Leases it may send from now. */
  sendable(): Lease[] {
    const { term, blocks } = this.ports;
    if (term === null || this.isPaused || remainingMs(term, this.clock()) <= 0) return [];
    return [...blocks.values()].map(({ lease }) => lease);
  }

  eventTypes(): string[] {
    return this.events.map(({ type }) => type);
  }

  sentTypes(): string[] {
    return this.sent.map(({ type }) => type);
  }
}

type Fate = "deliver" | "lose" | "twice" | { delayMs: number };

/** The edge's one address, the hosts, and the network between them. */
export class World {
  readonly timeline = new Timeline();
  table: LeaseTable;
  readonly hosts: FakeHost[] = [];
  readonly random: () => number;
  readonly timing: { repeatAfterMs?: number; restMs?: number; farewellMs?: number };
  latencyMs = 20;
  connectionCount = 0;
  fateOfRequest: (request: LeaseRequest) => Fate = () => "deliver";
  fateOfReply: (reply: LeaseReply, request: LeaseRequest) => Fate = () => "deliver";

  constructor(settings: Partial<PoolSettings> = {}, timing: World["timing"] = {}, seed = 42) {
    this.table = emptyLeaseTable({ ...DEFAULT_POOL_SETTINGS, ...settings });
    this.random = seededRandom(seed);
    this.timing = timing;
    this.#alarm();
  }

  /** A new life of a host. */
  start(name: string, options: { instance?: string; highestEpoch?: number } = {}): FakeHost {
    const host = new FakeHost(
      this,
      name,
      options.instance ?? `instance-of-${name}`,
      options.highestEpoch ?? 0,
    );
    this.hosts.push(host);
    host.connect();
    return host;
  }

  /** The table is lost, and a copy is there from before anything was granted, perhaps with older settings. [OC1] */
  restore(settings: Partial<PoolSettings> = {}): void {
    this.table = emptyLeaseTable({ ...this.table.settings, ...settings });
    const atMs = EPOCH_START_MS + this.timeline.nowMs;
    this.execute({ type: "restored", restoration: { id: "r", atMs, waitMs: 0, areSlotsKnown: false } });
  }

  /** A new life of a host that has these slots on its disk, and no edge. */
  startAlone(name: string, slots: readonly Lease[]): FakeHost {
    const host = new FakeHost(this, name, `instance-of-${name}`, 0, slots);
    this.hosts.push(host);
    host.keeper.tick();
    return host;
  }

  /** Lets time pass, and checks law 1 at every step. */
  advance(ms: number): void {
    for (let left = ms; left > 0; left -= 100) {
      this.timeline.advance(Math.min(100, left));
      this.assertOneSender();
    }
  }

  assertOneSender(): void {
    const users = new Map<number, string>();
    for (const host of this.hosts) {
      for (const lease of host.sendable()) {
        const row = this.table.rows.get(lease.epoch);
        assert(
          row?.state === "leased" && row.host === host.name,
          `${host.name} sends from epoch ${lease.epoch}`,
        );
        for (let port = lease.base; port < lease.base + portCountOf(lease.order); port += 64) {
          assert(!users.has(port), `port ${port} has two senders`);
          users.set(port, host.name);
        }
      }
    }
  }

  rowsOf(name: string): LeaseRow[] {
    return [...this.table.rows.values()].filter((row) => row.host === name && row.state === "leased");
  }

  execute(command: LeaseCommand): ReturnType<typeof execute> {
    return execute(this.table, command, EPOCH_START_MS + this.timeline.nowMs, this.random);
  }

  carryRequest(host: FakeHost, request: LeaseRequest): void {
    const { connection } = host;
    this.#carry(this.fateOfRequest(request), () => {
      const reply = this.#judge(host, request, connection);
      this.#carry(this.fateOfReply(reply, request), () => {
        // What a connection carries ends with it.
        if (host.connection === connection) host.whenAwake(() => host.keeper.message(reply));
      });
    });
  }

  #judge(host: FakeHost, request: LeaseRequest, connection: number | null): LeaseReply {
    const isCurrent = host.connection === connection;
    const session = (isCurrent ? host.session : null) ?? 0;
    const command: LeaseCommand =
      request.type === "join"
        ? { type: "join", host: host.name, instance: request.instance, holdings: request.holdings }
        : { ...request, host: host.name, session };
    const { outcome } = this.execute(command);
    const { requestId } = request;
    if (!outcome.ok) return { type: "refused", requestId, code: outcome.refusal };
    if (request.type === "join" && isCurrent) host.session = outcome.value.session;
    const { leases, leaseDurationMs, granted } = outcome.value;
    const settings = settingsFor(this.table, host.name, EPOCH_START_MS + this.timeline.nowMs);
    return { type: "answer", requestId, leases, leaseDurationMs, granted, settings };
  }

  #carry(fate: Fate, deliver: () => void): void {
    if (fate === "lose") return;
    const extraMs = typeof fate === "object" ? fate.delayMs : 0;
    this.timeline.at(this.timeline.nowMs + this.latencyMs + extraMs, deliver);
    if (fate === "twice") this.timeline.at(this.timeline.nowMs + this.latencyMs + 5, deliver);
  }

  /** The object looks at its clock as often as its table wants. */
  #alarm(): void {
    this.execute({ type: "tick" });
    const deadlineMs = nextDeadlineMs(this.table);
    const delayMs = deadlineMs === null ? 1_000 : deadlineMs - EPOCH_START_MS - this.timeline.nowMs;
    this.timeline.at(this.timeline.nowMs + Math.min(1_000, Math.max(1, delayMs)), () => this.#alarm());
  }
}

/** Mulberry32. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

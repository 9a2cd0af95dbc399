/**
 * A router: a machine whose kernel steers, and the process that lets it follow the pool. The
 * kernel goes on when the process ends, and forgets when the machine is switched off.
 */
import { ok, type Outcome, refuse } from "../../src/core/outcome.ts";
import { blockContains, blocksOverlap } from "../../src/core/port-block.ts";
import type { SteeringEntry, SteeringTable } from "../../src/core/steering.ts";
import type { RepairReport, SteeringKernel } from "../../src/router/steering/steering-kernel.ts";
import { SteeringMember } from "../../src/router/feed/steering-member.ts";
import type { SteeringDelta } from "../../src/router/steering/steering-kernel.ts";
import type { Chance } from "./chance.ts";
import { type Dial, SimulatedLink } from "./connection.ts";
import { KERNEL_TICK_MS, type KernelTroubles } from "./guard-kernel.ts";
import { Violation } from "./law-checks.ts";
import { type Machine, Process } from "./machine.ts";
import type { Network } from "./network.ts";
import { SILENT_LOG } from "./silent-log.ts";

/** An entry as the kernel has it: with where its host is reached. */
export interface KernelEntry {
  readonly entry: SteeringEntry;
  /** Null: nobody has said, so packets are dropped. */
  readonly nextHop: string | null;
}

/** By address, then by base; as soon as anything changes, a new one. */
export type KernelEntries = ReadonlyMap<string, ReadonlyMap<number, KernelEntry>>;

/** What a router steers by. */
export class KernelTable {
  entries: KernelEntries = new Map();
  /** Whether the last transaction was one that failed. */
  hasFailed = false;
  /** When the last change that is on its way is made, by the monotonic clock: one after the other. */
  busyUntilMs = 0;
  /** How often it was switched off: what was on its way then is never made. */
  lossCount = 0;
  /** Told of every entry that comes in the place of others, or of none. */
  onPut: (entry: SteeringEntry, replaced: readonly SteeringEntry[]) => void = () => {};

  /** Where a packet for this port goes. */
  find(ip: string, port: number): KernelEntry | null {
    for (const placed of this.entries.get(ip)?.values() ?? []) {
      if (blockContains(placed.entry, port)) return placed;
    }
    return null;
  }

  /**
   * One transaction. As in the kernel it fails as a whole when it adds to what is there already
   * with other data, as it may be when a former process has not quite ended.
   */
  change(removed: Iterable<SteeringEntry>, added: Iterable<KernelEntry>): void {
    const draft = new Map([...this.entries].map(([ip, blocks]) => [ip, new Map(blocks)]));
    for (const { ip, base } of removed) draft.get(ip)?.delete(base);
    const puts = [...added].map((placed) => ({
      placed,
      replaced: this.#overlapping(this.entries, placed.entry),
    }));
    for (const { placed } of puts) {
      const { ip, base, epoch } = placed.entry;
      const [present, ...others] = this.#overlapping(draft, placed.entry);
      if (present !== undefined && (others.length > 0 || present.epoch !== epoch)) {
        throw new Error(`port ${base} of ${ip} is steered otherwise`);
      }
      let blocks = draft.get(ip);
      if (blocks === undefined) draft.set(ip, (blocks = new Map<number, KernelEntry>()));
      blocks.set(base, placed);
    }
    this.entries = draft;
    for (const { placed, replaced } of puts) this.onPut(placed.entry, replaced);
  }

  /** The machine was switched off. */
  forget(): void {
    this.entries = new Map();
    this.busyUntilMs = 0;
    this.lossCount += 1;
  }

  #overlapping(entries: KernelEntries, entry: SteeringEntry): SteeringEntry[] {
    const blocks = Array.from(entries.get(entry.ip)?.values() ?? [], (placed) => placed.entry);
    return blocks.filter((other) => blocksOverlap(other, entry));
  }
}

/** A transaction takes less, where nothing is wrong. */
const LONG_STEP_MS = 20;

class SimulatedKernel implements SteeringKernel {
  readonly #table: KernelTable;
  readonly #process: Process;
  readonly #troubles: KernelTroubles;
  readonly #chance: Chance;

  constructor(table: KernelTable, process: Process, troubles: KernelTroubles, chance: Chance) {
    this.#table = table;
    this.#process = process;
    this.#troubles = troubles;
    this.#chance = chance;
  }

  repair(table: SteeringTable): Promise<RepairReport> {
    return this.#soon(() => {
      const nextHops = new Map(table.nextHops.map(({ host, ipv4 }) => [host, ipv4]));
      const before = [...this.#table.entries.values()].flatMap((blocks) =>
        Array.from(blocks.values(), ({ entry }) => entry),
      );
      const after = table.entries.map((entry) => ({ entry, nextHop: nextHops.get(entry.host) ?? null }));
      this.#table.change(before, after);
      return { removedCount: before.length, addedCount: after.length, unreachable: [] };
    });
  }

  apply(delta: SteeringDelta): Promise<void> {
    return this.#soon(() => {
      const removed = delta.removed.map(({ entry }) => entry);
      const added = delta.added.map(({ entry, nextHop }) => ({ entry, nextHop: nextHop?.ipv4 ?? null }));
      this.#table.change(removed, added);
    });
  }

  isInForce(): Promise<boolean> {
    return Promise.resolve(true);
  }

  counts(): never {
    throw new Error("nobody counts here");
  }

  remove(): never {
    throw new Error("nobody removes here");
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** One transaction: in the kernel at once, whatever becomes of the process meanwhile. */
  #soon<Result>(change: () => Result): Promise<Result> {
    const { failureChance, slownessMs } = this.#troubles;
    const isFailing = this.#chance.isLikely(failureChance);
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const { machine } = this.#process;
    const nowMs = machine.monotonicMs();
    const doneAtMs = nowMs + this.#chance.between(0.5, 5) + this.#chance.next() * slownessMs;
    // What a process that was killed had begun comes before whatever its successor does.
    this.#table.busyUntilMs = Math.max(this.#table.busyUntilMs + KERNEL_TICK_MS, doneAtMs);
    const { lossCount } = this.#table;
    machine.at(this.#table.busyUntilMs, () => {
      if (lossCount !== this.#table.lossCount) return;
      const end = attempt(() => {
        if (isFailing) throw new Error("nft failed");
        return change();
      });
      this.#table.hasFailed = !end.ok;
      this.#process.run(() => (end.ok ? resolve(end.value) : reject(end.refusal)));
    });
    return promise;
  }
}

/** What it came to; a law that does not hold is no fault of a kernel. */
function attempt<Result>(what: () => Result): Outcome<Result, Error> {
  try {
    return ok(what());
  } catch (fault) {
    if (fault instanceof Violation || !(fault instanceof Error)) throw fault;
    return refuse(fault);
  }
}

/** What a router needs of the run. */
export interface RouterSurroundings {
  readonly network: Network;
  readonly chance: Chance;
  readonly pool: string;
  readonly edge: URL;
  readonly dial: Dial;
  /** Sees every message that it sends and reads. */
  readonly watch: (router: SimulatedRouter, direction: "sent" | "read", text: string) => void;
}

/** One machine that steers. */
export class SimulatedRouter {
  readonly name: string;
  readonly machine: Machine;
  readonly kernel = new KernelTable();
  readonly troubles: KernelTroubles = { failureChance: 0, slownessMs: 0 };
  readonly #surroundings: RouterSurroundings;
  #instance: string;
  #reinstallCount = 0;
  #process: Process | null = null;
  #member: SteeringMember | null = null;
  #link: { readonly isWhole: boolean } | null = null;

  constructor(name: string, machine: Machine, surroundings: RouterSurroundings) {
    this.name = name;
    this.machine = machine;
    this.#surroundings = surroundings;
    this.#instance = this.#newInstance();
  }

  get process(): Process | null {
    return this.#process;
  }

  get isReady(): boolean {
    return this.#process?.isRunning === true && this.#member?.isReady === true && this.#member.isConnected;
  }

  /** Whether the pool hears it and it hears the pool. */
  get isHeard(): boolean {
    return this.#process?.isRunning === true && this.#link?.isWhole === true;
  }

  /** Whether its kernel is still at something that takes long, or has failed and is not tried again yet. */
  get isBehind(): boolean {
    return this.kernel.hasFailed || this.kernel.busyUntilMs - this.machine.monotonicMs() > LONG_STEP_MS;
  }

  start(): void {
    if (this.#process !== null || this.machine.isOff) return;
    const { network, chance, pool, edge, dial, watch } = this.#surroundings;
    const process = new Process(this.machine);
    const linkWorld = {
      network,
      process,
      dial,
      peer: this.name,
      watch: (_url: URL, direction: "sent" | "read", text: string) => watch(this, direction, text),
    };
    this.#process = process;
    this.#member = new SteeringMember({
      edge,
      pool,
      instance: this.#instance,
      token: () => Promise.resolve("token"),
      isObserver: false,
      log: SILENT_LOG,
      openLink: (options) => {
        const link = new SimulatedLink(options, linkWorld);
        this.#link = link;
        return link;
      },
      kernel: new SimulatedKernel(this.kernel, process, this.troubles, chance),
      timers: process,
    });
    this.#member.start();
  }

  kill(): void {
    this.#process?.kill();
    this.#process = null;
    this.#member = null;
  }

  switchOff(): void {
    this.machine.isOff = true;
    this.kill();
    this.kernel.forget();
  }

  switchOn(): void {
    this.machine.isOff = false;
    this.start();
  }

  /** From scratch: it is another instance of the same name. */
  reinstall(): void {
    this.switchOff();
    this.#reinstallCount += 1;
    this.#instance = this.#newInstance();
  }

  #newInstance(): string {
    const { name } = this.machine;
    return `instance-${name}-${this.#reinstallCount}-${this.#surroundings.chance.below(2 ** 32)}`;
  }
}

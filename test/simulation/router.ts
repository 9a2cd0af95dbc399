/**
 * A router: a machine whose kernel steers, and the process that lets it follow the pool. The
 * kernel goes on when the process ends, and forgets when the machine is switched off.
 */
import { blockContains } from "../../src/core/port-block.ts";
import type { SteeringEntry, SteeringTable } from "../../src/core/steering.ts";
import type { RepairReport, SteeringKernel } from "../../src/router/kernel.ts";
import { SteeringMember } from "../../src/router/steering-member.ts";
import type { SteeringDelta } from "../../src/router/steering-program.ts";
import type { Chance } from "./chance.ts";
import { type Dial, SimulatedLink } from "./connection.ts";
import type { KernelTroubles } from "./guard-kernel.ts";
import { type Machine, Process } from "./machine.ts";
import type { Network } from "./network.ts";
import { SILENT_LOG } from "./silent-log.ts";

/** An entry as the kernel has it: with where its host is reached. */
export interface KernelEntry {
  readonly entry: SteeringEntry;
  /** Null: nobody has said, so packets are dropped. */
  readonly reach: string | null;
}

/** What a router steers by. */
export class KernelTable {
  /** By address, then by base. */
  readonly entries = new Map<string, Map<number, KernelEntry>>();
  /** Told of every entry that comes in the place of another, or of none. */
  onPut: (entry: SteeringEntry, replaced: readonly SteeringEntry[]) => void = () => {};

  /** Where a packet for this port goes. */
  find(ip: string, port: number): KernelEntry | null {
    for (const placed of this.entries.get(ip)?.values() ?? []) {
      if (blockContains(placed.entry, port)) return placed;
    }
    return null;
  }

  has({ ip, base, order, host, epoch }: SteeringEntry): boolean {
    const placed = this.entries.get(ip)?.get(base)?.entry;
    return placed?.order === order && placed.host === host && placed.epoch === epoch;
  }

  put(placed: KernelEntry): void {
    const { ip, base } = placed.entry;
    let blocks = this.entries.get(ip);
    if (blocks === undefined) {
      blocks = new Map();
      this.entries.set(ip, blocks);
    }
    const overlapping = [...blocks.values()].filter(
      ({ entry }) => blockContains(entry, base) || blockContains(placed.entry, entry.base),
    );
    // An exact-match map of the kernel refuses a second element; a program that puts one is wrong.
    if (overlapping.length > 0) throw new Error(`port ${base} of ${ip} is steered twice`);
    blocks.set(base, placed);
  }

  delete({ ip, base }: SteeringEntry): void {
    this.entries.get(ip)?.delete(base);
  }
}

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
      const reaches = new Map(table.reaches.map(({ host, ipv4 }) => [host, ipv4]));
      const before = [...this.#table.entries.values()].flatMap((blocks) => Array.from(blocks.values()));
      for (const { entry } of before) this.#table.delete(entry);
      for (const entry of table.entries) this.#put(entry, reaches.get(entry.host) ?? null, before);
      return { removedCount: 0, addedCount: 0, unreachable: [] };
    });
  }

  apply(delta: SteeringDelta): Promise<void> {
    return this.#soon(() => {
      const removed = delta.removed.map(({ entry, reach }) => ({ entry, reach: reach?.ipv4 ?? null }));
      for (const { entry } of removed) this.#table.delete(entry);
      for (const { entry, reach } of delta.added) this.#put(entry, reach?.ipv4 ?? null, removed);
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

  #put(entry: SteeringEntry, reach: string | null, before: readonly KernelEntry[]): void {
    const replaced = before.filter(
      ({ entry: old }) =>
        old.ip === entry.ip && (blockContains(old, entry.base) || blockContains(entry, old.base)),
    );
    this.#table.put({ entry, reach });
    this.#table.onPut(
      entry,
      replaced.map((placed) => placed.entry),
    );
  }

  /** One transaction: in the kernel at once, whatever becomes of the process meanwhile. */
  #soon<Result>(change: () => Result): Promise<Result> {
    const { failureChance, slownessMs } = this.#troubles;
    const isFailing = this.#chance.isLikely(failureChance);
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const { machine } = this.#process;
    machine.after(this.#chance.between(0.5, 5) + this.#chance.next() * slownessMs, () => {
      if (machine.isOff) return;
      const result = isFailing ? null : change();
      this.#process.run(() => (result === null ? reject(new Error("nft failed")) : resolve(result)));
    });
    return promise;
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
  readonly #instance: string;
  #process: Process | null = null;
  #member: SteeringMember | null = null;
  #link: { readonly isWhole: boolean } | null = null;

  constructor(name: string, machine: Machine, surroundings: RouterSurroundings) {
    this.name = name;
    this.machine = machine;
    this.#surroundings = surroundings;
    this.#instance = `instance-${machine.name}-${surroundings.chance.below(2 ** 32)}`;
  }

  get process(): Process | null {
    return this.#process;
  }

  get isReady(): boolean {
    return this.#process?.isRunning === true && this.#member?.isReady === true && this.#member.isConnected;
  }

  /** Whether the pool hears it and it hears the pool. */
  get isHeard(): boolean {
    return this.#link?.isWhole === true;
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
    this.kernel.entries.clear();
  }

  switchOn(): void {
    this.machine.isOff = false;
    this.start();
  }
}

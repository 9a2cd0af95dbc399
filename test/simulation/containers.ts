/**
 * The containers of a machine, which speak no proxy: their kernel translates what they send. They go on
 * whatever becomes of the agent, and end with their machine.
 */
import type { Chance } from "./chance.ts";
import type { GuardKernel } from "./guard-kernel.ts";
import type { Machine, Process } from "./machine.ts";
import type { TrackedFlow, TranslationTable } from "./translation-table.ts";

/** How a flow of a container was broken off: its entry was ended, or the guard did not let it out. */
export type TranslatedBreak = "ended" | "held back";

/** Where they are. */
export interface ContainerSurroundings {
  readonly machine: Machine;
  readonly guard: GuardKernel;
  readonly table: TranslationTable;
  readonly chance: Chance;
  /** The agent that knows of what is translated by an address. */
  readonly agent: (ip: string) => Process | null;
  /** A packet wants to leave; the guard decides whether it does. */
  readonly transmit: (ip: string, port: number) => boolean;
  /** The kernel has chosen a port for a new flow. */
  readonly onTranslated: (flow: TrackedFlow) => void;
  /** A packet of an entry has left. */
  readonly onPassed: (flow: TrackedFlow) => void;
  readonly onBroken: (flow: TrackedFlow, how: TranslatedBreak) => void;
  /** Looks at all that there is. */
  readonly onLook: () => void;
}

const DESTINATIONS = ["203.0.113.1", "203.0.113.2"];
const SOURCE = "10.88.0.2";
const PORT = 443;
const BURST_CHANCE = 0.01;
/** Of a flow that may outlive its lease. */
const LONG_CHANCE = 0.1;
/** Of a flow that ends without a word. */
const SILENT_END_CHANCE = 0.2;

/** One per machine that translates. */
export class Containers {
  /** New flows per second. */
  demand = 1;
  /** How many flows have begun. */
  flowCount = 0;
  readonly #world: ContainerSurroundings;
  #sourcePort = 0;
  #isBegun = false;

  constructor(world: ContainerSurroundings) {
    this.#world = world;
  }

  begin(): void {
    if (this.#isBegun) return;
    this.#isBegun = true;
    this.#openLater();
  }

  #openLater(): void {
    const { machine, chance } = this.#world;
    machine.after((1_000 / this.demand) * chance.between(0.5, 1.5), () => {
      const isBurst = chance.isLikely(BURST_CHANCE);
      const count = isBurst ? 20 + chance.below(80) : 1;
      const destination = isBurst ? DESTINATIONS[0]! : chance.pick(DESTINATIONS);
      if (!machine.isOff) {
        this.#world.onLook();
        for (let opened = 0; opened < count; opened += 1) this.#open(destination);
      }
      this.#openLater();
    });
  }

  #open(destination: string): void {
    const { table, chance, machine, guard, transmit, onTranslated, agent } = this.#world;
    const ips = table.openIps();
    if (ips.length === 0) return;
    this.#sourcePort += 1;
    const asked = { source: SOURCE, sourcePort: this.#sourcePort, destination, destinationPort: PORT };
    const ip = chance.pick(ips);
    const flow = table.translate(ip, asked, chance, agent(ip));
    if (flow === null) return;
    onTranslated(flow);
    // What does not leave leaves no entry.
    if (!transmit(flow.ip, flow.port)) return;
    table.confirm(flow);
    this.flowCount += 1;
    const endMs = machine.monotonicMs() + chance.between(50, chance.isLikely(LONG_CHANCE) ? 60_000 : 6_000);
    const lossCount = guard.lossCount;
    machine.after(chance.between(100, 2_000), () => this.#talk(flow, endMs, lossCount));
  }

  #talk(flow: TrackedFlow, endMs: number, lossCount: number): void {
    const { table, machine, guard, chance, transmit, onBroken, onPassed } = this.#world;
    // It ended with its machine.
    if (lossCount !== guard.lossCount) return;
    if (!table.has(flow)) return onBroken(flow, "ended");
    const isOver = machine.monotonicMs() >= endMs;
    if (isOver && chance.isLikely(SILENT_END_CHANCE)) return;
    table.touch(flow);
    if (transmit(flow.ip, flow.port)) onPassed(flow);
    else onBroken(flow, "held back");
    if (isOver) table.close(flow);
    else machine.after(chance.between(100, 4_000), () => this.#talk(flow, endMs, lossCount));
  }
}

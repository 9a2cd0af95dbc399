/**
 * The ports of an address in another process than their keeper: commands and reports are on their way
 * for a while, and now and then the other process does nothing for seconds. Some overtake others, and
 * some come twice, which is more than a pipe does: the contract has to bear it.
 */
import type { PortCommand, PortControl, PortReport } from "../../src/agent/egress/port-messages.ts";
import type { Process } from "./machine.ts";
import { FAIR_WEATHER, type Network } from "./network.ts";

const LONGEST_WAY_MS = 40;
const STALL_CHANCE = 0.02;
const LONGEST_STALL_MS = 4_000;
const OVERTAKING_CHANCE = 0.05;
const REPEAT_CHANCE = 0.05;

/** Between a keeper, or its guard, and the ports. */
export class PortsApart implements PortControl {
  onReport: ((report: PortReport) => void) | null = null;
  readonly #process: Process;
  readonly #network: Network;
  readonly #ports: PortControl;
  readonly #lastArrivalMs = { commands: 0, reports: 0 };

  constructor(ports: PortControl, process: Process, network: Network) {
    this.#ports = ports;
    this.#process = process;
    this.#network = network;
    ports.onReport = (report) => {
      const text = JSON.stringify(report);
      this.#carry("reports", () => this.onReport?.(JSON.parse(text) as PortReport));
    };
  }

  command(command: PortCommand): void {
    const text = JSON.stringify(command);
    this.#carry("commands", () => this.#ports.command(JSON.parse(text) as PortCommand));
  }

  #carry(what: "commands" | "reports", deliver: () => void): void {
    const { machine } = this.#process;
    const { chance, weather } = this.#network;
    const isStalled = weather !== FAIR_WEATHER && chance.isLikely(STALL_CHANCE);
    if (isStalled) machine.trouble();
    const longestMs = isStalled ? LONGEST_STALL_MS : LONGEST_WAY_MS;
    const now = machine.monotonicMs();
    const wayMs = chance.between(0, longestMs);
    if (chance.isLikely(REPEAT_CHANCE)) this.#arrive(now + chance.between(0, longestMs), deliver);
    // Whatever is behind it in its queue.
    if (chance.isLikely(OVERTAKING_CHANCE)) return this.#arrive(now + wayMs, deliver);
    const atMs = Math.max(this.#lastArrivalMs[what], now + wayMs);
    this.#lastArrivalMs[what] = atMs;
    this.#arrive(atMs, deliver);
  }

  #arrive(atMs: number, deliver: () => void): void {
    this.#process.machine.at(atMs, () => this.#process.run(deliver));
  }
}

/**
 * The data processes of a simulated host: real divisions and real parts of addresses, each part in a
 * process of its own on the same machine, that can be paused or killed. What agent and processes
 * tell each other is on its way for a while, and now and then for seconds.
 */
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
import type { PartCommand, PartReport } from "../../src/agent/division/part-messages.ts";
import type { KernelPart } from "../../src/agent/processes/data-processes.ts";
import { DividedAddresses } from "../../src/agent/processes/divided-addresses.ts";
import { ServedParts } from "../../src/agent/processes/served-parts.ts";
import { Process } from "./machine.ts";
import { FAIR_WEATHER, type Network } from "./network.ts";

/** A process in which flows are. */
export interface HostPart {
  readonly process: Process;
  readonly binder: PortBinder;
}

interface DividedPart extends HostPart {
  readonly number: number;
  readonly served: ServedParts;
  /** When what was sent last arrives, by way. */
  readonly lastArrivalMs: { to: number; from: number };
}

const LONGEST_WAY_MS = 20;
const STALL_CHANCE = 0.005;
const LONGEST_STALL_MS = 3_000;
/** A process that does not answer for so long is ended. */
const SILENCE_MS = 5_000;
const LONGEST_START_MS = 800;
/** Processes are counted from 1. */
const KERNEL_PART = 0;

/** Of one agent. */
export class DividedHost {
  readonly addresses: DividedAddresses;
  readonly #agent: Process;
  readonly #network: Network;
  readonly #onEnded: (part: HostPart) => void;
  readonly #parts = new Map<number, DividedPart>();
  #startCount = 0;

  /**
   * `onEnded` is told of a process that has ended while its agent lives; `kernelPart` has units of each
   * address beside the processes, in the agent's own process.
   */
  constructor(
    agent: Process,
    network: Network,
    kernelPart: KernelPart | null,
    onEnded: (part: HostPart) => void,
  ) {
    this.#agent = agent;
    this.#network = network;
    this.#onEnded = onEnded;
    this.addresses = new DividedAddresses({
      clock: () => agent.machine.clock(),
      beside: (ip) =>
        kernelPart?.serves(ip) === true ? { part: KERNEL_PART, units: kernelPart.inherited(ip) } : null,
      sendCommand: (number, ip, command) => {
        if (number === KERNEL_PART) kernelPart?.command(ip, command);
        else this.#send(number, ip, command);
      },
      sendServed: (ips) => {
        for (const part of this.#parts.values()) this.#carry(part, "to", () => part.served.serve(ips));
      },
    });
    if (kernelPart !== null) {
      kernelPart.onReport = (ip, report) => this.addresses.report(KERNEL_PART, ip, report);
    }
    const count = 2 + network.chance.below(2);
    for (let begun = 0; begun < count; begun += 1) this.#begin();
  }

  /** Those that live. */
  get parts(): readonly HostPart[] {
    return [...this.#parts.values()];
  }

  /** One of them can do nothing for a while; its agent ends it if that lasts. */
  pauseOne(): () => void {
    const part = this.#any();
    if (part === null) return () => {};
    const { process, number } = part;
    process.pause();
    this.#agent.machine.trouble();
    this.#agent.after(SILENCE_MS, () => {
      if (process.isPaused && this.#parts.has(number)) this.#end(part);
    });
    return () => {
      process.continue();
      this.#agent.machine.trouble();
    };
  }

  /** One of them is killed. */
  killOne(): void {
    const part = this.#any();
    if (part !== null) this.#end(part);
  }

  #any(): DividedPart | null {
    const parts = [...this.#parts.values()];
    return parts.length === 0 ? null : this.#network.chance.pick(parts);
  }

  #begin(): void {
    const { machine } = this.#agent;
    const { chance } = this.#network;
    this.#startCount += 1;
    const number = this.#startCount;
    const process = new Process(machine);
    const clock = (): ReturnType<typeof machine.clock> => machine.clock();
    const binder = new PortBinder({ clock, random: chance.below, timers: process });
    const served: ServedParts = new ServedParts(binder, (ip, report) => this.#report(part, ip, report), {
      clock,
      timers: process,
    });
    const part: DividedPart = { number, process, binder, served, lastArrivalMs: { to: 0, from: 0 } };
    this.#parts.set(number, part);
    const ips = this.addresses.ips();
    this.#carry(part, "to", () => served.serve(ips));
    this.addresses.addPart(number);
  }

  #end(part: DividedPart): void {
    this.#agent.machine.trouble();
    this.#parts.delete(part.number);
    part.process.kill();
    this.#onEnded(part);
    this.#agent.run(() => this.addresses.removePart(part.number));
    this.#agent.after(this.#network.chance.between(50, LONGEST_START_MS), () => this.#begin());
  }

  #send(number: number, ip: string, command: PartCommand): void {
    const part = this.#parts.get(number);
    if (part === undefined) return;
    const text = JSON.stringify(command);
    this.#carry(part, "to", () => part.served.command(ip, JSON.parse(text) as PartCommand));
  }

  #report(part: DividedPart, ip: string, report: PartReport): void {
    const text = JSON.stringify(report);
    this.#carry(part, "from", () => this.addresses.report(part.number, ip, JSON.parse(text) as PartReport));
  }

  /** In order, as a socket does. */
  #carry(part: DividedPart, way: "to" | "from", deliver: () => void): void {
    const { machine } = this.#agent;
    const { chance, weather } = this.#network;
    const isStalled = weather !== FAIR_WEATHER && chance.isLikely(STALL_CHANCE);
    if (isStalled) machine.trouble();
    const nowMs = machine.monotonicMs();
    const wayMs = chance.between(0, isStalled ? LONGEST_STALL_MS : LONGEST_WAY_MS);
    const atMs = Math.max(part.lastArrivalMs[way], nowMs + wayMs);
    part.lastArrivalMs[way] = atMs;
    const receiver = way === "to" ? part.process : this.#agent;
    machine.at(atMs, () => receiver.run(deliver));
  }
}

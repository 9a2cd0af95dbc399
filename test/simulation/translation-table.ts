/**
 * What a machine's kernel translates: which units it chooses for new flows of containers, and the entries of
 * those that there are. All of it outlives the agent, and nothing of it the machine. In a unit a port is
 * chosen by chance, and one use of it towards each destination is all that there is; a full unit loses the packet.
 */
import type { TranslatedFlow } from "../../src/agent/translation/translated-flow.ts";
import type { TranslationChoice } from "../../src/agent/translation/translation-kernel.ts";
import { UNIT_PORT_COUNT, unitOf } from "../../src/core/port-block.ts";
import type { Chance } from "./chance.ts";
import type { Machine, Process } from "./machine.ts";

/** A flow of a container, as the kernel knows it. */
export interface TrackedFlow extends Omit<TranslatedFlow, "isOver"> {
  readonly unit: number;
  /** True time. */
  readonly openedAtMs: number;
  /** The agent that knew of it when it began; null if there was none. */
  readonly agent: Process | null;
  /** By the monotonic clock; each packet puts it off. */
  idleEndMs: number;
  /** Both sides have said the last of it. */
  isOver: boolean;
}

/** What new flows by an address may use. */
interface Choice extends Pick<TranslationChoice, "units" | "full"> {
  readonly monotonicEndMs: number;
}

/** An entry without packets lasts for so long: flows of a run say something every four seconds. */
const IDLE_MS = 10_000;
/** And so long behind the last packet of its flow. */
const CLOSED_MS = 1_000;

/** In the kernel of one machine. */
export class TranslationTable {
  readonly #machine: Machine;
  readonly #choices = new Map<string, Choice>();
  readonly #entries = new Set<TrackedFlow>();

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Addresses by which a new flow could leave now. */
  openIps(): string[] {
    const nowMs = this.#machine.monotonicMs();
    return Array.from(this.#choices).flatMap(([ip, { units, monotonicEndMs }]) =>
      units.length > 0 && nowMs < monotonicEndMs ? [ip] : [],
    );
  }

  /** Units that may be chosen for new flows, be the time for it over or not. */
  chosen(ip: string): number[] {
    return this.#choices.get(ip)?.units.map(({ unit }) => unit) ?? [];
  }

  choose(ip: string, { units, full }: TranslationChoice, remainingMs: number): void {
    this.#choices.set(ip, { units, full, monotonicEndMs: this.#machine.monotonicMs() + remainingMs });
  }

  endEntries(ip: string, units: ReadonlySet<number>): void {
    for (const flow of this.entries()) if (flow.ip === ip && units.has(flow.unit)) this.#entries.delete(flow);
  }

  /** Those that there are. */
  entries(): TrackedFlow[] {
    const nowMs = this.#machine.monotonicMs();
    for (const flow of this.#entries) if (flow.idleEndMs <= nowMs) this.#entries.delete(flow);
    return [...this.#entries];
  }

  /** Whether one is there still. */
  has(flow: TrackedFlow): boolean {
    return this.#entries.has(flow) && this.#machine.monotonicMs() < flow.idleEndMs;
  }

  /** A packet of a flow has passed. */
  touch(flow: TrackedFlow): void {
    flow.idleEndMs = this.#machine.monotonicMs() + IDLE_MS;
  }

  /** A unit and a port for a flow of a container; null if its first packet is refused, or lost. */
  translate(
    ip: string,
    {
      source,
      sourcePort,
      destination,
      destinationPort,
    }: Omit<TranslatedFlow, "protocol" | "ip" | "port" | "isOver">,
    chance: Chance,
    agent: Process | null,
  ): TrackedFlow | null {
    const choice = this.#choices.get(ip)!;
    if (choice.full.includes(`tcp ${destination} ${destinationPort}`)) return null;
    let ticket = chance.next() * choice.units.reduce((sum, { weight }) => sum + weight, 0);
    const { unit } = choice.units.find(({ weight }) => (ticket -= weight) < 0) ?? choice.units[0]!;
    const used = new Set(
      this.entries().flatMap((flow) =>
        flow.ip === ip && flow.destination === destination && flow.unit === unit ? [flow.port] : [],
      ),
    );
    const free = Array.from({ length: UNIT_PORT_COUNT }, (_, at) => unit * UNIT_PORT_COUNT + at).filter(
      (port) => !used.has(port),
    );
    if (free.length === 0) return null;
    const port = chance.pick(free);
    const idleEndMs = this.#machine.monotonicMs() + IDLE_MS;
    const openedAtMs = this.#machine.trueMs;
    return {
      isOver: false,
      protocol: "tcp",
      source,
      sourcePort,
      destination,
      destinationPort,
      ip,
      port,
      unit: unitOf(port),
      openedAtMs,
      agent,
      idleEndMs,
    };
  }

  /** The last packet has. */
  close(flow: TrackedFlow): void {
    flow.isOver = true;
    flow.idleEndMs = this.#machine.monotonicMs() + CLOSED_MS;
  }

  /** The first packet has left. */
  confirm(flow: TrackedFlow): void {
    this.#entries.add(flow);
  }

  /** The machine was switched off. */
  forget(): void {
    this.#choices.clear();
    this.#entries.clear();
  }
}

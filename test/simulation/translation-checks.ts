/**
 * What must hold of a machine's translation beside the laws, which look at its packets as at all others:
 *
 * - parts: no unit is at once a data process's and the kernel's, not even for one entry.
 * - guard: the kernel chooses no unit before the guard knows that it is for translation.
 * - entries: none is left in a block that is given back, none lives on when its block has been another's, and an
 *   agent that runs ends those of its time from which nothing may leave any more.
 */
import { blockContains, type PortBlock } from "../../src/core/port-block.ts";
import type { TranslatedBreak } from "./containers.ts";
import type { FlowChecks } from "./flow-checks.ts";
import type { Host, TranslationWatcher } from "./host.ts";
import { Violation } from "./law-checks.ts";
import type { TrackedFlow } from "./translation-table.ts";

/** What the checks look at. */
export interface TranslatedWorld {
  readonly flows: FlowChecks;
  /** Whether a block with this port was granted to somebody else since then. */
  readonly wasOthers: (ip: string, port: number, instance: string, sinceMs: number) => boolean;
  readonly nowMs: () => number;
}

/** An agent looks at its term twice a second, and a call that failed is tried again after one. */
const REACTION_MS = 3_000;
/** What a trouble has begun is over by then. */
const TROUBLE_LASTS_MS = 25_000;

/** One per run. */
export class TranslationChecks implements TranslationWatcher {
  readonly #world: TranslatedWorld;
  /** Since when nothing of an entry may leave, by the time that its agent ran. */
  readonly #silentSinceMs = new WeakMap<TrackedFlow, number>();
  /** How many comparisons were made that could have failed. */
  readonly counts = { translated: 0, translatedPackets: 0, entriesLooked: 0 };

  constructor(world: TranslatedWorld) {
    this.#world = world;
  }

  chosen(host: Host, flow: TrackedFlow): void {
    this.counts.translated += 1;
    if (host.guard.isTranslated(flow.ip, flow.port)) return;
    const what = `${host.machine.name} translates to ${flow.ip}:${flow.port}`;
    throw new Violation("guard", `${what} before its guard knows of it`);
  }

  passed(host: Host, { ip, port, openedAtMs }: TrackedFlow): void {
    this.counts.translatedPackets += 1;
    if (!this.#world.wasOthers(ip, port, host.instance, openedAtMs)) return;
    const what = `a flow of a container of ${host.machine.name} goes on from ${ip}:${port}`;
    throw new Violation("entries", `${what}, which has been another host's since it began`);
  }

  broken(host: Host, flow: TrackedFlow, how: TranslatedBreak): void {
    this.#world.flows.translatedBroken(host, flow, how);
  }

  look(host: Host): void {
    for (const flow of host.translation!.entries()) {
      this.counts.entriesLooked += 1;
      this.#apart(host, flow);
      this.#ended(host, flow);
    }
  }

  /** A block is given back. */
  released(host: Host, ip: string, block: PortBlock): void {
    const left = host.translation
      ?.entries()
      .find((flow) => flow.ip === ip && flow.agent === host.process && blockContains(block, flow.port));
    if (left === undefined) return;
    const what = `${host.machine.name} gives back ${block.base} of ${ip}`;
    throw new Violation("entries", `${what}, and its kernel has a flow from ${left.port}`);
  }

  #apart(host: Host, { ip, port, unit }: TrackedFlow): void {
    if (!host.socketUnits(ip).has(unit) || !host.translatedUnits(ip).has(unit)) return;
    const what = `the unit of ${ip}:${port} of ${host.machine.name}`;
    throw new Violation("parts", `${what} is the kernel's and a data process's`);
  }

  #ended(host: Host, flow: TrackedFlow): void {
    const { process, machine, guard, runningMs } = host;
    const isSilent = !guard.permits(flow.ip, flow.port, "translated");
    if (!isSilent || flow.agent !== process || process?.isRunning !== true) {
      this.#silentSinceMs.delete(flow);
      return;
    }
    const sinceMs = this.#silentSinceMs.get(flow) ?? runningMs;
    this.#silentSinceMs.set(flow, sinceMs);
    if (machine.troubledAtMs > this.#world.nowMs() - TROUBLE_LASTS_MS) return;
    if (runningMs - sinceMs < REACTION_MS) return;
    const what = `${machine.name} has an entry at ${flow.ip}:${flow.port}`;
    throw new Violation("entries", `${what}, from which nothing may leave for ${runningMs - sinceMs} ms`);
  }
}

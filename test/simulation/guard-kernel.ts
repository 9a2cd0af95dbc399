/**
 * The guard of a machine: what its kernel lets out, and until when. It outlives the agent; its
 * timeouts follow the monotonic clock, and it asks the wall clock as well, as the real rules do.
 */
import type { Permitting } from "../../src/agent/machine/guarded-ports.ts";
import { type LeaseTerm, remainingMs } from "../../src/core/lease-term.ts";
import { blockContains, type PortBlock } from "../../src/core/port-block.ts";
import type { Chance } from "./chance.ts";
import type { Machine, Process } from "./machine.ts";

/** What leaves from one address. */
interface Permission {
  readonly blocks: readonly PortBlock[];
  /** As it was told, be there time left or not. */
  readonly told: readonly PortBlock[];
  readonly monotonicEndMs: number;
  readonly wallEndMs: number;
}

/** What goes wrong when the kernel is told something. */
export interface KernelTroubles {
  failureChance: number;
  slownessMs: number;
}

/** Between two transactions. */
export const KERNEL_TICK_MS = 0.001;

/** In the kernel of one machine. */
export class GuardKernel {
  readonly machine: Machine;
  readonly troubles: KernelTroubles = { failureChance: 0, slownessMs: 0 };
  /** Told before and after something else may leave. */
  onChange: (ip: string) => void = () => {};
  /** How often it was switched off: what it was being told then it never hears. */
  lossCount = 0;
  /** When what was begun last is done, by the monotonic clock: one transaction after the other. */
  busyUntilMs = 0;
  readonly #permissions = new Map<string, Permission>();

  constructor(machine: Machine) {
    this.machine = machine;
  }

  /** What may leave now. */
  permitted(ip: string): readonly PortBlock[] {
    const permission = this.#permissions.get(ip);
    if (permission === undefined || this.machine.isSuspended || this.machine.isOff) return [];
    const { monotonicMs, wallMs } = this.machine.clock();
    return monotonicMs < permission.monotonicEndMs && wallMs < permission.wallEndMs ? permission.blocks : [];
  }

  /** Whether a packet from this port gets out now. */
  permits(ip: string, port: number): boolean {
    return this.permitted(ip).some((block) => blockContains(block, port));
  }

  /** Whether it was told last that this port may be used, be the time for it over or not. */
  knows(ip: string, port: number): boolean {
    return this.#permissions.get(ip)?.told.some((block) => blockContains(block, port)) === true;
  }

  /** True time from now until nothing may leave any more, if no clock is touched. */
  untilSilence(ip: string): number {
    const permission = this.#permissions.get(ip);
    if (permission === undefined || this.permitted(ip).length === 0) return 0;
    const { monotonicEndMs, wallEndMs } = permission;
    return Math.min(this.machine.untilMonotonic(monotonicEndMs), this.machine.untilWall(wallEndMs));
  }

  replace(ip: string, blocks: readonly PortBlock[], leftMs: number, wallEndMs: number): void {
    this.onChange(ip);
    const timeoutMs = Math.floor(leftMs);
    const isSilent = timeoutMs <= 0;
    this.#permissions.set(ip, {
      blocks: isSilent ? [] : blocks,
      told: blocks,
      monotonicEndMs: this.machine.monotonicMs() + timeoutMs,
      wallEndMs: Math.floor(wallEndMs / 1000) * 1000,
    });
    this.onChange(ip);
  }

  /** The machine was switched off. */
  forget(): void {
    this.#permissions.clear();
    this.lossCount += 1;
  }
}

interface Wish {
  readonly blocks: readonly PortBlock[];
  readonly term: LeaseTerm | null;
}

/** An agent's way to the guard: tells the kernel what it is asked for, the latest only. */
export class SimulatedGuard implements Permitting {
  readonly #kernel: GuardKernel;
  readonly #process: Process;
  readonly #chance: Chance;
  #wishes = new Map<string, Wish>();
  #last: Promise<void> = Promise.resolve();
  #next: Promise<void> | null = null;

  constructor(kernel: GuardKernel, process: Process, chance: Chance) {
    this.#kernel = kernel;
    this.#process = process;
    this.#chance = chance;
  }

  allow(ip: string, blocks: readonly PortBlock[], term: LeaseTerm | null): Promise<void> {
    this.#wishes.set(ip, { blocks, term });
    if (this.#next === null) {
      const next = this.#last.then(() => this.#flush());
      this.#next = next;
      this.#last = next.catch(() => {});
    }
    return this.#next;
  }

  async #flush(): Promise<void> {
    this.#next = null;
    const wishes = this.#wishes;
    this.#wishes = new Map();
    try {
      await this.#tellKernel(wishes);
    } catch (fault) {
      this.#wishes = new Map([...wishes, ...this.#wishes]);
      throw fault;
    }
  }

  #tellKernel(wishes: ReadonlyMap<string, Wish>): Promise<void> {
    const { machine, troubles, lossCount } = this.#kernel;
    const now = machine.clock();
    const told = [...wishes].map(([ip, { blocks, term }]) => {
      const leftMs = term === null ? 0 : remainingMs(term, now);
      return { ip, blocks, leftMs, wallEndMs: term?.wallEndMs ?? 0 };
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const isFailing = this.#chance.isLikely(troubles.failureChance);
    // The program that tells the kernel goes on when the agent is paused or killed.
    const nowMs = machine.monotonicMs();
    const doneAtMs = nowMs + this.#chance.between(1, 15) + this.#chance.next() * troubles.slownessMs;
    this.#kernel.busyUntilMs = Math.max(this.#kernel.busyUntilMs + KERNEL_TICK_MS, doneAtMs);
    machine.after(this.#kernel.busyUntilMs - nowMs, () => {
      if (lossCount !== this.#kernel.lossCount) return;
      if (!isFailing) {
        for (const { ip, blocks, leftMs, wallEndMs } of told)
          this.#kernel.replace(ip, blocks, leftMs, wallEndMs);
      }
      this.#process.run(() => (isFailing ? reject(new Error("the kernel does not listen")) : resolve()));
    });
    return promise;
  }
}

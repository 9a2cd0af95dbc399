/**
 * The guard of a machine: what its kernel lets out, and until when. It outlives the agent; its
 * timeouts follow the monotonic clock, and it asks the wall clock as well, as the real rules do.
 */
import type { Permitting } from "../../src/agent/machine/guarded-ports.ts";
import type { Permission } from "../../src/agent/machine/guard-ruleset.ts";
import { GuardWishes } from "../../src/agent/machine/guard-wishes.ts";
import type { LeaseTerm } from "../../src/core/lease-term.ts";
import { blockContains, type PortBlock, UNIT_PORT_COUNT, unitOf } from "../../src/core/port-block.ts";
import type { Chance } from "./chance.ts";
import type { Machine, Process } from "./machine.ts";

/** What leaves from one address. */
interface Permitted {
  readonly blocks: readonly PortBlock[];
  /** As it was told, be there time left or not. */
  readonly told: readonly PortBlock[];
  /** Units from which translated packets leave and nothing else; no translated one leaves from any other. */
  readonly translated: ReadonlySet<number>;
  readonly monotonicEndMs: number;
  readonly wallEndMs: number;
}

/** What goes wrong when the kernel is told something. */
export interface KernelTroubles {
  failureChance: number;
  slownessMs: number;
}

/** What it was not told is told again with the next renewal, at the latest. */
const LONGEST_TERM_MS = 20_000;
/** How long it is remembered what was shut: an agent that was paused hears of it when it goes on. */
const SHUT_KEPT_MS = 60_000;
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
  /** The longest time from a wish until it was so. */
  longestTellingMs = 0;
  readonly #permissions = new Map<string, Permitted>();
  /** What it was told not to let out any more, and when; the newest last. */
  #shut: { readonly ip: string; readonly block: PortBlock; readonly atMs: number }[] = [];

  constructor(machine: Machine) {
    this.machine = machine;
  }

  /** All addresses that it guards. */
  ips(): Iterable<string> {
    return this.#permissions.keys();
  }

  /** What may leave now. */
  permitted(ip: string): readonly PortBlock[] {
    const permission = this.#permissions.get(ip);
    if (permission === undefined || this.machine.isSuspended || this.machine.isOff) return [];
    const { monotonicMs, wallMs } = this.machine.clock();
    return monotonicMs < permission.monotonicEndMs && wallMs < permission.wallEndMs ? permission.blocks : [];
  }

  /** Whether a packet from this port gets out now, made by a socket or translated. [GU9] */
  permits(ip: string, port: number, kind: "socket" | "translated" = "socket"): boolean {
    if (this.isTranslated(ip, port) !== (kind === "translated")) return false;
    return this.permitted(ip).some((block) => blockContains(block, port));
  }

  /** Whether it was told last that this port's unit is for translation. */
  isTranslated(ip: string, port: number): boolean {
    return this.#permissions.get(ip)?.translated.has(unitOf(port)) === true;
  }

  /** Whether what it allows ends by itself. */
  hasEnd(ip: string): boolean {
    return Number.isFinite(this.#permissions.get(ip)?.monotonicEndMs ?? 0);
  }

  /** Units for translation from which something may still leave, as a new agent finds them. [GU5] */
  translatedUnits(ip: string): number[] {
    const permission = this.#permissions.get(ip);
    if (permission === undefined || this.machine.monotonicMs() >= permission.monotonicEndMs) return [];
    const isAllowed = (unit: number): boolean =>
      permission.blocks.some((block) => blockContains(block, unit * UNIT_PORT_COUNT));
    return [...permission.translated].filter(isAllowed).toSorted((a, b) => a - b);
  }

  /** Whether it was told last that this port may be used, be the time for it over or not. */
  knows(ip: string, port: number): boolean {
    return this.#permissions.get(ip)?.told.some((block) => blockContains(block, port)) === true;
  }

  /** Whether it was told of late that this port may not be used any more, which it knew before. */
  hasShut(ip: string, port: number): boolean {
    return this.#shut.some((shut) => shut.ip === ip && blockContains(shut.block, port));
  }

  /** True time from now until nothing may leave any more, if no clock is touched. */
  untilSilence(ip: string): number {
    const permission = this.#permissions.get(ip);
    if (permission === undefined || this.permitted(ip).length === 0) return 0;
    const { monotonicEndMs, wallEndMs } = permission;
    return Math.min(this.machine.untilMonotonic(monotonicEndMs), this.machine.untilWall(wallEndMs));
  }

  replace({ ip, blocks, translated = [], remainingMs: leftMs, wallEndMs }: Permission): void {
    this.onChange(ip);
    this.#noteShut(ip, blocks);
    const timeoutMs = Math.floor(leftMs);
    const isSilent = timeoutMs <= 0;
    this.#permissions.set(ip, {
      blocks: isSilent ? [] : blocks,
      told: blocks,
      translated: new Set(translated),
      monotonicEndMs: this.machine.monotonicMs() + timeoutMs,
      wallEndMs: Math.floor(wallEndMs / 1000) * 1000,
    });
    this.onChange(ip);
  }

  #noteShut(ip: string, blocks: readonly PortBlock[]): void {
    const atMs = this.machine.monotonicMs();
    const gone = (this.#permissions.get(ip)?.told ?? []).filter(
      ({ base, order }) => !blocks.some((block) => block.base === base && block.order === order),
    );
    this.#shut = this.#shut.filter((shut) => shut.atMs > atMs - SHUT_KEPT_MS);
    for (const block of gone) this.#shut.push({ ip, block, atMs });
  }

  /** The machine was switched off. */
  forget(): void {
    this.#permissions.clear();
    this.lossCount += 1;
  }
}

/** An agent's way to the guard: the real one, but for the kernel at its end. */
export class SimulatedGuard implements Permitting {
  readonly kernel: GuardKernel;
  readonly #found: ReadonlyMap<string, readonly number[]>;
  readonly #hasEnd: ReadonlySet<string>;
  readonly #process: Process;
  readonly #chance: Chance;
  readonly #wishes: GuardWishes;

  constructor(kernel: GuardKernel, process: Process, chance: Chance) {
    this.kernel = kernel;
    this.#process = process;
    this.#chance = chance;
    const tell = (permissions: readonly Permission[]): Promise<void> => this.#tellKernel(permissions);
    const told = { permit: tell, rebuild: tell, isInForce: () => Promise.resolve(true) };
    const found = Array.from(kernel.ips(), (ip) => ({ ip, translated: kernel.translatedUnits(ip) }));
    this.#hasEnd = new Set(Array.from(kernel.ips()).filter((ip) => kernel.hasEnd(ip)));
    this.#found = new Map(found.map(({ ip, translated }) => [ip, translated]));
    this.#wishes = new GuardWishes(() => kernel.machine.clock(), told, found);
  }

  allow(ip: string, blocks: readonly PortBlock[], term: LeaseTerm | null): Promise<void> {
    return this.#wishes.allow(ip, blocks, term);
  }

  translate(ip: string, units: readonly number[]): Promise<void> {
    return this.#wishes.translate(ip, units);
  }

  /** Whether these had an end in the kernel: what has none must be shut before anybody is asked. [MA4] */
  hasRunningFlows(ip: string): boolean {
    return this.translatedUnits(ip).length > 0 && this.#hasEnd.has(ip);
  }

  /** What an earlier agent had for translation when this one began. */
  translatedUnits(ip: string): readonly number[] {
    return this.#found.get(ip) ?? [];
  }

  #tellKernel(permissions: readonly Permission[]): Promise<void> {
    const { machine, troubles, lossCount } = this.kernel;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const isFailing = this.#chance.isLikely(troubles.failureChance);
    // The program that tells the kernel goes on when the agent is paused or killed.
    const nowMs = machine.monotonicMs();
    const doneAtMs = nowMs + this.#chance.between(1, 15) + this.#chance.next() * troubles.slownessMs;
    this.kernel.busyUntilMs = Math.max(this.kernel.busyUntilMs + KERNEL_TICK_MS, doneAtMs);
    // A wish may have to wait for the transaction before.
    const tellingMs = isFailing ? LONGEST_TERM_MS : 2 * (this.kernel.busyUntilMs - nowMs);
    this.kernel.longestTellingMs = Math.max(this.kernel.longestTellingMs, tellingMs);
    machine.at(this.kernel.busyUntilMs, () => {
      if (lossCount !== this.kernel.lossCount) return;
      if (!isFailing) {
        for (const permission of permissions) this.kernel.replace(permission);
      }
      this.#process.run(() => (isFailing ? reject(new Error("the kernel does not listen")) : resolve()));
    });
    return promise;
  }
}

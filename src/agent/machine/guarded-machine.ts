/**
 * What an agent does to its machine, where it may: the guard that holds the kernel to the
 * leases, and the shared addresses on the loopback device. In that order, so that there is no
 * moment at which an address is here and unguarded; and undone in the opposite one. [MA1]
 *
 * Nothing is touched before the pool names an address that can leave the machine, so agents
 * that try things out on loopback need no root, and several of them fit on one machine.
 */
import { join } from "node:path";
import type { Logger } from "pino";
import { CommandFault } from "../../process/command-fault.ts";
import type { PortControl } from "../egress/port-messages.ts";
import { readClock } from "../../process/clock.ts";
import { Guard, type GuardAvailability, type GuardCount, guardAvailability, needsGuard } from "./guard.ts";
import { GuardedPorts } from "./guarded-ports.ts";
import { examineHost } from "./host-findings.ts";
import { HostSetup } from "./host-setup.ts";

/** How much an operator lets the agent do: `auto` does what it may, `require` refuses to run without. */
export type MachineMode = "auto" | "require" | "off";

/** File of the state directory in which the set-up is written down. */
const SETUP_FILE = "host-setup.json";

interface Grip {
  readonly guard: Guard;
  readonly setup: HostSetup;
}

/** One per agent. */
export class Machine {
  readonly #log: Logger;
  readonly #setupFile: string;
  readonly #availability: GuardAvailability;
  /** Addresses of which the guard was told that nothing leaves yet. */
  readonly #prepared = new Map<string, Promise<void>>();
  /** Done once the guard is the agent's that translates nothing: what an earlier one has left is to go. */
  endTranslation: (() => Promise<void>) | null = null;
  /** Devices by which those come for whom this machine translates; null where it does for nobody. */
  senderDevices: (() => Promise<readonly string[]>) | null = null;
  #grip: Grip | null = null;
  #opening: Promise<Grip> | null = null;
  #hasWarned = false;

  private constructor(log: Logger, stateDirectory: string, availability: GuardAvailability) {
    this.#log = log;
    this.#setupFile = join(stateDirectory, SETUP_FILE);
    this.#availability = availability;
  }

  /** Finds out what may be done; throws `kernel-unavailable` if it is required and may not be. */
  static async open(mode: MachineMode, stateDirectory: string, log: Logger): Promise<Machine> {
    if (mode === "off") return new Machine(log, stateDirectory, { ok: false, reason: "it is switched off" });
    const availability = await guardAvailability();
    if (mode === "require" && !availability.ok) {
      throw new CommandFault(
        "kernel-unavailable",
        `The guard is required (--machine require, or --snat) and cannot be had, since ${availability.reason}. Run the agent as root with nftables, or leave both options out to go without a guard.`,
      );
    }
    return new Machine(log, stateDirectory, availability);
  }

  /**
   * Makes an address of the pool ready to be leased from. While it throws, the address must not
   * be: the kernel has a guard, and it does not listen to this agent. To be called again and
   * again: what other programs undid is done again.
   */
  async prepare(ip: string): Promise<void> {
    if (!needsGuard(ip)) return;
    if (!this.#availability.ok) {
      this.#warnOnce(this.#availability.reason);
      return;
    }
    const { guard, setup } = await this.#hold();
    // Once: later the address's keeper speaks to the guard, and this would take back what it said. Who
    // asks while it is under way waits for the same.
    const first = this.#prepared.get(ip) ?? silence(guard, ip);
    const isFirst = !this.#prepared.has(ip);
    this.#prepared.set(ip, first);
    try {
      await first;
    } catch (fault) {
      if (this.#prepared.get(ip) === first) this.#prepared.delete(ip);
      throw fault;
    }
    if (!isFirst && (await guard.restore())) {
      this.#log.error("another program had taken the guard out of the kernel; it is there again");
    }
    await setup.add(ip);
    if (isFirst) await this.#tellFindings(ip);
  }

  /** The ports of an address that was prepared, as its keeper should control them. */
  guarded(ip: string, ports: PortControl): PortControl {
    if (this.#grip === null || !needsGuard(ip)) return ports;
    return new GuardedPorts(ip, ports, this.#grip.guard, (fault) => {
      this.#log.error({ ip, err: fault }, "the kernel's guard could not be told; new blocks wait");
    });
  }

  /** Takes the guard before there is any address. Throws `guard-in-use` where another agent has it. */
  async takeGuard(): Promise<void> {
    await this.#hold();
  }

  /** Puts the guard back if another program has taken it out; says whether it was gone. [GU8] */
  async restore(): Promise<boolean> {
    return (await this.#grip?.guard.restore()) ?? false;
  }

  /** From now on packets are translated in these units of an address that was prepared, and tracked. [GU9] */
  async translate(ip: string, units: readonly number[]): Promise<void> {
    await this.#grip?.guard.translate(ip, units);
  }

  /** Units of an address in which the kernel translated for an earlier life of this agent. */
  unitsInUse(ip: string): readonly number[] {
    return this.#grip?.guard.translatedUnits(ip) ?? [];
  }

  /** What the guard dropped, address by address; null where there is none. */
  async guardCounts(): Promise<readonly GuardCount[] | null> {
    return this.#grip === null ? null : this.#grip.guard.counts();
  }

  /** For the status: what the guard dropped, or why there is none. */
  async describe(): Promise<Record<string, unknown>> {
    const dropped = await this.guardCounts();
    if (dropped !== null) return { guard: { active: true, dropped } };
    const reason = this.#availability.ok ? "no address needs it" : this.#availability.reason;
    return { guard: { active: false, reason } };
  }

  /** Allows nothing more, and takes the addresses off again. The guard stays, for it is harmless without them. */
  async close(): Promise<void> {
    if (this.#grip === null) return;
    await this.#grip.guard.close();
    await this.#grip.setup.undo();
  }

  /** Logs what may keep replies away, and leaves it to the operator: it may be intended. */
  async #tellFindings(ip: string): Promise<void> {
    try {
      const senderDevices = (await this.senderDevices?.()) ?? null;
      for (const { severity, sentence } of await examineHost([ip], senderDevices))
        this.#log.warn({ ip, severity }, sentence);
    } catch (fault) {
      this.#log.warn({ ip, err: fault }, "the machine's settings could not be examined");
    }
  }

  async #hold(): Promise<Grip> {
    this.#opening ??= this.#open();
    try {
      this.#grip = await this.#opening;
      return this.#grip;
    } catch (fault) {
      this.#opening = null;
      throw fault;
    }
  }

  async #open(): Promise<Grip> {
    const guard = await Guard.open(readClock);
    if (this.endTranslation !== null) {
      guard.forgetTranslated();
      await this.endTranslation();
    }
    return { guard, setup: await HostSetup.open(this.#setupFile) };
  }

  #warnOnce(reason: string): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#log.warn(
      `No guard in the kernel, since ${reason}: only this agent's own binder keeps to the leases.`,
    );
  }
}

/**
 * Nothing leaves before the address's keeper has spoken. But flows of containers outlive an agent, and
 * this would cut them: what an earlier one allowed them is still this machine's, and the kernel ends it
 * with the lease. [MA4]
 */
async function silence(guard: Guard, ip: string): Promise<void> {
  if (!guard.hasRunningFlows(ip)) await guard.allow(ip, [], null);
}

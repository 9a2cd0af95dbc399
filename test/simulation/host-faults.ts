/**
 * What goes wrong with hosts. A host's wall clock is not set back in a term in which its machine was
 * suspended, or in which its kernel was slow to take the guard's timeouts: then both of its clocks
 * would be wrong at once. [HO4] [GU3]
 */
import type { Arena, Spells } from "./arena.ts";
import type { DividedHost } from "./divided-host.ts";
import type { Host } from "./host.ts";
import { callObject } from "./object-calls.ts";
import type { Machine } from "./machine.ts";

/** One per nemesis. */
export class HostFaults {
  readonly #arena: Arena;
  readonly #spells: Spells;
  /** When the monotonic clock of a machine was last no measure; Infinity while it is none. */
  readonly #haltedAtMs = new Map<Machine, number>();
  readonly #setBackAtMs = new Map<Machine, number>();

  constructor(arena: Arena, spells: Spells) {
    this.#arena = arena;
    this.#spells = spells;
  }

  pause(): void {
    const process = this.#anyHost().process;
    if (process === null) return;
    process.pause();
    this.#spells.during(this.#spells.anyTimeMs(), () => process.continue());
  }

  pauseDataProcess(): void {
    const divided = this.#anyDivided();
    if (divided === null) return;
    this.#spells.during(this.#spells.anyTimeMs(), divided.pauseOne());
  }

  killDataProcess(): void {
    this.#anyDivided()?.killOne();
  }

  #anyDivided(): DividedHost | null {
    const divided = this.#arena.hosts.flatMap((host) => host.divided ?? []);
    return divided.length === 0 ? null : this.#arena.chance.pick(divided);
  }

  suspend(): void {
    const { machine } = this.#anyHost();
    if (machine.isSuspended || this.#isRecent(this.#setBackAtMs.get(machine))) return;
    machine.suspend();
    this.#haltedAtMs.set(machine, Infinity);
    this.#spells.during(this.#spells.anyTimeMs(), () => {
      this.#haltedAtMs.set(machine, this.#arena.network.timeline.nowMs);
      machine.resume();
    });
  }

  kill(): void {
    const host = this.#anyHost();
    host.kill();
    this.#spells.during(this.#spells.anyTimeMs(), () => host.start());
  }

  powerOff(): void {
    const host = this.#anyHost();
    if (host.machine.isSuspended) return;
    host.switchOff();
    this.#spells.during(this.#spells.anyTimeMs(), () => host.switchOn());
  }

  reinstall(): void {
    const host = this.#anyHost();
    if (host.machine.isSuspended) return;
    const { settings } = this.#arena.scenario;
    host.reinstall();
    if (settings.staticPortsPerHost !== null) this.#bury(host.name);
    this.#spells.during(this.#spells.anyTimeMs() / 2, () => host.switchOn());
  }

  /**
   * What it was is gone for good, and its operator says so: again, when no answer came, though what was said
   * before may still be on its way; and perhaps in vain.
   */
  #bury(name: string): void {
    const { network, edge } = this.#arena;
    const say = async (): Promise<void> => {
      if (!this.#isGone(name)) return;
      try {
        const removed = await callObject(null, edge.pool, network, (pool) => pool.removeHost(name));
        if (removed.ok || removed.refusal !== "control-plane-unavailable") return;
      } catch {
        // Nobody knows what has become of it.
      }
      if (!this.#spells.areOver) this.#bury(name);
    };
    this.#spells.during(this.#spells.anyTimeMs(), () => void say());
  }

  /** Whether no machine of this name has a slot, on its disk or in its kernel, so that the operator is right. */
  #isGone(name: string): boolean {
    const { edge, hosts } = this.#arena;
    const [row] = edge.pool.database.sql.exec("SELECT instance FROM host WHERE host = ?", name).toArray();
    return hosts.every(
      ({ name: its, instance, guard, keptSlots }) =>
        its !== name ||
        (instance !== row?.["instance"] &&
          keptSlots().length === 0 &&
          [...guard.ips()].every((ip) => guard.permitted(ip).length === 0)),
    );
  }

  drain(): void {
    const host = this.#anyHost();
    host.drain();
    this.#spells.during(this.#spells.anyTimeMs() + 4_000, () => host.start());
  }

  setWallClock(): void {
    const { chance, network } = this.#arena;
    const { machine } = this.#anyHost();
    const isBack = chance.isLikely(0.5);
    if (isBack && this.#isRecent(this.#haltedAtMs.get(machine))) return;
    if (isBack) this.#setBackAtMs.set(machine, network.timeline.nowMs);
    machine.setWall((isBack ? -1 : 1) * chance.between(0, chance.pick([1_000, 30_000, 3_600_000])));
  }

  troubleGuard(): void {
    const { machine, guard } = this.#anyHost();
    const { troubles } = guard;
    const { chance, network } = this.#arena;
    machine.trouble();
    troubles.failureChance = chance.pick([0, 0.3, 1]);
    const slownessMs = chance.pick([0, 500, 4_000]);
    const isSlow = slownessMs > 0 && !this.#isRecent(this.#setBackAtMs.get(machine));
    if (isSlow) {
      troubles.slownessMs = slownessMs;
      this.#haltedAtMs.set(machine, Infinity);
    }
    this.#spells.during(this.#spells.anyTimeMs(), () => {
      machine.trouble();
      troubles.failureChance = 0;
      troubles.slownessMs = 0;
      if (isSlow && !machine.isSuspended) this.#haltedAtMs.set(machine, network.timeline.nowMs);
    });
  }

  burst(): void {
    this.#anyHost().burst(20 + this.#arena.chance.below(100));
  }

  startDuplicate(): void {
    const { hosts, chance } = this.#arena;
    const duplicate = chance.pick(hosts.filter(({ isDuplicate }) => isDuplicate));
    duplicate.switchOn();
    this.#spells.during(this.#spells.anyTimeMs(), () => duplicate.switchOff());
  }

  #isRecent(atMs: number | undefined): boolean {
    if (atMs === undefined) return false;
    // The longest lease that an operator may set.
    return atMs === Infinity || this.#arena.network.timeline.nowMs - atMs < 40_000;
  }

  #anyHost(): Host {
    return this.#arena.chance.pick(
      this.#arena.hosts.filter(({ isDuplicate, machine }) => !isDuplicate || !machine.isOff),
    );
  }
}

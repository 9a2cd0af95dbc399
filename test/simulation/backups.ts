/**
 * Copies of an edge as an operator takes them while it runs, and what becomes of an edge that is made
 * anew from one: each object goes on from a moment of its own, and knows nothing of what came after. [OC1]
 */
import type { Arena } from "./arena.ts";
import { LONGEST_LEASE_MS } from "./address-clocks.ts";
import { ObjectDatabase } from "./object-database.ts";
import { areSlotsKnown } from "./slot-knowledge.ts";

/** What each object had, by its name. */
type Backup = Map<string, ObjectDatabase>;

/** Copies are not all of the same moment: each file takes its time. */
const LONGEST_COPY_MS = 300;
const KEPT_BACKUPS = 4;
/** What the old edge has said has come to every host that runs by the second look. */
const OPERATOR_LOOKS_MS = 3_500;

/** One per run. */
export class Backups {
  readonly #arena: Arena;
  readonly #complete: Backup[] = [];
  #restoredCount = 0;
  #isOver = false;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /** Takes one now, and others every so often. */
  begin(): void {
    const { network, chance, scenario } = this.#arena;
    this.#take();
    const everyMs = chance.pick([1, 3, 10]) * scenario.settings.leaseDurationMs;
    network.timeline.after(everyMs * chance.between(0.2, 1.8), () => this.begin());
  }

  /** The edge is gone, and another is there by one of the copies. */
  restore(): void {
    const { chance, edge, scenario } = this.#arena;
    if (this.#complete.length === 0) return;
    const backup = chance.pick(this.#complete);
    // A standby that was stopped within a round has some objects as they are now, and others as they were long ago.
    const isMixed = chance.isLikely(0.3);
    const copyOf = (name: string): ObjectDatabase =>
      (isMixed ? chance.pick(this.#complete) : backup).get(name)!;
    edge.restore(copyOf, LONGEST_LEASE_MS + scenario.settings.quarantineMs);
    this.#arena.poolClockSet();
    this.#restoredCount += 1;
    if (scenario.settings.staticPortsPerHost !== null) this.#lookAfterSlots(this.#restoredCount, false);
  }

  /** In a static pool the operator looks at all hosts until none holds what the edge does not know. [OC6] */
  #lookAfterSlots(restoration: number, wereAllRunning: boolean): void {
    this.#arena.network.timeline.after(OPERATOR_LOOKS_MS, () => {
      const { edge, hosts } = this.#arena;
      if (this.#isOver || restoration !== this.#restoredCount) return;
      // Whoever was paused may still read what it was told before.
      const areAllRunning = hosts.every(({ machine }) => !machine.isSuspended);
      if (wereAllRunning && areAllRunning && areSlotsKnown(edge, hosts)) return this.#confirm();
      this.#lookAfterSlots(restoration, areAllRunning);
    });
  }

  #confirm(): void {
    const { edge, count, poolClockSet } = this.#arena;
    count("slots-known");
    edge.confirmSlots();
    poolClockSet();
  }

  /** From now on others are the operator. */
  end(): void {
    this.#isOver = true;
  }

  close(): void {
    for (const backup of this.#complete.splice(0)) for (const copy of backup.values()) copy.close();
  }

  #take(): void {
    const { network, chance, edge } = this.#arena;
    const backup: Backup = new Map();
    for (const object of edge.objects) {
      network.timeline.after(chance.between(0, LONGEST_COPY_MS), () => {
        const copy = new ObjectDatabase();
        object.database.copyTo(copy);
        copy.endTurn(true);
        backup.set(object.name, copy);
        if (backup.size === edge.objects.length) this.#complete.push(backup);
        if (this.#complete.length > KEPT_BACKUPS) {
          for (const old of this.#complete.shift()!.values()) old.close();
        }
      });
    }
  }
}

/**
 * Which data process has which unit of an address. A unit that was taken away is given to nobody
 * before its process has said that it is not used any more, or has ended. [MP1]
 */
import { unitOf, unitsOf } from "../../core/port-block.ts";
import type { CommandedBlock } from "../egress/port-messages.ts";

/** A unit in the hands of a process. */
export interface Grant {
  readonly grant: number;
  readonly unit: number;
  /** Of the lease to which the unit belongs. */
  readonly epoch: number;
  readonly part: number;
  /** The command by which its process loses it; null while it has it. */
  endsWith: number | null;
}

/** A unit that the host may use. */
export interface WantedUnit {
  readonly unit: number;
  readonly epoch: number;
  readonly isDraining: boolean;
}

/** One per address. */
export class UnitGrants {
  #number: number;
  readonly #wanted = new Map<number, WantedUnit>();
  readonly #grants = new Map<number, Grant>();
  readonly #byUnit = new Map<number, Grant>();

  /** Grants are numbered from here on. */
  constructor(firstNumber: number) {
    this.#number = firstNumber;
  }

  /** Units for new flows. */
  get usableCount(): number {
    let count = 0;
    for (const { isDraining } of this.#wanted.values()) if (!isDraining) count += 1;
    return count;
  }

  /** The host has these blocks, and no others. Grants of what it has no longer end. */
  want(blocks: readonly CommandedBlock[]): Grant[] {
    this.#wanted.clear();
    for (const { lease, isDraining } of blocks) {
      for (const unit of unitsOf(lease)) this.#wanted.set(unit, { unit, epoch: lease.epoch, isDraining });
    }
    return [...this.#grants.values()].filter(
      ({ unit, epoch, endsWith }) => endsWith === null && this.#wanted.get(unit)?.epoch !== epoch,
    );
  }

  /** What the host has of a unit; undefined if it has nothing of it. */
  wanted(unit: number): WantedUnit | undefined {
    return this.#wanted.get(unit);
  }

  /** Units for new flows that nobody has. */
  free(): number[] {
    const free: number[] = [];
    for (const { unit, isDraining } of this.#wanted.values()) {
      if (!isDraining && !this.#byUnit.has(unit)) free.push(unit);
    }
    return free;
  }

  /** Whether the host has a unit, for new flows or to be emptied, and nobody here has it. */
  isFree(unit: number): boolean {
    return this.#wanted.has(unit) && !this.#byUnit.has(unit);
  }

  /** Whose a port is now, be it about to lose it. */
  ofPort(port: number): Grant | undefined {
    return this.#byUnit.get(unitOf(port));
  }

  /** Gives a free unit to a process. */
  give(unit: number, part: number): void {
    const { epoch } = this.#wanted.get(unit)!;
    this.#number += 1;
    const grant: Grant = { grant: this.#number, unit, epoch, part, endsWith: null };
    this.#grants.set(grant.grant, grant);
    this.#byUnit.set(unit, grant);
  }

  /** What a process has, and is not about to lose. */
  of(part: number): Grant[] {
    return [...this.#grants.values()].filter((grant) => grant.part === part && grant.endsWith === null);
  }

  /** The epoch of the lease that a grant is of; undefined once it has ended. */
  epochOf(grant: number): number | undefined {
    return this.#grants.get(grant)?.epoch;
  }

  /** A process has let go of these by itself. */
  released(part: number, grants: readonly number[]): void {
    for (const number of grants) {
      const grant = this.#grants.get(number);
      if (grant?.part === part) this.#end(grant);
    }
  }

  /** A process follows this command. */
  confirmed(part: number, command: number): void {
    for (const grant of this.#grants.values()) {
      if (grant.part === part && grant.endsWith !== null && grant.endsWith <= command) this.#end(grant);
    }
  }

  /** A process has ended: nothing is used by it any more. */
  ended(part: number): void {
    for (const grant of this.#grants.values()) if (grant.part === part) this.#end(grant);
  }

  #end(grant: Grant): void {
    this.#grants.delete(grant.grant);
    this.#byUnit.delete(grant.unit);
  }
}

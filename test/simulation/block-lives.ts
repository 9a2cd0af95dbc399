/** Follows the blocks of one address from grant to grant, for what becomes of them. */
import { type PortBlock, portCountOf, unitOf } from "../../src/core/port-block.ts";
import type { Meet } from "./transitions.ts";

/** A row of the table of an address. */
export interface LivingBlock extends PortBlock {
  readonly epoch: number;
  readonly host: string;
  readonly instance: string;
  /** Null while it is leased. */
  readonly endReason: string | null;
  readonly isSteered: boolean;
}

/** One per address. */
export class BlockLives {
  readonly #meet: Meet;
  /** Who had each unit, one after the other. */
  readonly #holders = new Map<number, LivingBlock[]>();
  /** By epoch, as each was seen last. */
  readonly #present = new Map<number, LivingBlock>();
  #standing: string | null = null;
  #hasLeft = false;
  #knowsOfRouters = false;

  constructor(meet: Meet) {
    this.#meet = meet;
  }

  /** The table as it is on disk. */
  look(rows: readonly LivingBlock[]): void {
    const epochs = new Set(rows.map(({ epoch }) => epoch));
    for (const [epoch, row] of this.#present) {
      if (epochs.has(epoch)) continue;
      this.#present.delete(epoch);
      if (row.endReason !== null) this.#meet("block: free again");
    }
    for (const row of rows) {
      const before = this.#present.get(row.epoch);
      this.#present.set(row.epoch, row);
      if (before === undefined) this.#granted(row);
      if (row.endReason !== null && (before?.endReason ?? null) === null) {
        this.#meet(row.endReason === "released" ? "block: released" : "block: expired");
      }
    }
  }

  /** How the address stands to its pool. */
  stand(standing: string, knowsOfRouters: boolean): void {
    if (knowsOfRouters && !this.#knowsOfRouters) this.#meet("address: hears of routers");
    this.#knowsOfRouters = knowsOfRouters;
    if (standing === this.#standing) return;
    this.#standing = standing;
    if (standing === "retiring") this.#meet("address: retiring");
    else if (standing === "left") this.#meet("address: left");
    else this.#meet(this.#hasLeft ? "address: serving again" : "address: serving");
    this.#hasLeft ||= standing !== "serving";
  }

  #granted(row: LivingBlock): void {
    if (!row.isSteered) this.#meet("block: granted, and not known to routers yet");
    const former = this.#holders.get(unitOf(row.base)) ?? [];
    const last = former.at(-1);
    if (last === undefined) this.#meet("block: never used, granted");
    else if (last.instance === row.instance) this.#meet("block: granted to its last holder");
    else if (former.some(({ instance }) => instance === row.instance)) {
      this.#meet("block: granted to a former holder, after another");
    } else if (former.some(({ host }) => host === row.host)) {
      this.#meet("block: granted to another instance of a former holder");
    } else {
      this.#meet("block: granted to another host");
    }
    const first = unitOf(row.base);
    for (let unit = first; unit < first + portCountOf(row.order) / 64; unit += 1) {
      this.#holders.set(unit, [...(this.#holders.get(unit) ?? []), row]);
    }
  }
}

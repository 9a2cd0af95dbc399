/** An object's alarm: part of what a turn writes, and rung by the clock of where the object runs. */
import type { Machine } from "./machine.ts";
import type { Network } from "./network.ts";
import type { Happening } from "./timeline.ts";

/** One per object. */
export class ObjectAlarm {
  readonly #network: Network;
  readonly #machine: () => Machine;
  readonly #ring: () => void;
  #atMs: number | null = null;
  /** As of the last turn that was kept: an alarm that was not answered rings again. */
  #keptAtMs: number | null = null;
  #happening: Happening | null = null;

  constructor(network: Network, machine: () => Machine, ring: () => void) {
    this.#network = network;
    this.#machine = machine;
    this.#ring = ring;
  }

  /** Null while none is set. */
  get atMs(): number | null {
    return this.#atMs;
  }

  set(atMs: number | null): void {
    this.#atMs = atMs;
    this.arm();
  }

  /** A turn was kept. */
  keep(): void {
    this.#keptAtMs = this.#atMs;
  }

  /** A turn was lost. */
  takeBack(): void {
    this.set(this.#keptAtMs);
  }

  /** Anew, for what the clock shows now. */
  arm(): void {
    if (this.#happening !== null) this.#happening.what = null;
    this.#happening = null;
    if (this.#atMs === null) return;
    const delayMs = this.#machine().untilWall(this.#atMs) + this.#network.latencyMs();
    this.#happening = this.#network.timeline.after(delayMs, this.#ring);
  }
}

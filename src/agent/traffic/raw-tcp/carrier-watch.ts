/**
 * Whether bytes pass on a carried connection, and whether its client is there: behind an edge a client may
 * be gone without a word, while the edge itself is well. [RC5]
 */
import type { Problem } from "../../../core/problems.ts";
import { monotonicMs } from "../../../process/clock.ts";
import type { Flow } from "../../../process/flow.ts";

/** How long things may last, and who is told. */
export interface CarrierWatchOptions {
  /** How long no bytes may pass. */
  readonly idleMs: number;
  /** After how much silence the client is asked; after as much again it is gone. */
  readonly silenceMs: number;
  readonly flow: Flow;
  readonly onSilent: () => void;
  readonly onOver: (problem: Problem) => void;
}

/**
 * At which look, of two in the time of silence, a client is asked, and at which it is gone. Counted and not
 * timed: a process that was paused has not read what came meanwhile.
 */
const ASKING_LOOK = 3;
const LAST_LOOK = 5;

/** Of one connection, from its making until it is stopped. */
export class CarrierWatch {
  readonly #options: CarrierWatchOptions;
  #passedAtMs = monotonicMs();
  /** Looks in a row at which nothing had been heard. */
  #silentLooks = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: CarrierWatchOptions) {
    this.#options = options;
    this.#lookIn();
  }

  /** Bytes have passed, in either direction. */
  passed(): void {
    this.#passedAtMs = monotonicMs();
  }

  /** The client has said something. */
  heard(): void {
    this.#silentLooks = 0;
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #lookIn(): void {
    const { flow, idleMs, silenceMs } = this.#options;
    const look = flow.guard(() => this.#look());
    this.#timer = setTimeout(look, Math.min(idleMs, silenceMs / 2)).unref();
  }

  #look(): void {
    const { idleMs, onSilent, onOver } = this.#options;
    if (monotonicMs() - this.#passedAtMs >= idleMs) return onOver({ code: "connection-idle" });
    this.#silentLooks += 1;
    if (this.#silentLooks === ASKING_LOOK) onSilent();
    if (this.#silentLooks === LAST_LOOK) {
      return onOver({ code: "connection-idle", detail: "The client does not answer." });
    }
    this.#lookIn();
  }
}

/**
 * Installs in a kernel what a pool says, one step after the other. The owner of the connection
 * passes in what arrives and sends what is to be sent; nothing here knows the transport.
 */
import type { SteeringChange, SteeringEntry, SteeringTable } from "../../core/steering.ts";
import { type CancelTimer, systemTimers, type Timers } from "../../process/timers.ts";
import type { RepairReport, SteeringKernel } from "../steering/steering-kernel.ts";
import { type SteeringAction, SteeringState } from "./steering-progress.ts";

/** What an installer tells its owner. */
export type InstallerEvent =
  | { readonly type: "repaired"; readonly report: RepairReport }
  /** The kernel did not follow; it is tried again after `retryInMs`, beginning with a repair. */
  | { readonly type: "kernel-failed"; readonly fault: unknown; readonly retryInMs: number }
  /** Another program has taken the rules away; they are being put back. */
  | { readonly type: "displaced" }
  | { readonly type: "outdated"; readonly entry: SteeringEntry; readonly heldEpoch: number };

/** What an installer is given. */
export interface InstallerOptions {
  readonly kernel: SteeringKernel;
  readonly askTable: () => void;
  /** Called only for numbers that the kernel has applied. [ST2] */
  readonly acknowledge: (sequence: number) => void;
  readonly onEvent: (event: InstallerEvent) => void;
  readonly timers?: Timers;
}

const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 10_000;

/** One per router. */
export class SteeringInstaller {
  readonly #options: InstallerOptions;
  readonly #state = new SteeringState();
  #retryInMs = FIRST_RETRY_MS;
  #cancelRetry: CancelTimer | null = null;
  #step: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: InstallerOptions) {
    this.#options = options;
  }

  /**
   * The number up to which the kernel has applied the pool's table in this life: from there the pool
   * may go on with changes. Null: it has to send the whole table, and until the kernel has
   * followed that, the router is not ready.
   */
  get appliedSequence(): number | null {
    return this.#state.appliedSequence;
  }

  /** The connection to the pool is new. */
  connected(): void {
    this.#state.connected();
  }

  /** The pool has sent its whole table. */
  table(table: SteeringTable): void {
    this.#carryOut(this.#state.replaced(table));
  }

  /** The pool has sent a change. */
  change(change: SteeringChange): void {
    this.#carryOut(this.#state.changed(change));
  }

  /** Looks whether the kernel still has what it has applied, and repairs it if not. [RT10] */
  async check(areRoutesIncluded = true): Promise<void> {
    if (this.appliedSequence === null) return;
    if (await this.#options.kernel.isInForce(areRoutesIncluded)) return;
    this.#options.onEvent({ type: "displaced" });
    this.#carryOut(this.#state.doubted());
  }

  /** Stops, after the step under way. The kernel keeps what it has. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelRetry?.();
    await this.#step;
  }

  #carryOut(actions: readonly SteeringAction[]): void {
    if (this.#isClosed) return;
    for (const action of actions) this.#carryOutOne(action);
  }

  #carryOutOne(action: SteeringAction): void {
    const { kernel, askTable, acknowledge, onEvent } = this.#options;
    switch (action.type) {
      case "ask-table":
        askTable();
        break;
      case "acknowledge":
        acknowledge(action.sequence);
        break;
      case "outdated":
        onEvent(action);
        break;
      case "repair":
        this.#step = this.#apply(async () => {
          const report = await kernel.repair(action.table);
          onEvent({ type: "repaired", report });
        });
        break;
      case "apply":
        this.#step = this.#apply(() => kernel.apply(action.delta));
        break;
    }
  }

  async #apply(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (fault) {
      this.#failed(fault);
      return;
    }
    this.#retryInMs = FIRST_RETRY_MS;
    this.#carryOut(this.#state.applied());
  }

  #failed(fault: unknown): void {
    const retryInMs = this.#retryInMs;
    this.#retryInMs = Math.min(2 * retryInMs, LONGEST_RETRY_MS);
    this.#state.failed();
    this.#options.onEvent({ type: "kernel-failed", fault, retryInMs });
    if (this.#isClosed) return;
    const { timers = systemTimers } = this.#options;
    this.#cancelRetry = timers.after(retryInMs, () => this.#carryOut(this.#state.retry()));
  }
}

/**
 * Keeps children running. One that ends unasked is reported and started again, each time a
 * little later; one that will not stay up is given up, and the fault says why. [CI7]
 */
import { Child, type ChildEnd, type ChildSpec, tailOf } from "./child.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { diskFault } from "../../process/disk-faults.ts";
import type { RunRecords } from "./run-records.ts";

/** Times and bounds of restarting. */
export interface RestartPolicy {
  readonly firstDelayMs: number;
  /** Ends in a row, each soon after its start, after which a child is given up. */
  readonly maxQuickEnds: number;
  /** A child that ran this long is well again. */
  readonly steadyMs: number;
}

export const DEFAULT_RESTART_POLICY: RestartPolicy = {
  firstDelayMs: 250,
  maxQuickEnds: 5,
  steadyMs: 20_000,
};

interface Kept {
  child: Child;
  startedAtMs: number;
  quickEnds: number;
  timer: NodeJS.Timeout | null;
}

export class Supervisor {
  /** Rejects with `child-kept-dying` when a child is given up; never resolves. */
  readonly failed: Promise<never>;
  readonly #records: RunRecords;
  readonly #report: (line: string) => void;
  readonly #policy: RestartPolicy;
  readonly #kept = new Map<string, Kept>();
  #fail: (fault: unknown) => void = () => {};
  #isStopping = false;

  constructor(records: RunRecords, report: (line: string) => void, policy = DEFAULT_RESTART_POLICY) {
    this.#records = records;
    this.#report = report;
    this.#policy = policy;
    this.failed = new Promise((_resolve, reject) => {
      this.#fail = reject;
    });
    // Whoever does not wait for it must not be ended by an unhandled rejection.
    this.failed.catch(() => {});
  }

  /** Starts a child and keeps it running until it is stopped. */
  async start(spec: ChildSpec): Promise<void> {
    await this.#start(spec, 0);
  }

  /** The process that a child is at the moment. */
  pidOf(name: string): number | undefined {
    return this.#kept.get(name)?.child.pid;
  }

  /** Ends these children side by side, for good. */
  async stop(names: readonly string[]): Promise<void> {
    this.#isStopping = true;
    await Promise.all(
      names.map(async (name) => {
        const kept = this.#kept.get(name);
        if (kept === undefined) return;
        if (kept.timer) clearTimeout(kept.timer);
        await kept.child.stop();
      }),
    );
  }

  /** Ends whatever still runs, at once. */
  killAll(): void {
    this.#isStopping = true;
    for (const { child } of this.#kept.values()) child.kill();
  }

  async #start(spec: ChildSpec, quickEnds: number): Promise<void> {
    if (this.#isStopping) return;
    const child = await Child.start(spec, this.#records);
    const kept: Kept = { child, startedAtMs: performance.now(), quickEnds, timer: null };
    this.#kept.set(spec.name, kept);
    void child.ended.then((end) => this.#ended(kept, end));
    // It may have been told to stop while the system was starting the child.
    if (this.#isStopping) await child.stop();
  }

  #ended(kept: Kept, end: ChildEnd): void {
    if (this.#isStopping) return;
    const { spec } = kept.child;
    const ranMs = performance.now() - kept.startedAtMs;
    const quickEnds = ranMs < this.#policy.steadyMs ? kept.quickEnds + 1 : 0;
    const how = end.signal === null ? `with code ${end.code}` : `by ${end.signal}`;
    if (quickEnds > this.#policy.maxQuickEnds) {
      const tail = tailOf(spec.logFile);
      this.#fail(
        new CommandFault(
          "child-kept-dying",
          `${spec.name} ended ${how}, ${quickEnds} times in a row. Its last words (${spec.logFile}):\n${tail}`,
        ),
      );
      return;
    }
    this.#report(`${spec.name} ended ${how}; starting it again (log: ${spec.logFile})`);
    this.#startLater(kept, quickEnds);
  }

  #startLater(kept: Kept, quickEnds: number): void {
    const { spec } = kept.child;
    const delayMs = quickEnds === 0 ? 0 : this.#policy.firstDelayMs * 2 ** (quickEnds - 1);
    kept.timer = setTimeout(() => {
      this.#start(spec, quickEnds).catch((fault: unknown) => {
        const words = diskFault(fault);
        if (words === null) return this.#fail(fault);
        // A disk may have room again, and the others still run.
        this.#report(`${spec.name} cannot be started: ${words}`);
        this.#startLater(kept, Math.min(quickEnds + 1, this.#policy.maxQuickEnds));
      });
    }, delayMs);
  }
}
